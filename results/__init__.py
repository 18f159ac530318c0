"""What was measured: a folder a study, with its JSON, its page, its tables and pictures."""
