"""Random numbers of one network: `engine.roads.compiled.random` and dropout with units or samples side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiling.decorators import inner
from engine.methods.streams import GOLDEN_32, MIX_32_A, MIX_32_B
from engine.roads.compiled.panels import copy_row
from engine.roads.compiled.random import normal_of
from engine.roads.compiled.vectors import address, number_of_bits, splat, store


@inner
def bits_one(low: Any, high: Any, counter: Any) -> Any:
    """Return `engine.methods.streams.random_bits` for one counter, in 64 bits, so that a loop of it becomes vectors."""
    mask = np.uint64(0xFFFFFFFF)
    x = ((np.uint64(counter) * np.uint64(GOLDEN_32) + low) & mask) ^ high
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(MIX_32_A)) & mask
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(MIX_32_B)) & mask
    return x ^ (x >> np.uint64(16))


@inner
def drop_units(
    scratch: Any, out: Any, mask: Any, seen: Any, n_out: Any, m: Any, position: Any, keys: Any, layer: Any,
    threshold: Any, share: Any,
) -> None:  # fmt: skip
    """Set a layer's factors at `mask`, and at `seen` its outputs at `out` times them; all are places in `scratch`."""
    low, high = np.uint64(keys[2 * layer, 0]), np.uint64(keys[2 * layer + 1, 0])
    limit, scale, zero = np.uint64(threshold), np.float32(share), np.float32(0)
    for panel in range((n_out + 7) >> 3):
        for s in range(m):
            i = (panel * m + s) * 8
            counter = (position + s) * n_out + panel * 8
            for lane in range(8):
                is_kept = (bits_one(low, high, counter + lane) >> np.uint64(8)) >= limit
                factor = scale if is_kept else zero
                scratch[mask + i + lane] = factor
                scratch[seen + i + lane] = scratch[out + i + lane] * factor


@inner
def shuffle_one(order: Any, keys: Any) -> None:
    """Set `order` to the permutation of the epoch, as `engine.roads.compiled.random.shuffle` does for every lane."""
    n = len(order)
    low, high = np.uint64(keys[0, 0]), np.uint64(keys[1, 0])
    for i in range(n):  # no step waits for another one: vectors
        order[i, 1] = np.uint32((bits_one(low, high, i) * (np.uint64(i) + np.uint64(1))) >> np.uint64(32))
        order[i, 0] = np.uint32(i)
    for i in range(n - 1, 0, -1):
        j = order[i, 1]
        here = order[i, 0]
        order[i, 0] = order[j, 0]
        order[j, 0] = here


@inner
def put_in_order_one(own_x: Any, own_y: Any, X: Any, y: Any, order: Any) -> None:
    """Copy the points in the order of the epoch."""
    n = len(order)
    for panel in range(len(X)):
        for s in range(n):
            copy_row(address(own_x[panel, s]), address(X[panel, order[s, 0]]))
    for row in range(len(y)):
        for s in range(n):
            own_y[row, s] = y[row, order[s, 0]]


@inner
def add_input_noise_one(own_x: Any, n: Any, n_inputs: Any, sigma: Any, keys: Any, bits: Any, values: Any) -> None:
    """Add normal numbers to the inputs, as `engine.roads.compiled.random.add_input_noise` does for every lane.

    Sixteen numbers are made at a time; `bits` (2, 16) and `values` (16) are scratch.
    """
    low, high = np.uint64(keys[0, 0]), np.uint64(keys[1, 0])
    drawn = address(values)
    scale = splat(drawn, sigma)
    for first in range(0, n * n_inputs, 16):
        for lane in range(16):
            i = 2 * (first + lane)
            bits[0, lane] = np.uint32(bits_one(low, high, i))
            bits[1, lane] = np.uint32(bits_one(low, high, i + 1))
        numbers = normal_of(number_of_bits(drawn, address(bits)), number_of_bits(drawn, address(bits[1])))
        store(drawn, 0, scale * numbers)
        for i in range(first, min(first + 16, n * n_inputs)):
            k = i % n_inputs
            own_x[k >> 3, i // n_inputs, k & 7] += values[i - first]


@inner
def drop_inputs(own_x: Any, n: Any, n_inputs: Any, keys: Any, threshold: Any, share: Any) -> None:
    """Multiply the inputs by their factors of dropout."""
    low, high = np.uint64(keys[0, 0]), np.uint64(keys[1, 0])
    limit, scale, zero = np.uint64(threshold), np.float32(share), np.float32(0)
    for s in range(n):
        for k in range(n_inputs):
            is_kept = (bits_one(low, high, s * n_inputs + k) >> np.uint64(8)) >= limit
            own_x[k >> 3, s, k & 7] *= scale if is_kept else zero
