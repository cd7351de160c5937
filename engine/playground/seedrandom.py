"""The Playground's seeded random stream, for many seeds at once.

The page replaces ``Math.random`` by seedrandom 2.4.4: ARC4 keyed with the characters of a seed string, whose bytes are
joined to doubles (`engine.playground.steps`). Every double equals the page's bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.playground import steps
from engine.playground.choice import runs_compiled
from engine.playground.steps import WIDTH


class SeedStreams:
    """One stream of doubles in [0, 1) for each seed string.

    Parameters
    ----------
    seeds : sequence of str
        One key a stream, any text; at least one.

    References
    ----------
    D. Bau, seedrandom 2.4.4 (JavaScript), https://github.com/davidbau/seedrandom
    """

    def __init__(self, seeds: Sequence[str]) -> None:
        if not seeds:
            raise ValueError("seeds: empty; give at least one seed string")
        self._states, self._places = _schedule_keys(seeds)
        self._doubles = np.empty((len(seeds), 0))  # drawn, not yet consumed by all
        self._position = np.zeros(len(seeds), np.intp)

    @property
    def n_streams(self) -> int:
        """Number of streams S."""
        return len(self._states)

    def peek(self, n: int) -> npt.NDArray[np.float64]:
        """Return the next `n` doubles of every stream, (S, n), without consuming them."""
        missing = int(self._position.max()) + n - self._doubles.shape[1]
        if missing > 0:
            self._draw(missing)
        first = int(self._position[0])
        if (self._position == first).all():
            return self._doubles[:, first : first + n]
        return np.take_along_axis(self._doubles, self._position[:, None] + np.arange(n), axis=1)

    def skip(self, n: int | npt.NDArray[np.integer]) -> None:
        """Consume `n` doubles, one number for all streams or one a stream; they must have been peeked at."""
        self._position = self._position + n

    def random(self, n: int) -> npt.NDArray[np.float64]:
        """Return the next `n` doubles of every stream, (S, n)."""
        values = self.peek(n)
        self.skip(n)
        return values

    def fork(self) -> SeedStreams:
        """Return streams that go on from here by themselves, leaving these where they are."""
        twin = object.__new__(SeedStreams)
        twin._states, twin._places = self._states.copy(), self._places.copy()
        # What these hold is replaced, never written into, so both may refer to it.
        twin._doubles, twin._position = self._doubles, self._position
        return twin

    def _draw(self, n: int) -> None:
        """Make `n` more doubles of every stream available."""
        consumed = int(self._position.min())
        waiting = self._doubles[:, consumed:]
        n_waiting = waiting.shape[1]
        doubles = np.empty((self.n_streams, n_waiting + n))
        doubles[:, :n_waiting] = waiting
        _draw_doubles(self._states, self._places, doubles, n_waiting)
        self._doubles = doubles
        self._position = self._position - consumed


def _key_codes(seed: str) -> list[int]:
    """Return the ARC4 key that seedrandom makes of a seed string: its UTF-16 units, smeared beyond 256."""
    units = seed.encode("utf-16-le", "surrogatepass")[::2]  # their low bytes are all that counts
    key = list(units[:WIDTH])
    smear = 0
    for position in range(WIDTH, len(units)):
        smear ^= key[position % WIDTH] * 19
        key[position % WIDTH] = (smear + units[position]) % WIDTH
    return key or [0]


def _schedule_keys(seeds: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the state of every stream, (S, 256), and its two indices, (S, 2), where its first double begins."""
    states = np.tile(np.arange(WIDTH), (len(seeds), 1))
    places = np.zeros((len(seeds), 2), np.int64)
    codes = [_key_codes(seed) for seed in seeds]
    if runs_compiled(len(seeds)):
        from engine.playground import compiled

        lengths = np.array([len(key) for key in codes])
        keys = np.zeros((len(seeds), WIDTH), np.int64)
        keys[np.arange(WIDTH) < lengths[:, None]] = list(itertools.chain.from_iterable(codes))
        compiled.schedule_keys(states, places, keys, lengths)
        return states, places
    for s, key in enumerate(codes):
        state = list(range(WIDTH))
        places[s, 1] = steps.schedule_key(state, key, len(key))
        states[s] = state
    return states, places


def _draw_doubles(
    states: npt.NDArray[np.int64], places: npt.NDArray[np.int64], out: npt.NDArray[np.float64], first: int
) -> None:
    """Fill the columns of `out` (S, n) from `first` on with the next doubles of every stream."""
    if runs_compiled(len(states)):
        from engine.playground import compiled

        compiled.draw_doubles(states, places, out, first)
        return
    for s in range(len(states)):
        state, doubles = states[s].tolist(), [0.0] * (out.shape[1] - first)
        i, j = places[s].tolist()
        places[s] = steps.draw_doubles(state, i, j, doubles)
        states[s], out[s, first:] = state, doubles
