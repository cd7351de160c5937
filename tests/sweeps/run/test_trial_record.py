"""What a record says of its replicas' losses is what NumPy says of them, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from sweeps.run.trial_record import QUANTILES, _quantiles


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 11, 16, 21, 64, 101, 1000])
def test_quantiles_are_numpys(n: int) -> None:
    rng = np.random.default_rng(n)
    capped = np.minimum(rng.lognormal(-2.0, 2.0, (2, 15, n)), 5.0)
    for values in (capped, np.round(capped, 1), np.full((2, 1, n), 0.3)):
        assert np.array(_quantiles(values)).tobytes() == np.quantile(values, QUANTILES, axis=-1).tobytes()
