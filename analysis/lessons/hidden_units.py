"""Hidden units: width, one more layer, a bottleneck, a funnel, and the rate with the epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.course.cells import Cells, difference, title
from analysis.course.choosing import best, judges
from analysis.course.chosen import best_table, between, wrong_at
from analysis.course.comparing import claim, lines
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

SHAPE, RATE = "network.hidden_layer_sizes", "training.learning_rate"
WIDTHS = ("4", "16", "64", "256")
BUDGET = later("equal epochs, rates tried, draws and first weights")
MARGIN = 0.01
LAST = wrong_at(-1)
FIRST_RATE = 0.04
"""Where somebody stands who looks for the width before the rate."""


def _against(cells: Cells, a: str, b: str) -> tuple[Sample, ...]:
    conditions = [
        (title(name), {"dataset": name, SHAPE: a}, {"dataset": name, SHAPE: b}) for name in cells.datasets("shapes")
    ]
    return between(cells, "shapes", conditions, LAST)


def short_against_long(cells: Cells) -> list[Sample]:
    """Return by how much the rate that is best at the first look is worse at the last one than the best there is."""
    found = []
    for name in cells.datasets("shapes"):
        for shape in WIDTHS[2:]:
            levels: dict[str, Level] = {"dataset": name, SHAPE: shape}
            early, late = best(cells, "shapes", levels, wrong_at(0)), best(cells, "shapes", levels, LAST)
            if early is not None and late is not None:
                found.append(
                    Sample(
                        say("{shape} units", shape=shape), "median", difference(judges(LAST(early)), judges(LAST(late)))
                    )
                )
    return found


def joint_against_one_by_one(cells: Cells) -> list[Sample]:
    """Return the error of width and rate chosen together less that of the width first, at one rate, then the rate."""
    found = []
    for name in cells.datasets("shapes"):
        grid = [cell for width in WIDTHS for cell in cells.of("shapes", {"dataset": name, SHAPE: width})]
        first = [cell for cell in grid if cell.params[RATE] == FIRST_RATE]
        if grid and first:
            width = min(first, key=_chosen_by).params[SHAPE]
            then = min((cell for cell in grid if cell.params[SHAPE] == width), key=_chosen_by)
            together = min(grid, key=_chosen_by)
            found.append(Sample(title(name), "median", difference(judges(LAST(together)), judges(LAST(then)))))
    return found


def _chosen_by(cell: CellRecord) -> float:
    return float(LAST(cell)[::2].mean())


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about hidden units."""
    median = say("each at its best rate (median over draws)")
    return [
        claim(
            "32",
            say("More units help: 256 against 16"),
            say("share of wrong test images with 256 units less that with 16, {median}", median=median),
            "below",
            0.0,
            _against(cells, "256", "16"),
            budget=BUDGET,
        ),
        claim(
            "32",
            say("... and 256 against 64"),
            say("share of wrong test images with 256 units less that with 64, {median}", median=median),
            "below",
            0.0,
            _against(cells, "256", "64"),
            budget=BUDGET,
        ),
        claim(
            "32",
            say("One more layer of 64 helps"),
            say("share of wrong test images with 64-64 less that with 64, {median}", median=median),
            "below",
            0.0,
            _against(cells, "64-64", "64"),
            budget=BUDGET,
        ),
        claim(
            "32",
            say("A layer of one unit hurts"),
            say("share of wrong test images with 64-1 less that with 64-64, {median}", median=median),
            "above",
            0.0,
            _against(cells, "64-1", "64-64"),
            budget=BUDGET,
        ),
        claim(
            "32",
            say("The best rate depends on the epochs: what is best after few is not after many"),
            say(
                "share of wrong test images at the last look at the rate that is best at the first look, less that "
                "at the "
                "best rate (median over draws)"
            ),
            "above",
            0.0,
            short_against_long(cells),
            budget=BUDGET,
        ),
        claim(
            "32",
            say("Width and rate are better chosen together than one after the other"),
            say(
                "share of wrong test images of the pair that is best of all less that of the width that is best at "
                "rate {first_rate:g} with its best rate (median over draws)",
                first_rate=FIRST_RATE,
            ),
            "below",
            0.0,
            joint_against_one_by_one(cells),
            budget=BUDGET,
        ),
        claim(
            "59",
            say("Layers that narrow are as good as layers of one width, to one image in a hundred"),
            say("share of wrong test images with 64-32-16 less that with 58-58-58, {median}", median=median),
            "within",
            0.0,
            _against(cells, "64-32-16", "58-58-58"),
            margin=MARGIN,
            budget=say("equal parameters, epochs, rates, draws"),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    rows: list[tuple[str, dict[str, Level]]] = [
        (f"{title(name)}, {shape}", {"dataset": name, SHAPE: shape})
        for name in cells.datasets("shapes")
        for shape in cells.levels("shapes", SHAPE)
    ]
    return [
        lines(
            "hidden-units-shapes",
            say("Median share of wrong test images after the last epoch by rate, a colour for each shape."),
            _words(cells),
            cells,
            "shapes",
            RATE,
            SHAPE,
            LAST,
            say("share of wrong test images"),
        ),
        best_table(
            "hidden-units-best",
            say(
                "Share of wrong test images after the last epoch, each shape at its best rate: "
                "medians over the draws that did not choose it."
            ),
            cells,
            "shapes",
            rows,
            LAST,
        ),
        best_table(
            "hidden-units-early",
            say("The same at the first look: another rate is best."),
            cells,
            "shapes",
            rows,
            wrong_at(0),
        ),
    ]


def _words(cells: Cells) -> str:
    parts = []
    for name in cells.datasets("shapes"):
        found = {
            str(shape): float(np.median(judges(LAST(cell))))
            for shape in cells.levels("shapes", SHAPE)
            if (cell := best(cells, "shapes", {"dataset": name, SHAPE: shape}, LAST)) is not None
        }
        if found:
            parts.append(f"{title(name)}: " + ", ".join(f"{shape} {error:.1%}" for shape, error in found.items()))
    return "; ".join(parts) + "."


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    return say("Wrong test images, each shape at its best rate: {words}", words=_words(cells))


LESSON = Lesson(later("Hidden units"), claims, blocks, answer)
