"""When a search with ``until = "converged"`` asks no more: as a function of the records told, in number order."""

from __future__ import annotations

from analysis.records.study import Study
from analysis.statistics.convergence import convergence
from sweeps.spec.sections import SearchSpec

EVERY = 10
"""Trials told between one time that the rule is asked and the next: who asks all the time finds what luck there is."""


def has_converged(search: SearchSpec, study: Study, n_told: int) -> bool:
    """Return whether a search ends once its first `n_told` trials have been told.

    Parameters
    ----------
    search : SearchSpec
        Whose `until` must be ``"converged"``; otherwise no search does. With its `gain` it ends, too, once it has no
        more to gain than that.
    study : Study
        With records of these trials; what is recorded of later ones does not count.
    n_told : int
        How many trials have been told.

    Notes
    -----
    A search that goes on from another `until` is asked first when the trials that it had are told as far as they were
    then: that makes its next trial depend on the rule, and no earlier one.
    """
    first = study.until_since - search.lag + 1
    if search.until != "converged" or n_told < first or (n_told % EVERY and n_told != first):
        return False
    found = convergence([trial for trial in study.eligible() if trial.number < n_told])
    return found is not None and (found.is_converged or found.gain <= search.gain)
