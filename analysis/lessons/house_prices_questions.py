"""House prices: the preparation's steps, the untuned linear model, one split against K folds, and K models together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, listed, measured
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
TARGET, STANDARD, ID, HOLES = "data.target", "data.standardize", "data.with_id", "data.holes"
SHAPE = "network.hidden_layer_sizes"
PLAIN: dict[str, Level] = {TARGET: "log", STANDARD: True, ID: False, HOLES: "none"}
SMALL, LARGE = "4", "32"
HARMLESS = 0.001
"""Rise of the mean squared error of logarithms that counts as none; good models have about 0.02."""


def score(cell: CellRecord) -> FloatArray:
    """Return the mean squared error of logarithms on the test rows."""
    values = measured(cell, "score_test")
    return np.where(np.isnan(values), np.inf, values)


def _step(cells: Cells, **otherwise: Level) -> CellRecord | None:
    keys = {"target": TARGET, "standardize": STANDARD, "with_id": ID, "holes": HOLES}
    return cells.one("steps", {**PLAIN, **{keys[name]: level for name, level in otherwise.items()}})


def _rise(cells: Cells, **otherwise: Level) -> list[Sample]:
    """Return by how much the error rises with one step done otherwise."""
    plain, other = _step(cells), _step(cells, **otherwise)
    return [] if plain is None or other is None else [Sample("", "median", score(other) - score(plain))]


def _folds(cells: Cells) -> list[tuple[str, CellRecord]]:
    return [
        (say("{shape} units", shape=shape), cell)
        for shape in cells.levels("folds", SHAPE)
        if (cell := cells.one("folds", {SHAPE: shape})) is not None
    ]


def picks(cells: Cells, by: str) -> FloatArray:
    """Return 1 for draws in which the split (``"fold"``) or the folds pick the network that does worse on test rows."""
    small, large = (cells.one("folds", {SHAPE: shape}) for shape in (SMALL, LARGE))
    if small is None or large is None:
        return np.array([])
    chosen = measured(small, by) < measured(large, by)
    better = measured(small, "whole") < measured(large, "whole")
    return np.asarray(chosen != better, np.float64)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about house prices."""
    rise = say("mean squared error of logarithms on test rows, {} less the plain preparation's (median over divisions)")
    wrong_one, wrong_all = picks(cells, "fold"), picks(cells, "folds")
    textbook = [Sample("", "median", score(cell) - _constant(cell)) for cell in cells.of("textbook") if cell.losses]
    random, highest = _step(cells, holes="at_random"), _step(cells, holes="highest")
    gap = [] if random is None or highest is None else [Sample("", "median", score(highest) - score(random))]
    spread = [
        Sample(
            name,
            "median",
            np.abs(measured(cell, "fold") - measured(cell, "whole"))
            - np.abs(measured(cell, "folds") - measured(cell, "whole")),
        )
        for name, cell in _folds(cells)
    ]
    return [
        claim(
            "57",
            say("Log prices are the right scale: raw ones do worse"),
            rise.format(say("raw prices'")),
            "above",
            0.0,
            _rise(cells, target="raw"),
            budget=say("equal epochs, divisions and first weights"),
        ),
        claim(
            "57",
            say("Without standardizing the same network does worse"),
            rise.format(say("numbers as they are")),
            "above",
            0.0,
            _rise(cells, standardize=False),
            budget=say("equal epochs, divisions and first weights"),
        ),
        claim(
            "57",
            say("The Id must go: left in, it hurts"),
            rise.format(say("with the Id")),
            "above",
            0.0,
            _rise(cells, with_id=True),
            budget=say("equal epochs, divisions and first weights"),
        ),
        claim(
            "57",
            say("Mean imputation is harmless if values are missing at random (0.001 at most)"),
            rise.format(say("30 % of two columns missing at random")),
            "below",
            HARMLESS,
            _rise(cells, holes="at_random"),
            budget=say("equal epochs, divisions and first weights"),
        ),
        claim(
            "57",
            say("... and harms more if the highest values are missing"),
            say(
                "mean squared error of logarithms on test "
                "rows, the highest 30 % missing less 30 % missing at random (median over divisions)"
            ),
            "above",
            0.0,
            gap,
            budget=say("equal epochs, divisions and first weights"),
        ),
        claim(
            "57",
            say("The textbook's untuned linear model is better than guessing"),
            say("its mean squared error of logarithms on test rows less the constant's (median over divisions)"),
            "below",
            0.0,
            textbook,
            budget=say("same divisions"),
        ),
        claim(
            "57",
            say("K folds are nearer to the error on new rows than one split"),
            say(
                "distance of one fold's error "
                "from the "
                "error on the test rows, less that of the mean of five (median over divisions)"
            ),
            "above",
            0.0,
            spread,
            budget=say("same rows"),
        ),
        claim(
            "57",
            say("With one split luck decides between 4 and 32 units (wrong in more than one division of ten)"),
            say("share of divisions in which one fold picks the network that is worse on the test rows"),
            "above",
            0.1,
            [Sample("", "share", wrong_one)] if len(wrong_one) else [],
            budget=say("same rows"),
        ),
        claim(
            "57",
            say("... and with five folds it does not (in fewer than one of ten)"),
            say("share of divisions in which five folds pick the network that is worse on the test rows"),
            "below",
            0.1,
            [Sample("", "share", wrong_all)] if len(wrong_all) else [],
            budget=say("same rows"),
        ),
        claim(
            "57",
            say("The mean of the K models is better than one of them"),
            say(
                "error on the test rows of the five models' "
                "mean prediction less their mean error (median over divisions)"
            ),
            "below",
            0.0,
            [
                Sample(name, "median", measured(cell, "together") - measured(cell, "one"))
                for name, cell in _folds(cells)
            ],
            budget=say("same models"),
        ),
        claim(
            "57",
            say("... and than one trained on all the rows"),
            say(
                "error on the test rows of the five models' mean "
                "prediction less that of one model trained on all training rows (median over divisions)"
            ),
            "below",
            0.0,
            [
                Sample(name, "median", measured(cell, "together") - measured(cell, "whole"))
                for name, cell in _folds(cells)
            ],
            budget=say("same rows; five trainings against one"),
        ),
    ]


