"""From a file and a target, or a spec with a ``[dataset]`` table, to a whole sweep: the rest follows from the rows.

Everything found here (task, folds, epochs, digests) is written into the sweep's own spec, so that a resumed sweep and a
reader of the spec need no rule of this file.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
import shlex
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np

from engine.roads.memory import available_bytes
from sweeps.data.table.classes import class_findings, unbalanced_metric
from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.dependence import settle_dependence
from sweeps.data.table.domains import domain_numbers
from sweeps.data.table.folds import EndError
from sweeps.data.table.leaks import FEWEST_ROWS, Leak, find_leaks, some_rows
from sweeps.data.table.metrics import BEAT_BASELINE, METRICS, parse_goal
from sweeps.data.table.preprocessing import fit_target
from sweeps.data.table.published.named import NAMED_SETS
from sweeps.data.table.rows import TableRows, is_named, make_folds, open_rows, read_data
from sweeps.data.table.settings import AUTO, NO_END, TableData, parse_table_data
from sweeps.data.table.table import TableError
from sweeps.data.table.told import EACH, Role
from sweeps.data.table.units import first_rows, numbered
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.toml import NAME, SpecError, SpecTable, check_depth, shown

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".parquet", ".gz")
"""Endings of files that ``run`` takes for a table."""
FULL_SEARCH_ROWS = 50_000
"""Of more rows than this the folds of a search divide this many, where nothing else is said."""
FEWEST_FOLDS = 4
"""Of a sweep in which each place is out of range in turn."""
BYTES_AN_INPUT = 24
"""Of one input of one row: as a double while it is prepared, as a single for the networks, and in the loop's layout."""
_MOST_EPOCHS = 200
_FEWEST_EPOCHS = 10
_ROWS_SEEN = 200_000
_SECTIONS = ("goal", "search", "epochs", "pruning", "finalists", "certificates", "page", "network", "training", "space")


def build_spec(given: Mapping[str, Any], where: str) -> SweepSpec:
    """Return the whole sweep of a table.

    Parameters
    ----------
    given : mapping
        ``dataset``, a table with the keys of `sweeps.data.table.settings.TableData`, and any part of a sweep's spec;
        ``sweeps/data/table/default.toml`` fills in the rest, section by section (a space is taken as a whole).
    where : str
        Begins every message.

    Raises
    ------
    SpecError
        If anything will not do.
    TableError
        If the file cannot be read exactly or does not hold what is asked for.
    """
    check_depth(given, where)
    known = ("name", "seed", "draws", "probes", *_SECTIONS)
    unknown = [key for key in given if key not in ("dataset", *known)]
    if unknown:
        raise SpecError(f"{where}: unknown {unknown[0]}; beside dataset there may be {', '.join(known)}")
    for key in _SECTIONS:
        if key != "goal" and not isinstance(given.get(key, {}), Mapping):
            raise SpecError(f"{where}: {key}: must be a table, not {shown(given[key])}")
    dataset = dict(given["dataset"]) if isinstance(given.get("dataset"), Mapping) else None
    if dataset is None:
        raise SpecError(f"{where}: dataset: must be a table with file and target")
    if dataset.pop("kind", "table") != "table":
        raise SpecError(f'{where}: dataset: kind: must be "table"')
    _check_one_target(dataset.get("target"), where)
    name = dataset.pop("name", None)
    named = NAMED_SETS.get(str(dataset.get("file")))
    if named is not None and is_named(named.name):
        dataset.setdefault("target", named.target)
    reader = SpecTable(dataset, f"{where}: dataset")
    data = parse_table_data(reader)
    reader.close()
    data, rows = _opened(settled(data, dataset, where), dataset, _seed(given, where), where)
    if data.folds == "stratified" and "folds" not in dataset and _largest(rows) < data.n_folds:
        data = dataclasses.replace(data, folds="plain")  # no class has a row for every fold
        rows = open_rows(data, _seed(given, where))
    table = copy.deepcopy(_defaults())
    for key, content in given.items():
        if key in ("goal", "space") or not isinstance(content, Mapping):
            table[key] = content
        elif key != "dataset":
            table[key] = {**table.get(key, {}), **content}
    _drop_searched(table, given)
    name = given.get("name", _name_of(data)) if name is None else name
    table.setdefault("name", name)
    _fit_to_rows(table, given, data, rows, where)
    data = _with_findings(data, rows, table["goal"]["words"], is_default=_names_no_metric(given))
    table["datasets"] = [{"name": name, "kind": "table", **data.as_table()}]
    return parse_spec(table, where)


