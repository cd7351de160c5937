"""What is asked of a sweep: typed, frozen, validated once when the TOML file is read."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.records.study import Scalar, canonical_json
from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.initializers import INITIALIZERS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.schedules import SCHEDULES
from engine.network import NetworkConfig
from engine.playground.registry import DATASETS
from sweeps.data.fashion_mnist import FashionData, parse_fashion_data
from sweeps.data.perceptron import PerceptronData, parse_perceptron_data
from sweeps.data.playground import N_PAGE_SEEDS, PlaygroundData, _playground_data
from sweeps.data.table.settings import TableData, parse_table_data
from sweeps.toml import SpecError, SpecTable, check_name, checked_number, toml_text, unknown_name

METRICS = ("test_loss",)
PRUNERS = ("none", "successive_halving", "hyperband")
SAMPLERS = ("tpe", "sobol", "random", "grid")
LARGEST_GRID = 100_000
POLYNOMIALS = "polynomials"
"""Folder of the built-in polynomial studies, among the built-in sweeps."""
TABLES = "tables"
"""Folder of the built-in sweeps of tables; `sweeps.data.table.building` completes them."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_GOAL = re.compile(r"\s*([A-Za-z_]+)\s*<\s*([0-9.eE+-]+)\s*")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Parameters
    ----------
    metric, below : str, float
        Of a Playground set: training and test loss must stay below `below`; trials are ranked by `metric`.
    words : str
        Of a table: what `sweeps.data.table.metrics.parse_goal` reads, as ``"rmse < 20000"``; empty for a Playground set.
    """

    metric: str = ""
    below: float = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """How trials are chosen.

    Parameters
    ----------
    n_trials : int
        Budget of trials for each dataset; of a grid the number of its settings, unless a spec asks for fewer.
    until : str
        ``"reached"``: ask no more once `n_candidates` candidates have been told. ``"budget"``: spend the budget.
    n_replicas : int
        Replicas of a trial.
    n_candidates : int
        Candidates that end a search with ``until = "reached"``.
    lag : int
        Trial k is asked when exactly the trials up to k - lag have been told, whatever the number of workers.
    n_startup_trials : int
        Trials from a scrambled Sobol sequence before TPE takes over.
    sampler : str
        ``"tpe"``, ``"sobol"``, ``"random"`` or ``"grid"``; see `sweeps.search.samplers`.
    """

    n_trials: int
    until: str
    n_replicas: int
    n_candidates: int
    lag: int
    n_startup_trials: int
    sampler: str = "tpe"


@dataclass(frozen=True, slots=True)
class EpochSpec:
    """How long trials train and when they are looked at.

    Parameters
    ----------
    max_epochs : int
        Longest training.
    grid : tuple of int
        Epochs at which losses are measured, ascending, ending with `max_epochs`.
    stop_from : int
        Training may stop early at grid epochs from here on ...
    stop_patience : int
        ... when the lowest mean test loss is this many looks old; 0 means never.
    stop_delta : float
        A replica stays as it is from the first look on at which its training loss has moved by at most this much
        since the look before; 0 means never. A trial ends when all its replicas have.
    counts : str
        Which epoch of a search trial counts: ``"best"``, the look with the lowest mean test loss, or ``"last"``, for
        recipes that name their length.
    """

    max_epochs: int
    grid: tuple[int, ...]
    stop_from: int
    stop_patience: int
    stop_delta: float = 0.0
    counts: str = "best"


@dataclass(frozen=True, slots=True)
class PruningSpec:
    """Which trials end at a rung, before the stop rule would end them.

    Parameters
    ----------
    kind : str
        ``"none"``, ``"successive_halving"`` or ``"hyperband"``; see `sweeps.search.pruners`.
    min_epochs : int
        The first rung.
    reduction_factor : int
        eta: rungs are at ``min_epochs * eta**i`` epochs, and the best 1 / eta go on.
    """

    kind: str = "none"
    min_epochs: int = 1
    reduction_factor: int = 3


@dataclass(frozen=True, slots=True)
class FinalistSpec:
    """The `n` best trials get `n_replicas` fresh draws each."""

    n: int
    n_replicas: int


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """At most `n` finalists are trained once on the same `n_replicas` fresh draws, tested at `level` / n each."""

    n: int
    n_replicas: int
    level: float


@dataclass(frozen=True, slots=True)
class PageSpec:
    """Settings for the Playground page, snapped from the best trials.

    Parameters
    ----------
    n_best, n_sgd : int
        Search trials to start from: the best overall and the best with SGD. 0 and 0 leave the stage out.
    learning_rates : tuple of float
        Rates tried with trials that used another optimizer, which says nothing about SGD's rate.
    n_finalists : int
        How many are trained on the finalists' draws; the best of them is certified.
    """

    n_best: int
    n_sgd: int
    learning_rates: tuple[float, ...]
    n_finalists: int


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A dataset: its name and the settings of its kind."""

    name: str
    kind: str
    data: PlaygroundData | PerceptronData | FashionData | TableData


