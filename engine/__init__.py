"""Train and evaluate small fully connected networks, many replicas at once. Knows nothing of sweeps."""
