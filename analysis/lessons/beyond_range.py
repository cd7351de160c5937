"""Beyond the range: who is right there, how far, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, floor, last, listed, measured, pooled, sooner, title
from analysis.course.lesson import Lesson
from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    number_text,
    shown,
)
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
ACTIVATION, SHAPE, PENALTY = "network.activation", "network.hidden_layer_sizes", "training.regularizer"
STRETCH = "data.stretch"
STRAIGHT = 0.99
JOINT_LEVEL = 1.0 - 0.05 / 11
"""Of the intervals of ten sets and of all together, as in the claims' own."""
DESIGNS = ("sets", "polynomials")
OWN = ""
"""No number: the question is the product's own."""


def _of(cells: Cells, levels: Mapping[str, Level]) -> list[CellRecord]:
    """Return the trained cells of all designs that have these levels."""
    return [cell for design in DESIGNS for cell in cells.of(design, levels)]


def _datasets(cells: Cells) -> list[str]:
    return [dataset for design in DESIGNS for dataset in cells.datasets(design)]


def _levels(cells: Cells, key: str) -> list[Level]:
    return list(dict.fromkeys(level for design in DESIGNS for level in cells.levels(design, key)))


def beyond(cell: CellRecord) -> FloatArray:
    """Return each replica's loss beyond the range."""
    return last(cell, "out_of_range")


def excess(cell: CellRecord) -> FloatArray:
    """Return how far each replica's loss beyond the range is above the best possible predictor's."""
    return beyond(cell) - floor(cell, "out_of_range")


def _wins(
    cells: Cells, dataset: str, key: str, a: Level, b: Level, value: Callable[[CellRecord], FloatArray]
) -> FloatArray | None:
    """Return in which share of equal settings level a's value is below b's, of each replica."""
    found = []
    for one in _of(cells, {"dataset": dataset, key: a}):
        other = cells.one(str(one.params["design"]), {**{k: v for k, v in one.params.items() if k != "design"}, key: b})
        if other is not None:
            found.append(sooner(value(one), value(other)))
    return np.mean(found, axis=0) if found else None


def _versus(
    cells: Cells, key: str, a: Level, b: Level, value: Callable[[CellRecord], FloatArray], datasets: Sequence[str]
) -> tuple[Sample, ...]:
    return tuple(
        Sample(title(dataset), "share", wins)
        for dataset in datasets
        if (wins := _wins(cells, dataset, key, a, b, value)) is not None
    )


def in_and_out(cells: Cells, dataset: str) -> FloatArray:
    """Return each replica's rank correlation, over settings, of its losses in and out of range; NaN where it has none.

    At the larger stretch; a correlation of a replica is one value, so that replicas stay the unit.
    """
    farthest = max((float(str(one)) for one in _levels(cells, STRETCH)), default=0.0)
    group = _of(cells, {"dataset": dataset, STRETCH: farthest})
    if len(group) < 4:
        return np.array([])
    inside = np.stack([last(cell, "in_range") for cell in group])
    outside = np.stack([beyond(cell) for cell in group])
    inside, outside = (_ranks(side) for side in (inside, outside))
    inside, outside = inside - inside.mean(axis=0), outside - outside.mean(axis=0)
    spread = np.sqrt((inside**2).sum(axis=0) * (outside**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, (inside * outside).sum(axis=0) / spread, np.nan)


def _ranks(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=0), np.float64)


def _straight(cells: Cells, dataset: str, activation: str) -> FloatArray:
    group = _of(cells, {"dataset": dataset, ACTIVATION: activation})
    if not group:
        return np.array([])
    lines = np.stack([measured(cell, "ray_line") for cell in group])
    # Where all is flat there is no line to miss.
    return np.asarray((np.isnan(lines) | (lines > STRAIGHT)).mean(axis=0))


