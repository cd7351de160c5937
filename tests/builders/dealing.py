"""The order in which several processes get through tests soonest: long ones first, one here, one there.

pytest-xdist's ``--dist worksteal`` gives each process one stretch of the list; who is done takes from the end of
another's stretch, but never what stands next behind a test that is running. So no long test may stand far behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What is known of a test before it runs.

    Parameters
    ----------
    takes_s : float
        Seconds of a core, 0 if it is short.
    is_alone : bool
        Whether all other processes wait while it runs.
    """

    takes_s: float
    is_alone: bool


def stretches(n: int, n_processes: int) -> list[int]:
    """Return how many of `n` tests each process is given at first, as pytest-xdist divides them."""
    sizes = list[int]()
    for n_left in range(n_processes, 0, -1):
        sizes.append((n - sum(sizes)) // n_left)
    return sizes


def dealt(costs: Sequence[Cost], n_processes: int) -> list[int]:
    """Return the order of tests: in each process's stretch the long ones first, by turns the longest.

    What has the machine to itself begins the first stretch; a short test begins each of the others, for who is alone
    must wait for whatever has begun. Short tests stay in their order, which shares the fixtures of a module.

    Parameters
    ----------
    costs : sequence of Cost
        Of the tests, in their order.
    n_processes : int

    Returns
    -------
    list of int
        Places in `costs`.
    """
    alone = [i for i, cost in enumerate(costs) if cost.is_alone]
    long = sorted(
        (i for i, cost in enumerate(costs) if cost.takes_s and not cost.is_alone), key=lambda i: -costs[i].takes_s
    )
    short = [i for i, cost in enumerate(costs) if not cost.takes_s and not cost.is_alone]
    sizes = stretches(len(costs), n_processes)
    hands: list[list[int]] = [[] for _ in sizes]
    hands[0] += alone[: sizes[0]]
    if alone:
        for hand, size in zip(hands[1:], sizes[1:], strict=True):
            hand += [short.pop(0)] if short and size else []
    rest = long + alone[sizes[0] :]
    while rest:
        for hand, size in zip(hands, sizes, strict=True):
            if rest and len(hand) < size:
                hand.append(rest.pop(0))
    for hand, size in zip(hands, sizes, strict=True):
        n_more = size - len(hand)
        hand += short[:n_more]
        del short[:n_more]
    return [i for hand in hands for i in hand]
