"""Polynomial studies as TOML files ask for them: a polynomial, its rows, and recipes for two arms of networks."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.polynomial.fits import HIGHEST_DEGREE
from analysis.records.lines import canonical_json
from analysis.records.polynomial import DEFAULT_ACTIVATION, DEFAULT_METHOD, METHODS, POLYNOMIAL, PolynomialSettings
from engine.polynomial.quadrature import UNITS
from engine.polynomial.rows import Arm
from sweeps.toml import SpecError, SpecTable, check_depth, study_name, toml_text

ARMS: tuple[Arm, Arm] = ("constrained", "unconstrained")
LOOKS_A_DECADE = 8
MOST_NODES = 1000
MOST_SECOND_ORDER = 20_000
LARGEST = 1e6
"""Of coefficients and the like, so that no square of a prediction ever overflows."""
CONVERGED_SHARE, EQUAL_SHARE = 0.05, 0.002
"""Default marks of the training error: this share of the polynomial's variance above the noise's."""
THRESHOLD_SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005)
VALLEY = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)


@dataclass(frozen=True, slots=True)
class PolynomialSpec:
    """A polynomial study: its name, which is that of its folder below the results, and its settings."""

    name: str
    settings: PolynomialSettings

    @property
    def sha256(self) -> str:
        """Digest of everything in the spec."""
        content = {"name": self.name, "settings": self.settings.as_data()}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that `parse_polynomial_spec` reads; where looks are follows from the recipes."""
        settings = self.settings.as_data()
        del settings["checkpoints"]
        return {"kind": POLYNOMIAL, "name": self.name, **settings}

    def as_toml(self) -> str:
        """Return the spec as TOML text; reading it gives an equal spec."""
        return "".join(f"{key} = {toml_text(value)}\n" for key, value in self.as_table().items())

    def without_folders(self) -> PolynomialSpec:
        """Return itself: no file of the user's is named."""
        return self

    def with_seeds(self, n_seeds: int) -> PolynomialSpec:
        """Return the same study of another number of seeds."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, n_seeds=n_seeds))


def parse_polynomial_spec(content: Mapping[str, Any], where: str) -> PolynomialSpec:
    """Validate a polynomial study's table; `where` begins every message.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    check_depth(content, where)
    table = SpecTable(content, where)
    table.text("kind", (POLYNOMIAL,))
    name = study_name(table)
    coefficients = _numbers(table, "coefficients", where)
    if len(coefficients) > HIGHEST_DEGREE + 1 or not any(coefficients[1:]):
        raise SpecError(
            f"{where}: coefficients: {coefficients} must be those of a polynomial of degree 1 to {HIGHEST_DEGREE}, the "
            "constant first"
        )
    recipes = _recipes(table.list("recipes"), where)
    n_hidden = _integer(table, "n_hidden", 2, 2, 100)
    n_rows = _integer(table, "n_rows", 10_000, 2, 10_000_000)
    n_nodes = _integer(table, "n_nodes", min(64, n_rows), 1, MOST_NODES)
    n_numbers = 3 * n_hidden + 1
    if not n_numbers <= n_nodes <= n_rows:
        raise SpecError(
            f"{where}: n_nodes: {n_nodes} must be at least {n_numbers}, the numbers of a network, and at most "
            f"{n_rows}, the rows"
        )
    noise_sd = table.number("noise_sd", 0.0, LARGEST) if "noise_sd" in table else 0.0
    signal, noise = variance(coefficients), noise_sd**2
    activation = _activation(table, where, n_nodes, n_rows)
    method = table.text("method", METHODS) if "method" in table else DEFAULT_METHOD
    _check_method(method, recipes, where)
    own = {
        key: table.number(key, 0.0, math.inf, open_low=True) if key in table else noise + share * signal
        for key, share in (("converged_below", CONVERGED_SHARE), ("equal_error", EQUAL_SHARE))
    }
    thresholds = [noise + share * signal for share in THRESHOLD_SHARES]
    if "thresholds" in table:
        thresholds = _numbers(table, "thresholds", where)
    settings = PolynomialSettings(
        coefficients=coefficients,
        n_rows=n_rows,
        noise_sd=noise_sd,
        stretch=table.number("stretch", 0.0, 1000.0, open_low=True) if "stretch" in table else 3.0,
        n_hidden=n_hidden,
        n_seeds=_integer(table, "n_seeds", 20, 1, 100_000),
        n_nodes=n_nodes,
        recipes=[asdict(recipe) for recipe in recipes],
        checkpoints=checkpoints_of(recipes, method),
        thresholds=sorted({*thresholds, own["equal_error"]}, reverse=True),
        converged_below=own["converged_below"],
        equal_error=own["equal_error"],
        valley=_numbers(table, "valley", where) if "valley" in table else list(VALLEY),
        activation=activation,
        method=method,
    )
    table.close()
    return PolynomialSpec(name, settings)


