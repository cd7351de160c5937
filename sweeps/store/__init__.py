"""How a sweep is kept: its log, its lock, its seeds. Nothing here decides what to train."""
