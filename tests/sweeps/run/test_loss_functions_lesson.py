"""Losses: hinge loss 0 at doubled weights, accuracy and calibration against scikit-learn and by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.lessons.loss_functions import N_PROBLEMS, doubled_losses
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.images import ImageData, ImageSource
from sweeps.run.textbook_probes import calibration_gap, test_error
from sweeps.run.trained import Trained
from sweeps.toml import SpecError

test_error.__test__ = False  # type: ignore[attr-defined]  # a probe's name, no test


def asked(loss: str) -> Asked:
    return Asked("digits", 1, "", "test_loss", 0.1, loss, "float32", 3, 2, 2, 0, 0.05)


def test_hinge_loss_0_stays_0_with_weights_doubled_and_cross_entropy_falls() -> None:
    before, after = doubled_losses("hinge")
    assert before.tolist() == after.tolist() == [0.0] * N_PROBLEMS
    before, after = doubled_losses("softmax_cross_entropy")
    assert (after < before).all()
    assert (after > 0).all()


def test_images_are_equal_for_all_losses_and_none_is_trained_and_tested_on() -> None:
    data = ImageData(50, 60)
    classes, columns = (ImageSource(asked(loss), data) for loss in ("hinge", "half_squared_error"))
    one, other = (source.draws(source.search_seeds()) for source in (classes, columns))
    assert np.array_equal(one.train.X, other.train.X)
    assert one.train.X.shape == (3, 50, 64)
    assert one.train.X.max() <= 1.0
    assert np.array_equal(one.test.y[..., 0], other.test.y.argmax(axis=2))
    assert (other.train.y.sum(axis=2) == 1).all()
    assert (one.n_in_range + one.n_out_of_range == 60).all()
    whole = ImageSource(asked("hinge"), ImageData(1000, 797))
    draws = whole.draws(("draw1",))
    rows = np.concatenate([draws.train.X[0], draws.test.X[0]])
    assert np.array_equal(np.sort(rows.sum(axis=1)), np.sort((whole._X / np.float32(16)).sum(axis=1)))
    # The constant predictor of shares s has half a squared error of (1 - sum s^2) / 2 on its own points.
    shares = other.train.y.mean(axis=1)
    assert other.constant["train"] == pytest.approx((1 - (shares**2).sum(axis=1)) / 2, rel=1e-5)


def test_more_images_than_there_are_is_one_line() -> None:
    message = r"digits: n_train \+ n_test: 1798 is more than the 1797 images there are; give less"
    with pytest.raises(SpecError, match=f"^{message}$"):
        ImageSource(asked("hinge"), ImageData(1000, 798))


def _trained(scores: np.ndarray, classes: np.ndarray) -> Trained:
    """Return a network whose scores are its inputs."""
    k = scores.shape[2]
    network = NetworkConfig(k, (), n_outputs=k, output_activation="linear")
    parameters = Parameters([np.eye(k)[None]], [np.zeros((1, k))])
    return Trained(network, "hinge", parameters, SimpleNamespace(test=Split(scores, classes)))  # type: ignore[arg-type]


def test_error_and_calibration_are_what_is_counted_by_hand() -> None:
    # Shares 0.9 and 0.1 for each of ten points, six of them right: confidence 0.9 against accuracy 0.6.
    scores = np.log(np.tile([0.9, 0.1], (1, 10, 1)))
    classes = np.repeat([0.0, 1.0], [6, 4])[None, :, None]
    one = _trained(scores, classes)
    assert test_error(one) == pytest.approx(0.4)
    assert calibration_gap(one) == pytest.approx(0.3)
    columns = np.concatenate([1 - classes, classes], axis=2)
    assert test_error(_trained(scores, columns)) == pytest.approx(0.4)


def test_scores_drawn_from_their_own_shares_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([0.5, 0.5, 0.5], size=20_000)
    classes = np.array([rng.choice(3, p=row) for row in shares], float)[None, :, None]
    assert calibration_gap(_trained(np.log(shares)[None], classes))[0] < 0.015
    assert calibration_gap(_trained(4 * np.log(shares)[None], classes))[0] > 0.1  # overconfident
