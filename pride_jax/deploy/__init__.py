"""The same round with real parties: each in processes of its own, with only its own data."""
