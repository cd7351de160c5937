"""What is measured on the way of training, look by look: how far weights went, how straight, where they turned.

And what a network's function looks like along lines through its range: straight pieces, and crossings of its boundary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.network import Parameters
from engine.training import train
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
N_LINES, N_ON_LINE = 24, 241
N_FOR_PIECES = 961
"""Points on a line that pieces are counted on: between two of them a bend must stay within the tolerance."""
FAR = 3.0
TOLERANCE = 0.02
"""Of a straight piece: how far the score may be from it, over the score's spread at the training points."""
RESOLUTION = 1.01
"""Epochs between the points of a path: every one at first, then each a hundredth later than the last."""
STEP = 1e-3


def path_epochs(last: int) -> list[int]:
    """Return the epochs from 1 at which a path is followed."""
    epochs, t = [], 1.0
    while t < last:
        epochs.append(round(t))
        t = max(t + 1.0, t * RESOLUTION)
    return sorted({*epochs, last})


def flat(parameters: Parameters) -> FloatArray:
    """Return all weights and biases of each replica as one vector, (R, P)."""
    arrays = [*parameters.weights, *parameters.biases]
    return np.concatenate([np.asarray(one, np.float64).reshape(len(one), -1) for one in arrays], axis=1)


class WeightPath:
    """The way that weights have come.

    Parameters
    ----------
    start : Parameters
        First weights.
    target : float
        Training loss that counts as a fit.
    """

    def __init__(self, start: Parameters, target: float) -> None:
        self._start = self._here = self._fit = flat(start)
        self._last_step = np.zeros_like(self._start)
        self._target = target
        self._has_fit = np.zeros(len(self._start), np.bool_)
        self._length, self._turned, self._n_turns = (np.zeros(len(self._start)) for _ in range(3))

    def follow(self, parameters: Parameters, train_loss: FloatArray) -> None:
        """Go on to where the weights are now."""
        here = flat(parameters)
        step = here - self._here
        sizes = np.linalg.norm(step, axis=1)
        self._length = self._length + sizes
        both = sizes * np.linalg.norm(self._last_step, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = np.clip((step * self._last_step).sum(axis=1) / both, -1.0, 1.0)
        known = both > 0
        self._turned = self._turned + np.where(known, np.degrees(np.arccos(np.where(known, cosine, 1.0))), 0.0)
        self._n_turns = self._n_turns + known
        first = ~self._has_fit & (train_loss < self._target)
        self._fit = np.where(first[:, None], here, self._fit)
        self._has_fit |= first
        self._here, self._last_step = here, np.where(sizes[:, None] > 0, step, self._last_step)

    def measured(self, name: str) -> FloatArray:
        """Return one of `sweeps.spec.measured.PATH_PROBES` as it stands.

        Distance from the first weights; length of the way; distance from the weights at the first fit (NaN before);
        mean angle between one step of the path and the next, in degrees.
        """
        if name == "displacement":
            return np.asarray(np.linalg.norm(self._here - self._start, axis=1), np.float64)
        if name == "path_length":
            return self._length
        if name == "since_fit":
            return np.where(self._has_fit, np.linalg.norm(self._here - self._fit, axis=1), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._n_turns > 0, self._turned / self._n_turns, np.nan)


def lines(trained: Trained, reach: Sequence[float]) -> FloatArray:
    """Return points (R, lines, steps, d) on lines through the middle of each replica's box.

    Parameters
    ----------
    trained : Trained
    reach : sequence of float
        Where the points lie, in units of the distance at which a line leaves the box.
    """
    low, high = trained.box
    middle, half = (low + high) / 2, (high - low) / 2
    d = low.shape[1]
    if d == 1:
        directions = np.ones((1, 1))
    elif d == 2:
        angles = np.pi * (np.arange(N_LINES) + 0.5) / N_LINES
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        directions = np.random.default_rng(0).normal(size=(N_LINES, d))
    with np.errstate(divide="ignore"):
        leaves = np.min(half[:, None, :] / np.abs(directions)[None], axis=2)
    way = leaves[:, :, None] * np.asarray(reach)
    return np.asarray(middle[:, None, None, :] + way[..., None] * directions[None, :, None, :], np.float64)


def _scores(trained: Trained, reach: Sequence[float]) -> FloatArray:
    points = lines(trained, reach)
    R, n, m, d = points.shape
    return trained.scores(points.reshape(R, n * m, d)).reshape(R, n, m)


def count_pieces(scores: FloatArray, tolerance: FloatArray) -> FloatArray:
    """Return how many straight pieces follow each row of scores to within a tolerance.

    A piece begins at a point of the row and goes on as long as one slope keeps all its points within the tolerance; the
    next one begins at its last point.

    Parameters
    ----------
    scores : ndarray (..., m)
        At equal distances.
    tolerance : ndarray (...)
        Above 0.

    References
    ----------
    J. O'Rourke, An on-line algorithm for fitting straight lines between data ranges, Comm. ACM 24 (1981) 574-578, with
    the piece's first point fixed.
    """
    start = scores[..., 0].copy()
    low, high = np.full(start.shape, -np.inf), np.full(start.shape, np.inf)
    since, pieces = np.zeros(start.shape), np.ones(start.shape)
    for k in range(1, scores.shape[-1]):
        since = since + 1.0
        below = (scores[..., k] - tolerance - start) / since
        above = (scores[..., k] + tolerance - start) / since
        new_low, new_high = np.maximum(low, below), np.minimum(high, above)
        ends = new_low > new_high
        start = np.where(ends, scores[..., k - 1], start)
        pieces = pieces + ends
        since = np.where(ends, 1.0, since)
        step = scores[..., k] - start
        low = np.where(ends, step - tolerance, new_low)
        high = np.where(ends, step + tolerance, new_high)
    return pieces


def _pieces(trained: Trained, reaches: Sequence[Sequence[float]]) -> FloatArray:
    spread = trained.scores(np.asarray(trained.draws.train.X, np.float64)).std(axis=1)
    found = [
        count_pieces(scores, np.broadcast_to(TOLERANCE * spread[:, None], scores.shape[:2]))
        for scores in (_scores(trained, reach) for reach in reaches)
    ]
    total = np.sum(found, axis=0).mean(axis=1)
    return np.asarray(np.where((spread > 0) & np.isfinite(spread), total, np.nan))


def pieces_inside(trained: Trained) -> FloatArray:
    """Return how many straight pieces the score has on a line through the box, mean over lines."""
    return _pieces(trained, [np.linspace(-1.0, 1.0, N_FOR_PIECES).tolist()])


def pieces_beyond(trained: Trained) -> FloatArray:
    """Return how many straight pieces it has beyond the box, up to three times its range, both sides together."""
    outward = np.linspace(1.0, FAR, N_FOR_PIECES)
    return _pieces(trained, [outward.tolist(), (-outward).tolist()])


def crossings(trained: Trained) -> FloatArray:
    """Return how often the score changes its sign on a line through the box, mean over lines."""
    positive = _scores(trained, np.linspace(-1.0, 1.0, N_ON_LINE).tolist()) > 0
    return np.asarray((positive[..., 1:] != positive[..., :-1]).sum(axis=2).mean(axis=1), np.float64)


def gradient_norm(trained: Trained) -> FloatArray:
    """Return the norm of the whole training set's gradient by what is trained, without penalty.

    Read off one small step of plain gradient descent; what is frozen does not count. Of the loss that records call the
    training loss: labels are the points' own, also where the network was told others.
    """
    split = trained.draws.train
    config = TrainingConfig(
        loss=trained.loss,
        optimizer="sgd",
        learning_rate=STEP,
        batch_size=split.X.shape[1],
        partial_batch="keep",
        max_epochs=1,
        frozen=trained.training.frozen,
        dtype="float64",
    )
    keys = trained.draws.training_seeds
    after = train(trained.network, config, split, trained.parameters, keys, look_at=[1], evaluate_on={})
    return np.asarray(np.linalg.norm(flat(after.state.parameters) - flat(trained.parameters), axis=1) / STEP)


def solution(trained: Trained) -> FloatArray:
    """Return the number of the first replica that computes the same function, from 0: its own where there is none.

    Functions, not weights, are compared, so that units in another order, with both signs turned or rescaled, are the
    same: outputs at points on lines through the first replica's box differ by less than a tenth of the labels' spread
    (root mean square).
    """
    points = lines(trained, np.linspace(-1.0, 1.0, 41).tolist())[:1]
    R = trained.parameters.n_replicas
    common = np.broadcast_to(points.reshape(1, -1, points.shape[-1]), (R, points[0, ..., 0].size, points.shape[-1]))
    scores = trained.scores(np.ascontiguousarray(common))
    outputs = np.tanh(scores) if trained.network.output_activation == "tanh" else scores
    tolerance = 0.1 * float(np.asarray(trained.draws.train.y[:1], np.float64).std())
    leaders: list[int] = []
    found = np.empty(R)
    for r in range(R):
        same = (k for k in leaders if np.sqrt(np.mean((outputs[r] - outputs[k]) ** 2)) < tolerance)
        found[r] = next(same, r)
        if found[r] == r:
            leaders.append(r)
    return found


LOOK_PROBES: Mapping[str, Probe] = MappingProxyType(
    {one.__name__: one for one in (pieces_inside, pieces_beyond, crossings, gradient_norm, solution)}
)
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
