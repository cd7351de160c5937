"""The two ways to train, compiled for narrow networks and NumPy for wide ones, and the choice. No data."""
