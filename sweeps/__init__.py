"""Choose, run and record trials: the only package that knows Optuna and MLflow. Decides no meaning of a number."""
