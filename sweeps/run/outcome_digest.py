"""What a record's ``sha256`` is of: by it a replay, and the files beside a certificate, are known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.network import Parameters


def outcome_digest(
    epochs: Sequence[int] | npt.NDArray[np.int64], losses: Mapping[str, npt.NDArray[Any]], parameters: Parameters
) -> str:
    """Return the SHA-256 of all losses and final weights.

    Parameters
    ----------
    epochs : sequence of int (G,)
        Where losses were measured.
    losses : mapping of str to ndarray (G, R)
        By name of the split.
    parameters : Parameters
        Weights and biases at the end.
    """
    arrays = [np.asarray(epochs, np.int64), *(losses[name] for name in sorted(losses))]
    arrays += [*parameters.weights, *parameters.biases]
    if parameters.slopes is not None:
        arrays.append(parameters.slopes)
    digest = hashlib.sha256()
    for array in arrays:
        # Not-a-numbers have many bit patterns; which one arises is not part of a result.
        has_any = array.dtype.kind == "f" and np.isnan(array).any()
        numbers = np.where(np.isnan(array), np.nan, array) if has_any else array
        digest.update(str(array.shape).encode() + np.ascontiguousarray(numbers, array.dtype).tobytes())
    return digest.hexdigest()
