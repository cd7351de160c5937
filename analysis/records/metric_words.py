"""What metrics of tables are called, and which way is better; how they are computed is `sweeps.data.table.metrics`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Task = Literal["regression", "classification"]


@dataclass(frozen=True, slots=True)
class MetricWords:
    """What is said about one metric.

    Parameters
    ----------
    name : str
        Key in `METRIC_WORDS`.
    title : str
        What a report calls it.
    task : str
        ``"regression"`` or ``"classification"``.
    higher_is_better : bool
        Whether more of it is better; its highest value is then 1.
    has_unit : bool
        Whether it is in the target's unit.
    """

    name: str
    title: str
    task: Task
    higher_is_better: bool = False
    has_unit: bool = False

    @property
    def highest(self) -> float:
        """No value is above it."""
        return 1.0 if self.higher_is_better else math.inf

    @property
    def lowest(self) -> float:
        """No value is below it."""
        return -math.inf if self.name == "r2" else 0.0

    def as_loss(self, value: float) -> float:
        """Return a value as a loss, lower is better: itself, or how much it misses its highest value."""
        return self.highest - value if self.higher_is_better else value

    def is_better(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`; no value that is not a number is better."""
        return value > other if self.higher_is_better else value < other


METRIC_WORDS: Mapping[str, MetricWords] = MappingProxyType(
    {
        words.name: words
        for words in (
            MetricWords("rmse", "RMSE", "regression", has_unit=True),
            MetricWords("mae", "MAE", "regression", has_unit=True),
            MetricWords("mse", "mean squared error", "regression"),
            MetricWords("r2", "R²", "regression", higher_is_better=True),
            MetricWords("log_mse", "mean squared error of ln", "regression"),
            MetricWords("rmsle", "RMSLE", "regression"),
            MetricWords("accuracy", "accuracy", "classification", higher_is_better=True),
            MetricWords("balanced_accuracy", "balanced accuracy", "classification", higher_is_better=True),
            MetricWords("average_precision", "average precision over classes", "classification", higher_is_better=True),
            MetricWords("log_loss", "log loss", "classification"),
        )
    }
)
"""Every metric by name, in the order in which reports show them."""
