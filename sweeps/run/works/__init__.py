"""What lessons do with a cell besides training its network: one work a file. Nothing here judges a claim."""
