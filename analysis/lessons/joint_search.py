"""Joint search: samplers compared at equal budget, search by search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, last, losses, measured, sooner, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
SAMPLER, DEFAULT = "work.sampler", "tpe"
NAMES = {"random": "random", "sobol": "quasi-random", "grid": "grid", "tpe": "TPE", "gp": "Gaussian process",
         "tpe_grouped": "grouped TPE"}  # fmt: skip
MARGIN = 0.01
BUDGET = "equal trials, replicas and epochs; searches of equal draws"


def trials_to(cell: CellRecord) -> FloatArray:
    """Return the first look by which each search has a trial of certified grade; infinite where it never has."""
    grade = losses(cell, "grade") > 0
    return np.where(grade.any(axis=0), np.array(cell.looks, np.float64)[grade.argmax(axis=0)], np.inf)


def _pair(cells: Cells, dataset: str, a: str, b: str) -> tuple[CellRecord, CellRecord] | None:
    one, other = (cells.one("searches", {"dataset": dataset, SAMPLER: name}) for name in (a, b))
    return None if one is None or other is None else (one, other)


def earlier(cells: Cells, a: str, b: str) -> list[Sample]:
    """Return for each search whether a has a trial of certified grade after fewer trials than b."""
    return [
        Sample(title(dataset), "share", sooner(trials_to(pair[0]), trials_to(pair[1])))
        for dataset in cells.datasets("searches")
        if (pair := _pair(cells, dataset, a, b)) is not None
    ]


def fresh_less(cells: Cells, a: str, b: str) -> list[Sample]:
    """Return the fresh loss of a's winner less that of b's, search by search."""
    return [
        Sample(title(dataset), "median", measured(pair[0], "fresh") - measured(pair[1], "fresh"))
        for dataset in cells.datasets("searches")
        if (pair := _pair(cells, dataset, a, b)) is not None
    ]


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about samplers."""
    samplers = [str(name) for name in cells.levels("searches", SAMPLER)]
    found = []
    for name, other in (("tpe", "random"), ("sobol", "random"), ("gp", "random"), ("random", "grid"), ("gp", "tpe")):
        if name in samplers and other in samplers:
            found.append(
                claim("32" if (name, other) == ("tpe", "random") else "",
                      f"{NAMES[name]} finds a trial of certified grade after fewer trials than {NAMES[other]}",
                      f"share of searches in which {NAMES[name]} has one at an earlier look (both never counts half)",
                      "above", 0.5, earlier(cells, name, other), budget=BUDGET)
            )  # fmt: skip
    if {"tpe", "random"} <= set(samplers):
        found.append(
            claim("32", "TPE's winner is better on fresh draws than random search's", "mean test loss of the winner on "
                  "fresh draws, TPE's less random search's (median over searches)", "below", 0.0,
                  fresh_less(cells, "tpe", "random"), budget=BUDGET)
        )  # fmt: skip
    others = [name for name in samplers if name != DEFAULT]
    if DEFAULT in samplers and others:
        best = min(others, key=lambda name: _mean_fresh(cells, name, 0))
        found.append(
            claim("", "The default sampler's winner is as good as the best other's, to 0.01 of loss",
                  f"mean test loss of the winner on fresh draws, {NAMES[DEFAULT]}'s less that of the other "
                  f"sampler that "
                  "is best on every second search (median over the other searches)", "below", MARGIN,
                  [Sample(one.condition, one.kind, one.x[1::2]) for one in fresh_less(cells, DEFAULT, best)],
                  budget=BUDGET)
        )  # fmt: skip
    promise = [
        Sample(f"{title(str(cell.params['dataset']))}, {NAMES.get(str(cell.params[SAMPLER]))}", "median",
               measured(cell, "fresh") - measured(cell, "promised"))
        for cell in cells.of("searches")
    ]  # fmt: skip
    found.append(
        claim("", "What a search promises of its winner is too good", "mean test loss of the winner on fresh "
                                                                      "draws less "
              "that on the search's own (median over searches)", "above", 0.0, promise, budget="same setting")
    )  # fmt: skip
    return found