@dataclass(frozen=True, slots=True)
class Dimension:
    """One searched setting.

    Parameters
    ----------
    key : str
        ``"training.<field>"``, ``"network.<field>"``, or ``"network.n_hidden_layers"``. The key
        ``"network.hidden_layer_sizes"`` is one size for each layer there is.
    kind : str
        ``"float"``, ``"int"`` or ``"choice"``.
    low, high : float
        Bounds, both included (numbers).
    log : bool
        Whether to search the logarithm.
    choices : tuple
        What may be chosen (``"choice"``).
    when : tuple of (key, values)
        The dimension exists only where each of these earlier keys has one of the values.
    by : str
        Earlier key whose value picks the bounds from `ranges`; empty means that `low` and `high` hold.
    ranges : tuple of (value, low, high)
        Bounds for each value of `by`.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Scalar, ...] = ()
    when: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    by: str = ""
    ranges: tuple[tuple[Scalar, float, float], ...] = ()

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Everything that may be chosen, in order; empty for numbers that are not whole."""
        return tuple(range(int(self.low), int(self.high) + 1)) if self.kind == "int" else self.choices


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """A whole sweep. Equal specs and versions give equal results; workers, timeout and folders are not in it.

    Parameters
    ----------
    name : str
        Name of the sweep and of its folder below the results.
    seed : int
        Fixes every random number of the sweep.
    goal, search, epochs, finalists, certificates, page, pruning
        See `Goal`, `SearchSpec`, `EpochSpec`, `FinalistSpec`, `CertificateSpec`, `PageSpec`, `PruningSpec`.
    datasets : tuple of DatasetSpec
        One study each.
    network, training : tuple of (str, value)
        Fixed fields of `engine.network.NetworkConfig` and `engine.configuration.TrainingConfig`; what is neither
        fixed nor searched has the default given there.
    space : tuple of Dimension
        What is searched, in the order of choice.
    """

    name: str
    seed: int
    goal: Goal
    search: SearchSpec
    epochs: EpochSpec
    finalists: FinalistSpec
    certificates: CertificateSpec
    page: PageSpec
    datasets: tuple[DatasetSpec, ...]
    network: tuple[tuple[str, Any], ...]
    training: tuple[tuple[str, Any], ...]
    space: tuple[Dimension, ...]
    pruning: PruningSpec = PruningSpec()

    def dataset(self, name: str) -> DatasetSpec:
        """Return the dataset of that name.

        Raises
        ------
        SpecError
            If the sweep has none.
        """
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise SpecError(f"{self.name}: {unknown_name('dataset', name, [d.name for d in self.datasets])}")

    @property
    def sha256(self) -> str:
        """Digest of everything in the spec."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self.without_folders())).encode()).hexdigest()

    def without_folders(self) -> SweepSpec:
        """Return the spec with the bare names of its files: where they lie is no part of what is asked."""
        datasets = tuple(
            dataclasses.replace(dataset, data=dataset.data.without_folders())
            if isinstance(dataset.data, TableData)
            else dataset
            for dataset in self.datasets
        )
        return dataclasses.replace(self, datasets=datasets)


def builtin_specs(folder: str = ".") -> tuple[str, ...]:
    """Return the names of the sweeps that come with the project; those of `POLYNOMIALS` and `TABLES` apart."""
    names = (entry.name for entry in resources.files("sweeps").joinpath("specs", folder).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_spec(name_or_path: str | Path) -> SweepSpec:
    """Read a sweep: the name of a built-in one, or the path of a TOML file.

    Raises
    ------
    SpecError
        If there is no such file, it is not TOML, or anything in it is unknown, of the wrong type or out of range.
    """
    text = str(name_or_path)
    if text in builtin_specs():
        where = f"{text}.toml"
        raw = resources.files("sweeps").joinpath("specs", where).read_bytes()
    else:
        path = Path(name_or_path)
        if not path.suffix and not path.exists():
            names = [name for folder in (".", POLYNOMIALS, TABLES) for name in builtin_specs(folder)]
            raise SpecError(f"{unknown_name('sweep', text, names)} (or name a TOML file)")
        where = path.name
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise SpecError(f"{text}: cannot be read: {error.strerror}") from None
    try:
        table = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{where}: not TOML: {str(error).splitlines()[0]}") from None
    return parse_spec(table, where)


def with_overrides(
    spec: SweepSpec,
    *,
    n_trials: int | None = None,
    goal: str | None = None,
    until: str | None = None,
    n_replicas: int | None = None,
    seed: int | None = None,
    name: str | None = None,
) -> SweepSpec:
    """Return the spec with some settings replaced, validated again; None keeps what the spec says.

    Parameters
    ----------
    n_trials : int
        ``search.n_trials``, for each dataset.
    goal : str
        For instance ``"test_loss < 0.1"``.
    until : str
        ``"reached"`` or ``"budget"``.
    n_replicas : int
        ``search.n_replicas``.
    seed : int
        The sweep's seed.
    name : str
        The sweep's name.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    table = as_table(spec)
    given: list[tuple[dict[str, Any], str, Any]] = [
        (table["search"], "n_trials", n_trials),
        (table["search"], "until", until),
        (table["search"], "n_replicas", n_replicas),
        (table, "seed", seed),
        (table, "name", name),
    ]
    for place, key, value in given:
        if value is not None:
            place[key] = value
    if goal is not None and spec.goal.words:
        table["goal"] = {"words": goal}
    elif goal is not None:
        match = _GOAL.fullmatch(goal)
        if match is None:
            raise SpecError(f"goal: {goal!r} is not of the form 'test_loss < 0.1'")
        try:
            below = float(match[2])
        except ValueError:
            raise SpecError(f"goal: {match[2]!r} is not a number; write for instance 'test_loss < 0.1'") from None
        table["goal"] = {"metric": match[1], "below": below}
    return parse_spec(table, spec.name)


