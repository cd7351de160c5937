"""Choose, run and record trials: the only package that knows Optuna and MLflow."""
