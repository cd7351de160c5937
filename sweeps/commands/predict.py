"""The command that uses a saved model: ``predict``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sweeps.commands.options import Commands, InputError, add_command, add_results_option


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
    predict.add_argument("--encoding", metavar="NAME", help="of the text, where it is not as in training")
    predict.add_argument("--separator", metavar="CHARACTER", help="between cells, where it is not as in training")
    predict.add_argument("--decimal", metavar="CHARACTER", help="decimal point, where it is not as in training")
    add_results_option(predict)
    predict.set_defaults(call=predict_command)


def predict_command(arguments: argparse.Namespace) -> int:
    """Write predictions with what the networks disagree by and how far each row lies beyond the training range."""
    from sweeps.data.table.predicting import load_table_model, predict_file, predictions_csv
    from sweeps.store.log import write_atomically

    path = Path(arguments.model)
    if not path.exists():
        path = Path(arguments.results) / arguments.model
        if not path.exists():
            raise InputError(f"predict {arguments.model}: no such model; name a .npz, or a sweep that has been run")
    from threadpoolctl import threadpool_limits

    model = load_table_model(path)
    told = {
        key: value for key in ("encoding", "separator", "decimal") if (value := getattr(arguments, key)) is not None
    }
    with threadpool_limits(limits=1, user_api="blas"):  # the last digit hangs on the number of threads
        frame, found = predict_file(model, Path(arguments.file), told)
    text = predictions_csv(model, frame, found)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        write_atomically(Path(arguments.output), text.encode())
    n_outside = sum(bool(one) for one in found.outside)
    n_networks = model.saved.parameters.n_replicas
    print(
        f"{len(frame)} rows, {model.target} by {n_networks} networks trained on {model.trained_on}; networks_low and "
        f"networks_high hold 95 % of the networks (not of the targets); {n_outside} rows lie beyond the training range",
        file=sys.stderr,
    )
    return 0
