"""Division of the data: gap, noise of the curve, and the best rate and batch size by the share of training data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, difference, last, listed, sooner, title
from analysis.course.comparing import by_dataset, claim, lines, over_levels, roughness
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_table
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

SHARE, RATE, BATCH = "data.train_share", "training.learning_rate", "training.batch_size"
FEW, MANY = 0.1, 0.9
CAP = 2.0
"""What a loss counts at most where means are compared: that of an output on the wrong side everywhere."""


def _settings(cells: Cells, dataset: str, share: float) -> list[CellRecord]:
    return cells.of("sets", {"dataset": dataset, SHARE: share})


def cost_of_the_others_best(cells: Cells, dataset: str) -> FloatArray:
    """Return, on few data, the loss of the setting that is best on many data minus that of the one best on few.

    Both are chosen by the mean test loss of one half of the draws and compared on the other, and the other way round.
    """
    few, many = (_settings(cells, dataset, share) for share in (FEW, MANY))
    if not few or len(few) != len(many):
        return np.array([])
    at_few, at_many = (np.stack([np.minimum(last(cell, "test"), CAP) for cell in group]) for group in (few, many))
    R = at_few.shape[1]
    cost = np.empty(R)
    for half in (0, 1):
        judged = np.arange(R) % 2 == half
        own, others = (side[:, ~judged].mean(axis=1).argmin() for side in (at_few, at_many))
        cost[judged] = at_few[others, judged] - at_few[own, judged]
    return cost


def gap_and_loss(cells: Cells, dataset: str) -> FloatArray:
    """Return each draw's rank correlation, over settings, of the gap between test and training and the test loss."""
    from scipy.stats import rankdata

    group = cells.of("sets", {"dataset": dataset})
    if len(group) < 4:
        return np.array([])
    test = np.stack([np.minimum(last(cell, "test"), CAP) for cell in group])
    train = np.stack([np.minimum(last(cell, "train"), CAP) for cell in group])
    a, b = (np.asarray(rankdata(side, axis=0)) for side in (test - train, test))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(spread > 0, (a * b).sum(axis=0) / spread, np.nan))


def _per_set(cells: Cells, value: Callable[[Cells, str], FloatArray]) -> list[Sample]:
    return [
        Sample(title(dataset), "median", values)
        for dataset in cells.datasets("sets")
        if len(values := value(cells, dataset))
    ]


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about the division."""
    wild = {SHARE: FEW, RATE: 3.0, BATCH: 30}
    calm = {SHARE: FEW, RATE: 0.1, BATCH: 10}
    middle = {RATE: 0.1, BATCH: 10}
    return [
        claim(
            "12",
            say("With 10 % training data a large batch and rate jump about"),
            say(
                "share of draws whose training loss moves more from look to look at rate 3 and batch 30 than at rate "
                "0.1 and batch 10, 10 % training data"
            ),
            "above",
            0.5,
            by_dataset(cells, "sets", [calm, wild], lambda one, other: sooner(roughness(one), roughness(other))),
        ),
        claim(
            "13",
            say("The best rate and batch size change with the training share"),
            say(
                "test loss on 10 % training data of the rate and batch size that are best on 90 %, minus that of those "
                "best on 10 % (median over draws, chosen on the other half of them)"
            ),
            "above",
            0.0,
            _per_set(cells, cost_of_the_others_best),
        ),
        claim(
            "16",
            say("The smaller the gap between test and training loss, the better learnt"),
            say("rank correlation, over settings, of gap and test loss of a draw (median over draws)"),
            "above",
            0.0,
            _per_set(cells, gap_and_loss),
        ),
        claim(
            "24",
            say("Test loss is generally above training loss"),
            say("share of draws with a test loss above the training loss, 50 % training data, rate 0.1, batch 10"),
            "above",
            0.5,
            by_dataset(
                cells,
                "sets",
                [{SHARE: 0.5, **middle}],
                lambda cell: (last(cell, "test") > last(cell, "train")).astype(np.float64),
            ),
        ),
        claim(
            "72",
            say("More data help: a lower test loss"),
            say("share of draws with a lower test loss on 90 % than on 10 % training data, rate 0.1, batch 10"),
            "above",
            0.5,
            by_dataset(
                cells,
                "sets",
                [{SHARE: MANY, **middle}, {SHARE: FEW, **middle}],
                lambda one, other: sooner(last(one, "test"), last(other, "test")),
            ),
        ),
    ]


def _gap(cell: CellRecord) -> FloatArray:
    return difference(last(cell, "test"), last(cell, "train"))


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    others = {BATCH: 10}
    return [
        lines(
            "split-loss",
            say(
                "Median test loss over {n} draws by the share of training data, one line a rate, all batch sizes.", n=n
            ),
            say("Test loss by training share and rate on each set."),
            cells,
            "sets",
            SHARE,
            RATE,
            lambda cell: last(cell, "test"),
            say("test loss"),
            log_y=True,
            goal=cells.target("sets"),
        ),
        over_levels(
            "split-gap",
            say("Test minus training loss at batch 10 (median over draws of the mean over sets)."),
            cells,
            "sets",
            SHARE,
            RATE,
            _gap,
            kind="median",
            others=others,
        ),
        over_levels(
            "split-test",
            say("Test loss at batch 10 (median over draws of the mean over sets)."),
            cells,
            "sets",
            SHARE,
            RATE,
            lambda cell: last(cell, "test"),
            kind="median",
            others=others,
        ),
        *probe_table(
            "split-weights",
            say("Norm of the weights at the end, batch 10 (median over draws of the mean over sets)."),
            cells,
            "sets",
            SHARE,
            RATE,
            "weight_norm",
            others=others,
        ),
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("sets"):
        best = []
        for share in (FEW, MANY):
            group = _settings(cells, dataset, share)
            if group:
                best.append(min(float(np.minimum(last(cell, "test"), CAP).mean()) for cell in group))
        if len(best) == 2:
            parts.append(say("{title} {few:.3f} against {many:.3f}", title=title(dataset), few=best[0], many=best[1]))
    if not parts:
        return say("The design has not both 10 % and 90 % training data; the tables show what was trained.")
    return say(
        "Lowest mean test loss of all settings with 10 % against 90 % training data: {parts}.", parts=listed(parts)
    )


LESSON = Lesson(later("Division of the data"), claims, blocks, answer)
