"""Networks, and how a Flax module becomes the functions that training sees."""
