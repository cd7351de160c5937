"""The Playground's seeded random stream, for many seeds at once.

The page replaces ``Math.random`` by seedrandom 2.4.4: ARC4 keyed with the characters of a seed string, whose bytes are
joined to doubles. All streams run in lockstep, byte by byte; since a double takes seven bytes or, now and then, more,
the bytes are decoded afterwards, each stream at its own pace. Every double equals the page's bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

WIDTH = 256
N_DROPPED = 256  # seedrandom discards the first bytes, which betray the key
BYTES_A_DOUBLE = 7  # at least; one more when the first four bits are 0, and so on
OVERFLOW = np.uint64(1) << np.uint64(53)
FEW = 16
"""Up to this many streams Python's own numbers are faster, one stream after the other, than arrays a byte at a time."""


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
        self._state = _schedule_keys(seeds)
        self._row = np.arange(len(seeds), dtype=np.intp) * WIDTH
        self._i = 0
        self._j = np.zeros(len(seeds), np.uint8)
        self._bytes = np.empty((0, len(seeds)), np.uint8)  # produced, not yet decoded by all
        self._byte_position = np.zeros(len(seeds), np.intp)
        self._doubles = np.empty((len(seeds), 0))  # decoded, not yet consumed by all
        self._position = np.zeros(len(seeds), np.intp)
        self._produce(N_DROPPED)

    @property
    def n_streams(self) -> int:
        """Number of streams S."""
        return int(self._row.size)

    def peek(self, n: int) -> npt.NDArray[np.float64]:
        """Return the next `n` doubles of every stream, (S, n), without consuming them."""
        missing = int(self._position.max()) + n - self._doubles.shape[1]
        if missing > 0:
            self._decode(missing)
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
        twin._state, twin._j = self._state.copy(), self._j.copy()
        twin._i, twin._row = self._i, self._row
        # What these hold is replaced, never written into, so both may refer to it.
        twin._bytes, twin._byte_position = self._bytes, self._byte_position
        twin._doubles, twin._position = self._doubles, self._position
        return twin

    def _produce(self, n: int) -> npt.NDArray[np.uint8]:
        """Return the next `n` bytes of ARC4, (n, S)."""
        if self._row.size <= FEW:
            return self._produce_few(n)
        state, row, j = self._state, self._row, self._j
        flat = state.reshape(-1)
        columns = list(state.T)  # as views once: an index costs as much as a sum here
        swapped, kept, total = np.empty_like(j), np.empty_like(j), np.empty_like(j)
        index = np.empty_like(row)
        out = np.empty((n, row.size), np.uint8)
        i = self._i
        for produced in out:
            i = (i + 1) % WIDTH
            column = columns[i]
            np.copyto(kept, column)
            np.add(j, kept, out=j)
            np.add(row, j, out=index)
            flat.take(index, out=swapped, mode="clip")
            np.copyto(column, swapped)
            flat[index] = kept
            np.add(swapped, kept, out=total)
            np.add(row, total, out=index)
            flat.take(index, out=produced, mode="clip")
        self._i = i
        return out

    def _produce_few(self, n: int) -> npt.NDArray[np.uint8]:
        """Do the same stream by stream."""
        out = np.empty((n, self._row.size), np.uint8)
        first = self._i
        for stream in range(self._row.size):
            state, i, j = self._state[stream].tolist(), first, int(self._j[stream])
            produced = bytearray(n)
            for k in range(n):
                i = (i + 1) & 255
                kept = state[i]
                j = (j + kept) & 255
                state[i] = swapped = state[j]
                state[j] = kept
                produced[k] = state[(swapped + kept) & 255]
            self._state[stream], self._j[stream], self._i = state, j, i
            out[:, stream] = np.frombuffer(produced, np.uint8)
        return out

    def _decode(self, n: int) -> None:
        """Make `n` more doubles of every stream available."""
        used = int(self._byte_position.min())
        start = self._byte_position - used
        # One double in sixteen takes an eighth byte; whatever a stream still lacks then is produced in small portions.
        n_bytes = int(start.max()) + int(n * (BYTES_A_DOUBLE + 1 / 15)) + 64
        buffer = self._bytes[used:]
        while True:
            buffer = np.concatenate([buffer, self._produce(max(n_bytes - buffer.shape[0], 64))])
            ends = _ends_of_doubles(buffer, start, n)
            if ends[-1].max() <= buffer.shape[0]:
                break
        decoded = _join_bytes(buffer, start, ends)
        consumed = int(self._position.min())
        self._bytes, self._byte_position = buffer, ends[-1]
        self._doubles = np.concatenate([self._doubles[:, consumed:], decoded.T], axis=1)
        self._position = self._position - consumed


