"""A sweep of one dataset with every kind of line, whose steps are few enough to fail at each."""

from __future__ import annotations

from typing import Any

from tiny import tiny_table

from sweeps.spec.sweep import SweepSpec, parse_spec


def small_table() -> dict[str, Any]:
    """Return the spec as a table."""
    table: dict[str, Any] = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["goal"] = {"metric": "test_loss", "below": 0.5}
    table["search"] |= {"n_trials": 4, "n_candidates": 1, "n_startup_trials": 2}
    table["epochs"] = {"max_epochs": 5, "grid": [1, 2, 5], "stop_from": 5, "stop_patience": 0}
    table["finalists"] = {"n": 1, "n_replicas": 4}
    table["certificates"] = {"n": 1, "n_replicas": 8, "level": 0.05}
    table["page"] = {"n_best": 1, "n_sgd": 1, "learning_rates": [0.1], "n_finalists": 1}
    return table


def small_spec() -> SweepSpec:
    """Return the spec."""
    return parse_spec(small_table(), "tiny.toml")
