"""The Playground page's address: what it says, and which setting it stands for."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from engine.configuration import TrainingConfig
from engine.names import nearest
from engine.network import NetworkConfig
from engine.playground.address import HIDE_SUFFIX, PAGE, PastedAddress, read_address
from engine.playground.draws import FEATURES, count_training_points
from engine.playground.registry import DATASETS

# --- the page's address -----------------------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "tanh", "sigmoid", "linear")
REGULARIZATIONS = ("none", "L1", "L2")
PROBLEMS = ("classification", "regression")
PAGE_DATASETS, PAGE_REGRESSION_DATASETS = (
    tuple(one.name for one in DATASETS.values() if one.on_page and one.problem == problem) for problem in PROBLEMS
)
LEARNING_RATES = (0.00001, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
REGULARIZATION_RATES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
MAX_BATCH_SIZE = 30
MAX_HIDDEN_LAYERS = 6
MAX_UNITS = 8
UNDEFINED = "undefined"
"""What the page makes of the name of a built-in JavaScript property where it expects a name of its own."""

_INHERITED = frozenset(
    (
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
    )
)


@dataclass(frozen=True, slots=True)
class PageState:
    """What the page reads from its address, defaults filled in. Fields bear the page's names for them in snake case.

    Parameters
    ----------
    activation, regularization, dataset, reg_dataset, problem : str
        Names from the page's menus, or `UNDEFINED`.
    batch_size, learning_rate, regularization_rate, noise, perc_train_data : float
        As written, unchecked; NaN where it was no number. Noise and share are percentages.
    network_shape : tuple of float
        Units of the hidden layers, unchecked.
    seed : str or None
        None where the page would make one up.
    x, y, x_times_y, x_squared, y_squared, cos_x, sin_x, cos_y, sin_y : bool
        Inputs switched on; the page knows no cosine inputs and ignores the two.
    show_test_data, discretize, collect_stats, hide_text : bool
        No effect on training.
    tutorial : str or None
        No effect on training.
    init_zero : bool
        Whether weights and biases begin at 0.
    hidden : tuple of (str, bool)
        Every ``<name>_hide`` in the order given, without its suffix. A hidden input is off whatever its own value.
    """

    activation: str = "tanh"
    regularization: str = "none"
    batch_size: float = 10.0
    dataset: str = "circle"
    reg_dataset: str = "reg-plane"
    learning_rate: float = 0.03
    regularization_rate: float = 0.0
    noise: float = 0.0
    network_shape: tuple[float, ...] = (4.0, 2.0)
    seed: str | None = None
    show_test_data: bool = False
    discretize: bool = False
    perc_train_data: float = 50.0
    x: bool = True
    y: bool = True
    x_times_y: bool = False
    x_squared: bool = False
    y_squared: bool = False
    cos_x: bool = False
    sin_x: bool = False
    cos_y: bool = False
    sin_y: bool = False
    collect_stats: bool = False
    tutorial: str | None = None
    problem: str = "classification"
    init_zero: bool = False
    hide_text: bool = False
    hidden: tuple[tuple[str, bool], ...] = ()


# The page's name of each field, its type and the names it may take, in the order in which the page writes them.
_PROPERTIES: tuple[tuple[str, str, Literal["choice", "number", "numbers", "flag", "text"], tuple[str, ...]], ...] = (
    ("activation", "activation", "choice", ACTIVATIONS),
    ("regularization", "regularization", "choice", REGULARIZATIONS),
    ("batchSize", "batch_size", "number", ()),
    ("dataset", "dataset", "choice", PAGE_DATASETS),
    ("regDataset", "reg_dataset", "choice", PAGE_REGRESSION_DATASETS),
    ("learningRate", "learning_rate", "number", ()),
    ("regularizationRate", "regularization_rate", "number", ()),
    ("noise", "noise", "number", ()),
    ("networkShape", "network_shape", "numbers", ()),
    ("seed", "seed", "text", ()),
    ("showTestData", "show_test_data", "flag", ()),
    ("discretize", "discretize", "flag", ()),
    ("percTrainData", "perc_train_data", "number", ()),
    ("x", "x", "flag", ()),
    ("y", "y", "flag", ()),
    ("xTimesY", "x_times_y", "flag", ()),
    ("xSquared", "x_squared", "flag", ()),
    ("ySquared", "y_squared", "flag", ()),
    ("cosX", "cos_x", "flag", ()),
    ("sinX", "sin_x", "flag", ()),
    ("cosY", "cos_y", "flag", ()),
    ("sinY", "sin_y", "flag", ()),
    ("collectStats", "collect_stats", "flag", ()),
    ("tutorial", "tutorial", "text", ()),
    ("problem", "problem", "choice", PROBLEMS),
    ("initZero", "init_zero", "flag", ()),
    ("hideText", "hide_text", "flag", ()),
)
_FIELD_OF_FEATURE = MappingProxyType({page: field for page, field, _, _ in _PROPERTIES if page in FEATURES})


_KINDS = MappingProxyType({page: kind for page, _, kind, _ in _PROPERTIES})


def pasted_address(text: str) -> PastedAddress:
    """Return what the page reads of an address as it was pasted, and what was undone to get it.

    Raises
    ------
    ValueError
        If it is no address of the page, or it has more than one meaning.
    """
    return read_address(
        text,
        lambda name: name in _KINDS or name.endswith(HIDE_SUFFIX),
        lambda name: _KINDS.get(name) == "text",
    )


def ignored_parts(content: str) -> tuple[str, ...]:
    """Return what the page passes over in the part after its ``#``, each with what it does instead."""
    found = []
    for pair in content.split("&"):
        name, equals, value = pair.partition("=")
        if not name or name.endswith(HIDE_SUFFIX):
            continue
        if name not in _KINDS:
            found.append(f"the page knows no {name!r} and passes over it; did you mean {nearest(name, _KINDS, 0.0)!r}?")
        for page_name, field, kind, choices in _PROPERTIES:
            if page_name == name and kind == "choice" and value not in choices and equals:
                default = getattr(PageState(), field)
                found.append(f"{name}={value} is none of {', '.join(choices)}: the page takes {default}")
    return tuple(found)


