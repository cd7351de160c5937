"""The file formats between the halves: what a sweep writes down and a report reads. No statistics."""
