"""Sweeps, datasets and arms side by side: every winner in one table, and the differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Block,
    Cell,
    Heading,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    optional,
    param_title,
    short,
    shown,
)
from analysis.records.study import Study
from analysis.records.table import is_table
from analysis.statistics.bounded import excess_interval, loss_bound
from analysis.statistics.comparison import LEAST_TRIALS_IN_ARM, MEASURES, ArmSet, Difference, arms, winner_differences
from analysis.statistics.homework import HomeworkRow, RangeRow, Side, homework_rows, range_rows, setting_text
from analysis.statistics.intervals import Interval, Values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 200
MOST_DRAWN = 40
LEVEL = 0.05
NO_FLOOR = "no floor declared"
COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("setting", "Winner", "text"),
    ReportColumn("in_range", "Loss in range", "interval"),
    ReportColumn("in_range_floor", "Floor in range"),
    ReportColumn("in_range_excess", "Excess over it", "interval"),
    ReportColumn("out_of_range", "Loss out of range", "interval"),
    ReportColumn("out_of_range_floor", "Floor there"),
    ReportColumn("out_of_range_excess", "Excess there", "interval"),
    ReportColumn("pass_rate", "Pass rate", "interval"),
    ReportColumn("verdict", "Verdict", "text"),
    ReportColumn("n", "Draws n"),
)
DIFFERENCE_COLUMNS = (
    ReportColumn("first", "First", "text"),
    ReportColumn("second", "Second", "text"),
    ReportColumn("measure", "Quantity", "text"),
    ReportColumn("difference", "First minus second", "interval"),
    ReportColumn("lower_on", "Draws on which the first is lower", "interval"),
    ReportColumn("p_holm", "p, Holm"),
    ReportColumn("how", "Interval", "text"),
    ReportColumn("verdict", "Verdict", "text"),
)
ARM_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("param", "Hyperparameter", "text"),
    ReportColumn("arm", "Arm", "text"),
    ReportColumn("n_trials", "Trials"),
    ReportColumn("in_range", "In range, choosing inside the arm", "interval"),
    ReportColumn("in_range_difference", "Minus best arm", "interval"),
    ReportColumn("in_range_p", "p, Holm"),
    ReportColumn("in_range_higher_on", "Draws with a higher loss than the best arm's", "interval"),
    ReportColumn("out_of_range", "Out of range, likewise", "interval"),
    ReportColumn("out_of_range_difference", "Minus best arm there", "interval"),
    ReportColumn("out_of_range_p", "p there, Holm"),
    ReportColumn("out_of_range_higher_on", "Draws with a higher loss there", "interval"),
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "All winners in one table, then what differs. Excess is the loss above that of the best possible "
            "predictor on the same points: what is left to gain, and the figure to compare between datasets."
        )
    ]
    rows = []
    for study, name in zip(studies, names, strict=True):
        if is_table(study):  # its section and the answer have its scores, whose unit is the row
            continue
        winner = next((row for row in homework_rows([study]) if row.setting == "winner"), None)
        if winner is None:
            blocks.append(Paragraph(f"{name}: not shown: no trial has given a loss.", "missing"))
        else:
            ranges = next(row for row in range_rows([study]) if row.setting == "winner")
            rows.append(winner_cells(name, winner, ranges, loss_bound(study.header, winner.record)))
    if rows:
        blocks.append(
            ReportTable(
                "comparison",
                "Each winner on its certificate's draws (on the best draws there are where there is no certificate "
                "yet), with 95 % intervals over n draws; excess is paired by draw.",
                COLUMNS,
                tuple(rows),
            )
        )
    blocks += sweep_blocks(studies, names)
    blocks += arm_blocks(studies, names)
    return Section("comparison", "Side by side", tuple(blocks))


def winner_cells(name: str, row: HomeworkRow, ranges: RangeRow, bound: float) -> tuple[Cell, ...]:
    """Return one winner's row; `bound` is the largest loss there can be."""
    record = row.record
    return (
        name,
        setting_text(record),
        *side_cells(ranges.in_range, record.in_range_loss, record.floor_in_range_loss, bound),
        *side_cells(ranges.out_of_range, record.out_of_range_loss, record.floor_out_of_range_loss, bound),
        shown(row.pass_rate),
        row.verdict,
        row.n_replicas,
    )


