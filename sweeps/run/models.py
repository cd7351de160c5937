"""What a certificate leaves beside its record: the trained networks, all curves, one draw's points."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import TrialRecord
from engine.model_files import save_model
from engine.network import FloatArray, NetworkConfig, Parameters
from sweeps.data.source import Draws
from sweeps.run.trial_record import Outcome
from sweeps.store.log import sync_folder, write_atomically

SUMS_NAME = "SHA256SUMS"


def save_outcome(
    folder: Path,
    record: TrialRecord,
    outcome: Outcome,
    extra: Mapping[str, Any],
    frames: tuple[tuple[int, ...], Parameters] | None = None,
) -> None:
    """Write a certificate's files, each whole or not at all.

    ``<stage>-<number>.npz``, ``<stage>-<number>.json``
        The networks of all replicas at the end, with training, seeds and epochs; see `engine.model_files`.
    ``<stage>-<number>.curves.npz``
        ``epochs`` (G,) and ``train_loss``, ``test_loss``, ``in_range_loss``, ``out_of_range_loss`` (G, R).
    ``<stage>-<number>.points.npz``
        Replica 0's inputs and targets: ``train_X``, ``train_y``, ``test_X``, ``test_y``, and the points that count as
        out of range, ``out_of_range_X``, ``out_of_range_y``. Not written for a table: the rows are its owner's.
    ``<stage>-<number>.frames.npz``, ``<stage>-<number>.frames.json``
        Replica 0's network at every look, one after another where replicas usually stand, with ``epochs``; only with
        `frames`.
    ``SHA256SUMS``
        Digests of all of them, as ``sha256sum --check`` reads it.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    record : TrialRecord
        The certificate's record.
    outcome : Outcome
        What its training gave.
    extra : mapping
        JSON values to keep with the networks.
    frames : tuple of epochs and Parameters, or None
        From `sweeps.run.trial.train_frames`.
    """
    name = f"{record.stage}-{record.number}"
    network = replace(NetworkConfig(**record.network), hidden_layer_sizes=tuple(record.network["hidden_layer_sizes"]))
    about = {"training": record.training, "epochs": record.epochs, "seeds": record.seeds, **extra}
    save_model(folder, name, network, outcome.parameters, about)
    if frames is not None:
        epochs, parameters = frames
        save_model(folder, f"{name}.frames", network, parameters, {"epochs": list(epochs), "seed": record.seeds[0]})
    curves = {f"{key}_loss": losses for key, losses in outcome.losses.items()}
    files = {f"{name}.curves.npz": _arrays_file({"epochs": np.asarray(outcome.epochs), **curves})}
    if outcome.draws.measure is None:
        files[f"{name}.points.npz"] = _arrays_file(_points(outcome.draws))
    for file, content in files.items():
        write_atomically(folder / file, content)
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write the digests of a folder's models, as ``sha256sum --check`` reads them."""
    write_atomically(folder / SUMS_NAME, sums_of(folder).encode())
    sync_folder(folder.parent)  # the folder's own name: the line that promises its files comes next


def sums_of(folder: Path) -> str:
    """Return the digests of a folder's models, a line each."""
    listed = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".json"))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in listed)


def _points(draws: Draws) -> dict[str, FloatArray]:
    beyond = draws.out_of_range
    counts = slice(None) if beyond.weight is None else beyond.weight[0] > 0
    return {
        "train_X": draws.train.X[0],
        "train_y": draws.train.y[0],
        "test_X": draws.test.X[0],
        "test_y": draws.test.y[0],
        "out_of_range_X": beyond.X[0][counts],
        "out_of_range_y": beyond.y[0][counts],
    }


def _arrays_file(arrays: dict[str, npt.NDArray[np.generic]] | dict[str, FloatArray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **dict(arrays))
    return stream.getvalue()
