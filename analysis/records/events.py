"""What happens in a study besides its records: a trial asked, a look, an extension, a chapter, a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = str | int | float | bool | None
Stage = Literal[
    "search",
    "finalist",
    "certificate",
    "page_search",
    "page_finalist",
    "page_certificate",
    "ablation",
    "network",
    "cell",
]


@dataclass(frozen=True, slots=True)
class AskedLine:
    """A trial was chosen.

    Parameters
    ----------
    number : int
        0, 1, 2, ... in the order of the log.
    params : dict
        As in `TrialRecord`.
    point : dict
        The sampler's own coordinates of it.
    source : int or None
        The earlier trial that it repeats, or None.
    """

    number: int
    params: dict[str, Scalar]
    point: dict[str, Any]
    source: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a study ended.

    Parameters
    ----------
    certified : bool
        Whether a certificate passed.
    winner : int or None
        Number within stage ``"certificate"`` of the winner (the best that passed, else the best), or None.
    page_winner : int or None
        The same within stage ``"page_certificate"``.
    page_certified : bool
        Whether the page winner passed.
    level : float
        Level of each certificate's test (0.05 / K).
    n_certificates : int
        K.
    stopped : str
        Why the search ended: ``"reached"``, ``"converged"``, ``"budget"``, ``"timeout"``, ``"all_failed"``.
    text : str
        One sentence for the reader, with how to go on where nothing passed.
    claims : dict of str to str, or None
        Of a study that judges claims, not settings: what was found for each; None where certificates decide.
    """

    certified: bool
    winner: int | None
    page_winner: int | None
    page_certified: bool
    level: float
    n_certificates: int
    stopped: str
    text: str
    claims: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LookLine:
    """One look at draws that nothing has seen: they are spent when this is written, before anything trains on them.

    Parameters
    ----------
    number : int
        1, and 1 more each time the search goes on after one.
    stage : str
        ``"finalist"``, ``"certificate"``, their ``"page_*"``, or ``"ablation"``.
    draws : str
        The block that the draws are from: digest of the question, or ``"shared:NAME"`` where the spec names a block.
    n_trials : int
        Search trials that could choose what is looked at.
    first, n_records : int
        Number of its first record within the stage, and how many it has.
    n_draws : int
        Replicas of each.
    level : float
        Of the test of each of its records; 0 where nothing is claimed from it.
    rounds : list of int
        Numbers of draws after which its records race: who is surely worse than the best on the same draws ends there.
    """

    number: int
    stage: Stage
    draws: str
    n_trials: int
    first: int
    n_records: int
    n_draws: int
    level: float
    rounds: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Extension:
    """A larger budget for a search.

    Parameters
    ----------
    n_trials, until : int, str
        As in `StudyHeader`.
    spec_sha256 : str
        Digest of the spec with this budget.
    """

    n_trials: int
    until: str
    spec_sha256: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """The search goes on in another space; trials of the chapters before that lie in it are told to the sampler.

    Parameters
    ----------
    n_trials, until, spec_sha256 : int, str, str
        As in `Extension`: the budget counts the trials of all chapters.
    first : int
        Number of the chapter's first trial.
    kept : list of int
        Earlier trials whose settings lie in the space, by number.
    spec_before : str
        The spec of the chapter before, as TOML; its order is that in which a space is searched.
    """

    n_trials: int
    until: str
    spec_sha256: str
    first: int
    kept: list[int]
    spec_before: str
