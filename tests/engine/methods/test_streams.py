import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.methods.streams import (
    DROPOUT,
    LABEL_NOISE,
    SHUFFLE,
    normals,
    permutations,
    random_bits,
    stream_keys,
    uniforms,
)

WORD = 2**32 - 1
LONG = 2**64 - 1


def mix(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & LONG
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & LONG
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & LONG
    return z ^ (z >> 31)


def key(seed: int, epoch: int, purpose: int, layer: int) -> tuple[int, int]:
    h = mix(mix(mix(seed) ^ epoch) ^ (purpose << 32 | layer))
    return h & WORD, h >> 32


def bits(lo: int, hi: int, i: int) -> int:
    x = ((i * 0x9E3779B9 + lo) & WORD) ^ hi
    x ^= x >> 16
    x = x * 0x7FEB352D & WORD
    x ^= x >> 15
    x = x * 0x846CA68B & WORD
    return x ^ x >> 16


SEEDS = st.integers(0, LONG)


def test_mixer_equals_published_splitmix64() -> None:
    # First outputs of SplitMix64 seeded with 1234567, as published with the algorithm.
    z, outputs = 1234567, []
    for _ in range(3):
        outputs.append(mix(z))
        z = (z + 0x9E3779B97F4A7C15) & LONG
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(SEEDS, st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 10), st.integers(0, 2**33))
def test_bits_follow_the_documented_formula(seed: int, epoch: int, purpose: int, layer: int, start: int) -> None:
    keys = stream_keys(np.array([seed, 1], dtype=np.uint64), epoch, purpose, layer)
    assert tuple(keys[0].tolist()) == key(seed, epoch, purpose, layer)
    expected = [bits(*key(seed, epoch, purpose, layer), i) for i in range(start, start + 5)]
    assert random_bits(keys, start, 5)[0].tolist() == expected


@given(SEEDS, st.integers(0, 1000), st.integers(1, 60))
def test_permutation_is_fisher_and_yates(seed: int, epoch: int, n: int) -> None:
    order = list(range(n))
    lo, hi = key(seed, epoch, SHUFFLE, 0)
    for i in range(n - 1, 0, -1):
        j = bits(lo, hi, i) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    drawn = permutations(np.array([seed], dtype=np.uint64), epoch, n)
    assert drawn.tolist() == [order]
    assert sorted(order) == list(range(n))


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    u = uniforms(stream_keys(np.arange(32, dtype=np.uint64), 3, DROPOUT, 1), 0, 20_000)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01
    correlations = np.corrcoef(u) - np.eye(32)
    assert np.abs(correlations).max() < 5 / math.sqrt(20_000)
    assert np.abs(np.corrcoef(u[0, 1:], u[0, :-1])[0, 1]) < 4 / math.sqrt(20_000)
    assert u.dtype == np.float32
    assert u.max() < 1


def test_normals_are_normal() -> None:
    z = normals(stream_keys(np.arange(4, dtype=np.uint64), 0, LABEL_NOISE), 0, 20_000)
    assert stats.kstest(z.ravel(), "norm").pvalue > 0.01


def test_numbers_do_not_depend_on_where_a_call_starts() -> None:
    keys = stream_keys(np.arange(3, dtype=np.uint64), 7, DROPOUT, 2)
    np.testing.assert_array_equal(uniforms(keys, 0, 30)[:, 10:], uniforms(keys, 10, 20))
    np.testing.assert_array_equal(normals(keys, 0, 30)[:, 10:], normals(keys, 10, 20))


def test_epochs_purposes_layers_and_seeds_have_streams_of_their_own() -> None:
    seeds = np.arange(4, dtype=np.uint64)
    keys = {
        tuple(row.tolist())
        for epoch in range(4)
        for purpose in range(4)
        for layer in range(4)
        for row in stream_keys(seeds, epoch, purpose, layer)
    }
    assert len(keys) == 4**4


def test_all_orders_of_four_are_equally_likely() -> None:
    drawn = permutations(np.arange(24_000, dtype=np.uint64), 0, 4)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.01
