"""Read records and answer questions. No Optuna, no MLflow, no training."""
