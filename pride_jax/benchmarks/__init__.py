"""What the code costs, measured: time, memory, bytes."""
