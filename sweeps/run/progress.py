"""What a running sweep tells whoever is watching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analysis.records.events import Stage, Verdict
from analysis.records.study import Record, StudyHeader

Phase = Literal["search", "training", "finalists", "certificates", "page", "ablation", "done", "stopped"]
STAGES_OF: dict[Phase, tuple[Stage, ...]] = {
    "finalists": ("finalist",),
    "certificates": ("certificate",),
    "page": ("page_search", "page_finalist", "page_certificate"),
    "ablation": ("ablation",),
}
"""What the records of a phase after the search are of."""
PHASE_OF = {stage: phase for phase, stages in STAGES_OF.items() for stage in stages}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the study of one dataset stands.

    Told by the driver's thread: once for each study at the start, then for each record once it is safe on disk.

    Parameters
    ----------
    header : StudyHeader
        The study: sweep, dataset, goal, floor, number of trials.
    phase : str
        ``"search"``, ``"training"`` (of a list of settings), ``"finalists"``, ``"certificates"``, ``"page"`` (settings
        for the Playground page), ``"ablation"`` (changes of the winner), ``"done"``, or ``"stopped"`` (timeout or
        interruption: the rest waits for a resume).
    n_asked, n_finished : int
        Trials chosen and trials with a record, stages after the first apart.
    best_value : float or None
        Lowest value of a search trial, its mean test loss, or of a network.
    n_candidates : int
        Search trials whose bounds are below the goal.
    n_stage_done, n_stage_total : int
        Pieces of work done and planned in this phase.
    seconds_left : float or None
        Estimated time to the end of this phase, or None while there is nothing to estimate from.
    record : TrialRecord, NetworkRecord or None
        The record just written, if this event is about one.
    verdict : Verdict or None
        How the study ended, once it has.
    """

    header: StudyHeader
    phase: Phase
    n_asked: int
    n_finished: int
    best_value: float | None
    n_candidates: int
    n_stage_done: int
    n_stage_total: int
    seconds_left: float | None
    record: Record | None = None
    verdict: Verdict | None = None


OnEvent = Callable[[Progress], None]
