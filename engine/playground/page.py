"""The Playground page's address: what it says, and which setting it stands for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from engine.names import nearest
from engine.playground.address import HIDE_SUFFIX, PAGE, PastedAddress, read_address
from engine.playground.draws import FEATURES
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
PROPERTIES: tuple[tuple[str, str, Literal["choice", "number", "numbers", "flag", "text"], tuple[str, ...]], ...] = (
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
FIELD_OF_FEATURE = MappingProxyType({page: field for page, field, _, _ in PROPERTIES if page in FEATURES})


_KINDS = MappingProxyType({page: kind for page, _, kind, _ in PROPERTIES})


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
        for page_name, field, kind, choices in PROPERTIES:
            if page_name == name and kind == "choice" and value not in choices and equals:
                default = getattr(PageState(), field)
                found.append(f"{name}={value} is none of {', '.join(choices)}: the page takes {default}")
    return tuple(found)


def beyond_buttons(state: PageState) -> tuple[str, ...]:
    """Return where an address goes on although the page's own buttons and sliders end."""
    sizes, found = state.network_shape, []
    if len(sizes) > MAX_HIDDEN_LAYERS:
        found.append(f"the page's buttons end at {MAX_HIDDEN_LAYERS} hidden layers; its address takes {len(sizes)}")
    if sizes and max(sizes) > MAX_UNITS:
        widest = format_number(max(sizes))
        found.append(f"the page's buttons end at {MAX_UNITS} units a layer; its address takes {widest}")
    if state.batch_size > MAX_BATCH_SIZE:
        size = format_number(state.batch_size)
        found.append(f"the page's slider ends at batches of {MAX_BATCH_SIZE}; its address takes {size}")
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
    for page_name, field, kind, choices in PROPERTIES:
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
    for page_name, field, kind, _ in PROPERTIES:
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
