"""What a synchronisation with MLflow did, told while it goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SyncReport:
    """What a synchronisation did.

    Parameters
    ----------
    n_written : int
        Runs written now, parents included.
    n_present : int
        Runs that were there already.
    n_repaired : int
        Half-written runs that were deleted, to be written again.
    n_deleted : int
        Runs that a user has deleted in MLflow; they stay deleted.
    n_left_out : int
        Search trials that get no run, since not all were asked for.
    """

    n_written: int = 0
    n_present: int = 0
    n_repaired: int = 0
    n_deleted: int = 0
    n_left_out: int = 0

    @property
    def n_steps(self) -> int:
        """How often something has got on."""
        return self.n_written + self.n_present + self.n_repaired + self.n_deleted + self.n_left_out
