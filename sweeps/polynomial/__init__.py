"""Polynomial studies: fixed recipes on full batches, their records and runs. No search."""
