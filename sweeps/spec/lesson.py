"""A lesson as its TOML file asks for it: designs of cells, each a setting that is trained as R paired replicas."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.records.lesson import LESSON, Level
from analysis.records.lines import canonical_json
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from sweeps.data.asked import Asked
from sweeps.data.kinds import KINDS
from sweeps.spec.builtin import LESSONS, builtin_specs
from sweeps.spec.design import Design
from sweeps.spec.dimensions import check_setting
from sweeps.spec.measured import ARRAYS, LAYER_PROBES, PATH_PROBES, PROBES, SPLITS
from sweeps.spec.works import WORK_PREFIX, WORKS, check_work, work_table
from sweeps.toml import SpecError, SpecTable, check_depth, check_name, checked_number, shown, study_name, toml_text

MOST_CELLS = 2000
Size = Literal["default", "quick", "full"]
_SIZES: Mapping[str, tuple[float, float]] = {"quick": (0.25, 0.5), "full": (4.0, 2.0)}
DATA = "data."


@dataclass(frozen=True, slots=True)
class LessonSpec:
    """A lesson; see `analysis.records.lesson.LessonSettings` for the fields that its header shows.

    Parameters
    ----------
    name : str
        Of its folder below the results: the lesson's, with what the command line changed.
    seed : int
        Fixes draws and first weights.
    quick, full : (float, float)
        Factors of replicas and of epochs in those sizes.
    left_out : tuple of str
        Datasets that it has not because their files are not at hand.
    """

    name: str
    lesson: str
    question: str
    guess: str
    options: tuple[str, ...]
    source: str
    minutes: float
    done: str
    would_change: str
    seed: int
    designs: tuple[Design, ...]
    quick: tuple[float, float] = _SIZES["quick"]
    full: tuple[float, float] = _SIZES["full"]
    size: Size = "default"
    changed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of everything in the spec."""
        return hashlib.sha256(canonical_json(self.as_table()).encode()).hexdigest()

    def without_folders(self) -> LessonSpec:
        """Return itself: no file of the user's is named."""
        return self

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that `parse_lesson` reads."""
        table = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        table = {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}
        if not self.left_out:  # a whole lesson's spec says nothing of it
            del table["left_out"]
        return {"kind": LESSON, **table, "designs": [design.as_table() for design in self.designs]}

    def as_toml(self) -> str:
        """Return the spec as TOML text; reading it gives an equal spec."""
        return "".join(f"{key} = {toml_text(value)}\n" for key, value in self.as_table().items())

    def cells(self) -> list[dict[str, Level]]:
        """Return the params of each cell, in the order of their numbers."""
        return [
            {"design": design.name, **{key: level(value) for key, value in cell.items()}}
            for design in self.designs
            for cell in design.cells()
        ]

    def design(self, name: str) -> Design:
        """Return the design of that name."""
        return next(design for design in self.designs if design.name == name)

    def settings(self) -> list[tuple[Design, dict[str, Any]]]:
        """Return each cell's design and all its settings by key, fixed ones included."""
        return [(design, {**design.fixed, **cell}) for design in self.designs for cell in design.cells()]


def level(value: Any) -> Level:
    """Return a factor's level as one plain value: layer sizes (4, 2) are ``"4-2"``, none at all ``"none"``."""
    if isinstance(value, list | tuple):
        return "-".join(str(item) for item in value) or "none"
    plain: Level = value
    return plain


