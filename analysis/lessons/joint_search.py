"""Joint search: samplers compared at equal budget, search by search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, last, listed, losses, measured, sooner, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
SAMPLER, DEFAULT = "work.sampler", "tpe"
DESIGNS = ("searches", "images")
NAMES = {"random": later("random"), "sobol": later("quasi-random"), "grid": later("grid"), "tpe": "TPE",
         "gp": later("Gaussian process"), "cmaes": "CMA-ES", "tpe_grouped": later("grouped TPE")}  # fmt: skip
PAIRS = (("tpe", "random"), ("sobol", "random"), ("gp", "random"), ("cmaes", "random"), ("random", "grid"),
         ("gp", "tpe"), ("cmaes", "tpe"))  # fmt: skip
CLOSE = 1.1
"""Losses are as good as each other up to this factor."""
BUDGET = later("equal trials, replicas and epochs; searches of equal draws")


def trials_to(cell: CellRecord) -> FloatArray:
    """Return the first look by which each search has a trial of certified grade; infinite where it never has."""
    grade = losses(cell, "grade") > 0
    return np.where(grade.any(axis=0), np.array(cell.looks, np.float64)[grade.argmax(axis=0)], np.inf)


def searched(cells: Cells, levels: Mapping[str, Level] | None = None) -> list[CellRecord]:
    """Return the cells of both designs that have these levels."""
    return [cell for design in DESIGNS for cell in cells.of(design, levels or {})]


def datasets(cells: Cells) -> list[str]:
    """Return the datasets of both designs."""
    return list(dict.fromkeys(str(cell.params["dataset"]) for cell in searched(cells)))


def samplers(cells: Cells) -> list[str]:
    """Return the samplers that searched."""
    return list(dict.fromkeys(str(cell.params[SAMPLER]) for cell in searched(cells)))


def _pair(cells: Cells, dataset: str, a: str, b: str) -> tuple[CellRecord, CellRecord] | None:
    one, other = (searched(cells, {"dataset": dataset, SAMPLER: name}) for name in (a, b))
    return (one[0], other[0]) if one and other else None


def earlier(cells: Cells, a: str, b: str) -> list[Sample]:
    """Return for each search whether a has a trial of certified grade after fewer trials than b."""
    return [
        Sample(title(dataset), "share", sooner(trials_to(pair[0]), trials_to(pair[1])))
        for dataset in datasets(cells)
        if (pair := _pair(cells, dataset, a, b)) is not None
    ]


def fresh_ratio(cells: Cells, a: str, b: str) -> list[Sample]:
    """Return the fresh loss of a's winner over that of b's, search by search, as a logarithm."""
    return [
        Sample(title(dataset), "median", np.log(measured(pair[0], "fresh")) - np.log(measured(pair[1], "fresh")))
        for dataset in datasets(cells)
        if (pair := _pair(cells, dataset, a, b)) is not None
    ]


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about samplers."""
    known = samplers(cells)
    found = []
    for name, other in PAIRS:
        if name in known and other in known:
            number = "32" if (name, other) == ("tpe", "random") else ""
            found += [
                claim(number,
                      say("{name} finds a trial of certified grade after fewer trials than {other}", name=NAMES[name],
                          other=NAMES[other]),
                      say("share of searches in which {name} has one at an earlier look (both never counts half)",
                          name=NAMES[name]),
                      "above", 0.5, earlier(cells, name, other), budget=str(BUDGET)),
                claim(number,
                      say("The winner of {name} is better on fresh draws than that of {other}", name=NAMES[name],
                          other=NAMES[other]),
                      say("logarithm of the winner's mean test loss on fresh draws with {name} over that with {other} "
                          "(median over searches)", name=NAMES[name], other=NAMES[other]),
                      "below", 0.0, fresh_ratio(cells, name, other), budget=str(BUDGET)),
            ]  # fmt: skip
    others = [name for name in known if name != DEFAULT]
    if DEFAULT in known and others:
        best = min(others, key=lambda name: _mean_log_fresh(cells, name))
        found.append(
            claim("", say("The default sampler, {name}, is as good as the best other, to a tenth of its loss",
                          name=NAMES[DEFAULT]),
                  say("logarithm of the winner's mean test loss on fresh draws with {name} over that with the other "
                      "sampler that is best on every second search (median over the other searches)",
                      name=NAMES[DEFAULT]),
                  "below", float(np.log(CLOSE)),
                  [Sample(one.condition, one.kind, one.x[1::2]) for one in fresh_ratio(cells, DEFAULT, best)],
                  budget=str(BUDGET))
        )  # fmt: skip
    promise = [
        Sample(title(dataset), "median",
               np.mean([measured(cell, "fresh") - measured(cell, "promised")
                        for cell in searched(cells, {"dataset": dataset})], axis=0))
        for dataset in datasets(cells)
    ]  # fmt: skip
    found.append(
        claim("", say("What a search promises of its winner is too good"),
              say("mean test loss of the winner on fresh draws less that on the search's own, mean of the samplers "
                  "(median over searches)"), "above", 0.0, promise, budget=say("same setting"))
    )  # fmt: skip
    return found


