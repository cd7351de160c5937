"""What is done number after number in one stream: written once, run by Python or compiled by Numba.

`engine.playground.choice` says by which. Python takes lists, the fastest that it has; Numba takes arrays of 64-bit
numbers. Whole numbers stay below 2^60 and doubles are multiplied and added one at a time, so both give the same bits.
"""

from __future__ import annotations

from typing import Any

WIDTH = 256
N_DROPPED = 256  # seedrandom discards the first bytes, which betray the key


def schedule_key(state: Any, key: Any, n_key: int) -> int:
    """Permute a stream's state, 0 to 255 in their order, by its key, and drop the first bytes.

    Parameters
    ----------
    state, key : sequence of int
        256 numbers, written into; the key's, of which the first `n_key` count.

    Returns
    -------
    int
        The second of ARC4's two indices; the first is 0 again.
    """
    j = 0
    for i in range(WIDTH):
        kept = state[i]
        j = (j + key[i % n_key] + kept) & 255
        state[i] = state[j]
        state[j] = kept
    i = j = 0
    for _ in range(N_DROPPED):
        i = (i + 1) & 255
        kept = state[i]
        j = (j + kept) & 255
        state[i] = state[j]
        state[j] = kept
    return j


def draw_doubles(state: Any, i: int, j: int, out: Any) -> tuple[int, int]:
    """Fill `out` with a stream's next doubles; returns its two indices.

    seedrandom joins bytes to a number, a multiple of 256, until it is at least 2^52, and keeps the byte after them:
    seven in all, or more where the first four bits are 0. It halves both (the number, below 2^60, exactly; the byte
    rounding down) until the number is below 2^53, adds them and divides by the matching power of two.

    Parameters
    ----------
    state : sequence of int
        256 numbers, written into.
    i, j : int
        ARC4's indices.
    out : sequence of float
        Written into.
    """
    for k in range(len(out)):
        number, byte, divisor = 0, 0, 1.0
        while number < 2**52:  # constants in place, which Python folds: it looks names up a byte at a time
            number = (number + byte) << 8
            divisor *= 256.0
            i = (i + 1) & 255
            kept = state[i]
            j = (j + kept) & 255
            swapped = state[j]
            state[i] = swapped
            state[j] = kept
            byte = state[(swapped + kept) & 255]
        while number >= 2**53:
            number >>= 1
            byte >>= 1
            divisor *= 0.5
        out[k] = (number + byte) / divisor
    return i, j


def shuffle(order: Any, numbers: Any) -> None:
    """Put `order` into the page's Fisher-Yates order by as many doubles."""
    last = len(order) - 1
    for k in range(len(order)):
        other = int(numbers[k] * (last + 1))
        kept = order[last]
        order[last] = order[other]
        order[other] = kept
        last -= 1


def accept_pairs(numbers: Any, first: Any, radius: Any) -> int:
    """Find the points within the unit disc among pairs of doubles, by Marsaglia's polar method.

    Parameters
    ----------
    numbers : sequence of float
        Pairs, one after the other.
    first, radius : sequence of float
        Written into: the first coordinate of each point that is accepted, and its squared distance from the origin.

    Returns
    -------
    int
        How many doubles were used; -1 where there were too few to fill `first`.
    """
    if len(first) == 0:
        return 0
    n_accepted = 0
    for used in range(0, len(numbers) - 1, 2):
        a = 2 * numbers[used] - 1
        b = 2 * numbers[used + 1] - 1
        s = a * a + b * b
        if s <= 1:
            first[n_accepted] = a
            radius[n_accepted] = s
            n_accepted += 1
            if n_accepted == len(first):
                return used + 2
    return -1
