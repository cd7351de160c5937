"""Run a polynomial study: every recipe with every seed, eight networks at a time, each written down when it is done."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from analysis.polynomial.fits import HIGHEST_DEGREE, flat_valley
from analysis.records.lines import Chain, RecordError
from analysis.records.polynomial import (
    RUNS_NAME,
    PolynomialEnd,
    PolynomialHeader,
    PolynomialRun,
    PolynomialStudy,
    read_polynomial_study,
)
from engine.polynomial.quadrature import gauss_rule, train_full_batch
from engine.polynomial.rows import Arm, draw_rows, first_parameters, trainable
from sweeps.run.versions import versions
from sweeps.spec.sweep import NAME, POLYNOMIALS, builtin_specs
from sweeps.store.log import ChainedLog, SweepLock, header_difference, mend_end
from sweeps.toml import SpecError, SpecTable, check_depth, read_toml

ARMS: tuple[Arm, Arm] = ("constrained", "unconstrained")
TOGETHER = 8
"""Networks that the compiled loop trains side by side."""
LOOKS_A_DECADE = 8
LARGEST = 1e6
"""Of coefficients and the like, so that no square of a prediction ever overflows."""
CONVERGED_SHARE, EQUAL_SHARE = 0.05, 0.002
"""Default marks of the training error: this share of the polynomial's variance above the noise's."""
THRESHOLD_SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005)
VALLEY = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)

OnRun = Callable[[int, int], None]


def find_study(name_or_path: str) -> PolynomialHeader | None:
    """Read a polynomial study: the name of a built-in one, or a TOML file that says its ``kind``.

    Returns
    -------
    PolynomialHeader or None
        None for anything else, which `sweeps.spec.sweep.load_spec` has to judge.

    Raises
    ------
    SpecError
        If it is a polynomial study and anything in it is unknown, of the wrong type or out of range.
    """
    where = f"{name_or_path}.toml"
    if name_or_path in builtin_specs(POLYNOMIALS):
        content = resources.files("sweeps").joinpath("specs", POLYNOMIALS, where).read_bytes()
        return parse_study(read_toml(content, where), where)
    path = Path(name_or_path)
    if path.suffix != ".toml" or not path.is_file():
        return None
    table = read_toml(path.read_bytes(), path.name)
    return parse_study(table, path.name) if "kind" in table else None  # a sweep's own table has no such key


def parse_study(content: Mapping[str, Any], where: str) -> PolynomialHeader:
    """Validate a polynomial study's table; `where` begins every message.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    check_depth(content, where)
    table = SpecTable(content, where)
    table.text("kind", ("polynomial",))
    name = table.text("name")
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{where}: name: {name!r} must be 1 to 64 letters, digits, '_', '.', '-', letter or digit first"
        )
    coefficients = _numbers(table, "coefficients", where)
    if len(coefficients) > HIGHEST_DEGREE + 1 or not any(coefficients[1:]):
        raise SpecError(
            f"{where}: coefficients: {coefficients} must be those of a polynomial of degree 1 to {HIGHEST_DEGREE}, the "
            "constant first"
        )
    recipes = _recipes(table.list("recipes"), where)
    n_hidden = _integer(table, "n_hidden", 2, 2, 100)
    n_rows = _integer(table, "n_rows", 10_000, 2, 10_000_000)
    n_nodes = _integer(table, "n_nodes", min(64, n_rows), 1, 1000)
    n_numbers = 3 * n_hidden + 1
    if not n_numbers <= n_nodes <= n_rows:
        raise SpecError(
            f"{where}: n_nodes: {n_nodes} must be at least {n_numbers}, the numbers of a network, and at most "
            f"{n_rows}, the rows"
        )
    noise_sd = table.number("noise_sd", 0.0, LARGEST) if "noise_sd" in table else 0.0
    signal, noise = variance(coefficients), noise_sd**2
    own = {
        key: table.number(key, 0.0, math.inf, open_low=True) if key in table else noise + share * signal
        for key, share in (("converged_below", CONVERGED_SHARE), ("equal_error", EQUAL_SHARE))
    }
    thresholds = [noise + share * signal for share in THRESHOLD_SHARES]
    if "thresholds" in table:
        thresholds = _numbers(table, "thresholds", where)
    header = PolynomialHeader(
        name=name,
        coefficients=coefficients,
        n_rows=n_rows,
        noise_sd=noise_sd,
        stretch=table.number("stretch", 0.0, 1000.0, open_low=True) if "stretch" in table else 3.0,
        n_hidden=n_hidden,
        n_seeds=_integer(table, "n_seeds", 20, 1, 100_000),
        n_nodes=n_nodes,
        recipes=[asdict(recipe) for recipe in recipes],
        checkpoints=checkpoints_of(recipes),
        thresholds=sorted({*thresholds, own["equal_error"]}, reverse=True),
        converged_below=own["converged_below"],
        equal_error=own["equal_error"],
        valley=_numbers(table, "valley", where) if "valley" in table else list(VALLEY),
        versions=versions(),
    )
    table.close()
    return header


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
    """One arm trained in one way; see `analysis.records.polynomial.PolynomialHeader`."""

    arm: Arm
    learning_rate: float
    n_steps: int


def _recipe(table: SpecTable) -> Recipe:
    arm: Arm = "constrained" if table.text("arm", ARMS) == "constrained" else "unconstrained"
    rate = table.number("learning_rate", 0.0, 1000.0, open_low=True)
    recipe = Recipe(arm, rate, table.integer("n_steps", 1, 10**10))
    table.close()
    return recipe


def trainings(header: PolynomialHeader) -> list[tuple[Arm, float]]:
    """Return the arms and rates of a study: one training each covers recipes that differ in length only."""
    pairs = dict.fromkeys((recipe["arm"], float(recipe["learning_rate"])) for recipe in header.recipes)
    return [("constrained" if arm == "constrained" else "unconstrained", rate) for arm, rate in pairs]


