"""How near the certified winners are to what the points allow.

    python -m benchmarks.limit results/homework                                  minutes
    python -m benchmarks.limit results/homework --into docs/performance.md       the same, into its place there
    python -m benchmarks.limit results/homework --draws 4 --members 2            does it run?

The floor is the loss of a predictor that knows the set's law. Nobody who has a few hundred noisy points reaches it. On
the same fresh draws, the mean test loss above the floor of: the winner; its ensemble (one draw's networks from several
first weights and orders, outputs averaged), which has no variance of training left; rivals, each with the settings that
are best on these very draws, so that they are flattered; and a unit that is given the one feature which makes the set
easy, so that only its two numbers are left to learn. Excess losses are paired with the floor on each draw's own points.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsRegressor

from analysis.records.reading import read_sweep
from analysis.records.study import STAGES, Study
from benchmarks.engine_tables import machine, table, write_into
from engine.evaluation import predict
from engine.methods.initializers import initialize
from engine.training import train
from sweeps.data.source import Draws
from sweeps.search.space import apply
from sweeps.spec.sweep import SweepSpec, load_spec, open_source
from sweeps.store.log import SPEC_NAME

Array = npt.NDArray[np.float64]

FEATURE: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "gauss": lambda X: X[..., 0] + X[..., 1],
        "xor": lambda X: X[..., 0] * X[..., 1],
        "circle": lambda X: X[..., 0] ** 2 + X[..., 1] ** 2,
    }
)
"""What makes a set easy: its classes are told apart by one threshold on it."""
WIDTHS = tuple(float(gamma) for gamma in np.geomspace(0.01, 3.0, 9))
PENALTIES = tuple(float(alpha) for alpha in np.geomspace(0.01, 100.0, 9))
NEIGHBOURS = (5, 9, 15, 25, 41, 61)


def network_outputs(spec: SweepSpec, study: Study, draws: Draws, n_inputs: int, members: int) -> Array:
    """Return the winner's outputs at the test points, (members, R, n): each from first weights of its own."""
    winner = study.winner
    assert winner is not None
    certificate = study.records_of("certificate")[-1]
    network, training = apply(spec, winner.params, n_inputs, 1)
    outputs = []
    for member in range(members):
        start = initialize(network, [np.random.default_rng([member, int(seed)]) for seed in draws.training_seeds])
        keys = draws.training_seeds + np.uint64(1_000_000 * (member + 1))
        end = train(network, training, draws.train, start, keys, look_at=[certificate.epoch_grid[-1]], evaluate_on={})
        outputs.append(predict(network, end.state.parameters, draws.test.X)[..., 0])
    return np.stack(outputs).astype(np.float64)


def losses(outputs: Array, draws: Draws) -> Array:
    """Return half the mean squared error of outputs (..., R, n), by draw."""
    return np.asarray(0.5 * ((outputs - draws.test.y[..., 0]) ** 2).mean(axis=-1))


def ridge_outputs(draws: Draws) -> dict[str, Array]:
    """Return the outputs of kernel ridge regression (Gaussian kernel) by its two numbers."""
    found: dict[str, Array] = {}
    for gamma in WIDTHS:
        rows = [_solved(draws, r, gamma) for r in range(len(draws.seeds))]
        for i, alpha in enumerate(PENALTIES):
            found[f"kernel ridge, gamma {gamma:.3g}, penalty {alpha:.3g}"] = np.stack([row[i] for row in rows])
    return found


def _solved(draws: Draws, r: int, gamma: float) -> list[Array]:
    X, y, at = draws.train.X[r], draws.train.y[r, :, 0], draws.test.X[r]
    values, vectors = np.linalg.eigh(rbf_kernel(X, X, gamma).astype(np.float64))
    across = rbf_kernel(at, X, gamma) @ vectors
    turned = vectors.T @ y
    return [np.clip(across @ (turned / (np.maximum(values, 0) + alpha)), -1, 1) for alpha in PENALTIES]


def neighbour_outputs(draws: Draws) -> dict[str, Array]:
    """Return the mean label of the k nearest training points, by k."""
    return {
        f"mean of {k} neighbours": np.stack(
            [
                KNeighborsRegressor(k).fit(X, y[:, 0]).predict(at)
                for X, y, at in zip(draws.train.X, draws.train.y, draws.test.X, strict=True)
            ]
        )
        for k in NEIGHBOURS
    }


def unit_outputs(name: str, draws: Draws) -> dict[str, Array]:
    """Return the outputs of one tanh unit on the feature that makes the set easy; nothing where there is none."""
    if name not in FEATURE:
        return {}
    rows = []
    for X, y, at in zip(draws.train.X, draws.train.y[..., 0], draws.test.X, strict=True):
        feature = FEATURE[name](X)
        centre, scale = feature.mean(), feature.std()
        z, z_at = (feature - centre) / scale, (FEATURE[name](at) - centre) / scale
        slope = np.sign(z @ y)
        fit = least_squares(lambda w, z=z, y=y: np.tanh(w[0] * z + w[1]) - y, (slope, 0.0))
        rows.append(np.tanh(fit.x[0] * z_at + fit.x[1]))
    return {"one tanh unit, given the feature": np.stack(rows)}


def excess(outputs: Array, draws: Draws) -> tuple[float, float]:
    """Return the mean loss above the floor over draws, and its standard error."""
    assert draws.floors is not None
    above = losses(outputs, draws) - draws.floors["test"]
    if above.ndim == 2:  # a single network: the mean over members, a draw
        above = above.mean(axis=0)
    return float(above.mean()), float(above.std(ddof=1) / np.sqrt(len(above)))


def rows_of(spec: SweepSpec, study: Study, n_draws: int, members: int) -> list[list[str]]:
    """Return a dataset's lines of the table."""
    name = study.header.dataset
    (dataset,) = [one for one in spec.datasets if one.name == name]
    source = open_source(spec, dataset)
    used = {seed for stage in STAGES for record in study.of_stage(stage) for seed in getattr(record, "seeds", ())}
    draws = source.draws(source.fresh_seeds("certificate", "limit", used)[:n_draws])
    outputs = network_outputs(spec, study, draws, source.n_inputs, members)
    found = {
        "winner": excess(outputs, draws),
        f"its ensemble of {members}": excess(outputs.mean(axis=0), draws),
    }
    for rivals in (ridge_outputs(draws), neighbour_outputs(draws), unit_outputs(name, draws)):
        if rivals:
            best = min(rivals, key=lambda one: excess(rivals[one], draws)[0])
            found[best] = excess(rivals[best], draws)
    floor = source.floor or 0.0
    return [
        [name if i == 0 else "", who, f"{above:.4f}", f"{error:.4f}", f"{floor + above:.4f}"]
        for i, (who, (above, error)) in enumerate(found.items())
    ]


def main() -> None:
    """Measure, print, and put the table where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of a finished sweep of Playground sets")
    parser.add_argument("--draws", type=int, default=128)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--into", type=Path, help="document that gets the table")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    spec = load_spec(args.sweep / SPEC_NAME)
    lines = [line for study in read_sweep(args.sweep) for line in rows_of(spec, study, args.draws, args.members)]
    text = table(["set", "what", "above the floor", "standard error", "mean test loss"], (0, 1), lines)
    text = f"{machine(load)} {args.draws} fresh draws.\n\n{text}"
    print(text)
    if args.into:
        write_into(args.into, "limit", text)


if __name__ == "__main__":
    main()
