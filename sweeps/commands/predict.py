"""The command that uses a saved model: ``predict``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from sweeps.commands.options import Commands, InputError, add_command, add_results_option
from sweeps.commands.table_reading import add_reading_options, print_lines, reading_changes


def add_commands(commands: Commands) -> None:
    """Add ``predict``."""
    predict = add_command(
        commands,
        "predict",
        "predict the rows of a file with a table's certified networks",
        "predict results/diabetes new.csv --output predictions.csv",
    )
    predict.add_argument(
        "model", metavar="MODEL", help="certificate-0.npz of a table's sweep, or a folder that holds just one"
    )
    predict.add_argument("file", metavar="FILE", help="new rows: CSV, TSV or Parquet with the columns trained on")
    predict.add_argument("--output", metavar="FILE", help="CSV to write (default: standard output)")
    add_reading_options(predict.add_argument_group("how FILE is written, where it is not as in training"))
    predict.add_argument("--id", action="append", metavar="COLUMN", help="of the file, to carry through")
    predict.add_argument(
        "--without-target", action="store_true", help="predict only the rows whose target is missing in the file"
    )
    add_results_option(predict)
    predict.set_defaults(call=predict_command)


def predict_command(arguments: argparse.Namespace) -> int:
    """Write predictions with what the networks disagree by and how far each row lies beyond the training range."""
    from sweeps.data.table.predicting import (
        load_table_model,
        output_names,
        predict_rows,
        predictions_csv,
        read_new_rows,
        rows_without,
    )
    from sweeps.data.table.told import same_form
    from sweeps.store.log import write_atomically

    path = Path(arguments.model)
    if not path.exists():
        path = Path(arguments.results) / arguments.model
        if not path.exists():
            raise InputError(f"predict {arguments.model}: no such model; name a .npz, or a sweep that has been run")
    from threadpoolctl import threadpool_limits

    model = load_table_model(path)
    changes = reading_changes(arguments, dataclasses.asdict(model.told))
    table = read_new_rows(model, Path(arguments.file), changes)
    rows = rows_without(table.frame, model.target) if arguments.without_target else None
    frame = table.frame if rows is None else table.frame.iloc[rows].reset_index(drop=True)
    with threadpool_limits(limits=1, user_api="blas"):  # the last digit hangs on the number of threads
        found = predict_rows(model, frame)
    text = predictions_csv(model, frame, found, rows, [same_form(name) for name in arguments.id or ()])
    print_lines(table.notes, Path(arguments.file).name)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        write_atomically(Path(arguments.output), text.encode())
    renamed = {old: new for old, new in output_names(model.target, map(str, frame.columns)).items() if old != new}
    if renamed:
        listed = ", ".join(f"{old} is called {new}" for old, new in renamed.items())
        print(f"names that the file or the target has: {listed}", file=sys.stderr)
    standing = _standing(path)
    if standing:
        print(standing, file=sys.stderr)
    n_outside = sum(bool(one) for one in found.outside)
    n_networks = model.saved.parameters.n_replicas
    print(
        f"{len(frame)} rows, {model.target} by {n_networks} networks trained on {model.trained_on}; networks_low and "
        f"networks_high hold 95 % of the networks (not of the targets); {n_outside} rows lie beyond the training range",
        file=sys.stderr,
    )
    return 0


def _standing(path: Path) -> str:
    """Return what whoever uses a sweep's networks must know of its verdict; nothing where it is certified.

    A model's file by itself has no log beside it, and nothing is said.
    """
    from analysis.records.reading import read_study
    from sweeps.store.log import LOG_NAME

    logs = sorted([*path.glob(LOG_NAME), *path.glob(f"*/{LOG_NAME}")]) if path.is_dir() else []
    if len(logs) != 1:
        return ""
    verdict = read_study(logs[0]).verdict
    if verdict is None:
        return "these networks are of a sweep without a verdict yet"
    return "" if verdict.certified else f"these networks are not certified; the verdict of their sweep: {verdict.text}"
