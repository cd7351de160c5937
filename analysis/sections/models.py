"""The winner's trained networks and their data, for the sections that need more than losses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import Missing
from analysis.records.study import Study, TrialRecord
from analysis.statistics.bounded import LARGEST_HALF_SQUARED_ERROR, stays_within_labels
from analysis.statistics.homework import winner_record
from analysis.words import say
from engine.evaluation import predict
from engine.methods.losses import LOSSES
from engine.model_files import ModelFileError, SavedModel, load_model
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.playground.draws import PageDraws, draw, expand
from engine.playground.registry import DATASETS

MOST_REPLICAS = 32


@dataclass(frozen=True, slots=True, eq=False)
class WinnerModel:
    """Some replicas of the winner, with the very data they were trained on.

    Parameters
    ----------
    record : TrialRecord
        What they belong to.
    network : NetworkConfig
    parameters : Parameters
        Of R replicas: the first ones of the record, at most `MOST_REPLICAS`.
    draws : PageDraws
        Their training and test points, drawn again from their seeds.
    features : tuple of str
        What the network is shown of a point.
    stretch : float
        How far beyond the range the dataset's own rule goes.
    n_saved : int
        Replicas in the file.
    """

    record: TrialRecord
    network: NetworkConfig
    parameters: Parameters
    draws: PageDraws
    features: tuple[str, ...]
    stretch: float
    n_saved: int

    @property
    def n_replicas(self) -> int:
        """Number of replicas R."""
        return self.parameters.n_replicas

    @property
    def largest_loss(self) -> float | None:
        """Largest loss there can be at any point, or None where none is known."""
        loss = str(self.record.training.get("loss", "half_squared_error"))
        output = str(self.record.network.get("output_activation"))
        return LARGEST_HALF_SQUARED_ERROR if stays_within_labels(self.draws.dataset, output, loss) else None

    def predict(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """Return the networks' answers at points (R or 1, n, 2), (R, n)."""
        X = expand(points, self.features).astype(self.parameters.weights[0].dtype)
        return np.asarray(predict(self.network, self.parameters, X)[..., 0], np.float64)

    def losses(self, predictions: FloatArray, labels: FloatArray) -> npt.NDArray[np.float64]:
        """Return the loss at each point, (R, n), of predictions (R, n) and labels (R or 1, n)."""
        loss = LOSSES[str(self.record.training.get("loss", "half_squared_error"))]
        shape = predictions.shape
        return np.asarray(loss.value(predictions[..., None], np.broadcast_to(labels, shape)[..., None]), np.float64)


@dataclass(frozen=True, slots=True)
class Frames:
    """The network of the winner's first draw at every look.

    Parameters
    ----------
    epochs : tuple of int, length F
        Epochs of the looks, 0 first.
    parameters : Parameters
        One "replica" for each of them.
    """

    epochs: tuple[int, ...]
    parameters: Parameters


def winner_frames(study: Study, model: WinnerModel) -> Frames | Missing:
    """Return the frames that the winner's certificate left, or why there are none."""
    path = (study.path or Path()).parent / "models" / f"{model.record.stage}-{model.record.number}.frames.npz"
    if not path.exists():
        return Missing(f"by epoch not shown: the frames' file {path.parent.name}/{path.name} is missing")
    try:
        saved = load_model(path)
        epochs = tuple(int(epoch) for epoch in saved.extra["epochs"])
    except (ModelFileError, KeyError, TypeError, ValueError):
        return Missing(f"by epoch not shown: {path.parent.name}/{path.name} is altered, or of another version")
    if len(epochs) != saved.parameters.n_replicas or saved.network != model.network:
        return Missing(f"by epoch not shown: {path.parent.name}/{path.name} is not of this winner")
    return Frames(epochs, saved.parameters)


@lru_cache(maxsize=64)
def _drawn(
    dataset: str, noise: float, train_share: float, seeds: tuple[str, ...], features: tuple[str, ...]
) -> PageDraws:
    """Draw once what several sections look at: the page's generator takes as long for one seed as for many."""
    return draw(dataset, noise, train_share, seeds, features, n_ready=0)  # the networks are there already


@lru_cache(maxsize=64)
def _loaded(path: Path, _changed_ns: int, _size: int) -> SavedModel:
    """Read once what several sections look at; a file that was written since is read again."""
    return load_model(path)


class _Same:
    """Something that equals itself alone, whatever it holds."""

    def __init__(self, held: object) -> None:
        self.held: Any = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.held is other.held


@lru_cache(maxsize=64)
def _joined(record: _Same, model: _Same, draws: _Same, features: tuple[str, ...], stretch: float) -> WinnerModel:
    """Return one and the same object for one record, so that what takes long can be kept by it."""
    first = model.held.parameters.select(slice(0, len(draws.held.seeds)))
    n_saved = model.held.parameters.n_replicas
    return WinnerModel(record.held, model.held.network, first, draws.held, features, stretch, n_saved)


def winner_model(study: Study) -> WinnerModel | Missing:
    """Return the winner's networks with the data they were trained on, or why there are none to show."""
    record = winner_record(study)
    if record is None:
        return Missing(say("not shown: no trial has given a loss"))
    return record_model(study, record)


def record_model(study: Study, record: TrialRecord) -> WinnerModel | Missing:
    """Return a record's networks with the data they were trained on, or why there are none to show."""
    if study.path is None or record.stage == "search":
        return Missing(say("not shown: networks are kept for a winner only, and there is none yet"))
    path = study.path.parent / "models" / f"{record.stage}-{record.number}.npz"
    if not path.exists():
        return Missing(
            say("not shown: the networks' file {name}/{name_2} is missing", name=path.parent.name, name_2=path.name)
        )
    if study.header.dataset not in DATASETS:
        return Missing(say("not shown: only points of the Playground's datasets can be drawn again from their seeds"))
    state = path.stat()
    try:
        model = _loaded(path, state.st_mtime_ns, state.st_size)
    except ModelFileError:
        return Missing(
            say(
                "not shown: {name}/{name_2} is altered, of another version, or lacks its .json",
                name=path.parent.name,
                name_2=path.name,
            )
        )
    data = study.header.data
    features = tuple(data.get("features", ("x", "y")))
    if model.network.n_inputs != len(features):
        return Missing(
            say(
                "not shown: the networks take {n_inputs} inputs, the dataset has {n_features}",
                n_inputs=model.network.n_inputs,
                n_features=len(features),
            )
        )
    n = min(MOST_REPLICAS, model.parameters.n_replicas, len(record.seeds))
    if n == 0:
        return Missing(say("not shown: no replica was kept"))
    draws = _drawn(study.header.dataset, data["noise"], data["train_share"], tuple(record.seeds[:n]), features)
    return _joined(_Same(record), _Same(model), _Same(draws), features, float(data.get("stretch", 3.0)))
