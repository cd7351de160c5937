"""The homework report: its findings with right gradients, from its own start, and with its own gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, measured, pooled, sooner
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

OPTIMIZER, ACTIVATION, BATCH = "training.optimizer", "network.activation", "training.batch_size"
NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "sgd": "SGD", "adam": "Adam"}
REPORTED, WIDTHS = 23_402, (1, 150, 150, 1)
ALIKE = 0.25
"""How far from 1 the ratio of two losses may be that hardly differ."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train the grid: whose start and gradient, and the loss that counts in a cell."""

    title: str
    design: str
    loss: Callable[[CellRecord], FloatArray]


def _wrong(cell: CellRecord) -> FloatArray:
    found = measured(cell, "wrong_gradient_loss")
    return np.where(np.isnan(found), np.inf, found)


ARMS = (
    Arm(later("our start and order"), "ours", lambda cell: last(cell, "test")),
    Arm(later("the report's start and order"), "report", lambda cell: last(cell, "test")),
    Arm(later("its start, order and wrong gradient"), "report", _wrong),
)


def n_parameters(widths: Sequence[int]) -> int:
    """Return how many weights and biases a network of these layers has."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(widths))


def _wins(
    cells: Cells, arm: Arm, key: str, a: Level, b: Level, only: dict[str, Level] | None = None
) -> FloatArray | None:
    """Return in which share of equal settings level a has the lower loss than b, of each replica."""
    found = []
    for one in cells.of(arm.design, {key: a, **(only or {})}):
        other = cells.one(arm.design, {**{k: v for k, v in one.params.items() if k != "design"}, key: b})
        if other is not None:
            found.append(sooner(arm.loss(one), arm.loss(other)))
    return np.mean(found, axis=0) if found else None


def _versus(
    cells: Cells, key: str, a: Level, b: Level, arms: Sequence[Arm], only: dict[str, Level] | None = None
) -> tuple[Sample, ...]:
    found = [(arm.title, _wins(cells, arm, key, a, b, only)) for arm in arms]
    return tuple(Sample(title, "share", wins) for title, wins in found if wins is not None)


def _spread(cells: Cells, arm: Arm) -> FloatArray | None:
    """Return highest over lowest loss of the activations under SGD, of each replica, mean over batch sizes."""
    ratios = []
    for batch in cells.levels(arm.design, BATCH):
        group = cells.of(arm.design, {OPTIMIZER: "sgd", BATCH: batch})
        if len(group) > 1:
            losses = np.stack([arm.loss(cell) for cell in group])
            with np.errstate(invalid="ignore"):
                ratios.append(losses.max(axis=0) / losses.min(axis=0))
    return np.mean(ratios, axis=0) if ratios else None


def _best(cells: Cells, arm: Arm) -> FloatArray | None:
    """Return 1 for replicas whose lowest loss of all settings is that of ReLU, batch 1, SGD; None without them."""
    mine = cells.one(arm.design, {OPTIMIZER: "sgd", ACTIVATION: "relu", BATCH: 1})
    group = cells.of(arm.design)
    if mine is None or len(group) < 2:
        return None
    return np.asarray(arm.loss(mine) <= np.min([arm.loss(cell) for cell in group], axis=0), np.float64)


def _of_arms(cells: Cells, kind: str, value: Callable[[Cells, Arm], FloatArray | None]) -> tuple[Sample, ...]:
    found = [(arm.title, value(cells, arm)) for arm in RIGHT]
    return tuple(
        Sample(title, "median" if kind == "median" else "share", values)
        for title, values in found
        if values is not None
    )


RIGHT, WRONG = ARMS[:2], ARMS[2:]


def claims(cells: Cells) -> list[Claim]:
    """Return the report's findings, with right gradients and with its own."""
    budget = say("equal epochs, rate and divisions; batch 1 has eight times the updates of batch 8")

    def claim(number: str, words: str, measure: str, samples: tuple[Sample, ...], even: float = 0.5) -> Claim:
        return Claim(number, words, measure, "above", even, samples, pooled(samples), budget=budget)

    sgd = say("share of settings and divisions with a lower test loss with SGD than with Adam")
    batch = say("share of settings and divisions with a lower test loss with batch 1 than with batch 8")
    spread, best = _of_arms(cells, "median", _spread), _of_arms(cells, "share", _best)
    best_words = say("share of divisions in which ReLU, batch 1 and SGD have the lowest test loss of all settings")
    wrong_best = [(arm.title, _best(cells, arm)) for arm in WRONG]
    wrong_samples = tuple(Sample(title, "share", values) for title, values in wrong_best if values is not None)
    return [
        claim("65", say("Adam trains badly"), sgd, _versus(cells, OPTIMIZER, "sgd", "adam", RIGHT)),
        claim(
            "65", say("... which its wrong gradient makes it do"), sgd, _versus(cells, OPTIMIZER, "sgd", "adam", WRONG)
        ),
        claim("66", say("Batch 1 is best"), batch, _versus(cells, BATCH, 1, 8, RIGHT)),
        claim("66", say("... with its wrong gradient, too"), batch, _versus(cells, BATCH, 1, 8, WRONG)),
        Claim(
            "67",
            say("Activations hardly differ under SGD (the worst within 25 % of the best)"),
            say("highest over lowest test loss of the four activations (median over divisions, mean over batch sizes)"),
            "within",
            1.0,
            spread,
            pooled(spread),
            ALIKE,
            budget,
        ),
        claim(
            "69",
            say("Adam lowers tanh's loss"),
            say("share of divisions with a lower test loss with Adam than SGD, tanh"),
            _versus(cells, OPTIMIZER, "adam", "sgd", RIGHT, {ACTIVATION: "tanh"}),
        ),
        claim("70", say("ReLU, batch 1 and SGD are best"), best_words, best),
        claim("70", say("... with its wrong gradient"), best_words, wrong_samples),
        claim(
            "",
            say("The wrong gradient does harm"),
            say(
                "share of settings and divisions with a higher test loss with the "
                "wrong gradient than with the right one, same start and order, by optimizer"
            ),
            _harm(cells),
        ),
        Claim(
            "76",
            say("1-150-150-1 has 23 402 parameters"),
            say("weights and biases, each counted once"),
            "equals",
            float(REPORTED),
            (Sample("", "exact", np.array([float(n_parameters(WIDTHS))])),),
            budget=say("counted, not trained"),
        ),
    ]


