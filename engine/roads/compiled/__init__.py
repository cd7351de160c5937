"""The compiled road, a file a subject: vectors, functions, products, passes, updates, loop, session; all of Numba."""
