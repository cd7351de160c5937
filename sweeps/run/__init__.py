"""How a sweep is carried out: the driver, trials and all later stages. Nothing here prints or asks MLflow."""
