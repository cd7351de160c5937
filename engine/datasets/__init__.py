"""One file a dataset; see `engine.datasets.registry` for the list."""
