"""Inputs and noise: seven inputs against two, beside the best possible predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, floor, last, listed, pooled, sooner, title
from analysis.course.comparing import lines, over_levels, reached
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_table
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

FEATURES, NOISE, SHAPE = "data.features", "data.noise", "network.hidden_layer_sizes"
TWO, SEVEN = "x-y", "x-y-xSquared-ySquared-xTimesY-sinX-sinY"


def excess(cell: CellRecord) -> FloatArray:
    """Return the test loss above the best possible predictor's on the same points."""
    return last(cell, "test") - floor(cell, "test")


def _seven_better(cells: Cells, fixed: dict[str, float | str], words: str = "") -> tuple[Sample, ...]:
    found = []
    for dataset in cells.datasets("sets"):
        pair = [cells.one("sets", {"dataset": dataset, FEATURES: one, **fixed}) for one in (SEVEN, TWO)]
        if pair[0] is not None and pair[1] is not None:
            seven, two = (last(cell, "test") for cell in pair if cell is not None)
            found.append(Sample(f"{title(dataset)}{words}", "share", sooner(seven, two)))
    return tuple(found)


def claims(cells: Cells) -> list[Claim]:
    """Return what is claimed about inputs and noise."""
    with_hidden = _seven_better(cells, {NOISE: 0.2, SHAPE: "6"})
    without = _seven_better(cells, {NOISE: 0.2, SHAPE: "none"})
    loud = _seven_better(cells, {NOISE: 0.8, SHAPE: "6"})
    above = tuple(
        Sample(title(dataset), "median", np.mean([excess(cell) for cell in group], axis=0))
        for dataset in cells.datasets("sets")
        if (group := [c for c in cells.of("sets", {"dataset": dataset}) if c.params[NOISE] in (0.2, 0.5, 0.8)])
    )
    budget = say("equal epochs, rate and draws; seven inputs have more weights")
    text = say("share of draws with a lower test loss with seven inputs than with X1 and X2")
    return [
        Claim(
            "",
            say("Seven inputs help a network of six units (noise 20 %)"),
            text,
            "above",
            0.5,
            with_hidden,
            pooled(with_hidden),
            budget=budget,
        ),
        Claim(
            "",
            say("Seven inputs make hidden units unnecessary: they help a linear network (noise 20 %)"),
            text,
            "above",
            0.5,
            without,
            pooled(without),
            budget=budget,
        ),
        Claim(
            "",
            say("With noise 80 % seven inputs hurt (six units)"),
            text,
            "below",
            0.5,
            loud,
            pooled(loud),
            budget=budget,
        ),
        Claim(
            "25",
            say("No network is below the best possible predictor on average"),
            say(
                "test loss minus the best possible predictor's on the same points, mean over settings with noise "
                "(median over draws)"
            ),
            "above",
            0.0,
            above,
            pooled(above),
            budget=say("same points"),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        lines(
            "features-loss",
            say("Median test loss over {n} draws of both networks by noise; one line a set of inputs.", n=n),
            say("Test loss by noise and inputs on each set."),
            cells,
            "sets",
            NOISE,
            FEATURES,
            lambda cell: last(cell, "test"),
            say("test loss"),
        ),
        over_levels(
            "features-excess",
            say(
                "Test loss above the best possible predictor's, six units, by noise and inputs "
                "(median over draws of the mean over sets)."
            ),
            cells,
            "sets",
            NOISE,
            FEATURES,
            excess,
            kind="median",
            others={SHAPE: "6"},
        ),
        over_levels(
            "features-reached",
            say("Share of draws that reach 0.1 at noise 20 %, six units, by set and inputs."),
            cells,
            "sets",
            "dataset",
            FEATURES,
            lambda cell: reached(cells, cell),
            others={SHAPE: "6", NOISE: 0.2},
        ),
        *probe_table(
            "features-weights",
            say(
                "Norm of the weights at the end, six units, by noise and inputs (median over draws of the mean over "
                "sets)."
            ),
            cells,
            "sets",
            NOISE,
            FEATURES,
            "weight_norm",
            others={SHAPE: "6"},
        ),
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("sets"):
        pair = [cells.one("sets", {"dataset": dataset, FEATURES: one, NOISE: 0.2, SHAPE: "6"}) for one in (TWO, SEVEN)]
        if pair[0] is not None and pair[1] is not None:
            two, seven = (float(np.median(last(cell, "test"))) for cell in pair if cell is not None)
            parts.append(say("{title} {two:.3f} and {seven:.3f}", title=title(dataset), two=two, seven=seven))
    return say(
        "Median test loss of six units with two and with seven inputs at noise 20 %: {parts}.", parts=listed(parts)
    )


LESSON = Lesson(later("Inputs and noise"), claims, blocks, answer)
