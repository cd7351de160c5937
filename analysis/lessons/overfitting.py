"""Overfitting: a simple and a flexible boundary on the same points, then on fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, difference, last, losses, pooled, sooner, title, traced
from analysis.course.comparing import over_levels
from analysis.course.curves import over_epochs
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample

SHAPE, ACTIVATION = "network.hidden_layer_sizes", "network.activation"
Pair = tuple[CellRecord, CellRecord]


def pairs(cells: Cells, dataset: str) -> list[Pair]:
    """Return the simplest and the most flexible network of each activation."""
    shapes = cells.levels("sets", SHAPE)
    found = []
    for activation in cells.levels("sets", ACTIVATION):
        both = [cells.one("sets", {"dataset": dataset, ACTIVATION: activation, SHAPE: one}) for one in shapes]
        if len(shapes) > 1 and both[0] is not None and both[-1] is not None:
            found.append((both[0], both[-1]))
    return found


def at_equal_fit(simple: CellRecord, flexible: CellRecord) -> FloatArray:
    """Return the flexible network's test loss where it first fits as well as the simple one at its end.

    NaN where it never does.
    """
    reached = losses(flexible, "train") <= last(simple, "train")
    first = np.argmax(reached, axis=0)
    test = losses(flexible, "test")
    return np.where(reached.any(axis=0), test[first, np.arange(test.shape[1])], np.nan)


def best_epoch_on_others(cell: CellRecord) -> FloatArray:
    """Return each replica's test loss at the look that is best, on average, for the other half of the replicas."""
    test = np.minimum(losses(cell, "test"), 1e6)
    R = test.shape[1]
    found = np.empty(R)
    for half in (0, 1):
        judged = np.arange(R) % 2 == half
        look = test[:, ~judged].mean(axis=1).argmin() if (~judged).any() else -1
        found[judged] = test[look, judged]
    return found


def _samples(cells: Cells, value: Callable[[CellRecord, CellRecord], FloatArray]) -> tuple[Sample, ...]:
    """Return a share a draw of each set, averaged over activations."""
    found = []
    for dataset in cells.datasets("sets"):
        values = [value(*pair) for pair in pairs(cells, dataset)]
        if values:
            found.append(Sample(title(dataset), "share", np.mean(values, axis=0)))
    return tuple(found)


def _equal_fit(simple: CellRecord, flexible: CellRecord) -> FloatArray:
    other = at_equal_fit(simple, flexible)
    return np.where(np.isnan(other), np.nan, sooner(last(simple, "test"), other))


def _gap(cell: CellRecord) -> FloatArray:
    return difference(last(cell, "test"), last(cell, "train"))


def claims(cells: Cells) -> list[Claim]:
    """Return what is claimed about simple and flexible boundaries."""
    budget = "equal epochs, rate, points and draws"

    def one(words: str, measure: str, value: Callable[[CellRecord, CellRecord], FloatArray], held: str) -> Claim:
        samples = _samples(cells, value)
        return Claim("15", words, measure, "above", 0.5, samples, pooled(samples), budget=held)

    return [
        one("The flexible boundary fits the points it was trained on better", "share of draws and activations with a "
            "lower training loss with two layers of 8 than with 2 units",
            lambda a, b: sooner(last(b, "train"), last(a, "train")), budget),
        one("... and fresh points worse", "share of draws and activations with a higher test loss with two layers of 8 "
            "than with 2 units", lambda a, b: sooner(last(a, "test"), last(b, "test")), budget),
        one("Other things equal, the simpler boundary generalizes better", "share of draws and activations with a "
            "lower test loss with 2 units than with two layers of 8 at equal training loss", _equal_fit,
            "equal training loss: the flexible network's first look at the simple one's last; points and draws"),
        one("The simpler the boundary, the smaller the gap", "share of draws and activations with a smaller test minus "
            "training loss with 2 units than with two layers of 8", lambda a, b: sooner(_gap(a), _gap(b)), budget),
        one("A flexible network's boundary is more intricate", "share of draws and activations in which lines through "
            "the range cross the boundary more often with two layers of 8 than with 2 units",
            lambda a, b: sooner(traced(a, "crossings")[-1], traced(b, "crossings")[-1]), budget),
        one("Training the flexible network to the end is worse than stopping it in time", "share of draws and "
            "activations with a higher test loss at the end than at the look that is best for the other draws, two "
            "layers of 8", lambda _, b: sooner(best_epoch_on_others(b), last(b, "test")),
            "the same networks, at two epochs"),
    ]  # fmt: skip


def _median_of(split: str) -> Callable[[CellRecord], FloatArray]:
    """Return what gives a cell's median loss at each look."""
    return lambda cell: np.asarray(np.median(losses(cell, split), axis=1), np.float64)


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        *(
            over_epochs(
                f"overfitting-{split}",
                f"Median {words} over {n} draws by epoch, mean of both activations; one line a network.",
                f"Median {words} by epoch and network on each set.",
                cells, "sets", SHAPE, _median_of(split), words,
                log_y=True,
            )
            for split, words in (("train", "training loss"), ("test", "test loss"))
        ),
        *(
            over_levels(f"overfitting-{name}", f"{words}, median over draws, mean of both activations.", cells, "sets",
                        "dataset", SHAPE, value, kind="median")
            for name, words, value in (
                ("train-loss", "Training loss at the end", lambda cell: last(cell, "train")),
                ("test-loss", "Test loss at the end", lambda cell: last(cell, "test")),
                ("crossings", "How often a line through the range crosses the boundary",
                 lambda cell: traced(cell, "crossings")[-1]),
            )
        ),
    ]  # fmt: skip


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("sets"):
        both = pairs(cells, dataset)
        if both:
            loss = [[np.median(last(cell, split)) for split in ("train", "test")] for cell in both[0]]
            parts.append(
                f"{title(dataset)} {loss[0][0]:.3f} and {loss[0][1]:.3f}, flexible {loss[1][0]:.3f} and "
                f"{loss[1][1]:.3f}"
            )
    activation = cells.levels("sets", ACTIVATION)
    return f"Median training and test loss at the end ({activation[0]}), simple network: {'; '.join(parts)}."


LESSON = Lesson("Overfitting", claims, blocks, answer)