def claims(cells: Cells) -> list[Claim]:
    """Return what is claimed about networks beyond their range."""
    datasets = _datasets(cells)
    straight = tuple(Sample(title(d), "share", values) for d in datasets if len(values := _straight(cells, d, "relu")))
    flat = _versus(cells, ACTIVATION, "tanh", "relu", lambda cell: measured(cell, "ray_change"), datasets)
    saturated = _versus(cells, ACTIVATION, "relu", "tanh", lambda cell: -measured(cell, "saturated"), datasets)
    correlation = tuple(Sample(title(d), "median", values) for d in datasets if len(values := in_and_out(cells, d)))
    relu = _versus(cells, ACTIVATION, "relu", "tanh", beyond, datasets)
    penalty = _versus(cells, PENALTY, "l2", "none", beyond, datasets)
    farther = _versus(cells, STRETCH, 1.5, 3.0, excess, datasets)
    deeper = _versus(cells, SHAPE, "6", "6-6-6", beyond, datasets)
    budget = say("equal epochs, rate, draws and first weights")
    return [
        Claim(
            OWN,
            say("A ReLU network is linear along rays beyond the range"),
            say(
                "share of ReLU networks whose score along "
                "rays from 1.2 to 3 times the range is a line with R^2 above {straight:g}",
                straight=STRAIGHT,
            ),
            "above",
            0.9,
            straight,
            pooled(straight),
            budget=budget,
        ),
        Claim(
            OWN,
            say("A tanh network is flatter there"),
            say(
                "share of settings and draws in which the score changes less "
                "along rays with tanh than with ReLU, over its spread within the range"
            ),
            "above",
            0.5,
            flat,
            pooled(flat),
            budget=budget,
        ),
        Claim(
            OWN,
            say("... because its units saturate"),
            say(
                "share of settings and draws in which fewer units are saturated "
                "beyond the range with tanh than with ReLU (of ReLU: switched off)"
            ),
            "below",
            0.5,
            _turned(saturated),
            pooled(_turned(saturated)),
            budget=budget,
        ),
        Claim(
            OWN,
            say("Whoever is better within the range is better beyond it"),
            say("rank correlation, over settings, of a draw's losses within and beyond the range (median over draws)"),
            "above",
            0.0,
            correlation,
            pooled(correlation),
            budget=budget,
        ),
        Claim(
            OWN,
            say("ReLU is better than tanh beyond the range"),
            say("share of settings and draws in which ReLU's loss beyond the range is lower than tanh's"),
            "above",
            0.5,
            relu,
            pooled(relu),
            budget=budget,
        ),
        Claim(
            OWN,
            say("An L2 penalty helps beyond the range"),
            say("share of settings and draws with a lower loss beyond the range with L2 at 0.003 than without"),
            "above",
            0.5,
            penalty,
            pooled(penalty),
            budget=budget,
        ),
        Claim(
            OWN,
            say("The farther, the worse"),
            say(
                "share of settings and draws whose loss above the floor is lower up to "
                "1.5 times the range than up to 3 times"
            ),
            "above",
            0.5,
            farther,
            pooled(farther),
            budget=budget,
        ),
        Claim(
            OWN,
            say("One hidden layer is better beyond the range than three"),
            say(
                "share of settings and draws with a lower "
                "loss beyond the range with one layer of six units than with three"
            ),
            "above",
            0.5,
            deeper,
            pooled(deeper),
            budget=say("equal epochs and units a layer; three layers have more parameters"),
        ),
    ]


