"""How long training and matrix products take: our engine, PyTorch, scikit-learn, one thread each."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import train
from sweeps.run.trial import Cancelled
from sweeps.run.works.found import Asked, Found
from sweeps.spec.works import ProductWork, SpeedWork

FloatArray = npt.NDArray[np.float64]
STREAM_TIMING = 27


def train_once(work: SpeedWork, asked: Asked) -> Found:
    """Return the seconds of one epoch on each replica's points, and how far its scores are from those of our engine.

    All three begin with the same weights and take the same fixed batches of plain gradient descent. The first epoch of
    each is not counted: it compiles and allocates. A package that is not installed is named in the cell's failure.
    """
    seconds, gaps = [], []
    draws = asked.draws
    with threadpool_limits(limits=1), _one_torch_thread(work.implementation == "pytorch"):
        for r in range(len(draws.seeds)):
            if asked.cancel.is_set():
                raise Cancelled
            split = Split(draws.train.X[r : r + 1], draws.train.y[r : r + 1])
            first = draws.initialize(asked.network).select(slice(r, r + 1))
            key = draws.training_seeds[r : r + 1]
            epoch = _RUNNERS[work.implementation](asked.network, asked.training, split, first, key)
            epoch()
            gc.collect()
            start = time.perf_counter()
            found = epoch()
            seconds.append(time.perf_counter() - start)
            mine = _ours(asked.network, asked.training, split, first, key)()
            gaps.append(float(np.abs(found - mine).max() / max(np.abs(mine).max(), 1e-12)))
    # Which sum is taken first differs by package: to two digits the scores are the same on every machine.
    return Found({"score_gap": np.array([float(gap > 1e-2) for gap in gaps])}, seconds=seconds)


@contextmanager
def _one_torch_thread(is_used: bool) -> Iterator[None]:
    """Let PyTorch use one thread: its own pool heeds no limit from outside."""
    if not is_used:
        yield
        return
    try:
        import torch
    except ImportError:
        raise ValueError("work.implementation: pytorch needs the package torch; install it, or leave it out") from None
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _ours(
    network: NetworkConfig, training: TrainingConfig, split: Split, first: Parameters, key: npt.NDArray[np.uint64]
) -> Callable[[], FloatArray]:
    def epoch() -> FloatArray:
        state = train(network, training, split, first, key, look_at=[1], evaluate_on={}).state
        return np.asarray(predict(network, state.parameters, split.X)[0], np.float64)

    return epoch


def _torch(
    network: NetworkConfig,  # noqa: ARG001
    training: TrainingConfig,
    split: Split,
    first: Parameters,
    key: npt.NDArray[np.uint64],  # noqa: ARG001
) -> Callable[[], FloatArray]:
    import torch

    X, y = torch.tensor(split.X[0]), torch.tensor(split.y[0, :, 0]).long()

    def epoch() -> FloatArray:
        layers: list[torch.nn.Module] = []
        for W, b in zip(first.weights, first.biases, strict=True):
            layer = torch.nn.Linear(W.shape[1], W.shape[2])
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(W[0].T))
                layer.bias.copy_(torch.tensor(b[0]))
            layers += [layer, torch.nn.ReLU()]
        net = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.SGD(net.parameters(), lr=training.learning_rate)
        for start in range(0, len(X), training.batch_size):
            batch = slice(start, start + training.batch_size)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(X[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            return np.asarray(net(X).numpy(), np.float64)

    return epoch


def _sklearn(
    network: NetworkConfig,
    training: TrainingConfig,
    split: Split,
    first: Parameters,
    key: npt.NDArray[np.uint64],  # noqa: ARG001
) -> Callable[[], FloatArray]:
    from sklearn.neural_network import MLPClassifier

    X, y = split.X[0], split.y[0, :, 0].astype(int)
    if len(np.unique(y)) < network.n_outputs:
        raise ValueError("data.n_train: scikit-learn wants an image of every class among them; draw more")
    model = MLPClassifier(
        network.hidden_layer_sizes, solver="sgd", batch_size=training.batch_size, shuffle=False, alpha=0.0,
        learning_rate_init=training.learning_rate, momentum=0.0, nesterovs_momentum=False, max_iter=1, tol=0.0,
        warm_start=True, random_state=0,
    )  # fmt: skip

    def epoch() -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one epoch does not converge, and it says so
            if not hasattr(model, "coefs_"):
                model.fit(X, y)
            model.coefs_ = [W[0].astype(X.dtype) for W in first.weights]
            model.intercepts_ = [b[0].astype(X.dtype) for b in first.biases]
            model.fit(X, y)
        A = X
        for W, b in zip(model.coefs_, model.intercepts_, strict=True):
            Z = A @ W + b
            A = np.maximum(Z, 0)
        return np.asarray(Z, np.float64)

    return epoch


_RUNNERS = {"engine": _ours, "pytorch": _torch, "sklearn": _sklearn}


def multiply(work: ProductWork, asked: Asked) -> Found:
    """Return the seconds of a product of two random square matrices in single precision, one thread, R times."""
    n, seconds = work.size, []
    rng = np.random.default_rng([STREAM_TIMING, n])
    A, B = (rng.normal(size=(n, n)).astype(np.float32) for _ in range(2))
    out = np.empty((n, n), np.float32)
    with threadpool_limits(limits=1):
        np.matmul(A, B, out=out)
        for _ in range(len(asked.draws.seeds)):
            if asked.cancel.is_set():
                raise Cancelled
            start = time.perf_counter()
            np.matmul(A, B, out=out)
            seconds.append(time.perf_counter() - start)
    return Found({"work": np.full(len(seconds), 2.0 * n**3)}, seconds=seconds)
