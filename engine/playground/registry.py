"""The generated datasets by name. A new one is one file with a `DATASET`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from engine.names import look_up
from engine.playground import circle, gauss, reg_gauss, reg_plane, spiral, xor
from engine.playground.dataset import Dataset

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {one.DATASET.name: one.DATASET for one in (gauss, xor, circle, spiral, reg_plane, reg_gauss)}
)


def lowest_loss(dataset: str, noise: float) -> float:
    """Return the lowest loss anything that sees only the inputs can expect on a dataset.

    For a label with conditional mean m(x) the best prediction under half squared error is m(x), and its expected loss,
    the floor, is half the mean conditional variance. Labels of +1 and -1 have variance 1 - m^2.

    Parameters
    ----------
    dataset : str
        Name in `DATASETS`.
    noise : float
        Noise as a fraction, at least 0.

    Returns
    -------
    float
        In the page's loss, half the squared error. A single test set may come out lower by luck.

    Raises
    ------
    ValueError
        If `dataset` is not in `DATASETS`, or `noise` is negative or not finite.
    """
    found = look_up(DATASETS, dataset, "dataset")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise: {noise!r}; give a fraction from 0")
    return found.floor(noise)
