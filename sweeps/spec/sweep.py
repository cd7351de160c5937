"""What is asked of a sweep: typed, frozen, validated once when the TOML file is read."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from analysis.records.lines import canonical_json
from engine.configuration import TrainingConfig
from engine.names import unknown, unreadable
from engine.network import NetworkConfig
from sweeps.data.asked import Asked
from sweeps.data.kind import Settings
from sweeps.data.kinds import KINDS
from sweeps.data.source import Source
from sweeps.fields import read_fields
from sweeps.spec.builtin import POLYNOMIALS, TABLES, builtin_specs
from sweeps.spec.dimensions import LARGEST_GRID, LENGTH, Dimension, grid_size, read_fixed, read_space
from sweeps.spec.measured import TRIAL_PROBES
from sweeps.spec.placing import read_first, read_origin
from sweeps.spec.samplers import LISTS, SAMPLERS
from sweeps.spec.sections import (
    METRICS,
    UNTIL,
    AblationSpec,
    CertificateSpec,
    EpochSpec,
    FinalistSpec,
    Goal,
    PageSpec,
    PruningSpec,
    SearchSpec,
)
from sweeps.toml import NAME, SpecError, SpecTable, check_depth, check_name, read_toml, shown, study_name

_T = TypeVar("_T")
LEAST_ABLATION = 16
"""Draws below which an exact test shared over a space's changes can show none."""


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A dataset: its name and the settings of its kind."""

    name: str
    kind: str
    data: Settings


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """A whole sweep. Equal specs and versions give equal results; workers, timeout and folders are not in it.

    Parameters
    ----------
    name : str
        Name of the sweep and of its folder below the results.
    seed : int
        Fixes every random number of the sweep.
    goal, search, epochs, finalists, certificates, page, pruning, ablation
        See `Goal`, `SearchSpec`, `EpochSpec`, `FinalistSpec`, `CertificateSpec`, `PageSpec`, `PruningSpec`,
        `AblationSpec`.
    datasets : tuple of DatasetSpec
        One study each.
    network, training : tuple of (str, value)
        Fixed fields of `engine.network.NetworkConfig` and `engine.configuration.TrainingConfig`; what is neither
        fixed nor searched has the default given there.
    space : tuple of Dimension
        What is searched, in the order of choice.
    draws : str
        Name of the block of draws that finalists and certificates are measured on, for sweeps that are to be compared
        draw by draw; empty: draws of the question's own. See `sweeps.run.looks`.
    origin : str
        The sweep whose best settings are tried first, with its digest: ``"tiny@0123456789ab"``; empty: none.
    probes : tuple of str
        What is measured at every look besides losses; see `sweeps.spec.measured.TRIAL_PROBES`.
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
    pruning: PruningSpec = PruningSpec()  # noqa: RUF009 (frozen)
    draws: str = ""
    origin: str = ""
    ablation: AblationSpec = AblationSpec()  # noqa: RUF009 (frozen)
    probes: tuple[str, ...] = ()

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
        raise SpecError(f"{self.name}: {unknown('dataset', name, [d.name for d in self.datasets])}")

    def asked(self, dataset: DatasetSpec) -> Asked:
        """Return what the source of one of the datasets is asked."""
        training = dict(self.training)
        default = TrainingConfig()
        return Asked(
            name=dataset.name,
            seed=self.seed,
            goal=self.goal.words,
            metric=self.goal.metric,
            below=self.goal.below,
            loss=str(training.get("loss", default.loss)),
            dtype=str(training.get("dtype", default.dtype)),
            n_search=self.search.n_replicas,
            n_finalist=self.finalists.n_replicas,
            n_certificate=self.certificates.n_replicas,
            n_ablation=self.ablation.n_replicas,
            max_certificates=self.certificates.n,
            level=self.certificates.level,
        )

    @property
    def sha256(self) -> str:
        """Digest of everything in the spec."""
        return hashlib.sha256(canonical_json(self.without_folders().digested()).encode()).hexdigest()

    def digested(self) -> dict[str, Any]:
        """Return everything in the spec; what most do not have is left out where it is empty."""
        table = dataclasses.asdict(self)
        if not self.search.first:
            del table["search"]["first"]
        if not self.search.gain:
            del table["search"]["gain"]
        if not self.origin:
            del table["origin"]
        if not self.probes:
            del table["probes"]
        if not self.ablation.n_replicas:
            del table["ablation"]
        return table | {"finalists": self.finalists.as_table()}

    def with_budget(self, n_trials: int, until: str) -> SweepSpec:
        """Return the same question with another budget: trial k, where both have it, is the same."""
        return dataclasses.replace(self, search=dataclasses.replace(self.search, n_trials=n_trials, until=until))

    def extends(self, other: SweepSpec) -> bool:
        """Return whether this is the other spec with a larger budget: more trials, or a later `until`."""
        mine, theirs = self.search, other.search
        grows = mine.n_trials >= theirs.n_trials and UNTIL.index(mine.until) >= UNTIL.index(theirs.until)
        return grows and other.with_budget(mine.n_trials, mine.until) == self

    def reopens(self, other: SweepSpec) -> bool:
        """Return whether this is the other spec with another space, or other first settings, and no smaller budget."""
        mine, theirs = self.search, other.search
        search = dataclasses.replace(theirs, n_trials=mine.n_trials, until=mine.until, first=mine.first)
        return mine.n_trials >= theirs.n_trials and self == dataclasses.replace(other, space=self.space, search=search)

    def without_folders(self) -> SweepSpec:
        """Return the spec with the bare names of its files: where they lie is no part of what is asked."""
        datasets = tuple(dataclasses.replace(dataset, data=dataset.data.without_folders()) for dataset in self.datasets)
        return dataclasses.replace(self, datasets=datasets)


