"""What the page's settings mean as ours, and ours as the page's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from engine.playground.draws import FEATURES, count_training_points
from engine.playground.page import (
    ACTIVATIONS,
    FIELD_OF_FEATURE,
    LEARNING_RATES,
    MAX_BATCH_SIZE,
    MAX_HIDDEN_LAYERS,
    MAX_UNITS,
    PROPERTIES,
    REGULARIZATION_RATES,
    PageState,
    format_number,
)
from engine.playground.registry import DATASETS

# --- between the page and the engine ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What a page state trains.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    training : TrainingConfig
        The page's own rules: carried-over partial batch, fixed order, float64.
    dataset : str
        Name in `engine.playground.registry.DATASETS`.
    noise : float
        Noise as a fraction.
    train_share : float
        Fraction of the points that train.
    features : tuple of str
        Inputs in the page's order.
    seed : str or None
        None where the page would make one up.
    init_zero : bool
        Whether weights and biases begin at 0.
    """

    network: NetworkConfig
    training: TrainingConfig
    dataset: str
    noise: float
    train_share: float
    features: tuple[str, ...]
    seed: str | None
    init_zero: bool


def settings_of(state: PageState, max_epochs: int = 100) -> PageSettings:
    """Return what a page state trains.

    Parameters
    ----------
    state : PageState
        From `parse_hash`.
    max_epochs : int
        Length of the training; the page itself goes on until it is stopped.

    Returns
    -------
    PageSettings
        Network, training and data.

    Raises
    ------
    ValueError
        If the page would show a network that cannot train.
    """
    for page_name, field, kind, choices in PROPERTIES:
        if kind == "choice" and getattr(state, field) not in choices:
            raise ValueError(f"URL: {page_name}={getattr(state, field)}; one of {', '.join(choices)}")
    is_regression = state.problem == "regression"
    dataset = state.reg_dataset if is_regression else state.dataset
    n_samples = DATASETS[dataset].n_samples
    train_share = _checked_share(state, n_samples)
    n_train = count_training_points(n_samples, train_share)
    features = _inputs_of(state)
    training = TrainingConfig(
        loss="half_squared_error",
        optimizer="sgd",
        learning_rate=_positive("learningRate", state.learning_rate, "0.03"),
        batch_size=_checked_batch_size(state.batch_size, n_train),
        partial_batch="carry",
        order="fixed",
        max_epochs=max_epochs,
        regularizer=_REGULARIZERS[state.regularization],
        regularization_rate=_checked_regularization_rate(state),
        dtype="float64",
    )
    network = NetworkConfig(
        n_inputs=len(features),
        hidden_layer_sizes=_checked_sizes(state.network_shape),
        n_outputs=1,
        activation=state.activation,
        output_activation="linear" if is_regression else "tanh",
        initializer="zeros" if state.init_zero else "playground",
    )
    noise = _checked_noise(state.noise)
    return PageSettings(network, training, dataset, noise, train_share, features, state.seed, state.init_zero)


