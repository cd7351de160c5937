"""One lesson a file: its claims, its picture and its table. No training."""
