"""Options of ``run`` for a table, and the table it answers with."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.commands.options import InputError, Parser
from sweeps.commands.table_reading import add_reading_options, one_target, print_notes, reading_changes
from sweeps.toml import read_toml

if TYPE_CHECKING:
    from sweeps.spec.sweep import SweepSpec

_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".parquet", ".gz")
LARGE_FILE = 20_000_000
"""Bytes from which a file's memory is stated before it is taken."""
MOST_NAMES = 12
"""Columns that a message lists."""
_OPTIONS = {
    "test_file": ("FILE", "rows to test on, instead of a share of the rows set aside"),
    "task": ("TASK", "regression or classification, where the rule does not tell them apart as meant"),
    "target_transform": ("NAME", "what is learnt instead of a number: standardize (default), log1p_standardize, ..."),
    "date_format": ("FORMAT", "of dates that are not ISO: '%%d/%%m/%%Y' has the day first"),
    "folds": ("KIND", "plain, stratified, grouped, contiguous or time"),
    "group_column": ("COLUMN", "whose rows stay on one side of every division; none: no column, whatever is found"),
    "time_column": (
        "COLUMN",
        "that orders the rows, which are divided by time; 'row order': as in the file; none: whatever is found",
    ),
    "equal_rows": (
        "HOW",
        "together (default where that can be): on one side of every division; nearly: also those that differ little; "
        "or apart",
    ),
    "preprocessing": ("NAME", "standard, or textbook: fitted on all rows together, which leaks"),
}


def add_table_options(run: Parser) -> None:
    """Add to ``run`` what a table needs."""
    group = run.add_argument_group("tables")
    group.add_argument(
        "--target",
        action="append",
        metavar="COLUMN",
        help="column to predict; makes SPEC a data file (CSV, TSV, either gzipped, Parquet)",
    )
    for name, (metavar, text) in _OPTIONS.items():
        names = [f"--{name.replace('_', '-')}", *(["--group"] if name == "group_column" else [])]
        group.add_argument(*names, dest=name, metavar=metavar, help=text)
    add_reading_options(group)
    group.add_argument(
        "--role", action="append", metavar="COLUMN=ROLE", help="number, category, boolean, date, text, ..."
    )
    group.add_argument("--test-share", type=float, metavar="SHARE", help="of the rows, set aside (default: 0.2)")
    group.add_argument(
        "--out-of-range",
        metavar="END",
        help="rows held out as out of range: farthest:0.1 (default), COLUMN:top:0.1, COLUMN:bottom:0.1, COLUMN=VALUE, "
        "COLUMN (each value in turn) or none",
    )
    group.add_argument(
        "--allow-leak",
        action="store_true",
        help="the columns that give the target away are known when you predict: certify with them",
    )


def is_table(arguments: argparse.Namespace) -> bool:
    """Return whether ``run`` was given a data file, or a spec with a ``[dataset]`` table."""
    name = arguments.spec
    return Path(name).suffix.lower() in _SUFFIXES or arguments.target is not None or _toml_of(name) is not None


def table_spec(arguments: argparse.Namespace) -> SweepSpec:
    """Return the sweep that the command line asks for."""
    from sweeps.spec.from_table import build_spec

    given = _toml_of(arguments.spec)
    where = Path(arguments.spec).name
    if given is None:
        _check_data_file(arguments)
        given = {"dataset": {"file": arguments.spec}}
    dataset = dict(given["dataset"])
    for name in (*_OPTIONS, "test_share"):
        if getattr(arguments, name) is not None:
            dataset[name] = getattr(arguments, name)
    if arguments.target:
        dataset["target"] = one_target(arguments.target)
    dataset |= reading_changes(arguments, dataset)
    if arguments.allow_leak:
        dataset["allow_leak"] = True
    if arguments.role:
        dataset["roles"] = {**dataset.get("roles", {}), **dict(map(_role, arguments.role))}
    if arguments.out_of_range is not None:
        dataset |= _end(arguments.out_of_range)
    given = {**given, "dataset": dataset}
    for key in ("file", "test_file"):
        _state_memory(str(dataset.get(key, "")))
    sections: dict[str, dict[str, Any]] = {
        "search": {"n_trials": arguments.trials, "until": arguments.until, "n_replicas": arguments.replicas},
        "goal": {"words": arguments.goal},
    }
    for name, content in sections.items():
        new = {key: value for key, value in content.items() if value is not None}
        if new:
            given[name] = {**given.get(name, {}), **new}
    if arguments.ablation:
        raise InputError(
            f"--ablation {arguments.ablation}: the networks of a table share its rows, so that they cannot show what a"
            " change does; leave it out"
        )
    for name in ("seed", "name", "draws"):
        if getattr(arguments, name) is not None:
            given[name] = getattr(arguments, name)
    spec = build_spec(given, where)
    print_notes(spec, where)
    return spec


