"""What is timed: a file a benchmark, found by its name; ``common/`` holds what they share."""