def open_source(spec: SweepSpec, dataset: DatasetSpec, folder: Path | None = None) -> Source:
    """Return the source of one of a spec's datasets.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : DatasetSpec
        One of its datasets.
    folder : Path or None
        The study's folder, where a table keeps what was found out about it; None keeps nothing.

    Raises
    ------
    TableError
        If the rows cannot be read, or are not those the spec is about.
    """
    return KINDS[dataset.kind].open(spec.asked(dataset), dataset.data, folder)


def load_spec(name_or_path: str | Path) -> SweepSpec:
    """Read a sweep: the name of a built-in one, or the path of a TOML file.

    Raises
    ------
    SpecError
        If there is no such file, it is not TOML, or anything in it is unknown, of the wrong type or out of range.
    """
    table, where = read_table(name_or_path)
    return parse_spec(table, where)


RENAMED: Mapping[str, str] = MappingProxyType({"perceptron_report": "perceptron"})
"""Built-in specs under earlier names, and what they are called now."""


def read_table(name_or_path: str | Path, folders: Sequence[str] = (".",)) -> tuple[dict[str, Any], str]:
    """Return the table of a built-in spec in one of `folders`, or of a TOML file, and what messages call it.

    Raises
    ------
    SpecError
        If there is no such file, or it is not TOML.
    """
    asked = str(name_or_path)
    folder = next((one for one in folders if asked in builtin_specs(one)), None)
    if folder is not None:
        where = f"{asked}.toml"
        raw = resources.files("sweeps").joinpath("specs", folder, where).read_bytes()
    else:
        path = Path(name_or_path)
        if not path.suffix and not path.exists():
            if asked in RENAMED:
                raise SpecError(f"unknown sweep {asked!r}; it is called {RENAMED[asked]!r} now")
            names = [name for one in dict.fromkeys((*folders, ".", POLYNOMIALS, TABLES)) for name in builtin_specs(one)]
            raise SpecError(f"{unknown('sweep', asked, names)} (or name a TOML file)")
        where = path.name
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise SpecError(unreadable(asked, error)) from None
    return read_toml(raw, where), where


