"""What a polynomial study's records say: fits, claims, its page. No training."""