def _turned(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    return tuple(Sample(one.condition, one.kind, 1.0 - one.x) for one in samples)


def blocks(cells: Cells) -> list[Block]:
    """Return picture, tables and the rule of thumb."""
    return [
        *(_picture(cells, one) for one in DESIGNS if cells.of(one)),
        _sets_table(cells),
        _mechanism_table(cells),
        Paragraph(rule_of_thumb(cells), "finding"),
    ]


def _level_name(activation: Level) -> str:
    return {"relu": "ReLU"}.get(str(activation), str(activation))


def _sets_table(cells: Cells) -> ReportTable:
    activations = _levels(cells, ACTIVATION)
    rows: list[tuple[Cell, ...]] = []
    for dataset in _datasets(cells):
        values = in_and_out(cells, dataset)
        row: list[Cell] = [title(dataset)]
        row.append(shown(median_interval(_known(values))) if len(values) else Missing(say("too few settings")))
        for activation in activations:
            group = _of(cells, {"dataset": dataset, ACTIVATION: activation})
            row.append(_mean_of([np.median(last(cell, "in_range")) for cell in group]))
            row.append(_mean_of([np.median(beyond(cell)) for cell in group]))
            row.append(_mean_of([known.mean() for cell in group if len(known := _known(measured(cell, "far_right")))]))
        constant = [value for cell in _of(cells, {"dataset": dataset}) for value in cell.constant["out_of_range"]]
        row.append(_mean_of([value for value in constant if value is not None]))
        rows.append(tuple(row))
    columns = [
        ReportColumn("set", say("Set"), "text"),
        ReportColumn("correlation", say("In and out of range, rank correlation"), "interval"),
    ]
    for activation in activations:
        name = _level_name(activation)
        columns += [
            ReportColumn(f"{activation}_in", say("{name}, in range", name=name)),
            ReportColumn(f"{activation}_out", say("{name}, beyond", name=name)),
            ReportColumn(f"{activation}_right", say("{name}, right sign beyond", name=name)),
        ]
    columns.append(ReportColumn("constant", say("Constant, beyond")))
    n = cells.design("sets").get("n_replicas", 0)
    return ReportTable(
        "beyond-range-sets",
        say(
            "Median losses over {n} draws within and beyond the range, averaged over layers, penalties and stretches; "
            "the share of points beyond the range on the right side of 0; and the constant predictor's loss there.",
            n=n,
        ),
        tuple(columns),
        tuple(rows),
    )


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _mean_of(values: Sequence[float]) -> Cell:
    mean = float(np.mean(values)) if len(values) else float("nan")
    return mean if np.isfinite(mean) else Missing(say("not finite") if len(values) else say("not trained"))


def _mechanism_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for activation in _levels(cells, ACTIVATION):
        group = _of(cells, {ACTIVATION: activation})
        probes = [
            [np.median(known) for cell in group if len(known := _known(measured(cell, probe)))]
            for probe in ("ray_line", "ray_change", "saturated", "agreement")
        ]
        rows.append((_level_name(activation), *(_mean_of(values) for values in probes)))
    return ReportTable(
        "beyond-range-mechanism",
        say(
            "The mechanism, by activation: R^2 of a line along rays beyond the box, change of the score along them "
            "over its spread within the range, share of saturated (ReLU: switched off) units there, share of other "
            "networks that agree in sign. Medians over draws, averaged over sets and settings."
        ),
        (
            ReportColumn("activation", say("Activation"), "text"),
            ReportColumn("ray_line", say("R^2 of a line")),
            ReportColumn("ray_change", say("Change along rays")),
            ReportColumn("saturated", say("Saturated units")),
            ReportColumn("agreement", say("Agreement")),
        ),
        tuple(rows),
    )


def _winner(cells: Cells, dataset: str) -> tuple[str, bool] | None:
    """Return the activation that is better beyond the range, and whether that is shown; None without both."""
    wins = _wins(cells, dataset, ACTIVATION, "relu", "tanh", beyond)
    if wins is None:
        return None
    interval = share_interval(wins, JOINT_LEVEL)
    name = "ReLU" if (interval.estimate or 0.0) > 0.5 else "tanh"
    return name, not (interval.low is not None and interval.high is not None and interval.low <= 0.5 <= interval.high)


def rule_of_thumb(cells: Cells) -> str:
    """Return the rule that the numbers support: who is better beyond the range on which sets."""
    return say(
        "Rule of thumb: do not choose by the loss within the range; choose by how the truth goes on. {found}",
        found=_better_beyond(cells),
    )


def _better_beyond(cells: Cells) -> str:
    by_name: dict[str, list[str]] = {"ReLU": [], "tanh": [], "neither": []}
    for dataset in _datasets(cells):
        found = _winner(cells, dataset)
        if found is not None:
            by_name[found[0] if found[1] else "neither"].append(title(dataset))
    opposed = [
        title(dataset)
        for dataset in _datasets(cells)
        if len(values := in_and_out(cells, dataset))
        and (high := median_interval(_known(values), JOINT_LEVEL).high) is not None
        and high < 0
    ]
    parts = [
        say("neither is shown better beyond the range on {sets}", sets=", ".join(sets))
        if name == "neither"
        else say("{name} is better beyond the range on {sets}", name=name, sets=", ".join(sets))
        for name, sets in by_name.items()
        if sets
    ]
    text = listed(parts, "; ") + "."
    if opposed:
        text += say(
            " On {opposed} settings that are better within the range are worse beyond it.", opposed=", ".join(opposed)
        )
    return text


def _picture(cells: Cells, design: str) -> Picture:
    name = "beyond-range-in-and-out" + ("" if design == "sets" else f"-{design}")
    rows = [
        (
            title(str(cell.params["dataset"])),
            _level_name(cell.params[ACTIVATION]),
            str(cell.params[SHAPE]),
            str(cell.params[PENALTY]),
            float(str(cell.params[STRETCH])),
            float(np.median(last(cell, "in_range"))),
            float(np.median(beyond(cell))),
        )
        for cell in cells.of(design)
    ]
    kept = tuple(row for row in rows if np.isfinite(row[5]) and np.isfinite(row[6]))
    return Picture(
        name,
        say(
            "Each point is a setting: median loss within the range (across) and beyond it (up), one panel a set, "
            "colour the activation, at the larger stretch. On the line both are equal."
        ),
        say("Loss within against loss beyond the range by set: ")
        + "; ".join(
            say("{title} rank correlation {float}", title=title(d), float=number_text(float(np.median(_known(v)))))
            for d in cells.datasets(design)
            if len(_known(v := in_and_out(cells, d)))
        )
        + ".",
        lambda: _draw(cells, design),
        ReportTable(
            name,
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("activation", say("Activation"), "text"),
                ReportColumn("units", say("Units"), "text"),
                ReportColumn("penalty", say("Penalty"), "text"),
                ReportColumn("stretch", say("Stretch")),
                ReportColumn("inside", say("In range")),
                ReportColumn("outside", say("Beyond")),
            ),
            kept,
        ),
    )


