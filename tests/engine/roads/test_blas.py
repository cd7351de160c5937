from typing import Any

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from engine.roads.blas import one_blas_thread


def n_blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in ThreadpoolController().select(user_api="blas").info()]


@pytest.fixture(params=[1, 2])
def given(request: pytest.FixtureRequest) -> Any:
    with threadpool_limits(request.param):
        yield request.param


def test_blas_has_one_thread_inside_and_what_it_had_after(given: int) -> None:
    before = n_blas_threads()
    with one_blas_thread() as n_threads:
        assert set(n_blas_threads()) == {1}
    assert n_threads == max(before) == given
    assert n_blas_threads() == before


def test_overlapping_contexts_keep_one_thread_until_the_last_one_ends(given: int) -> None:
    before = n_blas_threads()
    first, second = one_blas_thread(), one_blas_thread()
    assert first.__enter__() == second.__enter__() == given
    first.__exit__(None, None, None)
    assert set(n_blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert n_blas_threads() == before


def test_an_error_inside_gives_the_threads_back(given: int) -> None:
    before = n_blas_threads()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        _ = 1 / 0
    assert n_blas_threads() == before
