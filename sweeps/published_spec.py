"""What a spec says about data that were published with an exercise: how its rows are divided."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sweeps.toml import SpecTable


@dataclass(frozen=True, slots=True)
class PerceptronData:
    """200 points (x, y) and the homework's division of them: 80 % after a seeded permutation are trained on.

    Parameters
    ----------
    first_split : int
        Seed of the first replica's permutation; the next ones follow. 10 is the homework's.
    train_share : float
        Share of the points that are trained on.
    stretch : float
        How far beyond the points' range the out-of-range points reach.
    n_fresh : int
        Points drawn from the rule behind the data for out of range, and for certificates to be tested on.
    """

    first_split: int
    train_share: float
    stretch: float
    n_fresh: int

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class FashionData:
    """Fashion-MNIST: 60 000 images to train on and 10 000 to test with.

    Parameters
    ----------
    n_search_rows : int
        Images that trials of a search train on, a subsample; 0 means all that are not for validation.
    n_validation_rows : int
        Of the 60 000, images that trials are compared by. 0: they are compared by the 10 000 test images, as the
        textbook does, which leaves none to certify with.
    """

    n_search_rows: int
    n_validation_rows: int

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)


def parse_perceptron_data(table: SpecTable) -> PerceptronData:
    """Read the keys of a ``kind = "perceptron"`` dataset.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    return PerceptronData(
        first_split=table.integer("first_split", 0, 1_000_000),
        train_share=table.number("train_share", 0.1, 0.9),
        stretch=table.number("stretch", 1.0, 1000.0, open_low=True),
        n_fresh=table.integer("n_fresh", 1, 100_000),
    )


def parse_fashion_data(table: SpecTable) -> FashionData:
    """Read the keys of a ``kind = "fashion_mnist"`` dataset.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    n_validation_rows = table.integer("n_validation_rows", 0, 30_000)
    return FashionData(
        n_search_rows=table.integer("n_search_rows", 0, 60_000 - n_validation_rows),
        n_validation_rows=n_validation_rows,
    )