def _draw(cells: Cells, design: str) -> Figure:
    from analysis.formats.style import COLORS, GRAY, framed_axes, new_figure, plain_ticks

    datasets = cells.datasets(design)
    n = max(1, len(datasets))
    figure = new_figure(1.75 * n + 0.4, 2.7)
    farthest = max((float(str(one)) for one in _levels(cells, STRETCH)), default=0.0)
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.5, 0.5, 0.08, 0.35, i, n)
        for activation, color in zip(_levels(cells, ACTIVATION), COLORS, strict=False):
            group = cells.of(design, {"dataset": dataset, ACTIVATION: activation, STRETCH: farthest})
            x = [max(float(np.median(last(cell, "in_range"))), 1e-6) for cell in group]
            y = [max(float(np.median(beyond(cell))), 1e-6) for cell in group]
            axes.plot(x, y, "o", color=color, markersize=3.5, label=_level_name(activation))
        ends = [*axes.get_xlim(), *axes.get_ylim()]
        axes.plot([max(min(ends), 1e-6), max(ends)], [max(min(ends), 1e-6), max(ends)], color=GRAY, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_ticks(axes, "x")
        plain_ticks(axes, "y")
        axes.set_title(title(dataset), fontsize=9)
        axes.tick_params(labelsize=6, which="both")
        axes.set_xlabel(say("in range"), fontsize=8)
        if i == 0:
            axes.set_ylabel("beyond", fontsize=8)
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    return say(
        "Do not choose by the loss within the range; choose by how the truth goes on. {found}",
        found=_better_beyond(cells),
    )


LESSON = Lesson(later("Beyond the range"), claims, blocks, answer)
