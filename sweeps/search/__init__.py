"""Which setting is tried next: samplers, pruners, and how a setting becomes a network. Nothing here trains."""
