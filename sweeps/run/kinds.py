"""Every kind of study there is: how its TOML file is read and which plans it makes. A new kind is one line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

from analysis.records.lesson import LESSON
from analysis.records.polynomial import POLYNOMIAL
from engine.configuration import TrainingConfig
from sweeps.data.polynomial import PolynomialSpec, parse_polynomial_spec
from sweeps.data.table.settings import TableData
from sweeps.run.lesson import LessonPlan, lesson_plan
from sweeps.run.plan import Plan
from sweeps.run.polynomial import PolynomialPlan
from sweeps.run.trials import TrialPlan
from sweeps.spec.builtin import LESSONS, POLYNOMIALS
from sweeps.spec.lesson import LessonSpec, Size, parse_lesson
from sweeps.spec.lesson_changes import resized, with_setting
from sweeps.spec.sweep import SweepSpec, parse_spec, read_table
from sweeps.spec.writing import as_table, as_toml, table_difference, with_overrides
from sweeps.toml import SpecError, check_name


class Spec(Protocol):
    """What is asked, of one study or of several: equal specs and versions give equal results."""

    @property
    def name(self) -> str:
        """Name of the folder below the results."""

    @property
    def sha256(self) -> str:
        """Digest of everything in the spec."""

    def without_folders(self) -> Self:
        """Return the same with bare names of files: where they lie is no part of what is asked."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line changes in a spec; None keeps what it says."""

    n_trials: int | None = None
    goal: str | None = None
    until: str | None = None
    n_replicas: int | None = None
    seed: int | None = None
    name: str | None = None
    draws: str | None = None
    n_ablation: int | None = None
    size: Size = "default"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyKind:
    """A kind of study.

    Parameters
    ----------
    name : str
        As a TOML file says it: ``kind = "polynomial"``; empty for a sweep, whose file says none.
    spec : type
        Class of its specs; see `Spec`.
    folder : str
        Of its built-in specs, among the others.
    parse : callable (table, where) -> spec
        Reads a TOML file's table; raises SpecError.
    as_table, as_toml : callable (spec) -> dict, str
        What `parse` reads.
    change : callable (spec, Changes) -> spec
        Applies what the command line says; raises SpecError for what the kind does not have.
    plans : callable (spec, folder) -> list of Plan
        One for each study, in the spec's order, given the folder of the spec's results.
    plan : callable (spec, folder, dataset) -> Plan
        The plan of one of them; raises SpecError if there is none of that name.
    dtype : callable (spec) -> str
        What the engine computes in.
    first_sentences : callable (spec) -> list of str
        What a user must know before anything is trained.
    """

    name: str
    spec: type
    folder: str
    parse: Callable[[Mapping[str, Any], str], Any]
    as_table: Callable[[Any], dict[str, Any]]
    as_toml: Callable[[Any], str]
    change: Callable[[Any, Changes], Any]
    plans: Callable[[Any, Path], list[Plan]]
    plan: Callable[[Any, Path, str], Plan]
    dtype: Callable[[Any], str]
    first_sentences: Callable[[Any], list[str]]


def _sweep_plan(spec: SweepSpec, folder: Path, dataset: str) -> Plan:
    return TrialPlan(spec, spec.dataset(dataset), folder)


def _table_sentences(spec: SweepSpec) -> list[str]:
    return [
        f"{dataset.name}: {sentence}"
        for dataset in spec.datasets
        if isinstance(dataset.data, TableData)
        for sentence in dataset.data.said_first
    ]


def _polynomial_plan(spec: PolynomialSpec, folder: Path, dataset: str) -> Plan:
    check_name(dataset, [POLYNOMIAL], f"{spec.name}: dataset")
    return PolynomialPlan(spec, folder)


def _change_polynomial(spec: PolynomialSpec, changes: Changes) -> PolynomialSpec:
    given = {"trials": changes.n_trials, "goal": changes.goal, "until": changes.until, "seed": changes.seed}
    for name, value in given.items():
        if value is not None:
            raise SpecError(f"--{name}: a polynomial study has none; --replicas is its number of seeds")
    _refuse_lesson_options(changes)
    _refuse_sweep_options(changes)
    return spec if changes.n_replicas is None else spec.with_seeds(changes.n_replicas)


def _refuse_lesson_options(changes: Changes) -> None:
    """Refuse what only lessons have."""
    if changes.size != "default":
        raise SpecError(f"--{changes.size}: only lessons have sizes; `python -m sweeps lessons` lists them")
    if changes.settings:
        raise SpecError(f"--set {changes.settings[0]}: only for lessons; `python -m sweeps lessons` lists them")


