"""The compiled road's normal numbers against NumPy's logarithm and cosine."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from engine.methods.streams import INPUT_NOISE, normals, random_bits, stream_keys
from engine.roads.compiled.functions import cosine_of_turns, log_of_share
from engine.roads.compiled.random import normal, normal_of
from engine.roads.compiled.single_random import bits_one
from engine.roads.compiled.vectors import LANES, address, load, store

N = 20_000


@numba.njit  # type: ignore[untyped-decorator]
def _normals(out: Any, keys: Any, start: int) -> None:
    for i in range(len(out)):
        store(address(out), i, normal(address(out), address(keys), start + i))


@numba.njit  # type: ignore[untyped-decorator]
def _bits(out: Any, low: Any, high: Any, start: int) -> None:
    for i in range(len(out)):
        out[i] = bits_one(low, high, start + i)


@numba.njit  # type: ignore[untyped-decorator]
def _normals_of(first: Any, second: Any) -> None:
    for i in range(len(first)):
        store(address(first), i, normal_of(load(address(first), i), load(address(second), i)))


@numba.njit  # type: ignore[untyped-decorator]
def _logs(x: Any) -> None:
    for i in range(len(x)):
        store(address(x), i, log_of_share(load(address(x), i)))


@numba.njit  # type: ignore[untyped-decorator]
def _cosines(x: Any) -> None:
    for i in range(len(x)):
        store(address(x), i, cosine_of_turns(load(address(x), i)))


def _words(dtype: str) -> npt.NDArray[Any]:
    """Return whole numbers below 2 ** 24, in rows of lanes: both ends, powers of two and neighbours, others."""
    ends = np.concatenate([np.arange(3000), 2**24 - 1 - np.arange(3000)])
    powers = (2 ** np.arange(2, 24)[:, None] + np.arange(-40, 41)).ravel()
    others = np.random.default_rng(0).integers(0, 2**24, 50_000)
    words = np.concatenate([ends, powers[(powers >= 0) & (powers < 2**24)], others])
    lanes = LANES[dtype]
    return np.asarray(words[: len(words) // lanes * lanes].reshape(-1, lanes).astype(dtype))


@pytest.mark.parametrize("start", [0, 2**30 - N // 2, 2**31 - N // 2], ids=["0", "bits to 2^31", "bits to 2^32"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 5e-15)])
def test_normal_numbers_are_those_of_the_stream(dtype: str, tolerance: float, start: int) -> None:
    lanes = LANES[dtype]
    keys = stream_keys(np.arange(lanes, dtype=np.uint64), 3, INPUT_NOISE)
    out = np.empty((N, lanes), dtype)
    _normals(out, np.ascontiguousarray(keys.T), start)
    np.testing.assert_allclose(out.T, normals(keys, start, N), rtol=0, atol=tolerance)


@pytest.mark.parametrize("start", [0, 2**31 - 50, 2**32 - 50])
def test_one_networks_bits_are_those_of_the_stream(start: int) -> None:
    keys = stream_keys(np.array([2**64 - 1], dtype=np.uint64), 3, INPUT_NOISE)
    out = np.empty(100, np.uint64)
    _bits(out, np.uint64(keys[0, 0]), np.uint64(keys[0, 1]), start)
    np.testing.assert_array_equal(out, random_bits(keys, start, 100)[0])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1.5e-6), ("float64", 5e-15)])
def test_the_largest_normal_numbers_are_as_near(dtype: str, tolerance: float) -> None:
    second = np.concatenate([_words(dtype), _words(dtype)[::-1]])
    first = (np.arange(second.size) % 50).reshape(second.shape).astype(dtype)
    radius = np.sqrt(-2.0 * np.log((first.astype(np.float64) + 1.0) * 2.0**-24))
    expected = radius * np.cos(2.0 * np.pi * 2.0**-24 * second.astype(np.float64))
    _normals_of(first, second)
    np.testing.assert_allclose(first, expected, rtol=0, atol=tolerance)
    assert abs(first).max() > 5.7


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 3e-7), ("float64", 5e-16)])
def test_logarithms_of_shares_are_exact_at_both_ends(dtype: str, relative: float) -> None:
    x = _words(dtype) + np.asarray(1, dtype)
    expected = np.log(x.astype(np.float64) * 2.0**-24)
    near_one = x > 2**23  # there NumPy's logarithm is of a number that is exact, too
    expected[near_one] = np.log1p((x[near_one].astype(np.float64) - 2**24) * 2.0**-24)
    _logs(x)
    np.testing.assert_allclose(x, expected, rtol=relative)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-7), ("float64", 1e-15)])
def test_cosines_of_turns_are_exact(dtype: str, tolerance: float) -> None:
    x = _words(dtype) * np.asarray(2.0**-24, dtype)
    expected = np.cos(2.0 * np.pi * x.astype(np.float64))
    _cosines(x)
    np.testing.assert_allclose(x, expected, rtol=0, atol=tolerance)
