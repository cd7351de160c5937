"""A sweep of one small study, for benchmarks of what stands around training."""

from __future__ import annotations

import copy
from typing import Any

from sweeps.spec.sweep import SweepSpec, parse_spec

TABLE: dict[str, Any] = {
    "name": "made",
    "seed": 1,
    "goal": {"metric": "test_loss", "below": 0.001},
    "search": {
        "n_trials": 100,
        "until": "budget",
        "n_replicas": 4,
        "n_candidates": 1,
        "lag": 16,
        "n_startup_trials": 4,
        "sampler": "random",
    },
    "epochs": {"max_epochs": 20, "grid": [1, 5, 20], "stop_from": 20, "stop_patience": 3},
    "finalists": {"n": 1, "n_replicas": 4},
    "certificates": {"n": 0, "n_replicas": 10, "level": 0.05},
    "page": {"n_best": 0, "n_sgd": 0, "learning_rates": [0.1], "n_finalists": 1},
    "datasets": [
        {
            "name": "gauss",
            "kind": "playground",
            "noise": 0.2,
            "train_share": 0.7,
            "stretch": 3.0,
            "n_beyond": 50,
            "features": ["x", "y"],
        }
    ],
    "network": {"output_activation": "tanh", "initializer": "playground"},
    "training": {"loss": "half_squared_error", "partial_batch": "carry", "order": "fixed", "optimizer": "sgd"},
    "space": {
        "network": {
            "activation": {"choice": ["tanh", "relu", "leaky_relu"]},
            "n_hidden_layers": {"low": 1, "high": 3},
            "hidden_layer_sizes": {"low": 1, "high": 8},
        },
        "training": {
            "batch_size": {"low": 5, "high": 30},
            "learning_rate": {"low": 0.003, "high": 1.0, "log": True},
            "regularizer": {"choice": ["none", "l2"]},
            "regularization_rate": {
                "low": 1e-5,
                "high": 1e-2,
                "log": True,
                "when": {"training": {"regularizer": ["l2"]}},
            },
        },
    },
}
"""The space of the main job, with SGD alone. The goal is out of reach, so that no trial is a candidate."""


def made_spec(n_trials: int, sampler: str = "random", n_replicas: int = 4, max_epochs: int = 20) -> SweepSpec:
    """Return the sweep with so many trials, of replicas that train for so many epochs."""
    table = copy.deepcopy(TABLE)
    table["search"] |= {"n_trials": n_trials, "sampler": sampler, "n_replicas": n_replicas}
    table["epochs"] |= {"max_epochs": max_epochs, "grid": [1, 5, max_epochs], "stop_from": max_epochs}
    return parse_spec(table, "made")
