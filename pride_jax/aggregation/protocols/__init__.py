"""The protocols by which integers are added unseen, one file each."""
