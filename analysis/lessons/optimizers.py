"""Optimizers, each with its rate tuned at an equal budget on other draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, listed, pooled, sooner, time_to, title, traced
from analysis.course.comparing import lines, over_levels, reached
from analysis.course.curves import survival
from analysis.course.lesson import Lesson
from analysis.course.probed import at_end
from analysis.formats.blocks import Block, Cell, Missing, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

OPTIMIZER, RATE, ACTIVATION = "training.optimizer", "training.learning_rate", "network.activation"
CAP = 2.0
"""What a loss counts at most where a rate is chosen."""


def tuned(
    cells: Cells, dataset: str, activation: Level, optimizer: str, value: Callable[[CellRecord], FloatArray]
) -> FloatArray:
    """Return each draw's value at the rate with the lowest mean test loss on the other half of the draws."""
    group = cells.of("sets", {"dataset": dataset, ACTIVATION: activation, OPTIMIZER: optimizer})
    if not group:
        return np.array([])
    loss = np.stack([np.minimum(last(cell, "test"), CAP) for cell in group])
    values = np.stack([value(cell) for cell in group])
    R = loss.shape[1]
    found = np.empty(R)
    for half in (0, 1):
        judged = np.arange(R) % 2 == half
        found[judged] = values[loss[:, ~judged].mean(axis=1).argmin(), judged]
    return found


def _versus(
    cells: Cells, one: str, other: str, value: Callable[[CellRecord], FloatArray], activations: Sequence[Level]
) -> tuple[Sample, ...]:
    """Return in which share of draws `one` has the lower value, each optimizer at its own rate, by set."""
    found = []
    for dataset in cells.datasets("sets"):
        wins = []
        for activation in activations:
            a, b = (tuned(cells, dataset, activation, name, value) for name in (one, other))
            if len(a) and len(b):
                wins.append(sooner(a, b))
        if wins:
            found.append(Sample(title(dataset), "share", np.mean(wins, axis=0)))
    return tuple(found)


def _turns(cells: Cells) -> tuple[Sample, ...]:
    """Return in which share of draws tanh's way turns less than sigmoid's, by rate, averaged over sets."""
    found = []
    for rate in cells.levels("zigzag", RATE):
        wins = []
        for dataset in cells.datasets("zigzag"):
            both = [
                cells.one("zigzag", {"dataset": dataset, RATE: rate, ACTIVATION: one}) for one in ("tanh", "sigmoid")
            ]
            if both[0] is not None and both[1] is not None:
                wins.append(sooner(*(traced(cell, "turning")[-1] for cell in both if cell is not None)))
        if wins:
            found.append(Sample(say("rate {rate}", rate=rate), "share", np.mean(wins, axis=0)))
    return tuple(found)


def _turning_table(cells: Cells) -> ReportTable:
    """Return the mean angle between steps of every way that was followed, and where it ended."""
    rows: list[tuple[Cell, ...]] = []
    for design, key in (("valley", OPTIMIZER), ("zigzag", ACTIVATION)):
        for cell in cells.of(design):
            angle, norm = traced(cell, "turning")[-1], at_end(cell, "gradient_norm")
            rows.append(
                (
                    f"{title(str(cell.params['dataset']))}, {cell.params[key]}",
                    float(str(cell.params[RATE])),
                    shown(median_interval(angle[~np.isnan(angle)])),
                    shown(share_interval(reached(cells, cell, ("train",)))),
                    float(np.median(last(cell, "train"))),
                    Missing(say("not measured")) if norm is None else shown(median_interval(norm[~np.isnan(norm)])),
                )
            )
    return ReportTable(
        "optimizers-turning",
        say("Mean angle between one step and the next in degrees (0 is straight on, 180 to and fro), on a bowl of "
        "curvatures 1 and 100 and with full batches of two sets, 300 steps; share of starts whose training loss "
        "reaches the target, its median at the end, and the norm of its gradient there."),
        (
            ReportColumn("where", say("On, with"), "text"), ReportColumn("rate", say("Rate")),
            ReportColumn("angle", say("Angle"), "interval"), ReportColumn("reached", say("Reached"), "interval"),
            ReportColumn("loss", say("Training loss")),
            ReportColumn("gradient", say("Gradient at the end"), "interval"),
        ),
        tuple(rows),
    )  # fmt: skip


