"""Threads that stand ready: who works, in what surroundings, and what becomes of errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from engine.roads.crew import Crew


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_each_place_works_once_in_a_thread_of_its_own_and_the_caller_is_the_first(n_threads: int) -> None:
    before = threading.active_count()
    with Crew(n_threads, nullcontext) as crew:
        for _ in range(20):
            seen: dict[int, int] = {}
            crew.run(lambda place, seen=seen: seen.update({place: threading.get_ident()}))
            assert sorted(seen) == list(range(n_threads))
            assert len(set(seen.values())) == n_threads
            assert seen[0] == threading.get_ident()
    assert threading.active_count() == before


def test_only_as_many_threads_as_there_are_items_are_started() -> None:
    before = threading.active_count()
    with Crew(50, nullcontext) as crew:
        assert crew.map(abs, [-1, -2]) == [1, 2]
        assert threading.active_count() == before + 1
        assert crew.map(abs, [-1, -2, -3]) == [1, 2, 3]
        assert threading.active_count() == before + 2
    assert threading.active_count() == before


def test_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    with Crew(2, nullcontext) as crew:
        crew.run(lambda _: both.wait() and None)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_results_are_in_the_order_of_their_items(n_threads: int, n_items: int) -> None:
    with Crew(n_threads, nullcontext) as crew:
        assert crew.map(lambda i: i * i, range(n_items)) == [i * i for i in range(n_items)]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_is_raised_when_all_are_done_and_the_crew_goes_on(failing: int) -> None:
    done = []

    def work(place: int) -> None:
        if place == failing:
            raise KeyError(place)
        done.append(place)

    with Crew(3, nullcontext) as crew:
        for _ in range(3):
            with pytest.raises(KeyError, match=str(failing)):
                crew.run(work)
            assert sorted(done) == [place for place in range(3) if place != failing]
            done.clear()
        assert crew.map(str, range(3)) == ["0", "1", "2"]


def test_the_callers_own_error_comes_first() -> None:
    def work(place: int) -> None:
        raise KeyError(place)

    with Crew(2, nullcontext) as crew, pytest.raises(KeyError, match="0"):
        crew.run(work)


def test_an_interrupt_ends_the_threads() -> None:
    before = threading.active_count()

    def work(place: int) -> None:
        if place == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Crew(3, nullcontext) as crew:
        crew.run(work)
    assert threading.active_count() == before


def test_each_other_thread_works_within_its_surroundings() -> None:
    entered: list[int] = []

    @contextmanager
    def surroundings() -> Iterator[None]:
        entered.append(threading.get_ident())
        yield
        entered.remove(threading.get_ident())

    with Crew(3, surroundings) as crew:
        inside = [False] * 3

        def look(place: int) -> None:
            inside[place] = threading.get_ident() in entered

        crew.run(look)
        assert inside == [False, True, True]
    assert entered == []


def test_surroundings_that_cannot_be_had_are_the_callers_error_and_leave_nobody_waiting() -> None:
    before = threading.active_count()

    @contextmanager
    def surroundings() -> Iterator[None]:
        raise OSError("no such mode")
        yield

    with Crew(2, surroundings) as crew:
        for _ in range(2):
            with pytest.raises(OSError, match=r"^no such mode$"):
                crew.run(lambda _: None)
    assert threading.active_count() == before
