"""In range against out of range: what each named setting's loss becomes outside the box it was trained in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    optional,
    shown,
)
from analysis.records.study import Study
from analysis.statistics.homework import RangeRow, Side, range_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("setting", "Setting", "text"),
    ReportColumn("side", "Points", "text"),
    ReportColumn("loss", "Loss", "interval"),
    ReportColumn("n_points", "Points n"),
    ReportColumn("n_replicas", "Draws n"),
    ReportColumn("floor", "Best possible predictor"),
    ReportColumn("constant", "Constant predictor"),
    ReportColumn("difference", "Out of range minus in range, paired by draw", "interval"),
)
SETTINGS = {"winner": "winner", "page": "for the page"}


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    # Study by study, because two folders may hold sweeps of one name.
    rows = [(label, row) for study, label in zip(studies, labels(studies), strict=True) for row in range_rows([study])]
    blocks: list[Block] = [
        Paragraph(
            "In range are the test points inside the box of the training inputs (smallest to largest value of each "
            "input); out of range are points beyond it that the same rule makes, with the same noise. No search, no "
            "early stopping and no choice of a setting has seen a point out of range."
        )
    ]
    if not rows:
        blocks.append(Paragraph("Not shown: no trial has given a loss yet.", "missing"))
        return Section("ranges", "In range against out of range", tuple(blocks))
    table = ReportTable(
        "ranges",
        "Mean loss in and out of range with 95 % intervals; what varies from draw to draw is data, split, initial "
        "weights and order. The best possible predictor knows the rule and not the noise; the constant predictor "
        "always says the mean training label.",
        COLUMNS,
        tuple(cells for label, row in rows for cells in side_cells(row, label)),
    )
    winners = [(label, row) for label, row in rows if row.setting == "winner"]
    findings = [f"{label}: {finding(row)}" for label, row in winners]
    blocks += [table, *(Paragraph(text, "finding") for text in findings)]
    if any(row.in_range.loss.estimate is not None for _, row in winners):
        blocks.append(
            Picture(
                "ranges-overview",
                "Each winner's loss in range and out of range, with 95 % intervals (often narrower than the mark), "
                "beside the best possible and the constant predictor on the same points. A loss of 0 has no place on "
                "the logarithmic axis and is left out. n as in the table.",
                " ".join(findings),
                lambda: draw_overview([row for _, row in winners], [label for label, _ in winners]),
                ReportTable(
                    "ranges-overview",
                    "",
                    COLUMNS,
                    tuple(cells for label, row in winners for cells in side_cells(row, label)),
                ),
            )
        )
    return Section("ranges", "In range against out of range", tuple(blocks))


def side_cells(row: RangeRow, label: str) -> list[tuple[Cell, ...]]:
    """Return the two table rows of one setting: in range and out of range."""
    difference: Cell = shown(row.difference)
    return [
        (label, SETTINGS.get(row.setting, row.setting), "in range", *_numbers(row.in_range, row.n_replicas), ""),
        (
            label,
            SETTINGS.get(row.setting, row.setting),
            "out of range",
            *_numbers(row.out_of_range, row.n_replicas),
            difference,
        ),
    ]


def _numbers(side: Side, n_replicas: int) -> tuple[Cell, ...]:
    if side.loss.estimate is None:
        reason = side.loss.reason or "not measured"
        return Missing(reason), side.n_points, n_replicas, Missing(reason), Missing(reason)
    return (
        shown(side.loss),
        side.n_points,
        side.loss.n,
        optional(side.floor, "no floor declared"),
        optional(side.constant, "not recorded"),
    )


def finding(row: RangeRow) -> str:
    """Return what one row says, as a sentence that a reader can quote."""
    inside, outside = row.in_range.loss, row.out_of_range.loss
    if inside.estimate is None:
        return f"{inside.reason}."
    text = f"mean loss {number_text(inside.estimate)} in range"
    if outside.estimate is None:
        return f"{text}; {outside.reason}."
    text += f", {number_text(outside.estimate)} out of range"
    constant = row.out_of_range.constant
    if constant is not None and outside.low is not None and outside.high is not None:
        if outside.low > constant:
            return f"{text}: worse there than always saying the mean label ({number_text(constant)})."
        if outside.high < constant:
            return f"{text}: still better there than always saying the mean label ({number_text(constant)})."
        return f"{text}: there not to be told from always saying the mean label ({number_text(constant)})."
    return f"{text}."


def draw_overview(rows: Sequence[RangeRow], titles: Sequence[str]) -> Figure:
    """Draw each winner's two losses with floor and constant predictor, one line of the picture a dataset."""
    from analysis.formats.style import BLACK, BLUE, GRAY, ORANGE, framed_axes, new_figure, plain_ticks

    figure = new_figure(8.6, 1.2 + 0.62 * len(rows))
    axes = framed_axes(figure, 1.6, 0.6, 0.2, 0.45)
    seen: set[str] = set()

    def label(text: str) -> str | None:
        first = text not in seen
        seen.add(text)
        return text if first else None

    for i, row in enumerate(rows):
        for side, shift, color, marker, name in (
            (row.in_range, -0.16, BLUE, "o", "in range"),
            (row.out_of_range, 0.16, ORANGE, "s", "out of range"),
        ):
            if side.loss.estimate is None:
                continue
            y = i + shift
            if side.loss.low is not None and side.loss.high is not None:
                axes.plot([max(side.loss.low, 1e-6), side.loss.high], [y, y], color=color, linewidth=3)
            axes.plot([side.loss.estimate], [y], marker, color=color, markersize=8, label=label(name))
            if side.floor is not None and side.floor > 0:
                axes.plot(
                    [side.floor],
                    [y],
                    "|",
                    color=BLACK,
                    markersize=14,
                    markeredgewidth=2,
                    label=label("best possible predictor"),
                )
            if side.constant is not None and side.constant > 0:
                axes.plot(
                    [side.constant],
                    [y],
                    "x",
                    color=GRAY,
                    markersize=8,
                    markeredgewidth=2,
                    label=label("constant predictor"),
                )
    axes.set_yticks(range(len(rows)), titles)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    axes.set_xlabel("mean loss (logarithmic)")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="upper left", ncols=4)
    return figure
