"""How long rows are kept: what kinds there are, when they expire, and their removal."""