def _activation(table: SpecTable, where: str, n_nodes: int, n_rows: int) -> str:
    """Return the hidden units' activation; one with a bend needs a node for every row."""
    if "activation" not in table:
        return DEFAULT_ACTIVATION
    name = table.text("activation", UNITS)
    if not UNITS[name].is_smooth and n_nodes != n_rows:
        raise SpecError(
            f"{where}: activation: {toml_text(name)} bends, and the Gauss rule is exact for smooth units only: "
            f"n_nodes = {n_nodes} must be n_rows = {n_rows}, at most {MOST_NODES}"
        )
    return name


def _check_method(method: str, recipes: Sequence[Recipe], where: str) -> None:
    """Refuse recipes that a method cannot follow."""
    lengths = sorted({recipe.n_steps for recipe in recipes})
    if method == "adam_drops" and len(lengths) > 1:
        rule = '"adam_drops" cuts the rate at half and at three quarters'
        raise SpecError(f"{where}: recipes: n_steps {lengths} must be equal: {rule}")
    if method == "second_order" and lengths[-1] > MOST_SECOND_ORDER:
        raise SpecError(
            f'{where}: recipes: n_steps {lengths[-1]} must be at most {MOST_SECOND_ORDER} with "second_order"; a few '
            "thousand do"
        )


def drops_of(method: str, n_steps: int) -> list[int]:
    """Return the numbers of updates from which on the rate is a tenth of what it was."""
    return sorted({max(1, n_steps // 2), max(1, 3 * n_steps // 4)}) if method == "adam_drops" else []


def variance(coefficients: Sequence[float]) -> float:
    """Return the variance of a polynomial, constant first, of a standard normal x; exact for degrees up to 9."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(HIGHEST_DEGREE + 1)
    values = np.polynomial.polynomial.polyval(nodes, coefficients)
    shares = weights / weights.sum()
    return float(shares @ (values - shares @ values) ** 2)


def _numbers(table: SpecTable, key: str, where: str) -> list[float]:
    values = table.list(key)
    for value in values:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= LARGEST:
            raise SpecError(f"{where}: {key}: {value!r} must be a number from {-LARGEST:g} to {LARGEST:g}")
    return [float(value) for value in values]


def _integer(table: SpecTable, key: str, default: int, low: int, high: int) -> int:
    return table.integer(key, low, high) if key in table else default


def _recipes(items: Sequence[Any], where: str) -> list[Recipe]:
    recipes: list[Recipe] = []
    for i, item in enumerate(items, start=1):
        recipe = _recipe(SpecTable(item, f"{where}: recipes {i}"))
        for j, other in enumerate(recipes, start=1):
            if recipe == other:
                raise SpecError(f"{where}: recipes {i}: the same as recipes {j}; leave one out")
            rates = (recipe.learning_rate, other.learning_rate)
            if rates[0] != rates[1] and f"{rates[0]:.3g}" == f"{rates[1]:.3g}":
                raise SpecError(
                    f"{where}: recipes {i}: learning_rate: {rates[0]!r} and {rates[1]!r}, of recipes {j}, are the same "
                    "to three digits; a report could not tell them apart"
                )
        recipes.append(recipe)
    if {recipe.arm for recipe in recipes} != set(ARMS):
        raise SpecError(f"{where}: recipes: give at least one for each arm, {ARMS[0]} and {ARMS[1]}")
    return recipes


@dataclass(frozen=True, slots=True)
class Recipe:
    """One arm trained in one way; see `analysis.records.polynomial.PolynomialSettings`."""

    arm: Arm
    learning_rate: float
    n_steps: int


def _recipe(table: SpecTable) -> Recipe:
    arm: Arm = "constrained" if table.text("arm", ARMS) == "constrained" else "unconstrained"
    rate = table.number("learning_rate", 0.0, 1000.0, open_low=True)
    recipe = Recipe(arm, rate, table.integer("n_steps", 1, 10**10))
    table.close()
    return recipe


def networks(settings: PolynomialSettings) -> list[dict[str, str | int | float | bool | None]]:
    """Return the networks of a study in the order of their numbers: every training with every seed.

    One training each covers recipes that differ in length only.
    """
    pairs = dict.fromkeys((recipe["arm"], float(recipe["learning_rate"])) for recipe in settings.recipes)
    seeds = range(1, settings.n_seeds + 1)
    return [{"arm": arm, "learning_rate": rate, "seed": seed} for arm, rate in pairs for seed in seeds]


def checkpoints_of(recipes: Sequence[Recipe], method: str = DEFAULT_METHOD) -> list[int]:
    """Return where parameters are kept: eight looks a decade, the length of every recipe, and where the rate is cut."""
    longest = max(recipe.n_steps for recipe in recipes)
    n_looks = int(LOOKS_A_DECADE * np.log10(longest)) + 1
    looks = {round(10 ** (i / LOOKS_A_DECADE)) for i in range(n_looks)} | {recipe.n_steps for recipe in recipes}
    looks |= set(drops_of(method, longest))
    return sorted(look for look in looks if look <= longest)