def _mean_fresh(cells: Cells, sampler: str, start: int) -> float:
    values = [measured(cell, "fresh")[start::2].mean() for cell in cells.of("searches", {SAMPLER: sampler})]
    return float(np.mean(values)) if values else np.inf


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [
        _picture(cells),
        _table(cells),
        Paragraph("Seconds an ask are measured in this run on this machine; they are kept beside the records, not in "
                  "them. A sampler that is not installed is named above as a cell that could not be trained."),
    ]  # fmt: skip


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("searches"):
        fresh = measured(cell, "fresh")
        lowest = min(float(np.median(measured(other, "fresh"))) for other in
                     cells.of("searches", {"dataset": cell.params["dataset"]}))  # fmt: skip
        looks = losses(cell, "grade")
        middle = len(cell.looks) // 2
        rows.append(
            (title(str(cell.params["dataset"])), NAMES.get(str(cell.params[SAMPLER]), str(cell.params[SAMPLER])),
             shown(share_interval(looks[middle])), shown(share_interval(looks[-1])), shown(median_interval(fresh)),
             float(np.median(fresh)) - lowest, float(np.mean(cell.seconds)) if cell.seconds else 0.0)
        )  # fmt: skip
    first = next(iter(cells.of("searches")), None)
    looks_text = ("half", "all") if first is None else (str(first.looks[len(first.looks) // 2]), str(first.looks[-1]))
    return ReportTable(
        "joint-search-samplers",
        f"Share of searches with a trial of certified grade after {looks_text[0]} and after {looks_text[1]} "
        f"trials, the "
        "winner's loss on fresh draws (median), how far that is above the best sampler's, and seconds an ask.",
        (ReportColumn("set", "Set", "text"), ReportColumn("sampler", "Sampler", "text"),
         ReportColumn("half", f"After {looks_text[0]}", "interval"),
         ReportColumn("all", f"After {looks_text[1]}", "interval"),
         ReportColumn("fresh", "Winner, fresh", "interval"), ReportColumn("regret", "Regret"),
         ReportColumn("seconds", "Seconds an ask")),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    rows = [
        (title(str(cell.params["dataset"])), NAMES.get(str(cell.params[SAMPLER]), ""), float(look),
         float((row > 0).mean()))
        for cell in cells.of("searches")
        for look, row in zip(cell.looks, losses(cell, "grade"), strict=True)
    ]  # fmt: skip
    return Picture(
        "joint-search-shares",
        "Share of searches that have found a trial of certified grade, by trials; bars are 95 % intervals at the end.",
        "A line for each sampler.",
        lambda: _draw(cells),
        ReportTable("joint-search-shares", "", (ReportColumn("set", "Set", "text"),
                    ReportColumn("sampler", "Sampler", "text"), ReportColumn("trials", "Trials"),
                    ReportColumn("share", "Share")), tuple(rows)),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    datasets = cells.datasets("searches")
    figure = new_figure(max(4.5, 2.6 * len(datasets) + 1.0), 3.0)
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.6, 0.5, 0.15, 0.35, i, len(datasets))
        for cell, color in zip(cells.of("searches", {"dataset": dataset}), COLORS * 2, strict=False):
            shares = (losses(cell, "grade") > 0).mean(axis=1)
            axes.plot(cell.looks, shares, "o-", color=color, markersize=3, linewidth=1.3,
                      label=NAMES.get(str(cell.params[SAMPLER]), ""))  # fmt: skip
            end = share_interval(last(cell, "grade"))
            if end.low is not None and end.high is not None:
                axes.plot([cell.looks[-1]] * 2, [end.low, end.high], color=color, linewidth=0.8)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(title(dataset), fontsize=9)
        axes.set_xlabel("trials", fontsize=8)
        if i == 0:
            axes.set_ylabel("share of searches", fontsize=8)
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("searches"):
        found = [
            f"{NAMES.get(str(cell.params[SAMPLER]))} {(last(cell, 'grade') > 0).mean():.0%} and "
            f"{np.median(measured(cell, 'fresh')):.3g}"
            for cell in cells.of("searches", {"dataset": dataset})
        ]
        parts.append(f"{title(dataset)}: {', '.join(found)}")
    return (
        "Share of searches with a trial of certified grade at the end of the budget, and the winner's median loss on "
        f"fresh draws: {'; '.join(parts)}."
    )


LESSON = Lesson("Joint search", claims, blocks, answer)