def side_cells(side: Side, losses: Values, floors: Values | None, bound: float) -> tuple[Cell, ...]:
    """Return loss, floor and excess of one side of the range."""
    if side.loss.estimate is None:
        return (Missing(side.loss.reason or "not measured"),) * 3
    excess: Cell = Missing(NO_FLOOR) if floors is None else shown(excess_interval(losses, floors, bound))
    return shown(side.loss), optional(side.floor, NO_FLOOR), excess


def sweep_blocks(studies: Sequence[Study], names: Sequence[str]) -> list[Block]:
    """Return the differences between the winners of several sweeps on the same dataset, or why there are none."""
    if len({(study.header.sweep, study.path.parent.parent if study.path else None) for study in studies}) < 2:
        return []
    differences = winner_differences(studies)
    if not differences:
        return [Paragraph("Differences not shown: no dataset is in two of the sweeps with a loss in both.", "missing")]
    rows = differences[:MOST_ROWS]
    told = "" if len(rows) == len(differences) else f" {len(rows)} of {len(differences)} rows are shown."
    blocks: list[Block] = [
        ReportTable(
            "differences",
            "Winners of different sweeps on the same dataset. Where both were measured on the same draws they compare "
            "draw by draw (paired), else by both means' intervals; either way a few stuck replicas that these draws "
            "missed are reckoned with. Intervals are of 95 % each; p is adjusted by Holm over "
            f"all {sum(one.p_value is not None for one in differences)} comparisons of this table, and the verdict "
            f"follows p at {LEVEL:g}.{told}",
            DIFFERENCE_COLUMNS,
            tuple(difference_cells(one, names) for one in rows),
        )
    ]
    if any(one.difference.low is not None for one in rows):
        blocks.append(difference_picture(rows, names))
    return blocks


def difference_cells(one: Difference, names: Sequence[str]) -> tuple[Cell, ...]:
    """Return one comparison's row."""
    return (
        names[one.first],
        names[one.second],
        MEASURES[one.measure],
        shown(one.difference),
        shown(one.lower_on),
        optional(one.adjusted, one.difference.reason or "no interval"),
        one.difference.method or "none",
        verdict(one),
    )


def verdict(one: Difference) -> str:
    """Return which of the two is lower, if that can be told."""
    if one.adjusted is None or one.difference.estimate is None:
        return "not decided"
    if one.adjusted >= LEVEL:
        return "not to be told apart"
    return "first is lower" if one.difference.estimate < 0 else "second is lower"


def difference_picture(rows: Sequence[Difference], names: Sequence[str]) -> Picture:
    """Return the picture of the differences."""
    drawn = [one for one in rows if one.difference.low is not None][:MOST_DRAWN]
    told = [
        f"{names[one.first]} minus {names[one.second]}, {MEASURES[one.measure]}: "
        f"{number_text(one.difference.estimate or 0)} ({verdict(one)})"
        for one in drawn
    ]
    return Picture(
        "differences",
        "Difference of the winners' losses with its 95 % interval; left of the line the first sweep is lower. Filled: "
        f"told apart at {LEVEL:g} after Holm. n as in the table.",
        f"{len(drawn)} differences. {'; '.join(told[:6])}.",
        lambda: draw_differences(drawn, names),
        ReportTable("differences-drawn", "", DIFFERENCE_COLUMNS, tuple(difference_cells(one, names) for one in drawn)),
    )


def draw_differences(drawn: Sequence[Difference], names: Sequence[str]) -> Figure:
    """Draw each difference as a mark with its interval, one line each."""
    from analysis.formats.style import BLUE, GRAY, GREEN, ORANGE, framed_axes, new_figure

    colors = {"test_loss": GREEN, "in_range_loss": BLUE, "out_of_range_loss": ORANGE}
    figure = new_figure(8.6, 1.1 + 0.24 * len(drawn))
    axes = framed_axes(figure, 3.6, 0.55, 0.2, 0.4)
    seen: set[str] = set()
    for y, one in enumerate(drawn):
        color = colors[one.measure]
        axes.plot([one.difference.low or 0, one.difference.high or 0], [y, y], color=color, linewidth=2)
        sure = one.adjusted is not None and one.adjusted < LEVEL
        label = None if one.measure in seen else MEASURES[one.measure]
        seen.add(one.measure)
        face = color if sure else "white"
        axes.plot([one.difference.estimate or 0], [y], "o", color=color, markerfacecolor=face, label=label)
    axes.axvline(0, color=GRAY, linewidth=1.2)
    axes.set_yticks(
        range(len(drawn)), [f"{short(names[one.first])} - {short(names[one.second])}" for one in drawn], fontsize=8
    )
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("first minus second")
    figure.legend(loc="upper left", ncols=3)
    return figure


