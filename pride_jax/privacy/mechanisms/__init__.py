"""The noise of a plan, a mechanism a file, and the noise that each draws."""
