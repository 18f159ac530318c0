"""Adding updates up without seeing them."""