def _key_codes(seed: str) -> list[int]:
    """Return the ARC4 key that seedrandom makes of a seed string: its UTF-16 units, smeared beyond 256."""
    units = np.frombuffer(seed.encode("utf-16-le", "surrogatepass"), "<u2")
    key: list[int] = []
    smear = 0
    for position, unit in enumerate(units.tolist()):
        if position < WIDTH:
            key.append(unit % WIDTH)
        else:
            smear ^= key[position % WIDTH] * 19
            key[position % WIDTH] = (smear + unit) % WIDTH
    return key or [0]


def _schedule_keys(seeds: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return the initial permutation of every stream, (S, 256)."""
    keys = np.array([[key[i % len(key)] for i in range(WIDTH)] for key in map(_key_codes, seeds)], np.uint8)
    state = np.tile(np.arange(WIDTH, dtype=np.uint8), (len(seeds), 1))
    streams = np.arange(len(seeds))
    j = np.zeros(len(seeds), np.uint8)
    for i in range(WIDTH):
        kept = state[:, i].copy()
        j = j + keys[:, i] + kept
        state[:, i] = state[streams, j]
        state[streams, j] = kept
    return state


def _ends_of_doubles(buffer: npt.NDArray[np.uint8], start: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Return where each of the next `n` doubles of every stream ends, (n, S); beyond the buffer where it is too short.

    A double takes bytes until those before its last hold 45 bits or more: seven, one more if the first four bits are 0,
    one more if so are the next eight, and so on.
    """
    n_bytes, n_streams = buffer.shape
    lengths = np.full(buffer.shape, BYTES_A_DOUBLE, np.intp)
    row, lane = np.nonzero(buffer < 16)
    ahead = 0
    while row.size:
        lengths[row, lane] += 1
        zero = buffer[row + ahead, lane] == 0
        ahead += 1
        row, lane = row[zero & (row + ahead < n_bytes)], lane[zero & (row + ahead < n_bytes)]
        small = buffer[row + ahead, lane] < 16
        row, lane = row[small], lane[small]
    flat, lanes = lengths.reshape(-1), np.arange(n_streams)
    position = start
    ends = np.empty((n, n_streams), np.intp)
    for k in range(n):
        position = position + flat.take(position * n_streams + lanes, mode="clip")
        ends[k] = position
    return ends


def _join_bytes(
    buffer: npt.NDArray[np.uint8], start: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return the doubles that end at `ends`, (n, S).

    seedrandom joins the bytes to a number below 2^60, a multiple of 256, and its last byte, halves both (the number
    exactly, the byte rounding down) until the number is below 2^53, adds them and divides by the matching power of two.
    All of this is exact in 64-bit integers.
    """
    n_streams = buffer.shape[1]
    flat = buffer.reshape(-1)
    last = (ends - 1) * n_streams + np.arange(n_streams)
    lengths = np.diff(ends, axis=0, prepend=start[None])
    # Bytes before the last seven of a longer double are 0; a double of seven bytes has only six before its last.
    number = np.where(lengths > BYTES_A_DOUBLE, flat.take(last - 7 * n_streams, mode="clip"), 0).astype(np.uint64)
    for back in range(6, 0, -1):
        number = (number << np.uint64(8)) | flat.take(last - back * n_streams)
    number <<= np.uint64(8)
    low = flat.take(last).astype(np.uint64)
    halvings = np.zeros(ends.shape, np.intp)
    while (large := (number >= OVERFLOW).astype(np.uint64)).any():
        number >>= large
        low >>= large
        halvings += large.astype(np.intp)
    return np.asarray(np.ldexp((number + low).astype(np.float64), halvings - 8 * lengths))
