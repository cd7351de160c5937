"""The auditor: what a sweep has left, compared with what its log gives again. Only repairs change anything."""