def data_table(design: Design, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of a cell's data: the design's, with the cell's own ``data.`` settings on top."""
    own = {key.removeprefix(DATA): value for key, value in settings.items() if key.startswith(DATA)}
    return {**design.data, **own}


def asked_of(spec: LessonSpec, design: Design, dataset: str, settings: Mapping[str, Any]) -> Asked:
    """Return what a cell's source is asked."""
    default = TrainingConfig()
    return Asked(
        name=dataset,
        seed=spec.seed,
        goal="",
        metric="test_loss",
        below=design.target,
        loss=str(settings.get("training.loss", default.loss)),
        dtype=str(settings.get("training.dtype", default.dtype)),
        n_search=design.n_replicas,
        n_finalist=2,
        n_certificate=2,
        max_certificates=0,
        level=0.05,
    )


def configs(
    design: Design, settings: Mapping[str, Any], n_inputs: int, n_outputs: int
) -> tuple[NetworkConfig, TrainingConfig]:
    """Return what a cell's settings mean."""
    network = {k.removeprefix("network."): v for k, v in settings.items() if k.startswith("network.")}
    training = {k.removeprefix("training."): v for k, v in settings.items() if k.startswith("training.")}
    return (
        NetworkConfig(**{**network, "n_inputs": n_inputs, "n_outputs": n_outputs}),
        TrainingConfig(**{**training, "max_epochs": max(design.looks[-1], 1)}),
    )


def lesson_names() -> tuple[str, ...]:
    """Return the names of the built-in lessons that have a design of their own."""
    return builtin_specs(LESSONS)


def parse_lesson(content: Mapping[str, Any], where: str) -> LessonSpec:
    """Validate a lesson's table; `where` begins every message.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    check_depth(content, where)
    table = SpecTable(content, where)
    table.text("kind", (LESSON,))
    name = study_name(table)
    sizes: dict[str, Any] = {key: _factors(table, key) for key in _SIZES if key in table}
    if "size" in table:
        sizes["size"] = table.text("size", ("default", "quick", "full"))
    if "changed" in table:
        sizes["changed"] = tuple(_texts(table, "changed"))
    if "left_out" in table:
        sizes["left_out"] = tuple(_texts(table, "left_out"))
    spec = LessonSpec(
        name=name,
        lesson=table.text("lesson") if "lesson" in table else name,
        question=table.text("question"),
        guess=table.text("guess"),
        options=tuple(_texts(table, "options")),
        source=table.text("source"),
        minutes=table.number("minutes", 0.0, 1000.0),
        done=table.text("done"),
        would_change=table.text("would_change"),
        seed=table.integer("seed", 0, 2**63 - 1),
        designs=tuple(_design(SpecTable(item, f"{where}: designs")) for item in table.list("designs")),
        **sizes,
    )
    table.close()
    check_lesson(spec, where)
    return spec


def _factors(table: SpecTable, key: str) -> tuple[float, float]:
    values = table.list(key)
    if len(values) != 2:
        raise SpecError(f"{table.where}: {key}: {shown(values)} must be [factor of replicas, factor of epochs]")
    replicas, epochs = (checked_number(value, f"{table.where}: {key}") for value in values)
    return replicas, epochs


def _texts(table: SpecTable, key: str) -> list[str]:
    values = table.list(key)
    if not all(isinstance(value, str) for value in values):
        raise SpecError(f"{table.where}: {key}: {shown(values)} must be texts")
    return values


def _design(table: SpecTable) -> Design:
    name = study_name(table)
    where = f"{table.where} {name}"
    looks = table.list("looks")
    if (
        not all(isinstance(look, int) and not isinstance(look, bool) and look >= 0 for look in looks)
        or sorted(set(looks)) != looks
        or not looks
    ):
        raise SpecError(f"{where}: looks: {shown(looks)} must be ascending whole numbers from 0")
    probes, curves = (_names(table, key, PROBES, ()) for key in ("probes", "curves"))
    design = Design(
        name=name,
        n_replicas=table.integer("n_replicas", 1, 10_000),
        looks=tuple(looks),
        target=table.number("target", 0.0, 1e6),
        targets=_targets(table, where),
        scales=table.boolean("scales") if "scales" in table else True,
        held=table.boolean("held") if "held" in table else False,
        splits=_names(table, "splits", SPLITS, ("train", "test")),
        probes=probes,
        data=_data(table.table("data"), where),
        fixed=_settings(table.table("fixed").rest(), where),
        cross=_cross(table, "cross", where),
        paired=[_settings(row, where) for row in table.list("paired")] if "paired" in table else [],
        work=table.text("work", tuple(WORKS)) if "work" in table else "",
        curves=curves,
        arrays=_names(table, "arrays", ARRAYS, ()),
        data_full=table.table("data_full").rest() if "data_full" in table else {},
        trace=_names(table, "trace", (*PROBES, *PATH_PROBES, *LAYER_PROBES), ()),
        cross_full=_cross(table, "cross_full", where) if "cross_full" in table else {},
        keep_best=table.boolean("keep_best") if "keep_best" in table else False,
    )
    table.close()
    return design


def _cross(table: SpecTable, name: str, where: str) -> dict[str, list[Any]]:
    return {key: checked_levels(key, levels, where) for key, levels in _flat(table.table(name).rest()).items()}


def _names(table: SpecTable, key: str, known: Sequence[str], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(_texts(table, key)) if key in table else otherwise
    for name in names:
        check_name(name, known, f"{table.where}: {key}")
    return names


def _targets(table: SpecTable, where: str) -> dict[str, float]:
    if "targets" not in table:
        return {}
    rest = table.table("targets").rest()
    return {key: checked_number(value, f"{where}: targets: {key}") for key, value in rest.items()}


def _data(table: SpecTable, where: str) -> dict[str, Any]:
    data = table.rest()
    check_name(str(data.get("kind", "")), KINDS, f"{where}: data: kind")
    return data


def checked_levels(key: str, levels: Any, where: str) -> list[Any]:
    """Return a factor's levels, each of them checked; raises SpecError."""
    if not isinstance(levels, list) or not levels:
        raise SpecError(f"{where}: {key}: {shown(levels)} must be a list of levels, at least one")
    return [checked_setting(key, value, where) for value in levels]


def _settings(row: Any, where: str) -> dict[str, Any]:
    return {key: checked_setting(key, value, where) for key, value in _flat(row).items()}


def checked_setting(key: str, value: Any, where: str) -> Any:
    """Return a level that a record can hold; the data's own settings are checked once all are together."""
    if key == "dataset" or key.startswith((DATA, WORK_PREFIX)):
        return value
    checked = check_setting(key, value, where)
    return list(checked) if isinstance(checked, tuple) else checked


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one of dotted keys; a table that was written with them already stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_lesson(spec: LessonSpec, where: str) -> None:
    """Refuse designs without cells or with too many, and cells whose data or dataset nobody knows."""
    if not spec.designs:
        raise SpecError(f"{where}: designs: none; give at least one")
    names = [design.name for design in spec.designs]
    if len(set(names)) < len(names):
        raise SpecError(f"{where}: designs: {shown(names)}; give each a name of its own")
    cells = spec.cells()
    if len(cells) > MOST_CELLS:
        raise SpecError(f"{where}: {len(cells)} cells; at most {MOST_CELLS}")
    seen: set[str] = set()
    for design, settings in spec.settings():
        place = f"{where}: designs {design.name}"
        if design.keep_best and (design.work or "test" not in design.splits):
            raise SpecError(f"{place}: keep_best: no test loss to tell the best by; leave it out")
        if "dataset" not in settings:
            raise SpecError(f"{place}: dataset is missing; name it in cross or paired")
        table = data_table(design, settings)
        dataset = str(settings["dataset"])
        check_work(design.work, work_table(settings), place)
        KINDS[str(table["kind"])].check_loss(str(settings.get("training.loss", TrainingConfig().loss)), place)
        known = canonical_json([dataset, table])
        if known in seen:
            continue
        seen.add(known)
        kind = KINDS[str(table["kind"])]
        if kind.names:
            check_name(dataset, kind.names, f"{place}: dataset")
        data = SpecTable({key: value for key, value in table.items() if key != "kind"}, f"{place}: data")
        kind.parse(data)
        data.close()


def designs_as_data(designs: Sequence[Design]) -> list[dict[str, Any]]:
    """Return designs as plain values, for a header."""
    return [design.as_table() for design in designs]
