"""A fold with what was learnt from its training rows."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.data.table.folds import Fold
from sweeps.data.table.preprocessing import Preprocessing, TargetTransform


@dataclass(frozen=True, slots=True)
class FittedFold:
    """One fold and what was learnt from its training rows.

    Parameters
    ----------
    fold : Fold
        Row numbers.
    preprocessing : Preprocessing
        Of the inputs.
    target : TargetTransform or None
        Of the target; None for classification.
    """

    fold: Fold
    preprocessing: Preprocessing
    target: TargetTransform | None
