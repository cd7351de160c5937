"""What `benchmarks/engine.py` measures: this engine and its peers, training the same networks on the same points.

Every peer starts from the same weights, sees the same points in the same order with the same step in float32, and must
reach the same loss (scikit-learn excepted, whose output layer is linear).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Config:
    """A network and how it is trained; `tolerance` bounds what losses may differ by after three epochs."""

    name: str
    sizes: tuple[int, ...]
    activation: str
    batch: int
    output: str = "tanh"
    loss: str = "half_squared_error"
    optimizer: str = "sgd"
    rate: float = 0.03
    n_points: int = 350
    order: str = "fixed"
    tolerance: float = 2e-5


@dataclass(frozen=True)
class Problem:
    """Points (R or 1, n, d), targets (R or 1, n, 1) and first weights and biases of R networks."""

    X: FloatArray
    y: FloatArray
    weights: list[FloatArray]
    biases: list[FloatArray]


@dataclass
class Peer:
    """Something that trains: `run(epochs)` trains `n_networks` networks; `loss()` is the first one's training loss."""

    name: str
    n_networks: int
    run: Callable[[int], None]
    loss: Callable[[], float] | None = None
    prepare_s: float = 0.0  # processor time before the first epoch, where a new shape or new points pay for it again
    times_us: list[float] = field(default_factory=list)
    epochs: int = 1


def numbers(config: Config, n_networks: int) -> Problem:
    """Return random points and first weights; network 0 is the same for any number of them."""
    X, y, weights, biases = [], [], [], []
    for r in range(n_networks):
        rng = np.random.default_rng([1, r])
        X.append(rng.uniform(-1, 1, (config.n_points, config.sizes[0])))
        if config.loss == "mse":  # a quadratic with noise, as in the polynomial study
            y.append(1 + 2 * X[-1] + 3 * X[-1] ** 2 + rng.normal(0, 0.1, X[-1].shape))
        else:
            y.append(np.sign(np.prod(X[-1], axis=1, keepdims=True)) * 0.8)
        width = [min(0.5, (6 / fan_in) ** 0.5) for fan_in in config.sizes]
        weights.append(
            [rng.uniform(-w, w, pair) for w, pair in zip(width, itertools.pairwise(config.sizes), strict=False)]
        )
        biases.append([np.full(n, 0.1) for n in config.sizes[1:]])

    def stack(values: list[Any]) -> list[FloatArray]:
        return [np.stack(layer).astype(np.float32) for layer in zip(*values, strict=True)]

    return Problem(np.stack(X).astype(np.float32), np.stack(y).astype(np.float32), stack(weights), stack(biases))