def parse_spec(table: Mapping[str, Any], where: str) -> SweepSpec:
    """Validate a table of plain values; `where` begins every message.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    root = SpecTable(table, where)
    name = root.text("name")
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{where}: name: {name!r} must be 1 to 64 letters, digits, '_', '.', '-', letter or digit first"
        )
    seed = root.integer("seed", 0, 2**63 - 1)
    goal = root.table("goal")
    datasets = _datasets(root)
    space = _space(root.table("space"))
    spec = SweepSpec(
        name=name,
        seed=seed,
        goal=_goal(goal, datasets),
        search=_search(root.table("search"), space),
        epochs=_epochs(root.table("epochs")),
        finalists=_finalists(root.table("finalists")),
        certificates=_certificates(root.table("certificates")),
        page=_page(root.table("page")),
        datasets=datasets,
        network=_fixed(root.table("network"), NetworkConfig, "network"),
        training=_fixed(root.table("training"), TrainingConfig, "training"),
        space=space,
        pruning=_pruning(root.table("pruning")) if "pruning" in root else PruningSpec(),
    )
    root.close()
    _check_whole(spec, where)
    return spec


def as_table(spec: SweepSpec) -> dict[str, Any]:
    """Return the spec as the plain table that `parse_spec` reads."""
    page = dataclasses.asdict(spec.page)
    return {
        "name": spec.name,
        "seed": spec.seed,
        "goal": {"words": spec.goal.words}
        if spec.goal.words
        else {"metric": spec.goal.metric, "below": spec.goal.below},
        "search": dataclasses.asdict(spec.search),
        "epochs": {**dataclasses.asdict(spec.epochs), "grid": list(spec.epochs.grid)},
        "pruning": dataclasses.asdict(spec.pruning),
        "finalists": dataclasses.asdict(spec.finalists),
        "certificates": dataclasses.asdict(spec.certificates),
        "page": {**page, "learning_rates": list(spec.page.learning_rates)},
        "datasets": [
            {"name": dataset.name, "kind": dataset.kind, **dataset.data.as_table()} for dataset in spec.datasets
        ],
        "network": {key: _plain(value) for key, value in spec.network},
        "training": {key: _plain(value) for key, value in spec.training},
        "space": _space_table(spec.space),
    }


def as_toml(spec: SweepSpec) -> str:
    """Return the spec as TOML text; reading it gives an equal spec."""
    table = as_table(spec)
    datasets, space = table.pop("datasets"), table.pop("space")
    lines = [f"{key} = {toml_text(table.pop(key))}" for key in ("name", "seed")]
    for section, content in table.items():
        lines += ["", f"[{section}]", *(f"{key} = {toml_text(value)}" for key, value in content.items())]
    for dataset in datasets:
        lines += ["", "[[datasets]]", *(f"{key} = {toml_text(value)}" for key, value in dataset.items())]
    lines += ["", "[space]"]
    for group, content in space.items():
        lines += [f"{group}.{key} = {toml_text(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"


def spec_difference(old: SweepSpec, new: SweepSpec) -> list[str]:
    """Return ``"search.n_trials: 100 there, 200 here"`` for each setting in which two specs differ."""
    there, here = (dict(_flatten(as_table(spec))) for spec in (old, new))
    return [
        f"{key}: {toml_text(there[key]) if key in there else 'absent'} there, "
        f"{toml_text(here[key]) if key in here else 'absent'} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) or (key in there) != (key in here)
    ]


def _goal(table: SpecTable, datasets: tuple[DatasetSpec, ...]) -> Goal:
    kinds = {dataset.kind for dataset in datasets}
    if kinds == {"table"}:
        goal = Goal(words=table.text("words"))
    elif "table" in kinds:
        raise SpecError(
            f"{table.where}: tables and Playground sets have different goals; give them sweeps of their own"
        )
    else:
        goal = Goal(table.text("metric", METRICS), table.number("below", 0.0, math.inf, open_low=True))
    table.close()
    return goal


def _search(table: SpecTable, space: tuple[Dimension, ...]) -> SearchSpec:
    sampler = table.text("sampler", SAMPLERS) if "sampler" in table else "tpe"
    n_settings = _grid_size(space, table.where) if sampler == "grid" else LARGEST_GRID
    spec = SearchSpec(
        n_trials=n_settings if sampler == "grid" and "n_trials" not in table else table.integer("n_trials", 1, 100_000),
        until=table.text("until", ("reached", "budget")),
        n_replicas=table.integer("n_replicas", 2, 10_000),
        n_candidates=table.integer("n_candidates", 1, 1000),
        lag=table.integer("lag", 1, 1000),
        n_startup_trials=(
            table.integer("n_startup_trials", 1, 100_000) if sampler == "tpe" or "n_startup_trials" in table else 1
        ),
        sampler=sampler,
    )
    table.close()
    if spec.n_trials > n_settings:
        raise SpecError(f"{table.where}: n_trials: {spec.n_trials}; the whole grid has {n_settings} settings")
    return spec


def _grid_size(space: tuple[Dimension, ...], where: str) -> int:
    """Return how many settings a grid over the space has; it must be one of values that can be counted."""
    for dimension in space:
        if dimension.kind == "float":
            raise SpecError(f"{where}: sampler: grid: {dimension.key} has no list of values; give choice = [...]")
        # Before anything is listed: a list of 2**63 widths would take all memory there is.
        if dimension.kind == "int" and dimension.high - dimension.low >= LARGEST_GRID:
            raise SpecError(
                f"{where}: sampler: grid: {dimension.key} from {dimension.low:g} to {dimension.high:g} is more than the"
                f" {LARGEST_GRID} settings there may be"
            )
    depths = [dimension.values for dimension in space if dimension.key == "network.n_hidden_layers"]
    deepest = max((int(depth or 0) for values in depths for depth in values), default=0)
    most = math.prod(len(d.values) ** (deepest if d.key == "network.hidden_layer_sizes" else 1) for d in space)
    if most > LARGEST_GRID:
        shown = f"up to {most}" if most < 10**18 else "more than 10**18"
        raise SpecError(f"{where}: sampler: grid: {shown} settings; there may be {LARGEST_GRID}")
    return _n_settings(space, {})


def _n_settings(space: tuple[Dimension, ...], chosen: Mapping[str, Scalar]) -> int:
    if not space:
        return 1
    first, rest = space[0], space[1:]
    if not all(chosen.get(key) in values for key, values in first.when):
        return _n_settings(rest, chosen)
    if first.key == "network.hidden_layer_sizes":
        return int(len(first.values) ** int(chosen["network.n_hidden_layers"] or 0)) * _n_settings(rest, chosen)
    return sum(_n_settings(rest, {**chosen, first.key: value}) for value in first.values)


def _epochs(table: SpecTable) -> EpochSpec:
    max_epochs = table.integer("max_epochs", 1, 10_000_000)
    grid = table.list("grid")
    for epoch in grid:
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 1:
            raise SpecError(f"{table.where}: grid: {toml_text(epoch)} must be a whole number from 1")
    if not grid or sorted(set(grid)) != grid:
        raise SpecError(f"{table.where}: grid: {toml_text(grid)} must be ascending and not empty")
    if grid[-1] != max_epochs:
        raise SpecError(f"{table.where}: grid: ends with {grid[-1]}; it must end with max_epochs, {max_epochs}")
    spec = EpochSpec(
        max_epochs,
        tuple(grid),
        stop_from=table.integer("stop_from", 0, 10_000_000),
        stop_patience=table.integer("stop_patience", 0, 10_000),
        stop_delta=table.number("stop_delta", 0.0, math.inf) if "stop_delta" in table else 0.0,
        counts=table.text("counts", ("best", "last")) if "counts" in table else "best",
    )
    table.close()
    return spec


def _pruning(table: SpecTable) -> PruningSpec:
    kind = table.text("kind", PRUNERS)
    default = PruningSpec()
    spec = PruningSpec(
        kind,
        min_epochs=table.integer("min_epochs", 1, 10_000_000) if "min_epochs" in table else default.min_epochs,
        reduction_factor=(
            table.integer("reduction_factor", 2, 100) if "reduction_factor" in table else default.reduction_factor
        ),
    )
    table.close()
    return spec


def _finalists(table: SpecTable) -> FinalistSpec:
    spec = FinalistSpec(n=table.integer("n", 0, 1000), n_replicas=table.integer("n_replicas", 2, 50_000))
    table.close()
    return spec


def _certificates(table: SpecTable) -> CertificateSpec:
    spec = CertificateSpec(
        n=table.integer("n", 0, 100),
        n_replicas=table.integer("n_replicas", 2, 50_000),
        level=table.number("level", 0.0, 0.5, open_low=True),
    )
    table.close()
    return spec


def _page(table: SpecTable) -> PageSpec:
    n_best, n_sgd = table.integer("n_best", 0, 1000), table.integer("n_sgd", 0, 1000)
    rates = tuple(checked_number(rate, f"{table.where}: learning_rates") for rate in table.list("learning_rates"))
    spec = PageSpec(n_best, n_sgd, rates, n_finalists=table.integer("n_finalists", 1, 1000))
    table.close()
    if any(rate <= 0 for rate in rates) or (n_best and not rates):
        raise SpecError(f"{table.where}: learning_rates: {toml_text(list(rates))} must be positive and not empty")
    return spec


def _datasets(root: SpecTable) -> tuple[DatasetSpec, ...]:
    tables = root.list("datasets")
    if not tables:
        raise SpecError(f"{root.where}: datasets: empty; name at least one")
    datasets = tuple(_dataset(SpecTable(table, f"{root.where}: datasets[{i}]")) for i, table in enumerate(tables))
    names = [dataset.name for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{root.where}: datasets: {name} is named {names.count(name)} times")
    return datasets


def _dataset(table: SpecTable) -> DatasetSpec:
    kind = table.text("kind", _DATA_KINDS)
    name = table.text("name", DATASETS if kind == "playground" else None)
    if not NAME.fullmatch(name):
        raise SpecError(f"{table.where}: name: {name!r} must be a name as a sweep's")
    spec = DatasetSpec(name, kind, _DATA_KINDS[kind](table))
    table.close()
    return spec


_DATA_KINDS: Mapping[str, Callable[[SpecTable], PlaygroundData | PerceptronData | FashionData | TableData]] = (
    MappingProxyType(
        {
            "playground": _playground_data,
            "perceptron": parse_perceptron_data,
            "fashion_mnist": parse_fashion_data,
            "table": parse_table_data,
        }
    )
)

_CONFIGS = MappingProxyType({"network": NetworkConfig, "training": TrainingConfig})
_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        f"{group}.{field}": kind
        for group, config in _CONFIGS.items()
        for field, kind in typing.get_type_hints(config).items()
    }
)
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network.activation": tuple(ACTIVATIONS),
        "network.output_activation": tuple(ACTIVATIONS),
        "network.initializer": tuple(INITIALIZERS),
        "training.loss": tuple(LOSSES),
        "training.optimizer": tuple(OPTIMIZERS),
        "training.schedule": tuple(SCHEDULES),
        "training.regularizer": ("none", "l1", "l1_subgradient", "l2"),
        "training.partial_batch": ("carry", "keep", "drop"),
        "training.order": ("fixed", "shuffled"),
        "training.dtype": ("float32", "float64"),
    }
)
# Set by the data or by the spec's own [epochs], not by a trial.
_NOT_SETTABLE = ("network.n_inputs", "network.n_outputs", "training.max_epochs")


def setting_keys() -> tuple[str, ...]:
    """Return every key a spec may fix or search: ``"network.activation"``, ``"training.learning_rate"``, ..."""
    keys = [f"{group}.{field.name}" for group, config in _CONFIGS.items() for field in dataclasses.fields(config)]
    return ("network.n_hidden_layers", *(key for key in keys if key not in _NOT_SETTABLE))


def check_setting(key: str, value: Any, where: str) -> Any:
    """Return `value`, converted to the type of the field `key`.

    Raises
    ------
    SpecError
        If the field does not exist or the value is not of its type or not one of its names.
    """
    check_name(key, setting_keys(), where)
    where = f"{where}: {key}"
    if key in _NAMES:
        if not isinstance(value, str):
            raise SpecError(f"{where}: {toml_text(value)} must be a string")
        check_name(value, _NAMES[key], where)
        return value
    if key == "network.n_hidden_layers":
        kind: Any = int
    else:
        kind = _TYPES[key]
    kinds = typing.get_args(kind)
    if type(None) in kinds and value is None:
        return None
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise SpecError(f"{where}: {toml_text(value)} must be a whole number")
        if value < (0 if key == "network.n_hidden_layers" else 1):
            raise SpecError(f"{where}: {value} must be at least {0 if key == 'network.n_hidden_layers' else 1}")
        return value
    if kind is float or (float in kinds and Ellipsis not in kinds):
        return _nonnegative(value, key, where)
    if key == "training.dropout" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = (value,)  # one rate for all hidden layers, which can be searched between two bounds
    if not isinstance(value, (list, tuple)):
        raise SpecError(f"{where}: {toml_text(value)} must be a list")
    return tuple(_list_item(kinds[0], item, where) for item in value)


def _nonnegative(value: Any, key: str, where: str) -> float:
    number = checked_number(value, where)
    if number < 0 or (number == 0 and key == "training.learning_rate"):
        raise SpecError(f"{where}: {number:g} must be {'above' if key == 'training.learning_rate' else 'at least'} 0")
    return number


def _list_item(kind: Any, item: Any, where: str) -> Any:
    if kind is float:
        return checked_number(item, where)
    if not isinstance(item, kind) or isinstance(item, bool) or (kind is int and item < 1):
        raise SpecError(f"{where}: {toml_text(item)} must be {'a whole number from 1' if kind is int else 'a string'}")
    return item


def _fixed(table: SpecTable, config: type, group: str) -> tuple[tuple[str, Any], ...]:
    names = [field.name for field in dataclasses.fields(config)]
    rest = table.rest()
    for key in rest:
        check_name(f"{group}.{key}", setting_keys(), table.where)
    where = table.where.removesuffix(f": {group}")
    return tuple(
        (key, check_setting(f"{group}.{key}", rest[key], where)) for key in [*names, "n_hidden_layers"] if key in rest
    )


def _space(table: SpecTable) -> tuple[Dimension, ...]:
    where = table.where
    dimensions: list[Dimension] = []
    for group, content in table.rest().items():
        if group not in _CONFIGS:
            raise SpecError(f"{where}: {unknown_name('', group, _CONFIGS)}")
        if not isinstance(content, Mapping):
            raise SpecError(f"{where}: {group}: must be a table, not {toml_text(content)}")
        for field, entry in content.items():
            key = f"{group}.{field}"
            check_name(key, setting_keys(), where)
            dimensions.append(_dimension(key, SpecTable(entry, f"{where}: {key}")))
    if not dimensions:
        raise SpecError(f"{where}: empty; search at least one setting")
    return _in_order(dimensions, where)


def _dimension(key: str, table: SpecTable) -> Dimension:
    when = _when(table.table("when")) if "when" in table else ()
    if "choice" in table:
        choices = table.list("choice")
        if not choices:
            raise SpecError(f"{table.where}: choice: empty; give at least one")
        for choice in choices:
            check_setting(key, choice, table.where.removesuffix(f": {key}"))
        if len({repr(choice) for choice in choices}) != len(choices):
            raise SpecError(f"{table.where}: choice: {toml_text(choices)} names something twice")
        table.close()
        return Dimension(key, "choice", choices=tuple(choices), when=when)
    log = table.boolean("log") if "log" in table else False
    if "by" in table:
        return _ranged(key, table, log, when)
    low, high = (_bound(key, table.take(side), side, table.where) for side in ("low", "high"))
    table.close()
    _check_range(low, high, log, table.where)
    kind = "int" if _is_integer(key) else "float"
    return Dimension(key, kind, float(low), float(high), log, when=when)


def _ranged(key: str, table: SpecTable, log: bool, when: tuple[tuple[str, tuple[Scalar, ...]], ...]) -> Dimension:
    by = table.text("by", setting_keys())
    if _is_integer(key):
        raise SpecError(f"{table.where}: by: only for settings that are not whole numbers")
    ranges = []
    for value, bounds in table.table("ranges").rest().items():
        place = f"{table.where}: ranges: {value}"
        check_setting(by, value, f"{table.where}: ranges")
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise SpecError(f"{place}: {toml_text(bounds)} must be [low, high]")
        low, high = (_bound(key, bound, side, place) for side, bound in zip(("low", "high"), bounds, strict=True))
        _check_range(low, high, log, place)
        ranges.append((value, float(low), float(high)))
    table.close()
    return Dimension(key, "float", log=log, when=when, by=by, ranges=tuple(ranges))


def _when(table: SpecTable) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    conditions = []
    for group, content in table.rest().items():
        if group not in _CONFIGS or not isinstance(content, Mapping):
            raise SpecError(f'{table.where}: {group}: write for instance training.optimizer = ["sgd"]')
        for field, values in content.items():
            key = f"{group}.{field}"
            if not isinstance(values, list) or not values:
                raise SpecError(f"{table.where}: {key}: {toml_text(values)} must be a list with at least one value")
            conditions.append((key, tuple(check_setting(key, value, table.where) for value in values)))
    return tuple(conditions)


_INTEGERS = (
    "network.n_hidden_layers",
    "network.hidden_layer_sizes",
    "training.batch_size",
    "training.warmup_epochs",
    "training.schedule_every",
)


def _is_integer(key: str) -> bool:
    return key in _INTEGERS


def _bound(key: str, value: Any, side: str, where: str) -> float:
    if _is_integer(key):
        low = 0 if key in ("network.n_hidden_layers", "training.warmup_epochs") else 1
        if not isinstance(value, int) or isinstance(value, bool):
            raise SpecError(f"{where}: {side}: {toml_text(value)} must be a whole number")
        if value < low:
            raise SpecError(f"{where}: {side}: {value} must be at least {low}")
        return value
    if key in _NAMES or key == "training.frozen":
        raise SpecError(f"{where}: {side}: has no numbers; give choice = [...]")
    return checked_number(value, f"{where}: {side}")


def _check_range(low: float, high: float, log: bool, where: str) -> None:
    if low > high:
        raise SpecError(f"{where}: low {low:g} is above high {high:g}")
    if log and low <= 0:
        raise SpecError(f"{where}: low: log needs a bound above 0, not {low:g}")


def _in_order(dimensions: list[Dimension], where: str) -> tuple[Dimension, ...]:
    """Put every dimension behind those it depends on."""
    keys = [dimension.key for dimension in dimensions]
    placed: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        done = {dimension.key for dimension in placed}
        ready = [d for d in waiting if all(need in done for need in _needs(d, keys))]
        if not ready:
            raise SpecError(f"{where}: {waiting[0].key}: depends on itself through when or by")
        placed.append(ready[0])
        waiting.remove(ready[0])
    for dimension in placed:
        for need, what in [(key, "when") for key, _ in dimension.when] + (
            [(dimension.by, "by")] if dimension.by else []
        ):
            if need not in keys:
                raise SpecError(f"{where}: {dimension.key}: {what}: {need} is not searched here")
    by_key = {dimension.key: dimension for dimension in placed}
    for dimension in placed:
        for key, values in dimension.when:
            for value in values:
                if by_key[key].kind == "choice" and value not in by_key[key].choices:
                    raise SpecError(f"{where}: {dimension.key}: when: {key} is never {toml_text(value)}")
        if dimension.by and {value for value, _, _ in dimension.ranges} != set(by_key[dimension.by].choices):
            raise SpecError(f"{where}: {dimension.key}: ranges: give one for each choice of {dimension.by}")
    if "network.hidden_layer_sizes" in keys and "network.n_hidden_layers" not in keys:
        raise SpecError(f"{where}: network.hidden_layer_sizes: search network.n_hidden_layers too")
    if "network.n_hidden_layers" in keys and "network.hidden_layer_sizes" not in keys:
        raise SpecError(f"{where}: network.n_hidden_layers: search network.hidden_layer_sizes too")
    return tuple(placed)


def _needs(dimension: Dimension, keys: list[str]) -> list[str]:
    needs = [key for key, _ in dimension.when] + ([dimension.by] if dimension.by else [])
    if dimension.key == "network.hidden_layer_sizes":
        needs.append("network.n_hidden_layers")
    return [key for key in needs if key in keys]


def _check_whole(spec: SweepSpec, where: str) -> None:
    pruning = spec.pruning
    if pruning.kind != "none" and pruning.min_epochs >= spec.epochs.max_epochs:
        raise SpecError(
            f"{where}: pruning: min_epochs: {pruning.min_epochs} must be below max_epochs, {spec.epochs.max_epochs}"
        )
    searched = {dimension.key for dimension in spec.space}
    for group, fixed in (("network", spec.network), ("training", spec.training)):
        for key, _ in fixed:
            if f"{group}.{key}" in searched:
                raise SpecError(f"{where}: {group}: {key} is also in the space; fix it or search it")
    n_seeds = spec.search.n_replicas + spec.finalists.n_replicas + spec.certificates.n_replicas
    if n_seeds > N_PAGE_SEEDS:
        raise SpecError(f"{where}: needs {n_seeds} page seeds; there are {N_PAGE_SEEDS}: lower n_replicas")
    for dataset in spec.datasets:
        if isinstance(dataset.data, FashionData) and not dataset.data.n_validation_rows and spec.certificates.n:
            raise SpecError(
                f"{where}: certificates: n: the test images serve for validation and cannot certify; give 0, or "
                "n_validation_rows"
            )
        if isinstance(dataset.data, TableData):
            n_folds = dataset.data.n_folds
            for stage, n in (("search", spec.search.n_replicas), ("finalists", spec.finalists.n_replicas)):
                if n % n_folds:
                    raise SpecError(
                        f"{where}: {stage}: n_replicas: {n} are not folds times seeds; give a multiple of {n_folds}"
                    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _space_table(space: tuple[Dimension, ...]) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for dimension in space:
        group, field = dimension.key.split(".", 1)
        table.setdefault(group, {})[field] = _dimension_table(dimension)
    return table


def _dimension_table(dimension: Dimension) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if dimension.kind == "choice":
        entry["choice"] = list(dimension.choices)
    elif dimension.by:
        entry |= {"by": dimension.by, "log": dimension.log}
        entry["ranges"] = {str(value): [low, high] for value, low, high in dimension.ranges}
    else:
        low, high = dimension.low, dimension.high
        entry |= {"low": int(low), "high": int(high)} if dimension.kind == "int" else {"low": low, "high": high}
        entry["log"] = dimension.log
    for key, values in dimension.when:
        group, field = key.split(".", 1)
        entry.setdefault("when", {}).setdefault(group, {})[field] = list(values)
    return entry


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for i, item in enumerate(value):
                yield from _flatten(item, f"{prefix}{key}[{i}].")
        else:
            yield f"{prefix}{key}", value
