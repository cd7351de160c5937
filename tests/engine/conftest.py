from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """BLAS runs on one thread, as in a sweep: threads that wait for each other would only slow the tests down."""
    with threadpool_limits(1):
        yield
