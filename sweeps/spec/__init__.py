"""What is asked of a sweep: typed, checked once, written back. Nothing here trains or reads rows."""