def arm_blocks(studies: Sequence[Study], names: Sequence[str]) -> list[Block]:
    """Return the table of the arms of each search, and why some have none."""
    rows: list[tuple[Cell, ...]] = []
    blocks: list[Block] = []
    findings: list[Block] = []
    for study, name in zip(studies, names, strict=True):
        found = arms(study)
        if not found:
            blocks.append(
                Paragraph(
                    f"{name}: arms not shown: no hyperparameter has two choices with {LEAST_TRIALS_IN_ARM} trials of "
                    "at least 4 draws each.",
                    "missing",
                )
            )
        rows += [cells for arm_set in found for cells in arm_cells(arm_set, name)]
        findings += [Paragraph(f"{name}: {told}", "finding") for arm_set in found for told in arm_findings(arm_set)]
    if not rows:
        return blocks
    text = Paragraph(
        "Arms are the choices of one search. An arm's figure is what choosing the lowest mean test loss inside it "
        "gives: half of the draws are judged by what the other half chooses, and the other way round, so that the "
        f"choice does not flatter. Choices of fewer than {LEAST_TRIALS_IN_ARM} trials are left out. All trials of a "
        "search share their draws, so arms compare draw by draw."
    )
    caption = (
        "The arms of each search, n draws as in the intervals. Differences are paired with the best arm of the same "
        "hyperparameter (lowest mean test loss), intervals of 95 % each; p is adjusted by Holm over all pairs of arms. "
        "On which share of draws an arm's loss is higher has an exact interval that assumes no bound, and says nothing "
        "of means."
    )
    return [Heading("Arms"), text, *findings, ReportTable("arms", caption, ARM_COLUMNS, tuple(rows)), *blocks]


def arm_findings(arm_set: ArmSet) -> list[str]:
    """Return, where it is so, that arms are alike in range and differ out of range, as a sentence."""
    sure = {
        (one.first, one.second, one.measure): one.adjusted is not None and one.adjusted < LEVEL
        for one in arm_set.differences
    }
    estimates = {one.second: one.difference for one in arm_set.differences if one.first == 0}
    told, with_best = [], ""
    for i in sorted(estimates):
        if sure[0, i, "in_range_loss"] or not sure[0, i, "out_of_range_loss"]:
            continue
        best, other = (arm_set.arms[k].interval("out_of_range_loss").estimate for k in (0, i))
        if best is not None and other is not None:
            told.append(f"{arm_set.arms[i].choice} {number_text(other)}")
            with_best = number_text(best)
    if not told:
        return []
    best_arm = arm_set.arms[0].choice
    return [
        f"with {best_arm}, the mean loss out of range is {with_best}; with choices of {param_title(arm_set.param)} "
        f"that are not to be told from it in range, it is another: {', '.join(told)}."
    ]


def arm_cells(arm_set: ArmSet, name: str) -> list[tuple[Cell, ...]]:
    """Return the rows of one hyperparameter's arms, the best first."""
    rows = []
    for i, arm in enumerate(arm_set.arms):
        cells: list[Cell] = [name, param_title(arm_set.param), arm.choice, arm.n_trials]
        for measure in ("in_range_loss", "out_of_range_loss"):
            cells.append(shown(arm.interval(measure)))
            if i == 0:
                cells += [Missing("the best arm"), "", ""]
                continue
            one = next(d for d in arm_set.differences if (d.first, d.second, d.measure) == (0, i, measure))
            cells += [
                shown(negated(one.difference)),
                optional(one.adjusted, one.difference.reason or "no interval"),
                shown(one.lower_on),
            ]
        rows.append(tuple(cells))
    return rows


def negated(interval: Interval) -> Interval:
    """Return the interval of the difference the other way round."""
    estimate, low, high = (None if end is None else -end for end in (interval.estimate, interval.high, interval.low))
    return replace(interval, estimate=estimate, low=low, high=high)