def images(config: Config, pixels: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> Problem:
    """Return images (n, height, width) as points in [0, 1] and one network's first weights (He, uniform)."""
    rng = np.random.default_rng(1)
    X = (pixels.reshape(len(pixels), -1).astype(np.float32) / 255)[None]
    weights = [
        rng.uniform(-1, 1, (1, fan_in, fan_out)).astype(np.float32) * np.float32(np.sqrt(6 / fan_in))
        for fan_in, fan_out in itertools.pairwise(config.sizes)
    ]
    biases = [np.zeros((1, n), dtype=np.float32) for n in config.sizes[1:]]
    return Problem(X, classes.astype(np.float32)[None, :, None], weights, biases)


def made_images(n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return n images of ten classes, each a dimmed and noisy copy of its class's image, and their classes.

    They can be learnt, so that training converges and rounding with it. On pixels without any pattern it is chaotic:
    first weights that differ in their last bit end as far apart after three epochs as this engine and PyTorch do.
    """
    rng = np.random.default_rng(1)
    patterns = rng.integers(256, size=(10, 784)) * (rng.random((10, 784)) < 0.5)
    classes = rng.integers(10, size=n).astype(np.uint8)
    pixels = rng.uniform(0.3, 1, (n, 1)) * patterns[classes] + rng.normal(0, 40, (n, 784))
    return pixels.clip(0, 255).astype(np.uint8), classes


def engine_peer(
    config: Config, problem: Problem, n_threads: int = 1, road: Any = None, losses_on: int = 0, **settings: Any
) -> Peer:
    """Return this project's engine; with threads, each trains as many networks of its own.

    `losses_on` measures losses at every epoch: 1 on the training points, 2 on three sevenths as many test points, too
    (350 and 150 in the Playground).
    """
    from engine.configuration import TrainingConfig
    from engine.evaluation import mean_losses
    from engine.network import NetworkConfig, Parameters
    from engine.roads.choice import choose_road
    from engine.splits import Split
    from engine.training import advance, initial_state, train

    network = NetworkConfig(config.sizes[0], config.sizes[1:-1], config.sizes[-1], config.activation, config.output)
    fields: dict[str, Any] = {
        "order": config.order,
        "loss": config.loss,
        "optimizer": config.optimizer,
        "learning_rate": config.rate,
        "batch_size": config.batch,
    }
    training = TrainingConfig(**(fields | settings))
    split = Split(problem.X.astype(training.dtype), problem.y.astype(training.dtype))
    n_test = config.n_points * 3 // 7
    test = Split(split.X[:, :n_test], split.y[:, :n_test])
    parameters = Parameters(problem.weights, problem.biases)
    n_networks = parameters.n_replicas
    seeds = np.arange(n_networks, dtype=np.uint64)
    states = [initial_state(network, training, parameters, seeds) for _ in range(n_threads)]
    chosen = road or choose_road(network, training)
    if chosen == "compiled":
        from engine.roads.compiled import session as kernels

        kernels.warm_up(training.dtype)  # once a process, whatever the shape: `benchmarks/engine.py --only compiler`

    def work(state: Any, epochs: int) -> None:
        if losses_on:
            looks = range(state.epoch + 1, state.epoch + epochs + 1)
            splits = {"train": split, "test": test} if losses_on == 2 else {"train": split}
            train(network, training, split, parameters, seeds, look_at=looks, evaluate_on=splits, state=state)
        else:
            advance(state, network, training, split, epochs, road=chosen)

    pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def run(epochs: int) -> None:
        if pool is None:
            work(states[0], epochs)
        else:
            list(pool.map(lambda state: work(state, epochs), states))

    def loss() -> float:
        return float(mean_losses(network, states[0].parameters, split, training.loss)[0])

    return Peer("this engine", n_networks * n_threads, run, loss)


def rule_peer(config: Config, problem: Problem) -> Peer:
    """Return this project's full-batch training on Gauss rules, in float64, for one input and one hidden layer."""
    from engine.polynomial.quadrature import gauss_rule, train_full_batch

    start = time.process_time()
    rule = gauss_rule(problem.X[..., 0].astype(np.float64), problem.y[..., 0].astype(np.float64))
    prepare_s = time.process_time() - start
    W1, W2 = problem.weights
    b1, b2 = problem.biases
    parameters = np.concatenate([W1[:, 0], b1, W2[:, :, 0], b2], axis=1).astype(np.float64)
    R = len(parameters)
    trainable, rates = np.ones(parameters.shape, dtype=np.bool_), np.full(R, config.rate)
    losses = [0.0]

    def run(epochs: int) -> None:
        history = train_full_batch(rule, parameters, trainable, rates, (epochs,), epsilon=1e-8)
        losses[0] = float(history.loss[-1, 0])

    return Peer(f"this engine, Gauss rule x {R}", R, run, lambda: losses[0], prepare_s)


def torch_peer(config: Config, problem: Problem) -> Peer:
    """Return PyTorch eager as everyone writes it: one network, batches by slicing or, shuffled, by indexing."""
    import torch

    from engine.methods.streams import permutations

    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}[config.activation]
    layers: list[Any] = []
    for i, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
        linear = torch.nn.Linear(W.shape[1], W.shape[2])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W[0].T.copy()))
            linear.bias.copy_(torch.from_numpy(b[0]))
        layers.append(linear)
        if i + 1 < len(problem.weights):
            layers.append(activation())
        elif config.output == "tanh":
            layers.append(torch.nn.Tanh())
    model = torch.nn.Sequential(*layers)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer](model.parameters(), lr=config.rate)
    inputs, targets = torch.from_numpy(problem.X[0]), torch.from_numpy(problem.y[0])
    n = len(inputs)
    if config.loss == "softmax_cross_entropy":
        targets = targets[:, 0].long()
    # The first epochs take this engine's orders, so that losses can be compared; it draws its own within its time.
    same_orders = [
        torch.from_numpy(permutations(np.zeros(1, dtype=np.uint64), epoch, n)[0])
        for epoch in range(3 if config.order == "shuffled" else 0)
    ]

    def mean_loss(outputs: Any, wanted: Any) -> Any:
        if config.loss == "softmax_cross_entropy":
            return torch.nn.functional.cross_entropy(outputs, wanted)
        if config.loss == "mse":
            return torch.nn.functional.mse_loss(outputs, wanted)
        error = outputs - wanted
        return (0.5 * error * error).mean()

    def run(epochs: int) -> None:
        for _ in range(epochs):
            order = None
            if config.order == "shuffled":
                order = same_orders.pop(0) if same_orders else torch.randperm(n)
            for i in range(0, n, config.batch):
                batch = slice(i, i + config.batch) if order is None else order[i : i + config.batch]
                optimizer.zero_grad()
                mean_loss(model(inputs[batch]), targets[batch]).backward()
                optimizer.step()

    def loss() -> float:
        with torch.no_grad():
            return float(mean_loss(model(inputs), targets))

    return Peer("PyTorch eager", 1, run, loss)


