"""Where examples come from, and whose they are."""
