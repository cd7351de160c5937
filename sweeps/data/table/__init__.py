"""A table of somebody's own: read exactly, divided, prepared, judged. Nothing here knows a search."""
