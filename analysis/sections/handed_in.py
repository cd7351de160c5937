"""A homework table, or a class of them, as report sections: what each row really gives, and common mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    shown,
)
from analysis.statistics.claimed import LEVEL, CheckedRow
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GOAL = 0.1
TRAIN, TEST = "training loss", "test loss"
MOST_DRAWN = 24
LUCK = 0.5
"""A setting that reaches the goal in a smaller share of draws does so by luck of the draw."""
NOT_TRAINED = later("not trained")


def mistakes_of(row: CheckedRow) -> list[str]:
    """Return the kinds of mistakes in a row: cells that cannot be used, and what its numbers show."""
    kinds = list(row.mistakes)
    if row.plausible is False:
        kinds.append(say("losses: not plausible for the setting"))
    reaches = len(row.claimed) == len(row.losses) == 2 and all(value < GOAL for value, _ in row.claimed.values())
    estimate = row.passes(GOAL).estimate if row.losses else None
    if row.rates and len(row.rates) == 1 and reaches and estimate is not None and estimate < LUCK:
        kinds.append(say("setting: reaches both losses below {goal:g} in fewer than half of the draws", goal=GOAL))
    return kinds


def claimed_text(row: CheckedRow, loss: str) -> str:
    """Return a claimed loss as it was written down, or why there is none."""
    if loss not in row.claimed:
        return row.sentences.get(loss, say("no loss is given"))
    value, decimals = row.claimed[loss]
    return f"{value:.{decimals}f}"


def place_text(row: CheckedRow, loss: str) -> str:
    """Return where a claimed loss falls, in words."""
    found = row.place(loss)
    return "-" if found is None else found.words


def rows_table(rows: Sequence[CheckedRow], several: bool) -> ReportTable:
    """Return each row beside what its setting gives."""
    body = [(*((row.source,) if several else ()), *_cells(row)) for row in rows]
    columns = (
        *((ReportColumn("file", say("File"), "text"),) if several else ()),
        ReportColumn("line", say("Line"), "text"), ReportColumn("data", say("Data type"), "text"),
        ReportColumn("setting", say("Setting"), "text"),
        ReportColumn("train_claimed", say("Training loss, claimed"), "text"),
        ReportColumn("train", say("... really"), "interval"), ReportColumn("train_place", say("... falls at"), "text"),
        ReportColumn("test_claimed", say("Test loss, claimed"), "text"),
        ReportColumn("test", say("... really"), "interval"), ReportColumn("test_place", say("... falls at"), "text"),
        ReportColumn("passes", say("Both below {goal:g}", goal=GOAL), "interval"),
        ReportColumn("verdict", say("Claimed losses"), "text"), ReportColumn("notes", say("Note"), "text"),
    )  # fmt: skip
    return ReportTable("rows", _caption(rows), columns, tuple(body))


def _cells(row: CheckedRow) -> tuple[Cell, ...]:
    nothing = Missing(str(NOT_TRAINED))
    return (
        str(row.line),
        row.dataset,
        row.setting,
        claimed_text(row, TRAIN),
        shown(row.mean(TRAIN)) if row.losses else nothing,
        place_text(row, TRAIN),
        claimed_text(row, TEST),
        shown(row.mean(TEST)) if row.losses else nothing,
        place_text(row, TEST),
        shown(row.passes(GOAL)) if row.losses else nothing,
        row.verdict,
        "; ".join(notes_of(row)) or "-",
    )


def notes_of(row: CheckedRow) -> list[str]:
    """Return what a reader of a row should know besides."""
    notes = list(row.notes)
    if len(row.rates) > 1:
        notes.append(say("no learning rate given: averaged over the page's menu"))
    if (rate := row.likeliest_rate) is not None:
        notes.append(say("of its rates {rate:g} gives such losses most often", rate=rate))
    return notes


def _caption(rows: Sequence[CheckedRow]) -> str:
    n = max((row.n for row in rows), default=0)
    return say(
        "Each row trained as the Playground page does, {n} draws of data, split and first weights: mean losses at the "
        "claimed epoch with 95 % intervals, where the claimed loss falls among the draws (the percent of them below "
        "it), and the share of draws with both losses below the goal.",
        n=n,
    )


def meaning(rows: Sequence[CheckedRow]) -> list[str]:
    """Return what the words of the table mean, and how many rows chance alone would mark."""
    judged = [row for row in rows if row.plausible is not None]
    marked = sum(row.plausible is False for row in judged)
    return [
        say(
            "{n_rows} rows, {n_trained} trained. {marked} of {n_judged} with losses are "
            "not plausible for their setting; of as many rows that report one draw each, at most "
            "{most:.2g} would be on average.",
            n_rows=len(rows),
            n_trained=sum(bool(row.losses) for row in rows),
            marked=marked,
            n_judged=len(judged),
            most=LEVEL * len(judged),
        ),
        say(
            "Not plausible: of the draws and the claimed losses together, at most {percent:g} % lie as far out. It "
            "says nothing about how a number came about. Other inputs, noise or penalties than the sheet's, a misread "
            "epoch, or the best of many restarts give such rows as well.",
            percent=100 * LEVEL,
        ),
    ]


def students_table(rows: Sequence[CheckedRow]) -> ReportTable:
    """Return one line a file of a class."""
    lines: list[tuple[Cell, ...]] = []
    for source in dict.fromkeys(row.source for row in rows):
        own = [row for row in rows if row.source == source]
        trained = [row for row in own if row.losses]
        passes = [row.passes(GOAL).estimate or 0.0 for row in trained]
        lines.append(
            (
                source,
                len(own),
                len(trained),
                sum(row.plausible is True for row in own),
                sum(row.plausible is False for row in own),
                float(np.mean(passes)) if passes else Missing(str(NOT_TRAINED)),
                "; ".join(dict.fromkeys(kind for row in own for kind in mistakes_of(row))) or "-",
            )
        )
    columns = (
        ReportColumn("file", say("File"), "text"),
        ReportColumn("rows", say("Rows")), ReportColumn("trained", say("Trained")),
        ReportColumn("plausible", say("Plausible")), ReportColumn("not_plausible", say("Not plausible")),
        ReportColumn("passes", say("Mean share of draws with both losses below {goal:g}", goal=GOAL)),
        ReportColumn("mistakes", say("Mistakes"), "text"),
    )  # fmt: skip
    return ReportTable("class", say("One line a file."), columns, tuple(lines))


def mistakes_table(rows: Sequence[CheckedRow]) -> ReportTable:
    """Return the kinds of mistakes, the most common first."""
    in_rows = Counter(kind for row in rows for kind in dict.fromkeys(mistakes_of(row)))
    in_files = {kind: len({row.source for row in rows if kind in mistakes_of(row)}) for kind in in_rows}
    body = tuple((kind, n, in_files[kind]) for kind, n in in_rows.most_common())
    columns = (
        ReportColumn("kind", say("Mistake"), "text"),
        ReportColumn("rows", say("Rows")),
        ReportColumn("files", say("Files")),
    )
    return ReportTable(
        "mistakes", say("Mistakes in {n_rows} rows, the most common first.", n_rows=len(rows)), columns, body
    )


def sections(rows: Sequence[CheckedRow]) -> list[Section]:
    """Return the report of one table, or of a class of several."""
    several = len({row.source for row in rows}) > 1
    blocks: list[Block] = [Paragraph(text) for text in meaning(rows)]
    found = [Section("rows", say("Row by row"), (*blocks, rows_table(rows, several), *_pictures(rows)))]
    if several:
        found.insert(0, Section("class", say("The class"), (students_table(rows),)))
    counted = mistakes_table(rows)
    told: Block = counted if counted.rows else Paragraph(say("No cell is missing or impossible, and no row is marked."))
    return [*found, Section("mistakes", say("Common mistakes"), (told,))]


def _pictures(rows: Sequence[CheckedRow]) -> list[Block]:
    drawn = [row for row in rows if row.losses]
    if not drawn:
        return []
    chosen = sorted(drawn, key=lambda row: row.plausible is not False)[:MOST_DRAWN]
    chosen.sort(key=lambda row: (row.source, row.line))
    left_out = say(" {n} plausible rows are left out.", n=len(drawn) - len(chosen)) if len(chosen) < len(drawn) else ""
    several = len({row.source for row in rows}) > 1
    names = [
        say(
            "{file}line {line}: {dataset}",
            file=f"{row.source}, " if several else "",
            line=row.line,
            dataset=row.dataset,
        )
        for row in chosen
    ]
    points = tuple(
        (name, rate, float(train), float(test))
        for name, row in zip(names, chosen, strict=True)
        for i, rate in enumerate(row.rates)
        for train, test in zip(row.losses[TRAIN][i], row.losses[TEST][i], strict=True)
    )
    columns = (
        ReportColumn("row", say("Row"), "text"),
        ReportColumn("rate", say("Learning rate")),
        ReportColumn("train", say("Training loss")),
        ReportColumn("test", say("Test loss")),
    )
    places = [
        say(
            "claimed {claimed_text}, {place_text}",
            claimed_text=claimed_text(row, TEST),
            place_text=place_text(row, TEST),
        )
        for row in chosen
        if TEST in row.claimed
    ]
    claimed = [name for name, row in zip(names, chosen, strict=True) if TEST in row.claimed]
    alt = "; ".join(f"{name}, {words}" for name, words in zip(claimed, places, strict=True))
    return [
        Picture(
            "rows-losses",
            say(
                "Test loss of every draw (dots) and the claimed one (line), a row a strip.{left_out}", left_out=left_out
            ),
            say("Where claimed test losses fall among the draws. {alt}.", alt=alt),
            lambda: _draw(chosen, names),
            ReportTable("rows-losses", "", columns, points),
        )
    ]


def _draw(rows: Sequence[CheckedRow], names: Sequence[str]) -> Figure:
    from analysis.formats.style import COLORS, RED, framed_axes, new_figure, plain_ticks

    figure = new_figure(7.2, 1.0 + 0.32 * len(rows))
    axes = framed_axes(figure, 2.0, 0.5, 0.2, 0.2)
    for i, row in enumerate(rows):
        losses = row.losses[TEST].ravel()
        kept = np.maximum(losses[np.isfinite(losses)], 1e-4)
        # Spread by rank, so that points do not hide each other and nothing is random.
        spread = 0.3 * (np.argsort(np.argsort(kept)) % 7 - 3) / 3
        axes.plot(kept, i + spread, "o", markersize=1.8, color=COLORS[0], alpha=0.6)
        if TEST in row.claimed:
            claimed = max(row.claimed[TEST][0], 1e-4)
            axes.plot([claimed, claimed], [i - 0.42, i + 0.42], color=RED, linewidth=2.0)
    axes.axvline(GOAL, color="0.4", linewidth=1.0, linestyle="--")
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(say("test loss"))
    return figure
