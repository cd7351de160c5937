"""How a sweep is shown in MLflow, and made again from there. Nothing here changes a log."""
