"""One colour has one meaning in all pictures of a run: whose model it is, or what is counted."""

FEDERATED = "#1f6fb4"
CENTRAL = "#d9730d"
ALONE = "#3f8f3a"
FINE_TUNED = "#7b3fa0"
PERSONAL = "#b8860b"
TRAINING = "#8a949e"
PRIVACY = "#b5323e"

SHARES = {"federated": "Blues", "central": "Oranges", "alone": "Greens"}
"""Colour maps of shares, by whose model answers."""
COUNTS = "Greys"
"""The colour map of numbers of examples."""

DISTINCT = (FEDERATED, CENTRAL, ALONE, FINE_TUNED, PERSONAL, PRIVACY, "#17a2b8", "#6b6b6b")
"""For the lines of a sweep, each another setting of the federated model."""
