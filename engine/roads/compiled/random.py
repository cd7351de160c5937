"""Random numbers of compiled code: orders and noise, by replica and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiling.decorators import inner
from engine.methods.streams import (
    GOLDEN_64,
    MIX_64_A,
    MIX_64_B,
)
from engine.roads.compiled.functions import cosine_of_turns, log_of_share
from engine.roads.compiled.vectors import (
    address,
    dropout_factor,
    load,
    offset_keys,
    random_number,
    splat,
    sqrt,
    store,
    store_random_indexes,
)

# ----------------------------------------------------------------------------------------------------------------------
# Random numbers: the bits of `engine.methods.streams`; its normal numbers but for their last digits


@inner
def mix(z: Any) -> Any:
    """Return SplitMix64's next output."""
    z = z + np.uint64(GOLDEN_64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_64_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_64_B)
    return z ^ (z >> np.uint64(31))


@inner
def set_keys(keys: Any, place: Any, seeds: Any, epoch: Any, purpose: Any, layer: Any) -> None:
    """Fill ``keys[place]`` (lo) and ``keys[place + 1]`` (hi) with the stream keys of all lanes."""
    for lane in range(len(seeds)):
        h = mix(mix(mix(seeds[lane]) ^ np.uint64(epoch)) ^ np.uint64((purpose << 32) | layer))
        keys[place, lane] = np.uint32(h & np.uint64(0xFFFFFFFF))
        keys[place + 1, lane] = np.uint32(h >> np.uint64(32))


@inner
def shuffle(like: Any, order: Any, keys: Any, bits: Any, counts: Any) -> None:
    """Set ``order[:counts[lane], lane]`` to each lane's permutation of the epoch; `bits` (1, lanes) is scratch."""
    n, lanes = order.shape
    least = n
    for lane in range(lanes):
        least = min(least, counts[lane])
    for i in range(n):
        for lane in range(lanes):
            order[i, lane] = i
    key, out = address(keys), address(bits)
    for i in range(n - 1, 0, -1):
        store_random_indexes(like, out, key, i)
        if i >= least:
            for lane in range(lanes):
                if i >= counts[lane]:
                    bits[0, lane] = i
        for lane in range(lanes):
            j = bits[0, lane]
            here = order[i, lane]
            order[i, lane] = order[j, lane]
            order[j, lane] = here


@inner
def put_in_order(out: Any, rows: Any, order: Any) -> None:
    """Set ``out[row, s, lane]`` to ``rows[row, order[s, lane], lane]``."""
    n_rows, n, lanes = out.shape
    for row in range(n_rows):
        for s in range(n):
            for lane in range(lanes):
                out[row, s, lane] = rows[row, order[s, lane], lane]


@inner
def normal_of(first: Any, second: Any) -> Any:
    """Return the normal number of two random numbers below 2 ** 24: Box and Muller's, one for each lane.

    It is within 1.5e-6 (float32) or 5e-15 (float64) of `engine.methods.streams.normals`, and the same on every
    processor.
    """
    one = splat(first, 1.0)
    radius = sqrt(splat(first, -2.0) * log_of_share(first + one))
    return radius * cosine_of_turns(second * splat(first, 2.0**-24))


@inner
def normal(like: Any, keys: Any, i: Any) -> Any:
    """Return normal number i of each lane's stream."""
    return normal_of(random_number(like, keys, 2 * i), random_number(like, keys, 2 * i + 1))


@inner
def add_input_noise(like: Any, points: Any, n_inputs: Any, sigma: Any, keys: Any) -> None:
    """Add each lane's normal numbers to the first `n_inputs` rows of `points` (rows, n, lanes)."""
    n = points.shape[1]
    place, key, scale = address(points), address(keys), splat(like, sigma)
    for s in range(n):
        for k in range(n_inputs):
            i = k * n + s
            store(place, i, load(place, i) + scale * normal(like, key, s * n_inputs + k))


@inner
def add_layer_noise(like: Any, h: Any, a: Any, n_units: Any, m: Any, position: Any, sigma: Any, key: Any) -> None:
    """Set `h` to a layer's outputs `a` (n_units, m) plus each lane's normal numbers."""
    scale = splat(like, sigma)
    for u in range(n_units):
        for s in range(m):
            i = u * m + s
            store(h, i, load(a, i) + scale * normal(like, key, (position + s) * n_units + u))


@inner
def drop_weights(
    source: Any, target: Any, adds: Any, sizes: Any, keys: Any, first_key: Any, threshold: Any, share: Any, batch: Any
) -> None:
    """Set the weights at `target` to those at `source` times the factors of a mini-batch, or add them where `adds`."""
    scale, zero = splat(source, share), splat(source, 0.0)
    w = 0
    for layer in range(len(sizes) - 1):
        count = sizes[layer] * sizes[layer + 1]
        key = offset_keys(source, keys, first_key + 2 * (layer + 1))
        for i in range(count):
            kept = load(source, w + i) * dropout_factor(source, key, batch * count + i, threshold, scale)
            before = load(target, w + i) if adds != 0 else zero
            store(target, w + i, before + kept)
        w += count