def _check_one_target(target: Any, where: str) -> None:
    """Refuse a list of targets with the reason."""
    if isinstance(target, list) and target:
        raise SpecError(
            f"{where}: dataset: target: {shown(target)}; a sweep predicts one column, and the others would be inputs: "
            f'write a spec for each, with the others under [dataset.roles], for instance {target[-1]} = "identifier"'
        )


def _drop_searched(table: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Take out of the fixed settings what only the defaults fix and the given space searches."""
    space = given.get("space")
    for group, keys in space.items() if isinstance(space, Mapping) else ():
        fixed = given.get(group)
        for key in keys if isinstance(keys, Mapping) and isinstance(table.get(group), dict) else ():
            if not (isinstance(fixed, Mapping) and key in fixed):
                table[group].pop(key, None)


def settled(data: TableData, given: Mapping[str, Any], where: str) -> TableData:
    """Return the settings of a table with everything that was left to be found.

    Parameters
    ----------
    data : TableData
        As it was read.
    given : mapping
        What the user said; the rest may be changed.
    where : str
        Begins every message.
    """
    table = read_data(data)
    data = dataclasses.replace(data, sha256=table.sha256)
    if data.test_file:
        data = dataclasses.replace(data, test_sha256=read_data(data, test=True).sha256, test_share=0.0)
        if given.get("test_share"):
            raise SpecError(f"{where}: dataset: test_share: goes without test_file; leave one of them out")
    target = find_target(table.frame, data.target, None if data.task == AUTO else data.task)  # type: ignore[arg-type]
    changes: dict[str, Any] = {"task": target.task}
    if data.target_transform == AUTO:
        changes["target_transform"] = "standardize" if target.task == "regression" else "none"
    elif target.task == "classification" and data.target_transform != "none":
        raise SpecError(f"{where}: dataset: target_transform: {data.target_transform} is for numbers, not for classes")
    if data.end_rule == EACH and "n_folds" not in given:
        n_domains = len(domain_numbers(table.frame, data.end_feature)[1])
        changes["n_folds"] = n_domains * -(-FEWEST_FOLDS // n_domains)  # every domain is out of range equally often
    columns = find_columns(table.frame, data.target, cast("Mapping[str, Role]", dict(data.roles)))
    data = settle_dependence(dataclasses.replace(data, **changes), table.frame, columns, target)
    changes = {}
    if data.folds == AUTO:
        changes["folds"] = "stratified" if target.task == "classification" else "plain"
    if "n_search_rows" not in given and data.folds != "contiguous" and table.n_rows > 2 * FULL_SEARCH_ROWS:
        changes["n_search_rows"] = FULL_SEARCH_ROWS
    return dataclasses.replace(data, **changes)


def _largest(rows: TableRows) -> int:
    """Return how many rows the largest class has among those the folds divide."""
    return int(np.bincount(rows.target.values[rows.folded].astype(np.intp), minlength=len(rows.target.classes)).max())


def _with_findings(data: TableData, rows: TableRows, goal: str, *, is_default: bool) -> TableData:
    """Return the settings with what has to be said first: what gives the target away, and which classes are rare."""
    known = np.sort(np.concatenate([rows.in_range, rows.out_of_range]))
    alone = known[first_rows(numbered(rows.units[known]))]  # a row that is there twice gives itself away
    looked_at = some_rows(np.sort(alone) if len(alone) >= FEWEST_ROWS else known)
    target = dataclasses.replace(rows.target, values=rows.target.values[looked_at])
    leaks = find_leaks(rows.frame.iloc[looked_at], rows.columns, target)
    whole = bool(leaks) and leaks[0].is_whole
    said = [f"{leak.text}: there is nothing else to learn, and a formula needs no network" for leak in leaks[:1]]
    if not whole:
        said = [_said_of(leak) for leak in leaks if not leak.is_sure]
    followed = goal if is_default and unbalanced_metric(rows) else ""
    return dataclasses.replace(
        data,
        leaks=() if whole else tuple(leak.text for leak in leaks if leak.is_sure),
        findings=(*said, *class_findings(rows, data.n_folds, followed)),
    )


def _said_of(leak: Leak) -> str:
    options = " ".join(f"--role {shlex.quote(f'{column}=text')}" for column in leak.columns)
    return f"{leak.text}: what is not known when you predict has to be left out ({options})"


def _names_no_metric(given: Mapping[str, Any]) -> bool:
    """Whether the user's goal, if any, leaves the metric to be found."""
    goal = given.get("goal", {"words": BEAT_BASELINE})
    words = goal.get("words") if isinstance(goal, Mapping) else goal
    return isinstance(words, str) and " ".join(words.split()).casefold() == BEAT_BASELINE


def _opened(data: TableData, given: Mapping[str, Any], seed: int, where: str) -> tuple[TableData, TableRows]:
    """Return the table's rows; where words alone have no end, and nobody asked for one, none is held out."""
    try:
        return data, open_rows(data, seed)
    except TableError:
        raise
    except EndError as error:
        if "end_rule" in given or "end_share" in given:
            raise SpecError(f"{where}: dataset: {error}") from None
        data = dataclasses.replace(data, end_rule=NO_END)
    except ValueError as error:
        raise SpecError(f"{where}: dataset: {error}") from None
    return _opened(data, {**given, "end_rule": NO_END}, seed, where)


def _fit_to_rows(table: dict[str, Any], given: Mapping[str, Any], data: TableData, rows: TableRows, where: str) -> None:
    """Fill in what follows from the rows: epochs, the largest batch, the loss, seeds a fold."""
    n_train = len(rows.folded) - -(-len(rows.folded) // data.n_folds)
    if data.folds == "time":
        n_train = len(rows.folded) // (data.n_folds + 1)
    try:
        make_folds(data, rows, 0)
    except ValueError as error:
        raise SpecError(f"{where}: dataset: {error}") from None
    if n_train < 2:
        raise SpecError(f"{where}: dataset: {len(rows.folded)} rows in the folds; a fold needs two rows to train on")
    _check_size(rows, where)
    table["goal"] = {"words": _goal_words(table["goal"], rows, where)}
    if rows.target.task == "regression":
        try:
            fit_target(data.target_transform, rows.target.values[rows.in_range])
        except ValueError as error:
            raise SpecError(f"{where}: dataset: {error}") from None
    epochs = dict(table.get("epochs", {}))
    epochs.setdefault("max_epochs", min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, _ROWS_SEEN // n_train)))
    if isinstance(epochs["max_epochs"], int) and "grid" not in epochs:
        last = max(epochs["max_epochs"], 1)
        epochs["grid"] = sorted({max(last * part // 8, 1) for part in (1, 2, 4, 6, 8)})
    table["epochs"] = {"stop_from": 0, "stop_patience": 0, **epochs}
    training = dict(table["training"])
    space = table["space"].get("training") if isinstance(table["space"], Mapping) else None
    space = space if isinstance(space, Mapping) else {}  # `parse_spec` says what is wrong with another
    if "loss" not in training and "loss" not in space:
        n_classes = len(rows.target.classes)
        training["loss"] = (
            "mse" if n_classes == 0 else "binary_cross_entropy" if n_classes == 2 else "softmax_cross_entropy"
        )
    _check_loss(training.get("loss"), space, rows.target.task, len(rows.target.classes), where)
    table["training"] = training
    if "space" not in given:
        _drop_fixed(table)
        batch = table["space"].get("training", {}).get("batch_size", {})
        batch |= {key: min(value, n_train) for key, value in batch.items() if key in ("low", "high")}
    search = given.get("search", {})
    if "n_replicas" not in search:
        table["search"]["n_replicas"] = data.n_folds * max(15 // data.n_folds, 1)
    if "share" not in given.get("finalists", {}):
        table["finalists"].pop("share", None)  # of fresh draws, which rows are not
    if "n_replicas" not in given.get("finalists", {}):
        table["finalists"]["n_replicas"] = data.n_folds * max(15 // data.n_folds, 1)


def _drop_fixed(table: dict[str, Any]) -> None:
    """Search nothing that the user has fixed."""
    shape = ("n_hidden_layers", "hidden_layer_sizes")
    for group in ("network", "training"):
        fixed = set(table[group])
        if group == "network" and fixed & set(shape):
            fixed |= set(shape)
        for key in fixed & set(table["space"][group]):
            del table["space"][group][key]
    rates = table["space"]["training"].get("learning_rate")
    optimizer = table["training"].get("optimizer")
    if rates is not None and optimizer is not None:
        low, high = rates["ranges"].get(optimizer, rates["ranges"]["momentum"])
        table["space"]["training"]["learning_rate"] = {"low": low, "high": high, "log": True}
    table["space"] = {group: content for group, content in table["space"].items() if content}


def _check_loss(loss: Any, space: Mapping[str, Any], task: str, n_classes: int, where: str) -> None:
    if "loss" in space:
        raise SpecError(f"{where}: space: training.loss: a table's outputs depend on it; fix it in [training]")
    fits = {
        "regression": ("mse", "half_squared_error", "mae", "huber"),
        "classification": ("softmax_cross_entropy", "hinge", *(("binary_cross_entropy",) if n_classes == 2 else ())),
    }[task]
    if loss not in fits:
        raise SpecError(f"{where}: training: loss: {loss} does not fit this {task}; expected {', '.join(fits)}")


def _check_size(rows: TableRows, where: str) -> None:
    """Refuse inputs that need more memory than there is: words with many values make an input each."""
    n_bytes = len(rows.in_range) * rows.n_inputs * BYTES_AN_INPUT
    if n_bytes <= available_bytes():
        return
    widest = max(rows.vocabulary, key=lambda name: len(rows.vocabulary[name]), default="")
    n_widest = len(rows.vocabulary.get(widest, ()))
    advice = f"; {widest!r} alone has {n_widest}: leave it out with the role text" if n_widest > 1 else ""
    raise SpecError(
        f"{where}: dataset: {len(rows.in_range)} rows of {rows.n_inputs} inputs take {n_bytes / 1e9:.1f} GB and "
        f"{available_bytes() / 1e9:.1f} GB are free{advice}"
    )


def _goal_words(goal: Any, rows: TableRows, where: str) -> str:
    words = goal.get("words") if isinstance(goal, Mapping) else goal
    if not isinstance(words, str):
        raise SpecError(f'{where}: goal: write words = "rmse < 20000", for instance')
    metric = unbalanced_metric(rows)
    if metric is not None and _names_no_metric({"goal": words}):
        words = f"{BEAT_BASELINE} in {metric}"
    try:
        parsed = parse_goal(words, rows.target.task)
        if rows.target.task == "regression":  # whether the metric takes such targets at all
            known = rows.target.values[~np.isnan(rows.target.values)]
            METRICS[parsed.metric].score(known, known[None])
        return parsed.text
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None


def _defaults() -> dict[str, Any]:
    return tomllib.loads(resources.files("sweeps").joinpath("data", "table", "default.toml").read_text("utf-8"))


def _seed(given: Mapping[str, Any], where: str) -> int:
    return SpecTable(dict(given), where).integer("seed", 0, 2**63 - 1) if "seed" in given else int(_defaults()["seed"])


def _name_of(data: TableData) -> str:
    """Return a name for a sweep after its file."""
    stem = Path(data.file).name
    while Path(stem).suffix.lower() in SUFFIXES:
        stem = Path(stem).stem
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")
    if NAME.fullmatch(plain) and len(plain) >= len(stem) / 2:
        return plain
    return f"table-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
