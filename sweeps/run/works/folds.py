"""K folds of each replica's training points: what one of them says, what all say, and what their models say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.evaluation import predict
from engine.network import Parameters
from engine.splits import Split
from engine.training import train
from sweeps.run.trial import Cancelled
from sweeps.run.works.found import Asked, Found
from sweeps.spec.works import FoldsWork

FloatArray = npt.NDArray[np.float64]


def cross_validate(work: FoldsWork, asked: Asked) -> Found:
    """Return mean squared errors of K-fold cross-validation and of its K models, of each replica; see `FoldsWork`.

    The folds' first weights are those of their replica. What `fold` and `folds` say is to be held against `whole`, the
    error on the test points of a model trained on all training points; `one` is the mean error there of the K models,
    each by itself, `together` that of their mean prediction.
    """
    draws, network, training = asked.draws, asked.network, asked.training
    X, y = draws.train.X, draws.train.y
    n = X.shape[1] // work.k * work.k
    places = np.arange(n).reshape(work.k, -1)
    first = draws.initialize(network)
    errors, predictions = [], []

    def trained(split: Split) -> Parameters:
        if asked.cancel.is_set():
            raise Cancelled
        last = asked.looks[-1]
        return train(
            network, training, split, first, draws.training_seeds, look_at=[last], evaluate_on={}
        ).state.parameters

    def error(outputs: FloatArray, targets: npt.NDArray[np.floating]) -> FloatArray:
        return np.asarray(((outputs - targets) ** 2).mean(axis=(1, 2)), np.float64)

    for held in places:
        kept = np.setdiff1d(np.arange(n), held)
        parameters = trained(Split(X[:, kept], y[:, kept]))
        errors.append(error(np.asarray(predict(network, parameters, X[:, held]), np.float64), y[:, held]))
        predictions.append(np.asarray(predict(network, parameters, draws.test.X), np.float64))
    whole = trained(draws.train)
    constant = np.broadcast_to(y.mean(axis=1, keepdims=True), draws.test.y.shape)
    return Found(
        {
            "fold": errors[0],
            "folds": np.mean(errors, axis=0),
            "whole": error(np.asarray(predict(network, whole, draws.test.X), np.float64), draws.test.y),
            "one": np.mean([error(one, draws.test.y) for one in predictions], axis=0),
            "together": error(np.mean(predictions, axis=0), draws.test.y),
            "constant": error(np.asarray(constant, np.float64), draws.test.y),
        }
    )
