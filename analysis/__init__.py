"""Read records and answer questions; no Optuna, no MLflow, no training."""
