"""How a sweep is carried out: the driver, trials, finalists, certificates. Nothing here prints or asks MLflow."""
