"""A sweep of two datasets that takes a second: few replicas, few epochs, SGD only."""

from __future__ import annotations

from typing import Any

from sweeps.spec.sweep import SweepSpec, parse_spec


def tiny_table() -> dict[str, Any]:
    data: dict[str, Any] = {"kind": "playground", "noise": 0.2, "train_share": 0.7, "stretch": 3.0, "n_beyond": 60}
    data["features"] = ["x", "y"]
    return {
        "name": "tiny",
        "seed": 3,
        "goal": {"metric": "test_loss", "below": 0.1},
        "search": {
            "n_trials": 9, "until": "budget", "n_replicas": 4, "n_candidates": 3, "lag": 3, "n_startup_trials": 4,
        },
        "epochs": {"max_epochs": 20, "grid": [1, 2, 5, 10, 20], "stop_from": 10, "stop_patience": 2},
        "finalists": {"n": 3, "n_replicas": 8},
        "certificates": {"n": 2, "n_replicas": 80, "level": 0.05},
        "page": {"n_best": 1, "n_sgd": 1, "learning_rates": [0.1], "n_finalists": 2},
        "datasets": [{"name": "gauss", **data}, {"name": "xor", **data}],
        "network": {"output_activation": "tanh", "initializer": "playground"},
        "training": {"loss": "half_squared_error", "partial_batch": "carry", "order": "fixed", "optimizer": "sgd"},
        "space": {
            "network": {
                "activation": {"choice": ["tanh", "relu", "leaky_relu"]},
                "n_hidden_layers": {"low": 1, "high": 3},
                "hidden_layer_sizes": {"low": 1, "high": 8},
            },
            "training": {
                "batch_size": {"low": 1, "high": 30},
                "learning_rate": {"low": 0.003, "high": 1.0, "log": True},
                "regularizer": {"choice": ["none", "l2"]},
                "regularization_rate": {
                    "low": 1e-5, "high": 1e-2, "log": True, "when": {"training": {"regularizer": ["l2"]}},
                },
            },
        },
    }  # fmt: skip


def tiny_spec() -> SweepSpec:
    return parse_spec(tiny_table(), "tiny.toml")
