"""Threads that stand ready for short pieces of work, of a millisecond or less, and cost little to call.

`concurrent.futures` takes some 100 us to have two threads do nothing once, a twelfth of what they then do in a
mini-batch. Here the caller works, too, and each other thread waits at a queue of its own: some 15 us.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[int], None]


class _Member(threading.Thread):
    """One thread besides the caller's."""

    def __init__(self, place: int, surroundings: AbstractContextManager[None]) -> None:
        super().__init__(daemon=True)
        self._place = place
        self._surroundings = surroundings
        self.asked: SimpleQueue[Work | None] = SimpleQueue()  # None ends the thread
        self.errors: SimpleQueue[BaseException | None] = SimpleQueue()  # one for each work done

    def run(self) -> None:
        with ExitStack() as stack:
            # Whatever happens, each work is answered: the caller waits for that.
            refused = _error_of(lambda: stack.enter_context(self._surroundings))
            while (work := self.asked.get()) is not None:
                self.errors.put(_error_of(functools.partial(work, self._place)) if refused is None else refused)


def _error_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:  # the caller raises it
        return error
    return None


class Crew:
    """A number of threads, the caller's among them, that work on one thing together, from `with` to its end.

    Parameters
    ----------
    n_threads : int
        How many; with 1 the caller works alone.
    surroundings : callable () -> context manager
        What each other thread works within; one context manager a thread.
    """

    def __init__(self, n_threads: int, surroundings: Callable[[], AbstractContextManager[None]]) -> None:
        self.n_threads = n_threads
        self._surroundings = surroundings
        self._members: list[_Member] = []  # as many as have been needed

    def __enter__(self) -> Crew:  # noqa: D105
        return self

    def __exit__(  # noqa: D105
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for member in self._members:
            member.asked.put(None)
        for member in self._members:
            member.join()

    def run(self, work: Work, n_places: int | None = None) -> None:
        """Call ``work(0)`` here and ``work(1)``, ``work(2)``, ... in the other threads; return when all are done.

        Parameters
        ----------
        work : callable place -> None
            What is done.
        n_places : int, optional
            How many threads do it; None: all.

        Raises
        ------
        BaseException
            What the call here raised, or else the first of the others that raised anything.
        """
        n_others = (self.n_threads if n_places is None else n_places) - 1
        while len(self._members) < n_others:
            member = _Member(len(self._members) + 1, self._surroundings())
            member.start()
            self._members.append(member)
        asked = self._members[:n_others]
        for member in asked:
            member.asked.put(work)
        try:
            work(0)
        finally:
            errors = [member.errors.get() for member in asked]
        for error in errors:
            if error is not None:
                raise error

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return ``work(item)`` for each item; with n threads at work, each takes every n-th item.

        Raises
        ------
        BaseException
            As `run` does.
        """
        n_places = min(len(items), self.n_threads)
        if n_places <= 1:
            return [work(item) for item in items]
        results: dict[int, Result] = {}

        def work_on_own(place: int) -> None:
            for i in range(place, len(items), n_places):
                results[i] = work(items[i])

        self.run(work_on_own, n_places)
        return [results[i] for i in range(len(items))]
