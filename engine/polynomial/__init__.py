"""Polynomials as data: their rows, and the Gauss rule that stands for them. Nothing here trains."""