def _check_data_file(arguments: argparse.Namespace) -> None:
    """Refuse what has no columns to predict, and list those of a data file where none is named.

    Raises
    ------
    InputError
        With what would do.
    """
    from sweeps.data.table.reading import read_names
    from sweeps.data.table.told import Told
    from sweeps.spec.builtin import LESSONS, POLYNOMIALS, builtin_specs

    spec = arguments.spec
    if arguments.target is None:
        told: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in reading_changes(arguments, {}).items()
        }
        names = read_names(spec, Told(**told))
        shown = ", ".join(map(repr, names[:MOST_NAMES])) + (f", ... ({len(names)})" if len(names) > MOST_NAMES else "")
        raise InputError(f"run {spec}: name the column to predict: --target COLUMN, one of {shown}")
    target = f"run {spec} --target {arguments.target[0]}"
    if not Path(spec).exists() and any(spec in builtin_specs(folder) for folder in (".", POLYNOMIALS, LESSONS)):
        raise InputError(f"{target}: {spec} comes with its own data; leave --target out, or name a data file instead")
    if Path(spec).suffix.lower() == ".toml" and Path(spec).is_file():
        raise InputError(f"{target}: the spec names no table; leave --target out, or give it a [dataset] with a file")


def _toml_of(name: str) -> dict[str, Any] | None:
    path = Path(name)
    if not path.suffix:
        from importlib import resources

        from sweeps.spec.builtin import TABLES, builtin_specs

        if name not in builtin_specs(TABLES) or path.exists():
            return None
        return tomllib.loads(resources.files("sweeps").joinpath("specs", TABLES, f"{name}.toml").read_text("utf-8"))
    if path.suffix.lower() != ".toml" or not path.is_file():
        return None
    table = read_toml(path.read_bytes(), path.name)
    if not isinstance(table.get("dataset"), dict):
        return None
    file = table["dataset"].get("file")
    if isinstance(file, str) and not Path(file).exists() and (path.parent / file).exists():
        table["dataset"]["file"] = str(path.parent / file)  # beside its spec
    return table


def _state_memory(file: str) -> None:
    """Say how much memory a large file will take, and refuse to take what the machine does not have.

    Raises
    ------
    InputError
        If it is more than there is.
    """
    path = Path(file)
    if not path.is_file() or path.stat().st_size < LARGE_FILE:
        return
    from engine.roads.memory import available_bytes
    from sweeps.data.table.reading import expected_memory

    needed, there = expected_memory(path), available_bytes()
    text = (
        f"{path.name}: {path.stat().st_size / 1e6:.0f} MB; reading and preparing it takes about {needed / 1e9:.1f} GB"
    )
    if needed > there:
        raise InputError(f"{text} of memory, and {there / 1e9:.1f} GB are free; take fewer rows or columns")
    print(f"{text} of memory ({there / 1e9:.1f} GB are free)", file=sys.stderr, flush=True)


def _role(text: str) -> tuple[str, str]:
    column, equals, role = text.rpartition("=")
    if not equals:
        raise InputError(f"--role {text}: write COLUMN=ROLE, for instance zip=category")
    return column, role


def _end(text: str) -> dict[str, Any]:
    if text == "none":
        return {"end_rule": "none"}
    if ":" not in text and text not in ("", "farthest", "top", "bottom"):
        column, equals, value = text.rpartition("=")
        if equals and column and value:
            return {"end_rule": "value", "end_feature": column, "end_value": value}
        if not equals:
            return {"end_rule": "each", "end_feature": value}
    head, _, share = text.rpartition(":")
    feature, _, rule = head.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = None
    if not head or number is None or (rule == "farthest") == bool(feature):
        raise InputError(
            f"--out-of-range {text}: write farthest:0.1, COLUMN:top:0.1, COLUMN:bottom:0.1, "
            "COLUMN=VALUE, COLUMN (each value in turn) or none"
        )
    return {"end_rule": rule, "end_share": number, **({"end_feature": feature} if feature else {})}
