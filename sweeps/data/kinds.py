"""Which source stands behind a dataset of a spec."""

from __future__ import annotations

from pathlib import Path

from sweeps.data.fashion_mnist import FashionData
from sweeps.data.perceptron import PerceptronData
from sweeps.data.playground import PlaygroundSource
from sweeps.data.source import Source
from sweeps.spec.sweep import DatasetSpec, SweepSpec


def open_source(spec: SweepSpec, dataset: DatasetSpec, folder: Path | None = None) -> Source:
    """Return the source of a dataset of any kind.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : DatasetSpec
        One of its datasets.
    folder : Path or None
        The study's folder, where a table keeps what was found out about it; None keeps nothing.

    Raises
    ------
    TableError
        If the rows cannot be read, or are not those the spec is about.
    """
    if dataset.kind == "table":
        from sweeps.data.table.source import (
            TableSource,  # pandas and scikit-learn take a second: only for those who use it
        )

        return TableSource(spec, dataset, folder)
    if isinstance(dataset.data, (PerceptronData, FashionData)):
        from sweeps.data.fashion_mnist import FashionSource
        from sweeps.data.perceptron import PerceptronSource

        data = dataset.data
        return PerceptronSource(spec, data) if isinstance(data, PerceptronData) else FashionSource(spec, data)
    return PlaygroundSource(spec, dataset)