TABLES_OF_A_SPEC = (
    *("goal", "search", "epochs", "finalists", "certificates", "page", "network", "training", "space"),
    *("pruning", "ablation"),
)


def parse_spec(table: Mapping[str, Any], where: str) -> SweepSpec:
    """Validate a table of plain values; `where` begins every message.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    check_depth(table, where)
    root = SpecTable(table, where, TABLES_OF_A_SPEC)
    name = study_name(root)
    seed = root.integer("seed", 0, 2**63 - 1)
    origin = read_origin(root)
    draws = root.text("draws") if "draws" in root else ""
    if draws and not NAME.fullmatch(draws):
        raise SpecError(f"{where}: draws: {draws!r} must be a name as a sweep's")
    probes = _probes(root) if "probes" in root else ()
    goal = root.table("goal")
    datasets = _datasets(root)
    space = read_space(root.table("space"))
    spec = SweepSpec(
        name=name,
        seed=seed,
        goal=_goal(goal, datasets),
        search=_search(root.table("search"), space),
        epochs=_epochs(root.table("epochs")),
        finalists=_section(FinalistSpec, root.table("finalists")),
        certificates=_section(CertificateSpec, root.table("certificates")),
        page=_page(root.table("page")),
        datasets=datasets,
        network=read_fixed(root.table("network"), NetworkConfig, "network"),
        training=read_fixed(root.table("training"), TrainingConfig, "training"),
        space=space,
        pruning=_section(PruningSpec, root.table("pruning")) if "pruning" in root else PruningSpec(),
        draws=draws,
        origin=origin,
        ablation=_section(AblationSpec, root.table("ablation")) if "ablation" in root else AblationSpec(),
        probes=probes,
    )
    root.close()
    _check_whole(spec, where)
    return spec


def _probes(root: SpecTable) -> tuple[str, ...]:
    names = root.list("probes")
    for i, name in enumerate(names):
        where = f"{root.where}: probes[{i}]"
        if not isinstance(name, str):
            raise SpecError(f"{where}: {shown(name)} must be a name; expected {', '.join(TRIAL_PROBES)}")
        check_name(name, TRIAL_PROBES, where)
        if name in names[:i]:
            raise SpecError(f"{where}: {name} is named twice; leave one of them out")
    return tuple(names)


def _goal(table: SpecTable, datasets: tuple[DatasetSpec, ...]) -> Goal:
    in_words = {KINDS[dataset.kind].goal_in_words for dataset in datasets}
    if in_words == {True}:
        goal = Goal(words=table.text("words"))
    elif True in in_words:
        raise SpecError(
            f"{table.where}: tables and Playground sets have different goals; give them sweeps of their own"
        )
    else:
        goal = Goal(table.text("metric", METRICS), table.number("below", 0.0, math.inf, open_low=True))
    table.close()
    return goal


def _search(table: SpecTable, space: tuple[Dimension, ...]) -> SearchSpec:
    known: dict[str, Any] = {"sampler": table.text("sampler", SAMPLERS)} if "sampler" in table else {}
    sampler = known.get("sampler", "tpe")
    n_settings = grid_size(space, table.where) if sampler == "grid" else LARGEST_GRID
    if sampler == "grid" and "n_trials" not in table:
        known["n_trials"] = n_settings
    if sampler in LISTS and "n_startup_trials" not in table:
        known["n_startup_trials"] = 1
    spec = dataclasses.replace(read_fields(SearchSpec, table, **known), first=read_first(table, space))
    table.close()
    if sampler == "grid" and spec.until == "converged":
        raise SpecError(
            f'{table.where}: until: "converged" with a grid, whose trials say nothing of the next; '
            'use "budget" or another sampler'
        )
    if spec.n_trials > n_settings:
        raise SpecError(f"{table.where}: n_trials: {spec.n_trials}; the whole grid has {n_settings} settings")
    return spec


def _epochs(table: SpecTable) -> EpochSpec:
    spec = read_fields(EpochSpec, table)
    table.close()
    grid = list(spec.grid)
    if not grid or sorted(set(grid)) != grid:
        raise SpecError(f"{table.where}: grid: {shown(grid)} must be ascending and not empty")
    if grid[-1] != spec.max_epochs:
        raise SpecError(f"{table.where}: grid: ends with {grid[-1]}; it must end with max_epochs, {spec.max_epochs}")
    return spec


def _section(kind: type[_T], table: SpecTable) -> _T:
    spec = read_fields(kind, table)
    table.close()
    return spec


def _page(table: SpecTable) -> PageSpec:
    spec = _section(PageSpec, table)
    if spec.n_best and not spec.learning_rates:
        raise SpecError(f"{table.where}: learning_rates: empty; give at least one, or n_best = 0")
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
    kind = KINDS[table.text("kind", KINDS)]
    name = table.text("name", kind.names or None)
    if not NAME.fullmatch(name):
        raise SpecError(f"{table.where}: name: {name!r} must be a name as a sweep's")
    spec = DatasetSpec(name, kind.name, kind.parse(table))
    table.close()
    return spec


def _losses(spec: SweepSpec, dataset: DatasetSpec) -> list[str]:
    """Return every loss that a trial may be trained with: those that are searched, or the fixed one."""
    searched = [dimension for dimension in spec.space if dimension.key == "training.loss"]
    return [str(one) for dimension in searched for one in dimension.choices] or [spec.asked(dataset).loss]


def _check_whole(spec: SweepSpec, where: str) -> None:
    pruning = spec.pruning
    if pruning.kind != "none" and pruning.min_epochs >= spec.epochs.max_epochs:
        raise SpecError(
            f"{where}: pruning: min_epochs: {pruning.min_epochs} must be below max_epochs, {spec.epochs.max_epochs}"
        )
    searched = {dimension.key for dimension in spec.space}
    for dimension in spec.space:
        if dimension.key == LENGTH:
            odd = [value for value in dimension.values if value not in spec.epochs.grid]
            if odd:
                raise SpecError(
                    f"{where}: space: {LENGTH}: {odd[0]} is not in [epochs] grid; give choice = [...] of epochs there"
                )
    for group, fixed in (("network", spec.network), ("training", spec.training)):
        for key, _ in fixed:
            if f"{group}.{key}" in searched:
                raise SpecError(f"{where}: {group}: {key} is also in the space; fix it or search it")
    n_draws = spec.ablation.n_replicas
    if 0 < n_draws < LEAST_ABLATION:
        raise SpecError(
            f"{where}: ablation: n_replicas: {n_draws}; so few draws show no change: give at least {LEAST_ABLATION},"
            " or 0 for none"
        )
    for dataset in spec.datasets:
        if n_draws and not KINDS[dataset.kind].has_ablation:
            raise SpecError(
                f"{where}: ablation: n_replicas: {n_draws}; the replicas of {dataset.name} share its rows, so that they"
                " cannot show what a change does: leave [ablation] out"
            )
        for loss in _losses(spec, dataset):
            KINDS[dataset.kind].check_loss(loss, where)
        if spec.search.until == "converged" and not KINDS[dataset.kind].has_ablation:
            raise SpecError(
                f'{where}: search: until: "converged"; the replicas of {dataset.name} share its rows, so that their'
                ' spread does not say what is noise: use "budget"'
            )
        if spec.pruning.kind == "racing" and not KINDS[dataset.kind].has_ablation:
            raise SpecError(
                f'{where}: pruning: kind: "racing"; the replicas of {dataset.name} share its rows, so that pairs of'
                ' them show nothing surely: use "successive_halving"'
            )
        check = KINDS[dataset.kind].check
        if check is not None:
            check(dataset.data, spec.asked(dataset), where)