def _refuse_sweep_options(changes: Changes) -> None:
    """Refuse what only sweeps have."""
    if changes.name is not None:
        raise SpecError(f"--name {changes.name}: only sweeps have another name; --results puts it in another folder")
    if changes.draws is not None:
        raise SpecError(f"--draws {changes.draws}: only for sweeps, whose winners are measured on fresh draws")
    if changes.n_ablation is not None:
        raise SpecError(f"--ablation {changes.n_ablation or 'off'}: only for sweeps, which have a winner to change")


def _change_sweep(spec: SweepSpec, changes: Changes) -> SweepSpec:
    _refuse_lesson_options(changes)
    return with_overrides(
        spec,
        n_trials=changes.n_trials,
        goal=changes.goal,
        until=changes.until,
        n_replicas=changes.n_replicas,
        seed=changes.seed,
        name=changes.name,
        draws=changes.draws,
        n_ablation=changes.n_ablation,
    )


def _change_lesson(spec: LessonSpec, changes: Changes) -> LessonSpec:
    given = {"trials": changes.n_trials, "goal": changes.goal, "until": changes.until}
    for name, value in given.items():
        if value is not None:
            raise SpecError(f"--{name}: a lesson has none; --set changes its factors and settings")
    _refuse_sweep_options(changes)
    spec = resized(spec, changes.size)
    if changes.n_replicas is not None:
        spec = with_setting(spec, f"n_replicas={changes.n_replicas}")
    for assignment in changes.settings:
        spec = with_setting(spec, assignment)
    return spec if changes.seed is None else dataclasses.replace(spec, seed=changes.seed)


SWEEP = StudyKind(
    name="",
    spec=SweepSpec,
    folder=".",
    parse=parse_spec,
    as_table=as_table,
    as_toml=as_toml,
    change=_change_sweep,
    plans=lambda spec, folder: [TrialPlan(spec, dataset, folder) for dataset in spec.datasets],
    plan=_sweep_plan,
    dtype=lambda spec: str(dict(spec.training).get("dtype", TrainingConfig().dtype)),
    first_sentences=_table_sentences,
)
POLYNOMIAL_STUDY = StudyKind(
    name=POLYNOMIAL,
    spec=PolynomialSpec,
    folder=POLYNOMIALS,
    parse=parse_polynomial_spec,
    as_table=PolynomialSpec.as_table,
    as_toml=PolynomialSpec.as_toml,
    change=_change_polynomial,
    plans=lambda spec, folder: [PolynomialPlan(spec, folder)],
    plan=_polynomial_plan,
    dtype=lambda _: "float64",
    first_sentences=lambda _: [],
)
LESSON_STUDY = StudyKind(
    name=LESSON,
    spec=LessonSpec,
    folder=LESSONS,
    parse=parse_lesson,
    as_table=LessonSpec.as_table,
    as_toml=LessonSpec.as_toml,
    change=_change_lesson,
    plans=lambda spec, folder: [LessonPlan(spec, folder)],
    plan=lesson_plan,
    dtype=lambda _: "float32",
    first_sentences=lambda _: [],
)
STUDY_KINDS: Mapping[str, StudyKind] = MappingProxyType(
    {kind.name: kind for kind in (SWEEP, POLYNOMIAL_STUDY, LESSON_STUDY)}
)


def kind_of(spec: Spec) -> StudyKind:
    """Return the kind of a spec."""
    return next(kind for kind in STUDY_KINDS.values() if isinstance(spec, kind.spec))


def load(name_or_path: str | Path) -> Spec:
    """Read a spec of any kind: the name of a built-in one, or the path of a TOML file.

    Raises
    ------
    SpecError
        If there is no such file, it is not TOML, or anything in it is unknown, of the wrong type or out of range.
    """
    table, where = read_table(name_or_path, [kind.folder for kind in STUDY_KINDS.values()])
    kind = SWEEP
    if "kind" in table:
        name = table["kind"]
        check_name(str(name), [name for name in STUDY_KINDS if name], f"{where}: kind")
        kind = STUDY_KINDS[str(name)]
    spec: Spec = kind.parse(table, where)
    return spec


def spec_difference(old: Spec, new: Spec) -> list[str]:
    """Return ``"search.n_trials: 100 there, 200 here"`` for each setting in which two specs differ."""
    return table_difference(kind_of(old).as_table(old), kind_of(new).as_table(new))
