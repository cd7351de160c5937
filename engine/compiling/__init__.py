"""How functions are compiled by Numba, and where their machine code is kept. Nothing here computes."""
