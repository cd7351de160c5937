"""What a kind of data is: one record, with everything that the rest of the product asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from engine.methods.losses import LOSSES
from sweeps.data.asked import Asked
from sweeps.data.source import Source
from sweeps.toml import SpecError, SpecTable


class Settings(Protocol):
    """What a spec says about one dataset: a frozen dataclass of its kind."""

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that the kind's parser reads."""

    def without_folders(self) -> Self:
        """Return the same with bare names of files: where they lie is no part of what is asked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of data.

    Parameters
    ----------
    name : str
        As specs say it: ``kind = "playground"``.
    settings : type
        Class of its settings; see `Settings`.
    parse : callable (SpecTable) -> settings
        Reads a ``[[datasets]]`` table beyond kind and name.
    open : callable (Asked, settings, folder or None) -> Source
        Opens the data; the study's folder is where a source may keep what it found out.
    test_set, out_of_range, floor : str
        What certificates are tested on, which points count as beyond the range, and what is known of the lowest loss.
    names : tuple of str
        Names that a dataset of this kind may have; empty means any.
    check : callable (settings, Asked, where) -> None
        Refuses, by SpecError, what fits neither the settings nor the sweep by itself; None: nothing to refuse.
    describe : callable (settings) -> str
        What the losses are and who was compared by which rows, for the report, after the dataset's name and a colon;
        None: nothing to say.
    has_page : bool
        Whether the Playground page can show a setting.
    goal_in_words : bool
        Whether its goal is words in a unit of its own (``"rmse < 20000"``) instead of a bound of the loss.
    has_ablation : bool
        Whether replicas have draws of their own, so that they can show what one change of the winner does, and whether
        a search has converged (`analysis.statistics.convergence.SHARING` names the kinds that have not).
    labels : str
        What its labels are, of `engine.methods.losses.Loss.targets`; empty: what the loss asks for, or the kind's own
        check says.
    """

    name: str
    settings: type[Settings]
    parse: Callable[[SpecTable], Any]
    open: Callable[[Asked, Any, Path | None], Source]
    test_set: str
    out_of_range: str
    floor: str
    names: tuple[str, ...] = ()
    check: Callable[[Any, Asked, str], None] | None = None
    describe: Callable[[Any], str] | None = None
    has_page: bool = False
    goal_in_words: bool = False
    has_ablation: bool = True
    labels: str = ""

    def check_loss(self, loss: str, where: str) -> None:
        """Refuse a loss whose targets the kind's labels are not.

        Raises
        ------
        SpecError
            Naming the losses that fit.
        """
        targets = LOSSES[loss].targets
        if self.labels and targets != self.labels:
            fit = ", ".join(name for name, one in LOSSES.items() if one.targets == self.labels)
            raise SpecError(
                f"{where}: training.loss: {loss} takes {targets} as labels, and those of {self.name} are "
                f"{self.labels}; expected {fit}"
            )
