"""All trials of a search: loss against number, with candidates, divergences, the best so far, goal and floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.formats.blocks import (
    Block,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    study_files,
)
from analysis.records.study import Study, TrialRecord
from analysis.sections.workbench import workbench

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MARKS = 1200


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """One search trial as a mark in the picture.

    Parameters
    ----------
    number : int
    value : float or None
        Mean test loss over the trial's draws; None where it failed.
    kind : str
        ``"candidate"``, ``"complete"``, ``"pruned"``, ``"diverged"`` or ``"failed"``.
    best : float or None
        Lowest value of a trial that did not diverge, up to this number.
    """

    number: int
    value: float | None
    kind: str
    best: float | None


def trial_points(trials: Sequence[TrialRecord]) -> list[TrialPoint]:
    """Return every search trial as a mark, by number."""
    points: list[TrialPoint] = []
    best: float | None = None
    for record in trials:
        value = record.value if record.state != "failed" and math.isfinite(record.value) else None
        kind: str = "failed" if value is None else "candidate" if record.candidate else record.state
        if kind == "complete" and record.pruned_at is not None:
            kind = "pruned"
        if value is not None and kind != "diverged":
            best = value if best is None else min(best, value)
        points.append(TrialPoint(record.number, value, kind, best))
    return points


def thinned(points: Sequence[TrialPoint], most: int = MOST_MARKS) -> list[TrialPoint]:
    """Return at most about `most` marks: those that set a new best, and of the rest every so many-eth."""
    if len(points) <= most:
        return list(points)
    kept = set(np.linspace(0, len(points) - 1, most).round().astype(int).tolist())
    bests = [i for i in range(len(points)) if i == 0 or points[i].best != points[i - 1].best]
    return [points[i] for i in sorted(kept | set(bests[-most:]))]


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "Each mark is one search trial: the mean test loss over its draws at its best epoch. Trials of one "
            "search share their draws, so that they compare in pairs. Searches choose the lowest of many noisy "
            "values: the lowest mark flatters."
        )
    ]
    if (bench := workbench(studies)) is not None:
        blocks.append(bench)
    for study, name, file_name in zip(studies, names, study_files("trials", studies), strict=True):
        blocks.append(trials_block(study, name, file_name))
    return Section("trials", "All trials", tuple(blocks))


def trials_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    points = trial_points(study.trials)
    kinds = ("candidate", "complete", "pruned", "diverged", "failed")
    count = {kind: sum(point.kind == kind for point in points) for kind in kinds}
    if not points:
        return Paragraph(f"{name}: not shown: no trial has finished.", "missing")
    if all(point.value is None for point in points):
        return Paragraph(f"{name}: not shown: all {len(points)} trials failed.", "missing")
    best = points[-1].best
    first = next((point.number for point in points if point.kind == "candidate"), None)
    pruned = ""
    if count["pruned"]:
        n_epochs = sum(max(record.epoch_grid, default=0) for record in study.trials)
        pruned = f"{count['pruned']} pruned at a rung ({n_epochs} epochs trained of "
        pruned += f"{len(points) * study.header.max_epochs} without pruning and early stops), "
    told = (
        f"{len(points)} trials: {count['candidate']} candidates, {count['complete']} others, {pruned}"
        f"{count['diverged']} diverged, {count['failed']} failed (not drawn)"
    )
    alt = f"{name}: {told}; lowest mean test loss {'none' if best is None else number_text(best)}, " + (
        "no candidate." if first is None else f"first candidate at trial {first}."
    )
    drawn = thinned(points)
    caption = f"{name}, n = {study.header.n_replicas} draws a trial. {told}. Candidate: the upper 95 % bounds of both "
    caption += "mean losses are below the goal."
    if count["diverged"]:
        caption += " Diverged ones have no loss; their marks are at what they count with in the search."
    if len(drawn) < len(points):
        caption += f" {len(drawn)} marks are drawn; the CSV file has all."
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("trial", "Trial"),
            ReportColumn("test_loss", "Mean test loss"),
            ReportColumn("kind", "Kind", "text"),
            ReportColumn("best_so_far", "Best so far"),
        ),
        tuple((point.number, loss_cell(point), point.kind, _or_why(point.best, "none yet")) for point in points),
    )
    return Picture(file_name, caption, alt, lambda: draw_trials(study, drawn, name), data)


def loss_cell(point: TrialPoint) -> float | Missing:
    """Return a trial's loss, or why it has none: what a diverged one counts with is no loss."""
    return Missing(point.kind) if point.kind == "diverged" else _or_why(point.value, "failed")


def _or_why(value: float | None, why: str) -> float | Missing:
    return Missing(why) if value is None else value


def draw_trials(study: Study, points: Sequence[TrialPoint], name: str) -> Figure:
    """Draw the marks, the best so far, goal and floor."""
    from matplotlib.ticker import MaxNLocator

    from analysis.formats.style import (
        BLACK,
        BLUE,
        GRAY,
        GREEN,
        ORANGE,
        RED,
        framed_axes,
        horizontal,
        new_figure,
        plain_ticks,
    )

    figure = new_figure(8.6, 3.4)
    axes = framed_axes(figure, 0.8, 0.55, 2.05, 0.35)
    for kind, marker, color, text, size in (
        ("complete", "o", GRAY, "trial", 4),
        ("pruned", "v", GRAY, "pruned", 3),
        ("diverged", "x", ORANGE, "diverged", 5),
        ("candidate", "D", GREEN, "candidate", 5),
    ):
        chosen = [(point.number, point.value) for point in points if point.kind == kind and point.value]
        if chosen:
            axes.plot(
                [number for number, _ in chosen],
                [value for _, value in chosen],
                marker,
                color=color,
                label=text,
                markersize=size,
                zorder=3,
            )
    bests = [(point.number, point.best) for point in points if point.best]
    if bests:
        axes.step(*zip(*bests, strict=True), where="post", color=BLUE, linewidth=1.4, label="best so far")
    horizontal(axes, study.header.goal, RED, f"goal {study.header.goal:g}")
    if study.header.floor:
        horizontal(axes, study.header.floor, BLACK, f"expected floor {number_text(study.header.floor)}", (1, 1.5))
    axes.set_yscale("log")
    axes.set_title(name)
    axes.set_xlabel("trial number")
    axes.set_ylabel("mean test loss (logarithmic)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_ticks(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
