"""What a running sweep shows on stderr: one live line per dataset on a terminal, occasional plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from analysis.records.metric_words import METRIC_WORDS
from analysis.records.study import StudyHeader
from analysis.statistics.homework import dataset_title
from sweeps.run.progress import OnEvent, Progress

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_EVERY_S = 10.0
COLUMNS = ("dataset", "phase", "trials", "best", "candidates", "floor", "time left")


@contextmanager
def showing(stream: TextIO) -> Iterator[OnEvent]:
    """Show the progress of a sweep on `stream` while the block runs; what is yielded takes the events."""
    if not stream.isatty():
        yield PlainDisplay(stream)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=4, transient=False) as live:
        rows: dict[str, Progress] = {}

        def on_event(progress: Progress) -> None:
            rows[progress.header.dataset] = progress
            live.update(live_table(list(rows.values())))

        yield on_event


class PlainDisplay:
    """Writes a line for a dataset when its phase changes, and else at most every ten seconds.

    Parameters
    ----------
    stream : TextIO
    clock : callable
        Seconds from any start, never falling.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._shown: dict[str, tuple[str, float]] = {}

    def __call__(self, progress: Progress) -> None:
        """Take one event."""
        name, now = progress.header.dataset, self._clock()
        phase, shown_at = self._shown.get(name, ("", 0.0))
        if progress.phase == phase and now - shown_at < PLAIN_EVERY_S:
            return
        self._shown[name] = (progress.phase, now)
        self._stream.write(plain_line(progress) + "\n")
        self._stream.flush()


def plain_line(progress: Progress) -> str:
    """Return one line that says where a study stands."""
    title, phase, trials, best, candidates, floor, left = cells(progress)
    parts = [f"{title}: {phase}", f"{trials} trials"]
    parts += [f"best {best}"] if best != "-" else []
    parts += [f"candidates {candidates}"] if candidates != "-" else []
    parts += [f"floor {floor}"] if floor != "-" else []
    parts += [f"{left} left"] if left != "-" else []
    return ", ".join(parts)


def cells(progress: Progress) -> tuple[str, ...]:
    """Return the text of every column of `COLUMNS`."""
    staged = progress.phase not in ("search", "training", "done", "stopped") and progress.n_stage_total > 0
    phase = f"{progress.phase} {progress.n_stage_done}/{progress.n_stage_total}" if staged else progress.phase
    verdict = progress.verdict
    # Of a list of settings, of several datasets and works, no lowest value says anything.
    is_listed = progress.phase == "training" or "designs" in progress.header.data or bool(verdict and verdict.claims)
    if verdict is not None and verdict.claims is None:
        phase = "certified" if verdict.certified else "not certified"
    return (
        dataset_title(progress.header.dataset),
        phase,
        f"{progress.n_finished}/{progress.header.n_trials}",
        "-" if is_listed else best_text(progress.header, progress.best_value),
        "-" if is_listed else str(progress.n_candidates),
        _number(progress.header.floor),
        duration_text(progress.seconds_left),
    )


def best_text(header: StudyHeader, value: float | None) -> str:
    """Return the best value so far in the goal's own words: ``"test loss 0.0843"``, ``"accuracy 0.95"``.

    A table's trial has a mean over its folds, which is not the answer's figure over all rows, and is called so.
    """
    if value is None:
        return "-"
    words = METRIC_WORDS.get(header.metric)
    if words is None:
        return f"{header.metric.replace('_', ' ')} {value:.4f}"
    mean = "mean of the folds' " if header.data.get("kind") == "table" else ""
    return f"{mean}{words.title} {words.as_loss(value) if words.higher_is_better else value:.5g}"  # its own inverse


def live_table(rows: list[Progress]) -> Table:
    """Return the live table: one line a dataset, in the sweep's own order."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("dataset", "phase") else "right", no_wrap=True)
    for progress in sorted(rows, key=lambda row: row.header.position):
        table.add_row(*cells(progress))
    return table


def duration_text(seconds: float | None) -> str:
    """Return a duration as ``"1:05"`` or ``"2:00:07"``, or ``"-"`` where it is not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
