"""Train and evaluate small fully connected networks, many replicas at once; knows nothing of sweeps."""
