"""What the search promised against what fresh draws gave, per stage, over all data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, Section, labels, shown
from analysis.records.study import Study
from analysis.statistics.overtuning import STEPS, Step, over_studies, steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "What the search promised, and what fresh draws gave"
COLUMNS = (
    ReportColumn("dataset", "Data", "text"),
    ReportColumn("step", "Promise held to", "text"),
    ReportColumn("trial", "Trial"),
    ReportColumn("promised", "Promised", "interval"),
    ReportColumn("given", "Given", "interval"),
    ReportColumn("difference", "Given minus promised", "interval"),
    ReportColumn("how", "Interval of the difference", "text"),
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    found = [(study, name, step) for study, name in zip(studies, names, strict=True) for step in steps(study)]
    blocks: list[Block] = [
        Paragraph(
            "Choosing the best of many noisy losses chooses its luck, too (overtuning). The same settings on draws "
            "that had no part in the choice show by how much: the best trial of the search on the finalists' draws, "
            "the best finalist on the certificates', and the winner from its search trial to its certificate."
        )
    ]
    without = [name for study, name in zip(studies, names, strict=True) if not steps(study)]
    blocks += [
        Paragraph(f"{name}: not shown: nothing has been measured on fresh draws yet.", "missing") for name in without
    ]
    if not found:
        return Section("overtuning", TITLE, tuple(blocks))
    blocks += [Paragraph(text, "finding") for text in findings([step for _, _, step in found])]
    blocks.append(
        ReportTable(
            "overtuning",
            "Mean test loss (of a table the loss that is searched, of its networks one by one) where a setting was "
            "chosen for it and where it was not, with 95 % intervals. The difference is taken above the best possible "
            "predictor's loss on the same draws where that is known; above 0, the choice flattered.",
            COLUMNS,
            tuple(step_cells(study, name, step) for study, name, step in found),
        )
    )
    drawn = [(name, step, ratio) for _, name, step in found if (ratio := relative(step)) is not None]
    if drawn:
        blocks.append(picture(drawn))
    return Section("overtuning", TITLE, tuple(blocks))


def findings(found: Sequence[Step]) -> list[str]:
    """Return, for each step, the mean factor over all data sets as a sentence."""
    told = []
    for name in STEPS:
        chosen = [step for step in found if step.name == name]
        mean = over_studies(chosen)
        if mean.estimate is None:
            continue
        ends = "" if mean.low is None or mean.high is None else f" ({100 * mean.low:+.1f} to {100 * mean.high:+.1f} %)"
        n = f"{mean.n} data set{'' if mean.n == 1 else 's'}"
        none = "; an interval takes two data sets" if not ends else ""
        if mean.low is not None and mean.high is not None and mean.low <= 0 <= mean.high:
            none = ", which could be none"
        told.append(f"From {name}, over {n}: {100 * mean.estimate:+.1f} % loss{ends}{none}.")
    return told


def step_cells(study: Study, name: str, step: Step) -> tuple[Cell, ...]:
    """Return one step's row."""
    return (
        name,
        f"{step.name} ({study.header.metric.replace('_', ' ')})",
        step.number,
        shown(step.promised),
        shown(step.given),
        shown(step.difference),
        step.difference.method,
    )


def picture(rows: Sequence[tuple[str, Step, tuple[float, float, float]]]) -> Picture:
    """Return the picture of given over promised, one mark a step."""
    told = "; ".join(f"{name}, {step.name}: {100 * ratio[0]:+.1f} %" for name, step, ratio in rows[:8])
    return Picture(
        "overtuning",
        "Given minus promised, in % of what was promised, with 95 % intervals. Right of the line the choice flattered.",
        f"{len(rows)} steps. {told}.",
        lambda: draw(rows),
        ReportTable(
            "overtuning-drawn",
            "",
            (
                ReportColumn("dataset", "Data", "text"),
                ReportColumn("step", "Promise held to", "text"),
                ReportColumn("relative", "Given minus promised, % of promised"),
                ReportColumn("low", "Low end"),
                ReportColumn("high", "High end"),
            ),
            tuple((name, step.name, *(100 * value for value in ratio)) for name, step, ratio in rows),
        ),
    )


def relative(step: Step) -> tuple[float, float, float] | None:
    """Return difference and ends as shares of what was promised, or None where there is no interval."""
    one, promised = step.difference, step.promised.estimate
    if one.estimate is None or one.low is None or one.high is None or promised is None or not promised > 0:
        return None
    found = one.estimate / promised, one.low / promised, one.high / promised
    return found if all(map(math.isfinite, found)) else None


def draw(rows: Sequence[tuple[str, Step, tuple[float, float, float]]]) -> Figure:
    """Draw one line a step, colored by its kind."""
    from analysis.formats.style import BLUE, GRAY, GREEN, ORANGE, framed_axes, new_figure

    colors = dict(zip(STEPS, (GREEN, BLUE, ORANGE), strict=True))
    figure = new_figure(8.6, 1.1 + 0.26 * len(rows))
    axes = framed_axes(figure, 2.6, 0.55, 0.2, 0.4)
    labelled: set[str] = set()
    for y, (_, step, (estimate, low, high)) in enumerate(rows):
        label = None if step.name in labelled else step.name
        labelled.add(step.name)
        axes.plot([100 * low, 100 * high], [y, y], color=colors[step.name], linewidth=2)
        axes.plot([100 * estimate], [y], "o", color=colors[step.name], label=label)
    axes.axvline(0, color=GRAY, linewidth=1.2)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("given minus promised, % of promised")
    figure.legend(loc="upper left", ncols=3)
    return figure