def _mean_log_fresh(cells: Cells, sampler: str) -> float:
    """Return a sampler's mean logarithm of fresh loss over every second search."""
    values = [np.log(measured(cell, "fresh")[::2]).mean() for cell in searched(cells, {SAMPLER: sampler})]
    return float(np.mean(values)) if values else np.inf


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [
        _picture(cells),
        _table(cells),
        Paragraph(say("Seconds an ask are measured in the run itself, on its machine. A sampler that is not installed "
                      "is named above as a cell that could not be trained.")),
    ]  # fmt: skip


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in searched(cells):
        fresh = measured(cell, "fresh")
        lowest = min(float(np.median(measured(other, "fresh"))) for other in
                     searched(cells, {"dataset": cell.params["dataset"]}))  # fmt: skip
        looks = losses(cell, "grade")
        middle = len(cell.looks) // 2
        rows.append(
            (title(str(cell.params["dataset"])), str(NAMES.get(str(cell.params[SAMPLER]), str(cell.params[SAMPLER]))),
             shown(share_interval(looks[middle])), shown(share_interval(looks[-1])), shown(median_interval(fresh)),
             float(np.median(fresh)) - lowest, float(np.mean(cell.seconds)) if cell.seconds else 0.0)
        )  # fmt: skip
    first = next(iter(searched(cells)), None)
    half, end = (0, 0) if first is None else (first.looks[len(first.looks) // 2], first.looks[-1])
    return ReportTable(
        "joint-search-samplers",
        say("Share of searches with a trial of certified grade after {half} and after {end} trials, the winner's loss "
            "on fresh draws (median), how far that is above the best sampler's, and seconds an ask.", half=half,
            end=end),
        (ReportColumn("set", say("Set"), "text"), ReportColumn("sampler", say("Sampler"), "text"),
         ReportColumn("half", say("After {n}", n=half), "interval"),
         ReportColumn("all", say("After {n}", n=end), "interval"),
         ReportColumn("fresh", say("Winner, fresh"), "interval"), ReportColumn("regret", say("Regret")),
         ReportColumn("seconds", say("Seconds an ask"))),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    rows = [
        (title(str(cell.params["dataset"])), str(NAMES.get(str(cell.params[SAMPLER]), "")), float(look),
         float((row > 0).mean()))
        for cell in searched(cells)
        for look, row in zip(cell.looks, losses(cell, "grade"), strict=True)
    ]  # fmt: skip
    return Picture(
        "joint-search-shares",
        say("Share of searches that have found a trial of certified grade, by trials; bars are 95 % intervals at the "
            "end."),
        say("A line for each sampler."),
        lambda: _draw(cells),
        ReportTable("joint-search-shares", "", (ReportColumn("set", say("Set"), "text"),
                    ReportColumn("sampler", say("Sampler"), "text"), ReportColumn("trials", say("Trials")),
                    ReportColumn("share", say("Share"))), tuple(rows)),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    found = datasets(cells)
    colors = dict(zip(samplers(cells), COLORS * 2, strict=False))
    figure = new_figure(max(4.5, 1.9 * len(found) + 0.6), 2.8)
    for i, dataset in enumerate(found):
        axes = framed_axes(figure, 0.45, 0.5, 0.08, 0.3, i, len(found))
        for cell in searched(cells, {"dataset": dataset}):
            sampler = str(cell.params[SAMPLER])
            shares = (losses(cell, "grade") > 0).mean(axis=1)
            axes.plot(cell.looks, shares, "o-", color=colors[sampler], markersize=2.5, linewidth=1.2,
                      label=str(NAMES.get(sampler, sampler)))  # fmt: skip
            end = share_interval(last(cell, "grade"))
            if end.low is not None and end.high is not None:
                axes.plot([cell.looks[-1]] * 2, [end.low, end.high], color=colors[sampler], linewidth=0.8)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(title(dataset), fontsize=8)
        axes.set_xlabel(say("trials"), fontsize=8)
        axes.tick_params(labelsize=6)
        if i == 0:
            axes.set_ylabel(say("share of searches"), fontsize=8)
            axes.legend(fontsize=5.5, loc="center right")
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in datasets(cells):
        found = [
            say(
                "{name} {share:.0%} and {loss:.3g}",
                name=NAMES.get(str(cell.params[SAMPLER]), str(cell.params[SAMPLER])),
                share=(last(cell, "grade") > 0).mean(),
                loss=float(np.median(measured(cell, "fresh"))),
            )
            for cell in searched(cells, {"dataset": dataset})
        ]
        parts.append(f"{title(dataset)}: {', '.join(found)}")
    return say(
        "Share of searches with a trial of certified grade at the end of the budget, and the winner's median loss on "
        "fresh draws: {parts}.",
        parts=listed(parts, "; "),
    )


LESSON = Lesson(later("Joint search"), claims, blocks, answer)