def _harm(cells: Cells) -> tuple[Sample, ...]:
    found = []
    for optimizer in cells.levels("report", OPTIMIZER):
        group = cells.of("report", {OPTIMIZER: optimizer})
        wins = [sooner(last(cell, "test"), _wrong(cell)) for cell in group]
        if wins:
            found.append(Sample(_name(optimizer), "share", np.mean(wins, axis=0)))
    return tuple(found)


def _name(level: Level) -> str:
    return NAMES.get(str(level), str(level))


def blocks(cells: Cells) -> list[Block]:
    """Return the table of the grid."""
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("ours"):
        levels = {key: cell.params[key] for key in (OPTIMIZER, ACTIVATION, BATCH)}
        other = cells.one("report", levels)
        rows.append(
            (
                say(
                    "{optimizer}, {activation}, batch {batch}",
                    optimizer=_name(levels[OPTIMIZER]),
                    activation=_name(levels[ACTIVATION]),
                    batch=levels[BATCH],
                ),
                shown(median_interval(last(cell, "train"))),
                shown(median_interval(last(cell, "test"))),
                *(
                    Missing(say("not trained")) if other is None else shown(median_interval(value(other)))
                    for value in (ARMS[1].loss, _wrong)
                ),
            )
        )
    n = cells.design("ours").get("n_replicas", 0)
    return [
        ReportTable(
            "perceptron-report-grid",
            say(
                "Median losses over {n} divisions of the points, by setting: our start and order; test loss with the "
                "report's start and order; and with its gradient as well. The noise alone is 0.01.",
                n=n,
            ),
            (
                ReportColumn("setting", say("Setting"), "text"),
                ReportColumn("train", say("Training loss, ours"), "interval"),
                ReportColumn("test", say("Test loss, ours"), "interval"),
                ReportColumn("start", say("... the report's start"), "interval"),
                ReportColumn("wrong", say("... and wrong gradient"), "interval"),
            ),
            tuple(rows),
        )
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for arm in ARMS:
        group = cells.of(arm.design)
        if group:
            best = min(group, key=lambda cell: float(np.median(arm.loss(cell))))
            words = say(
                "{optimizer}, {activation}, batch {batch}",
                optimizer=_name(best.params[OPTIMIZER]),
                activation=_name(best.params[ACTIVATION]),
                batch=best.params[BATCH],
            )
            parts.append(
                say(
                    "{words} with {arm} ({loss:.3g})",
                    words=words,
                    arm=arm.title,
                    loss=np.median(arm.loss(best)),
                )
            )
    return say(
        "Lowest median test loss: {parts}. Its 1-150-150-1 has {n_parameters} parameters, not {reported}.",
        parts="; ".join(parts),
        n_parameters=n_parameters(WIDTHS),
        reported=REPORTED,
    )


LESSON = Lesson(later("The homework report"), claims, blocks, answer)