def torch_batched_peer(config: Config, problem: Problem) -> Peer:
    """Return PyTorch with all networks in one batched product a layer."""
    import torch

    activation = {"tanh": torch.tanh, "relu": torch.relu}[config.activation]
    W = [torch.from_numpy(w.copy()).requires_grad_() for w in problem.weights]
    b = [torch.from_numpy(v[:, None, :].copy()).requires_grad_() for v in problem.biases]
    inputs, targets = torch.from_numpy(problem.X), torch.from_numpy(problem.y)

    def outputs(a: Any) -> Any:
        for i, (w, v) in enumerate(zip(W, b, strict=True)):
            a = torch.baddbmm(v, a, w)
            a = activation(a) if i + 1 < len(W) else torch.tanh(a)
        return a

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for i in range(0, config.n_points, config.batch):
                error = outputs(inputs[:, i : i + config.batch]) - targets[:, i : i + config.batch]
                gradients = torch.autograd.grad((0.5 * error * error).mean(dim=(1, 2)).sum(), W + b)
                with torch.no_grad():
                    torch._foreach_add_(W + b, gradients, alpha=-config.rate)

    def loss() -> float:
        with torch.no_grad():
            return float((0.5 * (outputs(inputs) - targets) ** 2)[0].mean())

    return Peer(f"PyTorch batched x {len(problem.X)}", len(problem.X), run, loss)


def jax_peer(config: Config, problem: Problem, replicas_last: bool) -> Peer:
    """Return JAX with `vmap` (replicas first), or written out with the replicas as last axis."""
    import jax
    import jax.numpy as jnp

    X, y, weights, biases = problem.X, problem.y, problem.weights, problem.biases
    n = config.n_points
    hidden = {"tanh": jnp.tanh, "relu": jax.nn.relu}[config.activation]
    n_batches = n // config.batch
    n_rest = n - n_batches * config.batch

    def one(parameters: Any, a: Any, target: Any) -> Any:
        for i, (W, b) in enumerate(parameters):
            a = a @ W + b
            a = hidden(a) if i + 1 < len(parameters) else jnp.tanh(a)
        return 0.5 * ((a - target) ** 2).mean()

    def last(parameters: Any, a: Any, target: Any) -> Any:
        for i, (W, b) in enumerate(parameters):
            a = (a[:, :, None, :] * W[None]).sum(axis=1) + b
            a = hidden(a) if i + 1 < len(parameters) else jnp.tanh(a)
        return 0.5 * ((a - target) ** 2).mean(axis=(0, 1)).sum()

    if replicas_last:
        parameters = [(jnp.moveaxis(W, 0, -1), jnp.moveaxis(b, 0, -1)) for W, b in zip(weights, biases, strict=True)]
        inputs, targets = jnp.moveaxis(X, 0, -1), jnp.moveaxis(y, 0, -1)
        gradient, axis = jax.grad(last), 0
    else:
        parameters = [(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(weights, biases, strict=True)]
        inputs, targets = jnp.asarray(X), jnp.asarray(y)
        gradient, axis = jax.vmap(jax.grad(one)), 1

    def cut(values: Any) -> tuple[Any, Any]:
        whole = jax.lax.slice_in_dim(values, 0, n_batches * config.batch, axis=axis)
        shape = (*whole.shape[:axis], n_batches, config.batch, *whole.shape[axis + 1 :])
        rest = jax.lax.slice_in_dim(values, n_batches * config.batch, n, axis=axis)
        return jnp.moveaxis(whole.reshape(shape), axis, 0), rest

    (batches_x, rest_x), (batches_y, rest_y) = cut(inputs), cut(targets)

    def step(parameters: Any, batch: Any) -> tuple[Any, None]:
        return jax.tree.map(lambda p, g: p - config.rate * g, parameters, gradient(parameters, *batch)), None

    @jax.jit
    def train(parameters: Any, epochs: Any) -> Any:
        def epoch(_: Any, parameters: Any) -> Any:
            parameters, _ = jax.lax.scan(step, parameters, (batches_x, batches_y))
            return step(parameters, (rest_x, rest_y))[0] if n_rest else parameters

        return jax.lax.fori_loop(0, epochs, epoch, parameters)

    start = time.process_time()
    jax.block_until_ready(train(parameters, 0))
    prepare_s = time.process_time() - start
    state = [parameters]

    def run(epochs: int) -> None:
        state[0] = jax.block_until_ready(train(state[0], epochs))

    def loss() -> float:
        if replicas_last:
            first = [(W[..., 0], b[..., 0]) for W, b in state[0]]
            return float(one(first, inputs[..., 0], targets[..., 0]))
        return float(one([(W[0], b[0]) for W, b in state[0]], inputs[0], targets[0]))

    return Peer(f"JAX {'last' if replicas_last else 'vmap'} x {len(X)}", len(X), run, loss, prepare_s)


def sklearn_peer(config: Config, problem: Problem) -> Peer:
    """Return scikit-learn's MLPRegressor, an epoch a `partial_fit`."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=config.sizes[1:-1],
        activation=config.activation,
        solver="sgd",
        alpha=0.0,
        batch_size=config.batch,
        learning_rate_init=config.rate,
        momentum=0.0,
        shuffle=False,
        random_state=0,
    )

    def run(epochs: int) -> None:
        for _ in range(epochs):
            model.partial_fit(problem.X[0], problem.y[0, :, 0])

    return Peer("scikit-learn", 1, run)