def _constant(cell: CellRecord) -> FloatArray:
    return np.array([np.nan if one is None else one for one in cell.constant["test"]], np.float64)


def _name(cell: CellRecord) -> str:
    p = cell.params
    words = [
        word
        for word, is_on in (
            (say("raw prices"), p[TARGET] == "raw"),
            (say("not standardized"), not p[STANDARD]),
            (say("with the Id"), bool(p[ID])),
            (say("holes at random"), p[HOLES] == "at_random"),
            (say("holes at the top"), p[HOLES] == "highest"),
        )
        if is_on
    ]
    return ", ".join(words) or say("plain")


def _rows(cells: Cells) -> list[tuple[str, FloatArray]]:
    rows = [(_name(cell), score(cell)) for cell in cells.of("steps")]
    for cell in cells.of("textbook"):
        rows += [(say("the textbook's linear model"), score(cell)), (say("the constant"), _constant(cell))]
    words = {
        "fold": say("one fold's error"),
        "folds": say("five folds' error"),
        "whole": say("trained on all"),
        "one": say("one of five"),
        "together": say("five together"),
    }
    for name, cell in _folds(cells):
        rows += [(f"{name}: {text}", measured(cell, key)) for key, text in words.items()]
    return rows


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    body: list[tuple[Cell, ...]] = [(name, shown(median_interval(values))) for name, values in _rows(cells)]
    return [
        _picture(cells),
        ReportTable(
            "house-prices-questions-errors",
            say("Mean squared error of logarithms on rows that were not trained on: medians over divisions."),
            (ReportColumn("what", say("What"), "text"), ReportColumn("error", say("Error"), "interval")),
            tuple(body),
        ),
        Paragraph(
            say(
                "How good is any of this on the true prices of the competition's test rows? They are not known "
                "here, so "
                "that it is not measured."
            )
        ),
    ]


def _picture(cells: Cells) -> Picture:
    found = [(name, float(np.median(values))) for name, values in _rows(cells)]
    found = [(name, middle) for name, middle in found if np.isfinite(middle)]
    return Picture(
        "house-prices-questions-bars",
        say("Median mean squared error of logarithms, on a logarithmic scale."),
        say("A bar for each way to do it."),
        lambda: _draw(found),
        ReportTable(
            "house-prices-questions-bars",
            "",
            (ReportColumn("what", say("What"), "text"), ReportColumn("error", say("Error"))),
            tuple(found),
        ),
    )


def _draw(found: Sequence[tuple[str, float]]) -> Figure:
    from analysis.formats.style import BLUE, framed_axes, new_figure, plain_ticks

    figure = new_figure(6.0, 0.24 * len(found) + 0.7)
    axes = framed_axes(figure, 2.1, 0.45, 0.15, 0.1)
    axes.barh(range(len(found)), [middle for _, middle in found], color=BLUE)
    axes.set_yticks(range(len(found)), [name for name, _ in found], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    axes.set_xlabel(say("mean squared error of logarithms"), fontsize=8)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    rows = dict(_rows(cells))
    parts = [f"{name} {np.median(values):.3g}" for name, values in rows.items() if ":" not in name]
    wrong = [picks(cells, by) for by in ("fold", "folds")]
    luck = (
        say(
            " One split picks the worse of two networks in {mean:.0%} of divisions, five folds in {mean_2:.0%}.",
            mean=wrong[0].mean(),
            mean_2=wrong[1].mean(),
        )
        if len(wrong[0])
        else ""
    )
    return say("Median error of logarithms on rows not trained on: {parts}.{luck}", parts=listed(parts), luck=luck)


LESSON = Lesson(later("Questions about house prices"), claims, blocks, answer)