def parse_hash(text: str) -> PageState:
    """Read a page address as the page does, once what wrapped or escaped it on its way is undone (`pasted_address`).

    Parameters
    ----------
    text : str
        A whole URL, the part after its ``#``, or that part with the ``#``.

    Returns
    -------
    PageState
        What the page would show. Nothing is checked that the page does not check: see `settings_of`.

    Raises
    ------
    ValueError
        If the page itself would stop with an error, or `text` is no page address at all.
    """
    content = pasted_address(text).content
    # Split as JavaScript's split("=") assigned to two names: what follows a second "=" is lost.
    given: dict[str, str | None] = {}
    for pair in content.split("&"):
        name, *rest = pair.split("=")
        given[name] = rest[0] if rest else None
    values: dict[str, Any] = {}
    for page_name, field, kind, choices in _PROPERTIES:
        value = given.get(page_name)
        if kind == "numbers":
            if page_name in given:
                values[field] = _parse_numbers(page_name, value)
            continue
        if value is None or not value.strip():
            continue
        if kind == "choice":
            if value in choices:
                values[field] = value
            elif value in _INHERITED:
                values[field] = UNDEFINED
        elif kind == "number":
            values[field] = parse_number(value)
        elif kind == "flag":
            values[field] = value != "false"
        else:
            values[field] = value
    hidden = tuple((n.removesuffix(HIDE_SUFFIX), v == "true") for n, v in given.items() if n.endswith(HIDE_SUFFIX))
    return PageState(**values, hidden=hidden)


def serialise(state: PageState) -> str:
    """Return the hash the page writes for a state, without the ``#``; a missing seed is left out."""
    parts = []
    for page_name, field, kind, _ in _PROPERTIES:
        value = getattr(state, field)
        if value is None or (page_name == "regularization" and value == "none"):
            continue
        if kind == "number":
            value = format_number(value)
        elif kind == "numbers":
            value = ",".join(map(format_number, value))
        elif kind == "flag":
            value = str(value).lower()
        parts.append(f"{page_name}={value}")
    parts += [f"{name}{HIDE_SUFFIX}={str(flag).lower()}" for name, flag in state.hidden]
    return "&".join(parts)


def page_url(state: PageState) -> str:
    """Return the address that opens the page in a state."""
    return f"{PAGE}#{serialise(state)}"


def random_seed(rng: np.random.Generator) -> str:
    """Return a seed like those the page makes up: five decimals."""
    return f"{rng.random():.5f}"


def parse_number(text: str) -> float:
    """Return JavaScript's ``Number(text)``."""
    text = text.strip()
    if not text:
        return 0.0
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", text):
        return float(int(text, 0))
    if re.fullmatch(r"[+-]?Infinity", text):
        return float(text)
    # ASCII digits only: Python's float would take 1_000 and other scripts' digits too
    return float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else math.nan


def format_number(value: float) -> str:
    """Return JavaScript's ``String(value)``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        text = digits.ljust(point, "0")
        return sign + text[:point] + (f".{text[point:]}" if len(text) > point else "")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{point - 1:+d}"


def _parse_numbers(page_name: str, value: str | None) -> tuple[float, ...]:
    if value is None:
        raise ValueError(
            f"URL: {page_name} without '=' stops the page with an error; "
            f"write {page_name}=4,2 or, for no hidden layer, {page_name}="
        )
    return tuple(map(parse_number, value.split(","))) if value.strip() else ()


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
    for page_name, field, kind, choices in _PROPERTIES:
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
    inputs: dict[str, Any] = {field: name in features for name, field in _FIELD_OF_FEATURE.items()}
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
    names = tuple(n for n in FEATURES if n not in hidden and getattr(state, _FIELD_OF_FEATURE[n]))
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
