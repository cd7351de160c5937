"""The compiled road, a file a subject, from vectors to the session; all of Numba. No NumPy arithmetic."""
