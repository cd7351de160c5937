"""Batch size: noise of the curve, epochs to the target, losses at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, difference, last, sooner, time_to
from analysis.course.comparing import by_dataset, claim, lines, over_levels, reached, roughness
from analysis.course.curves import survival
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_table
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment
from analysis.words import later, say

BATCH, RATE = "training.batch_size", "training.learning_rate"
MIDDLE_RATE = 0.03
MARGIN = 0.02
"""Of an equivalence: a fifth of the target."""


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about the batch size."""

    def pair(a: int, b: int) -> list[dict[str, int | float]]:
        return [{BATCH: a, RATE: MIDDLE_RATE}, {BATCH: b, RATE: MIDDLE_RATE}]

    def faster(one: CellRecord, other: CellRecord) -> FloatArray:
        return sooner(time_to(one, cells.target_of(one)), time_to(other, cells.target_of(other)))

    return [
        claim(
            "9",
            say("Mini-batches of 10 are less noisy than batches of 1"),
            say(
                "share of draws whose training loss moves less from look to look with batches of 10 than of 1, rate "
                "0.03"
            ),
            "above",
            0.5,
            by_dataset(cells, "sets", pair(10, 1), lambda one, other: sooner(roughness(one), roughness(other))),
        ),
        claim(
            "9",
            say("... and need less work than the whole"),
            say("share of draws that reach the target in fewer epochs with batches of 10 than of 350, rate 0.03"),
            "above",
            0.5,
            by_dataset(cells, "sets", pair(10, 350), faster),
        ),
        *(
            claim(
                "10",
                say(
                    "Larger batches make no difference to the training loss"
                    if split == "train"
                    else "Larger batches make no difference to the test loss"
                ),
                say(
                    "train loss with batches of 30 minus that with batches of 10, rate 0.03 (median over draws)"
                    if split == "train"
                    else "test loss with batches of 30 minus that with batches of 10, rate 0.03 (median over draws)"
                ),
                "within",
                0.0,
                by_dataset(
                    cells,
                    "sets",
                    pair(30, 10),
                    lambda one, other, split=split: difference(last(one, split), last(other, split)),
                    "median",
                ),
                margin=MARGIN,
            )
            for split in ("train", "test")
        ),
        claim(
            "71",
            say("Larger batches reduce overfitting"),
            say("share of draws with a smaller test minus training loss with batches of 30 than of 1, rate 0.03"),
            "above",
            0.5,
            by_dataset(
                cells,
                "sets",
                pair(30, 1),
                lambda one, other: sooner(
                    difference(last(one, "test"), last(one, "train")),
                    difference(last(other, "test"), last(other, "train")),
                ),
            ),
        ),
        claim(
            "11",
            say("Sometimes, from batch 20 on, test loss is below training loss (in at least one draw of twenty)"),
            say("share of draws whose test loss is below their training loss with batches of 30, rate 0.03"),
            "above",
            0.05,
            by_dataset(
                cells,
                "sets",
                pair(30, 30)[:1],
                lambda one: (last(one, "test") < last(one, "train")).astype(np.float64),
            ),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        survival("batch-size-survival", cells, "sets", BATCH, say("a batch size")),
        lines(
            "batch-size-loss",
            say("Median test loss after equally many epochs over {n} draws, by batch size; one line a rate.", n=n),
            say("Test loss by batch size and rate on each set."),
            cells,
            "sets",
            BATCH,
            RATE,
            lambda cell: last(cell, "test"),
            say("test loss"),
            log_y=True,
            goal=cells.target("sets"),
        ),
        over_levels(
            "batch-size-map",
            say("Share of {n} draws that reach the target, by batch size and rate, mean over the sets.", n=n),
            cells,
            "sets",
            BATCH,
            RATE,
            lambda cell: reached(cells, cell),
        ),
        over_levels(
            "batch-size-noise",
            say(
                "Noise of the curve: mean move of the training loss from look to look, median over draws, at rate 0.03."
            ),
            cells,
            "sets",
            BATCH,
            "dataset",
            roughness,
            kind="median",
            others={RATE: MIDDLE_RATE},
        ),
        *probe_table(
            "batch-size-gradient",
            say(
                "Norm of the whole training set's gradient at the end, median over draws, at rate 0.03: how far from "
                "rest training has come."
            ),
            cells,
            "sets",
            BATCH,
            "dataset",
            "gradient_norm",
            others={RATE: MIDDLE_RATE},
        ),
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    shares = {
        batch: float(
            np.mean([reached(cells, cell).mean() for cell in cells.of("sets", {BATCH: batch, RATE: MIDDLE_RATE})])
        )
        for batch in cells.levels("sets", BATCH)
        if cells.of("sets", {BATCH: batch, RATE: MIDDLE_RATE})
    }
    if not shares:
        return say("The design has no cell at rate 0.03; the tables show what was trained.")
    best = max(shares, key=lambda batch: shares[batch])
    worst = min(shares, key=lambda batch: shares[batch])
    return say(
        "At rate 0.03 and equally many epochs batches of {best} bring most networks to the target "
        "({shares:.0%}), batches of {worst} fewest ({shares_2:.0%}).",
        best=best,
        shares=shares[best],
        worst=worst,
        shares_2=shares[worst],
    )


LESSON = Lesson(later("Batch size"), claims, blocks, answer)