def claims(cells: Cells) -> list[Claim]:
    """Return the sources' claims about optimizers."""
    activations = cells.levels("sets", ACTIVATION)
    budget = say("six rates each, chosen on other draws; equal epochs")

    def times(cell: CellRecord) -> FloatArray:
        return time_to(cell, cells.target_of(cell))

    badly = _versus(cells, "sgd", "adam", lambda cell: last(cell, "train"), activations)
    relu = _versus(cells, "adam", "sgd", times, [one for one in activations if one == "relu"])
    tanh = _versus(cells, "adam", "sgd", lambda cell: last(cell, "train"), [a for a in activations if a == "tanh"])
    momentum = _versus(cells, "momentum", "sgd", times, activations)
    return [
        Claim(
            "65",
            say("Adam trains badly"),
            say("share of draws with a lower training loss with SGD than with Adam, each at its own rate"),
            "above",
            0.5,
            badly,
            pooled(badly),
            budget=budget,
        ),
        Claim(
            "69",
            say("Adam speeds ReLU up"),
            say(
                "share of draws that reach the target in fewer epochs with Adam than with "
                "SGD, ReLU (both never counts half)"
            ),
            "above",
            0.5,
            relu,
            pooled(relu),
            budget=budget,
        ),
        Claim(
            "69",
            say("... and lowers tanh's loss"),
            say("share of draws with a lower training loss with Adam than with SGD, tanh"),
            "above",
            0.5,
            tanh,
            pooled(tanh),
            budget=budget,
        ),
        Claim(
            "",
            say("Momentum is quicker than plain SGD once both are tuned"),
            say("share of draws that reach the target in fewer epochs with momentum (both never counts half)"),
            "above",
            0.5,
            momentum,
            pooled(momentum),
            budget=budget,
        ),
        Claim(
            "74",
            say("Zero-centred outputs avoid zig-zag: tanh turns less than sigmoid"),
            say(
                "share of draws in which the "
                "mean angle between steps of full batches is smaller with tanh than with sigmoid, by rate"
            ),
            "above",
            0.5,
            (turns := _turns(cells)),
            pooled(turns),
            budget=say("equal rate, steps and draws"),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        lines(
            "optimizers-loss",
            say(
                "Median test loss over {n} draws by rate, both activations; one line an optimizer: "
                "each needs a rate of its own.",
                n=n,
            ),
            say("Test loss by rate and optimizer on each set."),
            cells,
            "sets",
            RATE,
            OPTIMIZER,
            lambda cell: last(cell, "test"),
            say("test loss"),
            log_y=True,
            goal=cells.target("sets"),
        ),
        over_levels(
            "optimizers-reached",
            say("Share of draws that reach the target, by rate and optimizer, mean over sets and activations."),
            cells,
            "sets",
            RATE,
            OPTIMIZER,
            lambda cell: reached(cells, cell),
        ),
        survival(
            "optimizers-survival", cells, "sets", OPTIMIZER, say("an optimizer, all rates and activations together")
        ),
        _turning_table(cells),
    ]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for optimizer in cells.levels("sets", OPTIMIZER):
        shares = [
            tuned(cells, dataset, activation, str(optimizer), lambda cell: reached(cells, cell)).mean()
            for dataset in cells.datasets("sets")
            for activation in cells.levels("sets", ACTIVATION)
        ]
        parts.append(f"{optimizer} {np.mean(shares):.0%}")
    return say(
        "Each at its own rate, chosen on other draws, these shares of networks reach the target: {parts}.",
        parts=listed(parts),
    )


LESSON = Lesson(later("Optimizers"), claims, blocks, answer)