def checkpoints_of(recipes: Sequence[Recipe]) -> list[int]:
    """Return where parameters are kept: eight looks a decade, and the length of every recipe."""
    longest = max(recipe.n_steps for recipe in recipes)
    n_looks = int(LOOKS_A_DECADE * np.log10(longest)) + 1
    looks = {round(10 ** (i / LOOKS_A_DECADE)) for i in range(n_looks)} | {recipe.n_steps for recipe in recipes}
    return sorted(look for look in looks if look <= longest)


def run_polynomial_study(header: PolynomialHeader, folder: Path, workers: int, on_run: OnRun) -> PolynomialStudy:
    """Run what is still missing of a study.

    Parameters
    ----------
    header : PolynomialHeader
        The study.
    folder : Path
        ``<results>/<study>``; made if it does not exist.
    workers : int
        Threads; the results do not depend on them.
    on_run : callable
        Told ``(runs done, runs in all)`` at the start and after each eight.

    Raises
    ------
    RecordError
        If the folder holds another study, or a damaged file.
    SweepHeldError
        If another driver is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUNS_NAME
    with SweepLock(folder):
        mend_end(path)
        if path.exists() and path.stat().st_size:
            study = read_polynomial_study(path)
            if study.header != header:
                raise RecordError(f"{path}: line 1: {header_difference(study.header, header)}")
        else:
            study = PolynomialStudy(header, path=path, chain=Chain(header.name))
            with contextlib.closing(ChainedLog(path, study.chain)) as log:
                log.append([("polynomial_study", asdict(header))])
        done = {run.key for run in study.runs}
        tasks = [task for task in _tasks(header, done) if task.seeds]
        on_run(len(study.runs), study.n_expected)
        halt = threading.Event()
        with ThreadPoolExecutor(workers) as pool:
            try:
                for future in as_completed([pool.submit(train_task, header, task, halt) for task in tasks]):
                    runs = future.result()
                    _append(study, path, runs)
                    on_run(len(study.runs), study.n_expected)
            finally:
                halt.set()  # after an interrupt nothing goes on beyond its next look
        _seal(study, path)
    return read_polynomial_study(path)


@dataclass(frozen=True, slots=True)
class Task:
    """Up to eight networks of one arm and rate."""

    arm: Arm
    learning_rate: float
    seeds: tuple[int, ...]


def _tasks(header: PolynomialHeader, done: set[tuple[str, float, int]]) -> list[Task]:
    tasks = []
    for arm, rate in trainings(header):
        missing = [seed for seed in range(1, header.n_seeds + 1) if (arm, rate, seed) not in done]
        tasks += [Task(arm, rate, tuple(missing[i : i + TOGETHER])) for i in range(0, len(missing), TOGETHER)]
    return tasks


class HaltedError(RuntimeError):
    """Training was asked to stop before its end."""


def train_task(header: PolynomialHeader, task: Task, halt: threading.Event) -> list[PolynomialRun]:
    """Train the networks of one task; each result depends on its own seed only.

    Raises
    ------
    HaltedError
        If `halt` is set before the end.
    """

    def check(n_done: int) -> None:
        if halt.is_set():
            raise HaltedError(f"halted after {n_done} of {header.checkpoints[-1]} updates")

    check(0)
    started_at_s, start = time.time(), time.monotonic()
    R = len(task.seeds)
    rows = draw_rows(task.seeds, header.coefficients, header.n_rows, header.noise_sd, header.stretch)
    rule = gauss_rule(rows.X, rows.y, header.n_nodes)
    free = trainable(task.arm, R, header.n_hidden)
    history = train_full_batch(
        rule,
        first_parameters(task.arm, task.seeds, header.n_hidden),
        free,
        np.full(R, task.learning_rate),
        header.checkpoints,
        header.thresholds,
        on_look=check,
    )
    runs = []
    for r, seed in enumerate(task.seeds):
        last = history.parameters[-1, r]
        valley_loss, valley = flat_valley(
            last, rule.select(slice(r, r + 1)), 0, [factor * float(last[0]) for factor in header.valley], free[r]
        )
        passed = history.passage_step[:, r] >= 0
        runs.append(
            PolynomialRun(
                arm=task.arm,
                learning_rate=task.learning_rate,
                seed=seed,
                parameters=history.parameters[:, r].tolist(),
                loss=history.loss[:, r].tolist(),
                lowest=history.lowest[:, r].tolist(),
                highest=history.highest[:, r].tolist(),
                passage_step=[
                    int(step) if yes else None for step, yes in zip(history.passage_step[:, r], passed, strict=True)
                ],
                passage_parameters=[
                    p.tolist() if yes else None for p, yes in zip(history.passage_parameters[:, r], passed, strict=True)
                ],
                valley_loss=valley_loss.tolist(),
                valley_parameters=valley.tolist(),
                started_at_s=started_at_s,
                duration_s=time.monotonic() - start,
            )
        )
    return runs


def _append(study: PolynomialStudy, path: Path, runs: Sequence[PolynomialRun]) -> None:
    with contextlib.closing(ChainedLog(path, study.chain)) as log:
        log.append([("polynomial_run", asdict(run)) for run in runs])
    for run in runs:
        study.add(run)


def _seal(study: PolynomialStudy, path: Path) -> None:
    """Write that the study is complete, where that is not written yet."""
    if study.chain is None or study.chain.is_sealed or not study.chain.is_chained:
        return
    with contextlib.closing(ChainedLog(path, study.chain)) as log:
        end = PolynomialEnd(len(study.runs))
        log.append([("polynomial_end", asdict(end))], canonical=study.digest)
