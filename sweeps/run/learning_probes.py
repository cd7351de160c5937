"""What lessons on generalization measure: which labels are fitted, held-out errors, bounds, and what dropout does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.evaluation import mean_losses, predict
from engine.splits import Split
from engine.training import with_label_noise
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
STREAM_GARG = 23
DELTA = 0.05
"""Of the bound: how often it may fail."""


def told(trained: Trained) -> Split:
    """Return the training points with the labels that the network was told, wrong ones included."""
    return with_label_noise(trained.draws.train, trained.network, trained.training, trained.draws.training_seeds)


def _right(trained: Trained, split: Split) -> Bools:
    """Return whether each point's class is the one with the largest output; one output is a score against 0."""
    scores = predict(trained.network, trained.parameters, split.X)
    if scores.shape[2] == 1:
        return np.asarray((scores[..., 0] > 0) == (split.y[..., 0] > 0))
    classes = split.y[..., 0] if split.y.shape[2] == 1 else split.y.argmax(axis=2)
    return np.asarray(scores.argmax(axis=2) == classes)


def _share(these: Bools, among: Bools) -> FloatArray:
    n = among.sum(axis=1)
    return np.where(n > 0, (these & among).sum(axis=1) / np.maximum(n, 1), np.nan)


def _kept(trained: Trained) -> tuple[Split, Bools]:
    """Return the told points, and which of them have their own label."""
    split = told(trained)
    same = np.asarray(split.y == trained.draws.train.y).all(axis=2)
    return split, np.broadcast_to(same, split.X.shape[:2])


def told_fitted(trained: Trained) -> FloatArray:
    """Return the share of training points that get the label the network was told."""
    return np.asarray(_right(trained, told(trained)).mean(axis=1))


def clean_fitted(trained: Trained) -> FloatArray:
    """Return the share of the training points with their own label that get it."""
    split, clean = _kept(trained)
    return _share(_right(trained, split), clean)


def wrong_fitted(trained: Trained) -> FloatArray:
    """Return the share of the training points with a wrong label that get that wrong label; NaN where there is none."""
    split, clean = _kept(trained)
    return _share(_right(trained, split), ~clean)


def _loss_on(trained: Trained, among: Bools) -> FloatArray:
    """Return the mean loss on those of the told training points, NaN for a replica that has none."""
    split = told(trained)
    weight = among.astype(np.float64)
    if split.weight is not None:
        weight *= split.weight
    weighed = Split(split.X, split.y, weight)
    return np.asarray(mean_losses(trained.network, trained.parameters, weighed, trained.loss), np.float64)


def clean_loss(trained: Trained) -> FloatArray:
    """Return the mean loss on the training points with their own label; NaN where there is none."""
    return _loss_on(trained, _kept(trained)[1])


def wrong_loss(trained: Trained) -> FloatArray:
    """Return the mean loss on the training points with a wrong label, against that label; NaN where there is none."""
    return _loss_on(trained, ~_kept(trained)[1])


def _halves(trained: Trained) -> tuple[Split, Split]:
    test = trained.draws.test
    half = test.X.shape[1] // 2
    return Split(test.X[:, :half], test.y[:, :half]), Split(test.X[:, half:], test.y[:, half:])


def validation_loss(trained: Trained) -> FloatArray:
    """Return the mean loss on the first half of the test points: what a stopping rule may look at."""
    validation, _ = _halves(trained)
    return np.asarray(mean_losses(trained.network, trained.parameters, validation, trained.loss), np.float64)


def held_error(trained: Trained) -> FloatArray:
    """Return the share of wrong points in the second half of the test points, which no stopping rule looks at."""
    _, held = _halves(trained)
    return np.asarray(1.0 - _right(trained, held).mean(axis=1))


def _garg(trained: Trained) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return errors on clean and on randomly labelled training points, and how many there are, (R,) each.

    A share p of labels was replaced by another of k classes. That is as if a share q = p k / (k - 1) had been given a
    label at random, which may be the point's own: among the points with their own label each belongs to these with
    probability (q / k) / (1 - p), whatever else is known, and is drawn so.
    """
    split, clean = _kept(trained)
    k = trained.network.n_outputs
    p = trained.training.label_noise
    drawn = np.stack(
        [
            np.random.default_rng([STREAM_GARG, int(seed)]).random(clean.shape[1])
            for seed in trained.draws.training_seeds
        ]
    )
    chance = p / (k - 1) / (1.0 - p) if p < 1.0 else 1.0
    random = ~clean | (drawn < chance)
    wrong = ~_right(trained, split)
    return _share(wrong, ~random), _share(wrong, random), (~random).sum(axis=1), random.sum(axis=1)


def garg_leading(trained: Trained) -> FloatArray:
    """Return the bound of Garg et al. on the test error without its term for few points; NaN without random labels."""
    if trained.training.label_noise == 0:
        return np.full(trained.parameters.n_replicas, np.nan)
    clean, random, _, _ = _garg(trained)
    k = trained.network.n_outputs
    return np.asarray(clean + (k - 1) * (1.0 - k / (k - 1) * random))


def garg_bound(trained: Trained) -> FloatArray:
    """Return the bound of Garg et al. on the test error, which fails in at most five of a hundred draws.

    References
    ----------
    S. Garg, S. Balakrishnan, J. Z. Kolter, Z. C. Lipton, "RATT: Leveraging unlabeled data to guarantee generalization",
    ICML 2021, theorem 3: error on clean points + (k - 1) (1 - k / (k - 1) times the error on m randomly labelled
    points) + c sqrt(log(4 / delta) / (2 m)) with c = 2 k + sqrt(k) + m / (n sqrt(k)) at most.
    """
    if trained.training.label_noise == 0:
        return np.full(trained.parameters.n_replicas, np.nan)
    _, _, n, m = _garg(trained)
    k = trained.network.n_outputs
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = 2 * k + math.sqrt(k) + m / (n * math.sqrt(k))
        return np.asarray(garg_leading(trained) + factor * np.sqrt(math.log(4 / DELTA) / (2 * m)))


LEARNING_PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            told_fitted,
            clean_fitted,
            wrong_fitted,
            clean_loss,
            wrong_loss,
            validation_loss,
            held_error,
            garg_leading,
            garg_bound,
        )
    }
)
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
