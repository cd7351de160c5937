"""The counter-based random stream that shuffles, drops out and adds noise while a network trains.

Every number is a pure function of (seed, epoch, purpose, layer, counter), so nothing has to be kept between epochs,
replicas never share numbers, and the compiled road draws the very same bits (its normal numbers agree but for the
last digits of its type). All arithmetic is on unsigned integers and wraps:

key (two uint32, `lo` and `hi`)
    ``h = mix(mix(mix(seed) ^ epoch) ^ (purpose << 32 | layer))``; ``lo = h mod 2**32``, ``hi = h >> 32``, with
    SplitMix64's step ``mix(z)``: ``z += 0x9E3779B97F4A7C15; z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB; z ^ z >> 31`` (uint64).
bits(i) (uint32)
    ``x = (i * 0x9E3779B9 + lo) ^ hi; x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16``.
uniform(i) in [0, 1)
    ``(bits(i) >> 8) * 2**-24``: exact in float32.
normal(i)
    Box and Muller's cosine half, in float64:
    ``sqrt(-2 ln(((bits(2 i) >> 8) + 1) * 2**-24)) * cos(2 pi uniform(2 i + 1))``.
shuffle of n (Fisher and Yates)
    start from 0, 1, ..., n - 1; for ``i = n - 1, ..., 1``: ``j = (bits(i) * (i + 1)) >> 32`` (uint64 product), swap
    entries i and j.

Counters, with `position` the place of an example in the epoch's own (shuffled) order, from 0:

- `SHUFFLE`: layer 0, counter as above.
- `DROPOUT`: layer 0 for the inputs, k for hidden layer k = 1, 2, ...; counter ``position * n_units + unit``; a unit is
  kept where ``uniform >= rate``, and what is kept is multiplied by ``1 / (1 - rate)``.
- `INPUT_NOISE`: layer 0, normal number ``position * n_inputs + feature``, times `input_noise`, added to the input
  before dropout.
- `WEIGHT_DROPOUT`: layer k for the weights into layer k = 1, 2, ... (the last is the output); counter
  ``batch * n_in * n_out + i * n_out + j`` for weight (i, j) in mini-batch 0, 1, ... of the epoch; kept and multiplied
  as units are.
- `LAYER_NOISE`: layer k for hidden layer k = 1, 2, ...; normal number ``position * n_units + unit``, times
  `layer_noise`, added to the output before dropout.
- `LABEL_NOISE`: epoch 0; see `engine.training.with_label_noise`.

The epoch of the key is the number of epochs done before: 0 in the first.

References
----------
.. [1] G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 19.
.. [2] J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (the counter-based principle).
.. [3] C. Wellons, "Prospecting for hash functions", 2018 (the 32-bit mixer `lowbias32`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SHUFFLE = 0
DROPOUT = 1
INPUT_NOISE = 2
LABEL_NOISE = 3
WEIGHT_DROPOUT = 4
LAYER_NOISE = 5

GOLDEN_64 = 0x9E3779B97F4A7C15
MIX_64_A = 0xBF58476D1CE4E5B9
MIX_64_B = 0x94D049BB133111EB
GOLDEN_32 = 0x9E3779B9
MIX_32_A = 0x7FEB352D
MIX_32_B = 0x846CA68B

Keys = npt.NDArray[np.uint32]


def mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return SplitMix64's next output for each state of `z` (uint64, wrapping)."""
    z = z + np.uint64(GOLDEN_64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_64_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_64_B)
    return z ^ (z >> np.uint64(31))


def stream_keys(seeds: npt.NDArray[np.uint64], epoch: int, purpose: int, layer: int = 0) -> Keys:
    """Return the stream key of each seed.

    Parameters
    ----------
    seeds : ndarray (R,) of uint64
        One a replica.
    epoch : int
        Epochs done before the one the numbers are for.
    purpose : int
        `SHUFFLE`, `DROPOUT`, `INPUT_NOISE`, `LABEL_NOISE`, `WEIGHT_DROPOUT` or `LAYER_NOISE`.
    layer : int
        0 for the inputs, k for hidden layer k.

    Returns
    -------
    ndarray (R, 2) of uint32
        ``lo`` and ``hi``.
    """
    h = mix(mix(mix(np.atleast_1d(seeds)) ^ np.uint64(epoch)) ^ np.uint64(purpose << 32 | layer))
    return np.stack([h & np.uint64(0xFFFFFFFF), h >> np.uint64(32)], axis=1).astype(np.uint32)


def random_bits(keys: Keys, start: int, count: int) -> npt.NDArray[np.uint32]:
    """Return 32 random bits for each key and counter.

    Parameters
    ----------
    keys : ndarray (R, 2) of uint32
        From `stream_keys`.
    start, count : int
        Counters ``start, ..., start + count - 1``, taken modulo ``2**32``.

    Returns
    -------
    ndarray (R, count) of uint32
    """
    counters = (np.arange(start, start + count, dtype=np.uint64) * np.uint64(GOLDEN_32)).astype(np.uint32)
    x = (counters + keys[:, :1]) ^ keys[:, 1:]
    x ^= x >> np.uint32(16)
    x *= np.uint32(MIX_32_A)
    x ^= x >> np.uint32(15)
    x *= np.uint32(MIX_32_B)
    x ^= x >> np.uint32(16)
    return x


def uniforms(keys: Keys, start: int, count: int) -> npt.NDArray[np.float32]:
    """Return uniform numbers in [0, 1), multiples of ``2**-24``, shaped (R, count); see `random_bits`."""
    return (random_bits(keys, start, count) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def normals(keys: Keys, start: int, count: int) -> npt.NDArray[np.float64]:
    """Return standard normal numbers ``start, ..., start + count - 1``, shaped (R, count)."""
    bits = random_bits(keys, 2 * start, 2 * count) >> np.uint32(8)
    radius = np.sqrt(-2.0 * np.log((bits[:, 0::2] + 1.0) * 2.0**-24))
    return np.asarray(radius * np.cos(2.0 * np.pi * 2.0**-24 * bits[:, 1::2]), dtype=np.float64)


def permutations(seeds: npt.NDArray[np.uint64], epoch: int, n: int) -> npt.NDArray[np.intp]:
    """Return the order in which each replica sees n examples in one epoch.

    Parameters
    ----------
    seeds : ndarray (R,) of uint64
        One a replica.
    epoch : int
        Epochs done before.
    n : int
        Number of examples.

    Returns
    -------
    ndarray (R, n) of intp
        Row r lists the indices of replica r's examples in the order of its epoch.
    """
    bits: npt.NDArray[Any] = random_bits(stream_keys(seeds, epoch, SHUFFLE), 0, n).astype(np.uint64)
    targets = ((bits * np.arange(1, n + 1, dtype=np.uint64)) >> np.uint64(32)).tolist()
    orders = np.empty((len(targets), n), dtype=np.intp)
    for r, row in enumerate(targets):
        order = list(range(n))  # a list, because swapping single elements of an array is five times slower
        for i in range(n - 1, 0, -1):
            j = row[i]
            order[i], order[j] = order[j], order[i]
        orders[r] = order
    return orders
