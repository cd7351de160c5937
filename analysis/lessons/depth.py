"""Depth at equally many parameters: whether a deeper network underfits or overfits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, difference, last, level_text, listed, pooled, sooner, title
from analysis.course.comparing import lines, over_levels, reached
from analysis.course.curves import survival
from analysis.course.lesson import Lesson
from analysis.course.probed import layer_table
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

SHAPE, ACTIVATION, SHARE = "network.hidden_layer_sizes", "network.activation", "data.train_share"
FLAT, DEEP = "16", "5-4-4"


def _gap(cell: CellRecord) -> FloatArray:
    return difference(last(cell, "test"), last(cell, "train"))


def _versus(cells: Cells, value: Callable[[CellRecord], FloatArray]) -> tuple[Sample, ...]:
    """Return in which share of draws and activations the deep network's value is above the flat one's, by set."""
    found = []
    for dataset in cells.datasets("sets"):
        wins = []
        for flat in cells.of("sets", {"dataset": dataset, SHAPE: FLAT}):
            deep = cells.one("sets", {**{k: v for k, v in flat.params.items() if k != "design"}, SHAPE: DEEP})
            if deep is not None:
                wins.append(sooner(value(flat), value(deep)))
        if wins:
            found.append(Sample(title(dataset), "share", np.mean(wins, axis=0)))
    return tuple(found)


def claims(cells: Cells) -> list[Claim]:
    """Return the report's claims about depth."""
    budget = say("equal parameters (64 and 65), epochs, rate and draws")
    compared: list[tuple[str, str, Callable[[CellRecord], FloatArray]]] = [
        (say("Deeper networks underfit"), say("a higher training loss"), lambda cell: last(cell, "train")),
        (say("Deeper networks overfit"), say("a larger gap between test and training loss"), _gap),
        (say("Deeper networks have a higher test loss"), say("a higher test loss"), lambda cell: last(cell, "test")),
    ]
    found = []
    for words, measure, value in compared:
        samples = _versus(cells, value)
        text = say("share of draws and settings with {measure} with three hidden layers than with one", measure=measure)
        found.append(Claim("73", words, text, "above", 0.5, samples, pooled(samples), budget=budget))
    return found


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        survival("depth-survival", cells, "sets", SHAPE, say("a network")),
        lines(
            "depth-loss",
            say(
                "Median test loss over {n} draws by hidden layers of equally many parameters, both "
                "training shares; one line an activation.",
                n=n,
            ),
            say("Test loss by depth and activation on each set."),
            cells,
            "sets",
            SHAPE,
            ACTIVATION,
            lambda cell: last(cell, "test"),
            say("test loss"),
            log_y=True,
            goal=cells.target("sets"),
        ),
        over_levels(
            "depth-train",
            say("Training loss by layers and set (median over draws of the mean over settings)."),
            cells,
            "sets",
            SHAPE,
            "dataset",
            lambda cell: last(cell, "train"),
            kind="median",
        ),
        over_levels(
            "depth-gap",
            say("Test minus training loss by layers and set (median over draws of the mean over settings)."),
            cells,
            "sets",
            SHAPE,
            "dataset",
            _gap,
            kind="median",
        ),
        over_levels(
            "depth-reached",
            say("Share of draws that reach the target by layers and set."),
            cells,
            "sets",
            SHAPE,
            "dataset",
            lambda cell: reached(cells, cell),
        ),
        *layer_table(
            "depth-layers",
            say(
                "Layer by layer, all sets and training shares: variance of the outputs over the training points and "
                "size of the loss's gradient (medians over draws), at the first look and at the end, and the share of "
                "units through which no gradient goes any more."
            ),
            cells,
            "sets",
            SHAPE,
            ACTIVATION,
        ),
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("sets"):
        means = {
            level_text(shape): float(np.mean([np.median(last(cell, "test")) for cell in group]))
            for shape in cells.levels("sets", SHAPE)
            if (group := cells.of("sets", {"dataset": dataset, SHAPE: shape}))
        }
        best = min(means, key=lambda shape: means[shape])
        parts.append(say("{best} on {title}", best=best, title=title(dataset)))
    return say("At equally many parameters the lowest median test loss has {parts}.", parts=listed(parts))


LESSON = Lesson(later("Depth"), claims, blocks, answer)
