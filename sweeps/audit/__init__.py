"""The auditor: what a sweep has left, compared with its log and with what its log gives again."""
