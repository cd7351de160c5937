"""Best loss: the lowest test loss on circle and spiral, chosen on one half of the draws and judged on the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, floor, listed, losses, pooled, title
from analysis.course.comparing import lines
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_table
from analysis.formats.blocks import Block, Cell, ReportColumn, ReportTable, shown
from analysis.statistics.bounded import bounded_interval
from analysis.statistics.verdicts import Claim, Judgment, Sample, share_interval
from analysis.words import later, say

SHAPE, ACTIVATION = "network.hidden_layer_sizes", "network.activation"
CAP = 2.0
"""Largest half squared error of an output within -1 and 1."""


def chosen(cells: Cells, dataset: str) -> tuple[FloatArray, FloatArray, list[str]]:
    """Return each draw's test loss and training loss at the setting and look that the other half of the draws chose.

    And the settings that were chosen, in words.
    """
    group = cells.of("settings", {"dataset": dataset})
    test = np.stack([np.minimum(losses(cell, "test"), CAP) for cell in group])
    train = np.stack([np.minimum(losses(cell, "train"), CAP) for cell in group])
    R = test.shape[2]
    found = np.empty((2, R))
    words = []
    for half in (0, 1):
        judged = np.arange(R) % 2 == half
        means = test[:, :, ~judged].mean(axis=2)
        setting, look = np.unravel_index(means.argmin(), means.shape)
        found[0, judged], found[1, judged] = test[setting, look, judged], train[setting, look, judged]
        cell = group[int(setting)]
        words.append(
            say(
                "{params} {params_2}, epoch {looks}",
                params=cell.params[ACTIVATION],
                params_2=cell.params[SHAPE],
                looks=cell.looks[int(look)],
            )
        )
    return found[0], found[1], list(dict.fromkeys(words))


def _samples(cells: Cells) -> tuple[list[Sample], list[Sample]]:
    passes, excess = [], []
    for dataset in cells.datasets("settings"):
        test, train, _ = chosen(cells, dataset)
        target = cells.target("settings", dataset)
        passes.append(Sample(title(dataset), "share", ((test < target) & (train < target)).astype(np.float64)))
        best = floor(cells.of("settings", {"dataset": dataset})[0], "test")
        excess.append(Sample(title(dataset), "median", test - best))
    return passes, excess


def claims(cells: Cells) -> list[Claim]:
    """Return what is said about the lowest loss."""
    passes, excess = _samples(cells)
    budget = say("setting and epoch chosen on other draws")
    return [
        Claim(
            "25",
            say("Circle and spiral can be brought below 0.1 with X1 and X2 alone, in most draws"),
            say("share of draws with training and test loss below 0.1 at the chosen setting and epoch"),
            "above",
            0.5,
            tuple(passes),
            pooled(passes),
            budget=budget,
        ),
        Claim(
            "25",
            say("... but not to what the best possible predictor reaches (0.001 above it and more)"),
            say("test loss minus the best possible predictor's on the same points (median over draws)"),
            "above",
            0.001,
            tuple(excess),
            pooled(excess),
            budget=budget,
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    rows: list[tuple[Cell, ...]] = []
    for dataset in cells.datasets("settings"):
        test, train, words = chosen(cells, dataset)
        target = cells.target("settings", dataset)
        passed = ((test < target) & (train < target)).astype(np.float64)
        best = floor(cells.of("settings", {"dataset": dataset})[0], "test")
        rows.append(
            (
                title(dataset),
                shown(bounded_interval(test, CAP)),
                shown(bounded_interval(train, CAP)),
                float(best.mean()),
                shown(share_interval(passed)),
                "; ".join(words),
            )
        )
    table = ReportTable(
        "best-loss-lowest",
        say(
            "Mean losses at the setting and epoch that the other half of the draws chose, beside the best possible "
            "predictor's mean loss on the same test points."
        ),
        (
            ReportColumn("set", say("Set"), "text"),
            ReportColumn("test", say("Test loss"), "interval"),
            ReportColumn("train", say("Training loss"), "interval"),
            ReportColumn("floor", say("Best possible")),
            ReportColumn("passed", say("Below 0.1"), "interval"),
            ReportColumn("settings", say("Chosen"), "text"),
        ),
        tuple(rows),
    )
    picture = lines(
        "best-loss-shapes",
        say(
            "Median of the lowest test loss over all looks (flattering) by layers, all rates and "
            "penalties; one line an activation."
        ),
        say("Lowest test loss by layers and activation on circle and spiral."),
        cells,
        "settings",
        SHAPE,
        ACTIVATION,
        lambda cell: np.asarray(losses(cell, "test").min(axis=0)),
        say("test loss"),
        log_y=True,
        goal=cells.target("settings"),
    )
    weights = probe_table(
        "best-loss-weights",
        say("Norm of the weights at the end by layers and strength of the penalty (median over draws)."),
        cells,
        "settings",
        SHAPE,
        "training.regularization_rate",
        "weight_norm",
    )
    return [picture, table, *weights]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("settings"):
        test, _, words = chosen(cells, dataset)
        best = floor(cells.of("settings", {"dataset": dataset})[0], "test").mean()
        parts.append(
            say(
                "{mean:.4f} on {title} (best possible {best:.4f}; {words})",
                mean=test.mean(),
                title=title(dataset),
                best=best,
                words=words[0],
            )
        )
    return say("Chosen on other draws, the lowest mean test loss is {parts}.", parts=listed(parts, say(" and ")))


LESSON = Lesson(later("Lowest loss"), claims, blocks, answer)