def page_state_of(
    network: NetworkConfig,
    training: TrainingConfig,
    dataset: str,
    noise: float,
    train_share: float,
    seed: str | None,
    features: Sequence[str] = ("x", "y"),
) -> PageState | None:
    """Return the page state that trains the same thing, or None where the page has no button for it.

    The page's menus and limits count, not what its address would let through. Precision and length of training are
    nobody's button and do not count.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    training : TrainingConfig
        How it is trained.
    dataset : str
        Name in `engine.playground.registry.DATASETS`.
    noise, train_share : float
        Fractions.
    seed : str or None
        Page seed.
    features : sequence of str
        Inputs.

    Returns
    -------
    PageState or None
        Its `page_url` opens the page.
    """
    record = DATASETS.get(dataset)
    noise_percent, share_percent = _whole_percent(noise), _whole_percent(train_share)
    if (
        record is None
        or not record.on_page
        or noise_percent not in range(0, 51, 5)
        or share_percent not in range(10, 91, 10)
    ):
        return None
    if set(features) - set(FEATURES) or not features or network.n_inputs != len(set(features)):
        return None
    is_regression = record.problem == "regression"
    init_zero = network.initializer == "zeros"
    sizes = network.hidden_layer_sizes
    if (
        network.n_outputs != 1
        or network.activation not in ACTIVATIONS
        or network.activation_slope is not None
        or network.output_activation != ("linear" if is_regression else "tanh")
        or not (init_zero or (network.initializer == "playground" and network.initializer_scale in (None, 0.5)))
        or len(sizes) > MAX_HIDDEN_LAYERS
        or not all(1 <= size <= MAX_UNITS for size in sizes)
        or not _trains_like_the_page(training, record.n_samples * share_percent // 100)
    ):
        return None
    inputs: dict[str, Any] = {field: name in features for name, field in FIELD_OF_FEATURE.items()}
    inputs["reg_dataset" if is_regression else "dataset"] = dataset
    return PageState(
        activation=network.activation,
        regularization={"none": "none", "l1": "L1", "l2": "L2"}[training.regularizer],
        batch_size=float(training.batch_size),
        learning_rate=training.learning_rate,
        regularization_rate=training.regularization_rate,
        noise=float(noise_percent),
        network_shape=tuple(map(float, sizes)),
        seed=seed,
        perc_train_data=float(share_percent),
        problem=record.problem,
        init_zero=init_zero,
        **inputs,
    )


_REGULARIZERS: Mapping[str, Literal["none", "l1", "l2"]] = MappingProxyType({"none": "none", "L1": "l1", "L2": "l2"})
# Fields of a TrainingConfig that plain SGD at a constant rate does not look at, or that no button of the page sets.
_IGNORED = (
    "momentum", "beta_1", "beta_2", "rho", "epsilon", "schedule_decay", "schedule_every", "max_epochs", "dtype",
)  # fmt: skip


def _trains_like_the_page(training: TrainingConfig, n_train: int) -> bool:
    """Return whether every field that counts is the page's own or on its menus."""
    if (
        training.learning_rate not in LEARNING_RATES
        or training.regularization_rate not in REGULARIZATION_RATES
        or training.regularizer not in _REGULARIZERS.values()
        or training.batch_size not in range(1, MAX_BATCH_SIZE + 1)
    ):
        return False
    left_over = n_train % training.batch_size
    default = TrainingConfig()
    page = TrainingConfig(
        loss="half_squared_error",
        optimizer="sgd",
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        partial_batch="carry" if left_over else training.partial_batch,
        order="fixed",
        regularizer=training.regularizer,
        regularization_rate=training.regularization_rate,
    )
    return dataclasses.replace(training, **{name: getattr(default, name) for name in _IGNORED}) == page


def _whole_percent(fraction: float) -> int:
    """Return a fraction in whole percents, or -1 where it is none."""
    percent = round(100 * fraction) if math.isfinite(fraction) else -1
    return percent if abs(percent - 100 * fraction) < 1e-9 else -1


def _inputs_of(state: PageState) -> tuple[str, ...]:
    hidden = {name for name, flag in state.hidden if flag}
    names = tuple(n for n in FEATURES if n not in hidden and getattr(state, FIELD_OF_FEATURE[n]))
    if not names:
        raise ValueError("URL: no input is on, so no network can train; add x=true and y=true, and no x_hide or y_hide")
    return names


def _checked_share(state: PageState, n_samples: int) -> float:
    percent = state.perc_train_data
    if not (math.isfinite(percent) and 0 < math.floor(n_samples * percent / 100) < n_samples):
        raise ValueError(
            f"URL: percTrainData={format_number(percent)} leaves no training or no test point; "
            "give 10 to 90 in steps of 10"
        )
    return percent / 100


def _checked_noise(percent: float) -> float:
    if math.isnan(percent):
        raise ValueError("URL: noise=NaN makes every label meaningless; give 0 to 50 in steps of 5")
    clamped = 50.0 if percent > 80 else max(percent, 0.0)  # the page's own clamp, when it builds its sliders
    return clamped / 100


def _checked_batch_size(size: float, n_train: int) -> int:
    if not (math.isfinite(size) and size == int(size) and size >= 1):
        raise ValueError(f"URL: batchSize={format_number(size)} is not a whole number from 1; give 1 to 30")
    if size > n_train:
        raise ValueError(
            f"URL: batchSize={format_number(size)} is more than the {n_train} training points, "
            f"so the page never updates a weight; give at most {n_train}"
        )
    return int(size)


def _checked_sizes(shape: tuple[float, ...]) -> tuple[int, ...]:
    for number, size in enumerate(shape, start=1):
        if not (math.isfinite(size) and size == int(size) and size >= 1):
            text = ",".join(map(format_number, shape))
            raise ValueError(
                f"URL: networkShape={text}: hidden layer {number} has {format_number(size)} units, "
                "so nothing can pass; give whole numbers from 1 separated by plain commas"
            )
    return tuple(map(int, shape))


def _checked_regularization_rate(state: PageState) -> float:
    rate = state.regularization_rate
    if not math.isfinite(rate):  # the page multiplies by it even without a penalty, and every weight becomes NaN
        raise ValueError(f"URL: regularizationRate={format_number(rate)} is not a number of use; give 0 or more")
    if state.regularization == "none":
        return 0.0
    if rate < 0:
        raise ValueError(f"URL: regularizationRate={format_number(rate)} is negative; give 0 or more")
    return rate


def _positive(page_name: str, value: float, example: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"URL: {page_name}={format_number(value)} trains nothing; give a positive number like {example}"
        )
    return value
