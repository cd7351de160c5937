"""What a lesson's design and a sweep's trials may measure, by name."""

from __future__ import annotations

PROBES = (
    "ray_line", "ray_change", "saturated", "agreement", "far_right", "swap_rise", "first_gradient", "collapse_error",
    "signal_kept", "backward_kept", "units_apart", "units_apart_unequal", "half_batches", "graph_gap", "dead_units",
    "off_centre", "weight_size", "weight_norm", "weight_spread", "zero_weights", "test_error", "calibration_gap",
    "template_match", "told_fitted", "clean_fitted", "wrong_fitted", "clean_loss", "wrong_loss", "validation_loss",
    "held_error", "garg_leading", "garg_bound", "fresh_loss", "beyond_to_constant", "masks_error", "masks_tell",
    "masks_tell_beyond", "pixel_rise", "unit_correlation",
    "activation_variance", "bishop_gap", "hessian_asymmetry", "hessian_gradients", "layerwise_gain", "pieces_inside",
    "pieces_beyond", "crossings", "gradient_norm", "solution", "wrong_gradient_loss", "first_weight",
    "second_weight", "least_curvature",
)  # fmt: skip
"""What a design may measure on its trained networks; `sweeps.run.probes` has the functions."""
PATH_PROBES = ("displacement", "path_length", "since_fit", "turning")
"""What it may measure of the way there, at looks only; `sweeps.run.path_probes` has them."""
LAYER_PROBES = ("output_size", "gradient_size", "layer_mean", "layer_variance", "layer_dead")
"""What it may measure of each hidden layer, at looks only; `sweeps.run.layer_probes` has them."""
TRIAL_PROBES = (
    "gradient_norm", "gradient_size", "output_size", "layer_mean", "layer_variance", "layer_dead", "weight_norm",
    "weight_quantiles", "zero_weights", "clean_loss", "wrong_loss", "steps",
)  # fmt: skip
"""What a sweep's trials may measure at every look; `sweeps.run.trial_probes` has them."""
ARRAYS = ("templates", "images", "weights", "loss_surface", "weight_quantiles")
"""What a design may keep to draw, of the first replica or (weights, their quantiles) all; see `sweeps.run.probes`."""
SPLITS = ("train", "test", "in_range", "out_of_range", "told")
"""Where losses are measured; told: the training points with the labels that the network was told, wrong ones too."""
