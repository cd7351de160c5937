"""House prices (Ames) in divisions of their own, prepared as the textbook does or with one step done otherwise.

A replica is a division of the 1460 rows with a price. What is fitted (means, spreads) is fitted on its training
rows. The target is the price's logarithm less `center`, or the price in 100 000 dollars; whatever is
trained on, a network is scored by the mean squared error of logarithms.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.statistics.ranges import Box
from engine.evaluation import predict
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import Draws, Losses, mean_loss
from sweeps.fields import flag, number, read_fields, text

STREAM_HOUSES, STREAM_HOLES = 28, 29
TEST_SHARE = 0.2
UNIT = 100_000.0
CHEAPEST = 1_000.0
"""Dollars: predictions of a raw price below that count as that, for a logarithm wants a positive number."""
HOLED = ("OverallQual", "GrLivArea")
"""Columns that go most with the price; of their cells a share is taken away where that is asked for."""


@dataclass(frozen=True, slots=True)
class HouseData:
    """How the rows are prepared.

    Parameters
    ----------
    target : str
        ``"log"`` or ``"raw"`` prices.
    center : float
        Taken off the logarithm.
    standardize, with_id : bool
        Whether numbers are standardized, and whether the Id is kept as a number.
    holes : str
        Whether a share of the cells of two columns is taken away, and how: ``"none"``, ``"at_random"``, or
        ``"highest"`` (the largest values).
    hole_share : float
        That share.
    """

    target: str = text(("log", "raw"), "log")
    center: float = number(0.0, 20.0, 12.0)
    standardize: bool = flag(True)
    with_id: bool = flag(False)
    holes: str = text(("none", "at_random", "highest"), "none")
    hole_share: float = number(0.0, 0.9, 0.3)

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)

    def without_folders(self) -> HouseData:
        """Return itself: no file of the user's is named."""
        return self


@functools.lru_cache(maxsize=1)
def _table() -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return number columns by name with NaN for missing, one 0/1 column a value of each text column, and prices."""
    import pandas as pd

    from sweeps.data.table.published import named

    frame = named.NAMED_SETS["house_prices"].load().rows.frame
    prices = pd.to_numeric(frame["SalePrice"]).to_numpy(np.float64)
    numbers: dict[str, npt.NDArray[np.float64]] = {}
    ones = []
    for name in frame.columns.drop("SalePrice"):
        values = pd.to_numeric(frame[name].replace({"NA": None, "": None}), errors="coerce")
        words = frame[name].astype(object).where(frame[name].notna(), "missing").astype(str)
        if values.notna().sum() == (~words.isin(["missing", "NA", ""])).sum():
            numbers[str(name)] = values.to_numpy(np.float64)
        else:
            ones.append(pd.get_dummies(words).to_numpy(np.float64))
    return numbers, np.concatenate(ones, axis=1), prices


class HouseSource(NumberedSource):
    """Divisions of the rows with a price.

    Parameters
    ----------
    asked : Asked
        What is asked.
    data : HouseData
        How the rows are prepared.

    Raises
    ------
    FetchError, TableError
        If the rows cannot be had or read.
    """

    is_finite = False

    def __init__(self, asked: Asked, data: HouseData) -> None:
        super().__init__(asked)
        self._data = data
        numbers, ones, self._prices = _table()
        self._names = [name for name in numbers if data.with_id or name != "Id"]
        self._numbers = np.stack([numbers[name] for name in self._names], axis=1)
        self._ones = ones
        self.n_inputs = len(self._names) + ones.shape[1]

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search's replicas."""
        return tuple(f"houses{k}" for k in self._search_numbers(1, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look's replicas."""
        return tuple(f"houses{k}" for k in self._fresh_numbers(stage, block, {int(seed[6:]) for seed in used}))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float) -> None:  # noqa: ARG002
        """Return None: every replica has test rows of its own."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return each replica's division."""
        numbers = [int(seed[6:]) for seed in seeds]
        pairs = [self._divided(k) for k in numbers]
        train, test = (
            Split(np.stack([pair[i][0] for pair in pairs]), np.stack([pair[i][1] for pair in pairs])) for i in (0, 1)
        )
        inside = Box.fit(train.X).contains(test.X)
        splits = {
            "train": train,
            "test": test,
            "in_range": Split(test.X, test.y, inside.astype(np.float64)),
            "out_of_range": Split(test.X, test.y, (~inside).astype(np.float64)),
        }
        constant = train.y.mean(axis=1, keepdims=True)
        return Draws(
            seeds=seeds,
            train=train,
            test=test,
            in_range=splits["in_range"],
            out_of_range=splits["out_of_range"],
            n_in_range=inside.sum(axis=1),
            n_out_of_range=(~inside).sum(axis=1),
            constant={
                name: mean_loss(self._asked.loss, np.broadcast_to(constant, one.y.shape), one)
                for name, one in splits.items()
            },
            floors=None,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
            measure=lambda network, parameters: self._scores(splits, network, parameters),
        )

    def _divided(self, k: int) -> tuple[tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...]]:
        data, dtype = self._data, np.dtype(self._asked.dtype)
        order = np.random.default_rng([self._asked.seed, STREAM_HOUSES, k]).permutation(len(self._prices))
        n_test = round(TEST_SHARE * len(order))
        train, test = order[n_test:], order[:n_test]
        values = self._numbers.copy()
        for name in HOLED if data.holes != "none" else ():
            column = values[:, self._names.index(name)]
            n_holes = round(data.hole_share * len(column))
            rng = np.random.default_rng([self._asked.seed, STREAM_HOLES, k])
            away = (
                rng.permutation(len(column))[:n_holes] if data.holes == "at_random" else np.argsort(column)[-n_holes:]
            )
            column[away] = np.nan
        means, spreads = np.nanmean(values[train], axis=0), np.nanstd(values[train], axis=0)
        values = np.where(np.isnan(values), means, values)
        if data.standardize:
            values = (values - means) / np.where(spreads > 0, spreads, 1.0)
        X = np.concatenate([values, self._ones], axis=1).astype(dtype)
        y = np.log(self._prices) - data.center if data.target == "log" else self._prices / UNIT
        y = y[:, None].astype(dtype)
        return (X[train], y[train]), (X[test], y[test])

    def _scores(self, splits: dict[str, Split], network: NetworkConfig, parameters: Parameters) -> Losses:
        """Return the mean squared error of logarithms, on every split."""
        found = {}
        for name, split in splits.items():
            scores, y = (np.asarray(one, np.float64) for one in (predict(network, parameters, split.X), split.y))
            if self._data.target == "raw":
                scores, y = np.log(np.maximum(scores * UNIT, CHEAPEST)), np.log(y * UNIT)
            squares = ((scores - y) ** 2)[..., 0]
            weight = np.ones(squares.shape) if split.weight is None else np.asarray(split.weight, np.float64)
            n = weight.sum(axis=1)
            found[name] = np.where(n > 0, (squares * weight).sum(axis=1) / np.maximum(n, 1.0), np.nan)
        return found


KIND = Kind(
    name="houses",
    labels="numbers",
    settings=HouseData,
    parse=lambda table: read_fields(HouseData, table),
    open=lambda asked, data, _: HouseSource(asked, data),
    test_set="rows that the replica did not train on",
    out_of_range="test rows with a value beyond the training rows' box",
    floor="not known",
    names=("house_prices",),
    describe=lambda _: "each replica divides the 1460 rows anew.",
    has_ablation=False,
)
