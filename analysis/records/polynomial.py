"""What a polynomial study asks, and what each of its networks leaves in the study's log.

The log is one of `analysis.records.study`: a ``study`` line whose ``data`` are a `PolynomialSettings`, and a
``network`` line with a `NetworkRecord` for each trained network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from analysis.records.fields import build

POLYNOMIAL = "polynomial"
"""The kind of data, as a study's header names it."""
DEFAULT_ACTIVATION = "sigmoid"
DEFAULT_METHOD = "adam"
METHOD_WORDS = {
    DEFAULT_METHOD: "full-batch Adam",
    "adam_drops": "full-batch Adam with its rate cut tenfold at half and at three quarters of the steps",
    "second_order": "damped Gauss-Newton steps (rate: the share of a step that is taken)",
}
METHODS = tuple(METHOD_WORDS)


@dataclass(frozen=True, slots=True)
class PolynomialSettings:
    """What a polynomial study asks: the data of its header, beside their kind.

    Parameters
    ----------
    coefficients : list of float
        Of the polynomial, constant first.
    n_rows : int
        Training rows of each seed.
    noise_sd : float
        Standard deviation of the noise on the training targets.
    stretch : float
        Factor between training and test inputs.
    n_hidden : int
        Hidden units.
    n_seeds : int
        Seeds 1 to n_seeds, shared by all recipes: data and first weights.
    n_nodes : int
        Nodes of the Gauss rule that stands in for the rows.
    recipes : list of dict
        ``{"arm", "learning_rate", "n_steps"}``: one training each for every seed.
    checkpoints : list of int
        Numbers of updates at which parameters are kept.
    thresholds : list of float
        Training errors whose first passage is looked for, highest first; `equal_error` is one of them.
    converged_below : float
        Training error below which a network counts as converged.
    equal_error : float
        Training error at which the arms are compared when they first reach it.
    valley : list of float
        Weights of the first unit, as multiples of the solution's own, at which the rest is re-optimized.
    activation : str
        Of the hidden units; ``"sigmoid"`` is left out where settings are written, as before there were others.
    method : str
        ``"adam"``, likewise; ``"adam_drops"``, whose rate is cut tenfold at half and at three quarters of the steps;
        ``"second_order"``, damped Gauss-Newton steps (`engine.polynomial.second_order`).
    """

    coefficients: list[float]
    n_rows: int
    noise_sd: float
    stretch: float
    n_hidden: int
    n_seeds: int
    n_nodes: int
    recipes: list[dict[str, str | float | int]]
    checkpoints: list[int]
    thresholds: list[float]
    converged_below: float
    equal_error: float
    valley: list[float]
    activation: str = DEFAULT_ACTIVATION
    method: str = DEFAULT_METHOD

    def as_data(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        data = asdict(self)
        if self.activation == DEFAULT_ACTIVATION:
            del data["activation"]
        if self.method == DEFAULT_METHOD:
            del data["method"]
        return data


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """Everything one network of a polynomial study leaves behind.

    Parameters
    ----------
    study : str
        ``"<sweep>/<dataset>"``.
    number : int
        Place in the study's list of networks, from 0.
    arm : str
        ``"constrained"`` or ``"unconstrained"``.
    learning_rate : float
        Adam's.
    seed : int
        Of data and first weights.
    parameters : list of list of float
        w, b, W, B at each checkpoint.
    loss, lowest, highest : list of float
        Training error at each checkpoint, lowest and highest since the checkpoint before.
    passage_step : list of (int or None)
        Updates done when the training error was first at or below each threshold.
    passage_parameters : list of (list of float or None)
        Parameters then.
    valley_loss : list of float
        Lowest training error found along the valley that begins at the last parameters.
    valley_parameters : list of list of float
        Parameters there.
    started_at_s, duration_s, worker
        Wall-clock start (Unix time), duration and worker of the networks that trained together. Not part of the
        canonical form.
    """

    study: str
    number: int
    arm: Literal["constrained", "unconstrained"]
    learning_rate: float
    seed: int
    parameters: list[list[float]]
    loss: list[float]
    lowest: list[float]
    highest: list[float]
    passage_step: list[int | None]
    passage_parameters: list[list[float] | None]
    valley_loss: list[float]
    valley_parameters: list[list[float]]
    started_at_s: float = 0.0
    duration_s: float = 0.0
    worker: str = ""

    @property
    def stage(self) -> Literal["network"]:
        """The one stage of such a study."""
        return "network"

    @property
    def source(self) -> None:
        """The earlier one that it repeats: none does."""

    @property
    def params(self) -> dict[str, str | int | float | bool | None]:
        """What was chosen for it."""
        return {"arm": self.arm, "learning_rate": self.learning_rate, "seed": self.seed}

    @property
    def state(self) -> Literal["complete"]:
        """How its training ended."""
        return "complete"

    @property
    def value(self) -> float:
        """Training error at the end."""
        return self.loss[-1]

    @property
    def candidate(self) -> bool:
        """Whether it is fit for a certificate: such a study has none."""
        return False


def polynomial_settings(data: Mapping[str, Any]) -> PolynomialSettings:
    """Return the settings in a polynomial study's header.

    Raises
    ------
    ValueError
        If a setting is missing, unknown or of another type.
    """
    settings = {key: value for key, value in data.items() if key != "kind"}
    found: PolynomialSettings = build(PolynomialSettings, settings, "study.data")
    return found
