"""The networks that a lesson keeps beside its records: those of a design's best cell, trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.course.cells import Cells, last
from analysis.course.choosing import best
from analysis.records.lesson import CellRecord, cell_file
from analysis.records.study import Study
from engine.configuration import TrainingConfig, told_fields
from engine.model_files import ModelFileError, load_model, save_model
from engine.network import NetworkConfig
from engine.training import train
from sweeps.data.source import Draws
from sweeps.run.models import SUMS_NAME, sums_of, write_sums
from sweeps.store.log import MODELS_NAME


def best_cell(study: Study, design: str) -> CellRecord | None:
    """Return the cell of the lowest mean test loss on every second replica at the last look; None without cells."""
    return best(Cells(study), design, {}, lambda cell: last(cell, "test"))


def save_networks(
    folder: Path, cell: CellRecord, network: NetworkConfig, training: TrainingConfig, draws: Draws
) -> Path:
    """Train a cell's replicas again and write them, each file whole or not at all.

    ``models/cell-<number>.npz``, ``models/cell-<number>.json``
        See `engine.model_files`; with training, seeds, and training and test loss of each replica. Of one input and
        one output also what draws them: the range of all training inputs, the first replica's points.
    ``models/SHA256SUMS``
        Digests of both.

    Returns
    -------
    Path
        Of the ``.npz``; as it is where it was written before, whole. Files that a kill has left alone, or that have
        been altered since, are written again.
    """
    models = folder / MODELS_NAME
    path = models / f"{cell_file(cell.number)}.npz"
    if _is_whole(path):
        return path
    splits = {"train": draws.train, "test": draws.test}
    result = train(
        network,
        training,
        draws.train,
        draws.initialize(network),
        draws.training_seeds,
        look_at=[training.max_epochs],
        evaluate_on=splits,
    )
    losses = {name: [float(loss) for loss in result.losses[name][-1]] for name in splits}
    about = {
        "training": told_fields(training),
        "seeds": list(cell.seeds),
        "losses": losses,
        "params": dict(cell.params),
        **(_points(draws) if network.n_inputs == network.n_outputs == 1 else {}),
    }
    save_model(models, cell_file(cell.number), network, result.state.parameters, about)
    write_sums(models)
    return path


def _is_whole(path: Path) -> bool:
    """Return whether networks, their description and the digests of both are there and belong together."""
    try:
        load_model(path)
        sums = (path.parent / SUMS_NAME).read_text(encoding="utf-8")
    except (ModelFileError, OSError, UnicodeDecodeError):
        return False
    return sums == sums_of(path.parent)


def _points(draws: Draws) -> dict[str, Any]:
    X = draws.train.X
    splits = {"train": draws.train, "test": draws.test}
    points = {
        f"{name}_points": np.stack([one.X[0, :, 0], one.y[0, :, 0]], axis=1).tolist() for name, one in splits.items()
    }
    return {"train_range": [float(X.min()), float(X.max())], **points}
