"""Every kind of data there is. A new kind is one file with a `KIND`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sweeps.data import bowl, fashion_mnist, fever, houses, images, perceptron, playground, polynomial_points
from sweeps.data.kind import Kind
from sweeps.data.table import kind as table

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            playground.KIND,
            perceptron.KIND,
            fashion_mnist.KIND,
            table.KIND,
            bowl.KIND,
            images.KIND,
            fever.KIND,
            houses.KIND,
            polynomial_points.KIND,
        )
    }
)
