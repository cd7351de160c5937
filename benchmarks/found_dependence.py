"""Count on made tables how often the order of a file, and rows that nearly repeat, are taken for dependence.

``python -m benchmarks.found_dependence`` prints, for tables of 100, 300 and 1000 rows of each kind, in how many rows
were divided by the order in the file, and in how many rows were kept together that are equal but for a jitter. Nothing
is trained. ``--tables N`` takes another number of tables of each size.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.dependence import settle_dependence
from sweeps.data.table.settings import NEARLY, ROW_ORDER, TableData

Rng = np.random.Generator
FloatArray = npt.NDArray[np.float64]
Make = Callable[[Rng, int], pd.DataFrame]

SIZES = (100, 300, 1000)
WORDS = list("abcdefg")


def inputs(rng: Rng, n: int) -> pd.DataFrame:
    """Return three inputs."""
    return pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))


def lawful(rng: Rng, n: int) -> pd.DataFrame:
    """Return a law with as much noise, and a word that means nothing."""
    frame = inputs(rng, n).assign(word=rng.choice(WORDS, n))
    return frame.assign(target=frame["a"] ** 2 + frame["b"] + np.sin(2.0 * frame["c"]) + rng.normal(size=n))


def sorted_by(*names: str) -> Make:
    """Return tables sorted by some columns."""
    return lambda rng, n: lawful(rng, n).sort_values(list(names))


def shaped(shape: Callable[[FloatArray], FloatArray]) -> Make:
    """Return tables whose inputs have another distribution, the target no part in it."""
    return lambda rng, n: pd.DataFrame(shape(rng.normal(size=(n, 3))), columns=list("abc")).assign(
        target=rng.normal(size=n)
    )


def process(rng: Rng, n: int, memory: float) -> FloatArray:
    """Return numbers of variance 1, each of which hangs on the one before."""
    values = rng.normal(size=n)
    for k in range(1, n):
        values[k] = memory * values[k - 1] + np.sqrt(1.0 - memory**2) * values[k]
    return values


def with_process(memory: float, size: float) -> Make:
    """Return a law whose error goes on from row to row."""
    return lambda rng, n: lawful(rng, n).assign(
        target=lambda frame: frame["a"] + frame["b"] + size * process(rng, n, memory)
    )


def jittered(size: float, n_inputs: int) -> Make:
    """Return coin flips, every row there one to five times with a jitter in one input."""

    def make(rng: Rng, n: int) -> pd.DataFrame:
        frame = pd.DataFrame(rng.normal(size=(n, n_inputs)), columns=[f"x{k}" for k in range(n_inputs)])
        frame = frame.assign(target=rng.integers(0, 2, n))
        rows = np.sort(rng.integers(0, max(n // 3, 20), n))
        frame = frame.iloc[rng.permutation(rows)].reset_index(drop=True)
        return frame.assign(x0=frame["x0"] + size * rng.normal(size=n))

    return make


HONEST: Mapping[str, Make] = MappingProxyType(
    {
        "rows in no order": lawful,
        "with a running number": lambda rng, n: lawful(rng, n).assign(nr=np.arange(n)),
        "sorted by the target": sorted_by("target"),
        "sorted by an input": sorted_by("a"),
        "sorted by a word, then by the target": sorted_by("word", "target"),
        "sorted by a word, then by an input": sorted_by("word", "a"),
        "sorted by classes": lambda rng, n: (
            lawful(rng, n)
            .assign(target=lambda frame: np.where(frame["target"] > 1.0, "high", "low"))
            .sort_values("target")
        ),
        "sorted by what is not in the file, a sum of inputs": lambda rng, n: lawful(rng, n).sort_values(
            "a", key=lambda a: a + rng.normal(size=n)
        ),
        "inputs with heavy tails": shaped(lambda X: np.exp(1.5 * X)),
        "inputs rounded to two digits": shaped(lambda X: X.round(2)),
        "inputs of six steps and one number": shaped(
            lambda X: np.column_stack([X[:, :2].clip(-1.2, 1.2).round() * 3.0, X[:, 2]])
        ),
        "inputs nearly on a line": shaped(lambda X: X[:, :1] + 0.01 * X),
    }
)
DEPENDENT: Mapping[str, Make] = MappingProxyType(
    {
        "a random walk": lambda rng, n: inputs(rng, n).assign(target=np.cumsum(rng.normal(size=n))),
        "a random walk beside a running number": lambda rng, n: inputs(rng, n).assign(
            target=np.cumsum(rng.normal(size=n)), nr=np.arange(n)
        ),
        "classes in slow regimes": lambda rng, n: inputs(rng, n).assign(
            target=(process(rng, n, 0.97) > 0.0).astype(int)
        ),
        "a law, its error with a memory of 0.9": with_process(0.9, 1.5),
        "the same, 0.6": with_process(0.6, 1.5),
        "copies, a jitter of 0.001 in one of 2 inputs": jittered(1e-3, 2),
        "copies, a jitter of 0.01 in one of 3 inputs": jittered(1e-2, 3),
        "copies, a jitter of 0.01 in one of 10 inputs": jittered(1e-2, 10),
    }
)


def found(frame: pd.DataFrame) -> tuple[bool, bool]:
    """Return whether the order in the file, and a jitter, are taken for dependence."""
    frame = frame.reset_index(drop=True)
    columns, target = find_columns(frame, "target"), find_target(frame, "target")
    data = settle_dependence(TableData("made", "target", task=target.task), frame, columns, target)
    return data.time_column == ROW_ORDER, data.equal_rows == NEARLY


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20, metavar="N", help="of each kind and size (default: 20)")
    n_tables = parser.parse_args().tables
    warnings.simplefilter("ignore")
    print("| tables | of each | divided by order | nearly equal rows together |\n|---|---|---|---|")
    for title, kinds in (("honest", HONEST), ("dependent", DEPENDENT)):
        for words, make in kinds.items():
            counts = np.array(
                [[found(make(np.random.default_rng([11, i, n]), n)) for i in range(n_tables)] for n in SIZES]
            ).sum(axis=1)
            order, near = (" + ".join(map(str, column)) for column in counts.T.tolist())
            print(
                f"| {title}: {words} | {' + '.join(map(str, [n_tables] * len(SIZES)))} | {order} | {near} |", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
