"""The two ways to train: compiled for narrow networks, NumPy and BLAS for wide ones, and the choice between them."""
