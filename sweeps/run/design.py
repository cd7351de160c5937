"""The plan of a design: a list of settings fixed beforehand, trained once each, with no stage after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.records.events import Scalar, Stage, Verdict
from analysis.records.study import Study
from sweeps.run.progress import Phase
from sweeps.run.setting import Setting
from sweeps.search.samplers import ListSampler, Sampler


class DesignPlan(ABC):
    """What lessons and polynomial studies have in common; see `sweeps.run.plan.Plan`.

    Parameters
    ----------
    folder : Path
        The study's own.
    rows : sequence of mapping
        The params of each setting, in the order of their numbers.
    """

    phase: Phase = "training"
    n_candidates: int | None = None
    stages: tuple[tuple[Stage, ...], ...] = ()
    last: tuple[Stage, ...] = ()

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Scalar]]) -> None:
        self.folder = folder
        self.lag = len(rows)
        self._rows = rows

    def repeatable(self, study: Study, chapter: int) -> dict[str, list[int]]:  # noqa: ARG002
        """Return nothing: a design has no chapters."""
        return {}

    def proposer(self, study: Study) -> Sampler:  # noqa: ARG002
        """Return who proposes: the list."""
        return ListSampler(lambda number: (dict(self._rows[number]), {}))

    @abstractmethod
    def setting(self, study: Study, number: int, params: Mapping[str, Scalar], earlier: Sequence[int]) -> Setting:
        """Return the setting of one row."""

    def setting_of(self, study: Study, record: Any) -> Setting:
        """Return the setting that a record is about."""
        return self.setting(study, record.number, record.params, ())

    def reopening(self, study: Study) -> None:  # noqa: B027 (a plan may, a design does not)
        """Return None: a design is complete."""

    def has_converged(self, study: Study, n_told: int) -> bool:  # noqa: ARG002
        """Return that a list is trained to its end."""
        return False

    def look(self, study: Study, stage: Stage) -> tuple[None, list[Setting]]:  # noqa: ARG002
        """Return nothing: no stage follows."""
        return None, []

    def decided(self, records: Sequence[Any]) -> set[int]:  # noqa: ARG002
        """Return nothing: there are no rounds."""
        return set()

    def received(self, piece: Any, outcome: Any) -> Any:  # noqa: ARG002
        """Return what came back, as it is."""
        return outcome

    def keep(self, setting: Setting, record: Any, outcomes: Sequence[Any]) -> None:  # noqa: B027
        """Keep nothing: the record says it all."""

    def finish(self, study: Study) -> None:  # noqa: B027
        """Keep nothing beside the log."""


def verdict_on_claims(text: str, claims: Mapping[str, str], stopped: str) -> Verdict:
    """Return the verdict of a design: it certifies nothing, and says what each claim came to."""
    return Verdict(
        certified=False,
        winner=None,
        page_winner=None,
        page_certified=False,
        level=0.0,
        n_certificates=0,
        stopped=stopped,
        text=text,
        claims=dict(claims),
    )
