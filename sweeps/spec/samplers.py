"""The names of samplers, and which of Optuna's stands behind a name. One more of Optuna's is one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

LISTS = ("sobol", "random", "grid")
"""Samplers that propose a list, whatever trials give: `sweeps.search.samplers` makes it."""


@dataclass(frozen=True, slots=True)
class OptunaSampler:
    """One of Optuna's samplers.

    Its proposals must follow from the study's trials and its seed alone: a sampler that keeps a state of its own
    (CMA-ES) would propose something else after a resumption.

    Parameters
    ----------
    kind : str
        Class in `optuna.samplers`.
    options : mapping
        Its arguments; the seed is given besides.
    needs : str
        Package that must be installed for it; empty: none.
    window : int
        Trials that it models at least. What an ask costs grows with them, so that from twice as many on it is given
        only half a window of the best, half a window of the last, and those since: see `bounded_from`.
    """

    kind: str
    options: Mapping[str, Any]
    needs: str = ""
    window: int = 1000

    @property
    def bounded_from(self) -> int:
        """Number of trials from which on not all of them are modelled; below it nothing is left out."""
        return 2 * self.window


# The first trials of each come from a Sobol sequence, which is told to Optuna as trials; it needs no start of its own.
OPTUNA: Mapping[str, OptunaSampler] = MappingProxyType(
    {
        "tpe": OptunaSampler("TPESampler", {"n_startup_trials": 1}),
        "tpe_grouped": OptunaSampler("TPESampler", {"n_startup_trials": 1, "multivariate": True, "group": True}),
        # What a conditional space has in some trials alone it draws at random, and would say so each time.
        "gp": OptunaSampler(
            "GPSampler", {"n_startup_trials": 1, "warn_independent_sampling": False}, needs="torch", window=250
        ),
    }
)

SAMPLERS = (*OPTUNA, *LISTS)
