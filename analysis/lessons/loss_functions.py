"""Losses: softmax cross-entropy, multiclass hinge and squared error, each at its own best rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, difference, measured, pooled
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Column, Missing, Picture, Table, number_text, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from engine.methods.losses import LOSSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
LOSS, RATE, SHAPE = "training.loss", "training.learning_rate", "network.hidden_layer_sizes"
NAMES = {"softmax_cross_entropy": "cross-entropy", "hinge": "hinge", "half_squared_error": "squared error"}
MARGIN = 0.01
"""Difference of shares of wrong images that counts as none."""
N_PROBLEMS, N_POINTS, N_INPUTS, N_CLASSES = 500, 30, 8, 5


def doubled_losses(loss: str) -> tuple[FloatArray, FloatArray]:
    """Return a loss at weights that separate with a margin of 1 or more, and at twice these weights, (problems,) each.

    Random points are labelled by random linear scores, points with equal best scores do not occur; the weights are then
    scaled until the smallest margin is 1.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_PROBLEMS, N_POINTS, N_INPUTS))
    W = rng.normal(size=(N_PROBLEMS, N_INPUTS, N_CLASSES))
    scores = X @ W
    ordered = np.sort(scores, axis=2)
    # A hair more than 1, so that rounding cannot take the margin below.
    scores *= (1.0 + 1e-9) / (ordered[..., -1] - ordered[..., -2]).min(axis=1)[:, None, None]
    classes = scores.argmax(axis=2)[..., None].astype(np.float64)
    value = LOSSES[loss].value
    return np.asarray(value(scores, classes).mean(axis=1)), np.asarray(value(2.0 * scores, classes).mean(axis=1))


def best(cells: Cells, loss: str, shape: Level) -> CellRecord | None:
    """Return the cell at the rate that is best on the first half of the draws; the other half judges."""
    found = cells.of("images", {LOSS: loss, SHAPE: shape})
    return min(found, key=lambda cell: float(_chosen_by(cell).mean()), default=None)


def _error(cell: CellRecord) -> FloatArray:
    error = measured(cell, "test_error")
    return np.where(np.isnan(error), 1.0 - 1.0 / 10.0, error)  # a diverged network guesses


def _chosen_by(cell: CellRecord) -> FloatArray:
    return _error(cell)[::2]


def judged(cell: CellRecord) -> FloatArray:
    """Return the share of wrong images of each replica that chose no rate."""
    return _error(cell)[1::2]


def _calibration(cell: CellRecord) -> FloatArray:
    return measured(cell, "calibration_gap")[1::2]


def units(shape: Level) -> str:
    """Return a shape in words."""
    return "linear" if shape == "none" else f"{shape} units"


def _differences(cells: Cells, a: str, b: str, what: str) -> tuple[Sample, ...]:
    value = judged if what == "error" else _calibration
    found = []
    for shape in cells.levels("images", SHAPE):
        one, other = best(cells, a, shape), best(cells, b, shape)
        if one is not None and other is not None:
            found.append(Sample(units(shape), "median", difference(value(one), value(other))))
    return tuple(found)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about losses."""
    return [*_doubling_claims(), *_accuracy_claims(cells)]


def _doubling_claims() -> list[Claim]:
    before, after = doubled_losses("hinge")
    kept = float((before == 0).all() and (after == 0).all())
    soft_before, soft_after = doubled_losses("softmax_cross_entropy")
    return [
        Claim(
            "61", "A hinge loss of 0 stays 0 with all weights doubled",
            f"of {N_PROBLEMS} separable problems with hinge loss 0 those whose loss is 0 at twice the weights",
            "equals",
            float(N_PROBLEMS), (Sample("", "exact", np.array([kept * N_PROBLEMS])),), budget="exact",
        ),
        Claim(
            "61", "Cross-entropy has no such end: doubling the weights lowers it further",
            f"share of the same {N_PROBLEMS} problems in which cross-entropy falls and stays above 0", "above", 0.95,
            (Sample("", "share", ((soft_after < soft_before) & (soft_after > 0)).astype(float)),),
            budget="same problems",
        ),
    ]  # fmt: skip


def _accuracy_claims(cells: Cells) -> list[Claim]:
    found = []
    for other, number in (("half_squared_error", ""), ("hinge", "")):
        samples = _differences(cells, "softmax_cross_entropy", other, "error")
        found.append(
            Claim(
                number, f"Cross-entropy and {NAMES[other]} are equally accurate, to one image in a hundred",
                f"share of wrong test images with cross-entropy less that with {NAMES[other]}, each at its best of "
                "equally many rates", "within", 0.0, samples, pooled(samples), margin=MARGIN,
                budget="equal epochs, rates tried, draws and first weights",
            )
        )  # fmt: skip
    gaps = _differences(cells, "softmax_cross_entropy", "hinge", "calibration")
    found.append(
        Claim(
            "", "Cross-entropy's probabilities are calibrated better than the softmax of hinge scores",
            "calibration error with cross-entropy less that with hinge loss", "below", 0.0, gaps, pooled(gaps),
            budget="equal epochs, rates tried, draws and first weights",
        )
    )  # fmt: skip
    hidden_gain: list[Sample] = []
    for loss in cells.levels("images", LOSS):
        shapes = cells.levels("images", SHAPE)
        if "none" in shapes and len(shapes) > 1:
            linear, hidden = (best(cells, str(loss), shape) for shape in ("none", shapes[-1]))
            if linear is not None and hidden is not None:
                hidden_gain.append(Sample(NAMES[str(loss)], "median", judged(hidden) - judged(linear)))
    found.append(
        Claim(
            "", "A hidden layer beats a linear classifier on digits (claim 31 says it of Fashion-MNIST)",
            "share of wrong test images with 32 units less that of the linear classifier", "below", 0.0,
            tuple(hidden_gain), pooled(hidden_gain), budget="equal epochs, rates tried and draws",
        )
    )  # fmt: skip
    return found


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [_picture(cells), _best_table(cells)]


def _best_table(cells: Cells) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for shape in cells.levels("images", SHAPE):
        for loss in cells.levels("images", LOSS):
            cell = best(cells, str(loss), shape)
            if cell is not None:
                gap = _calibration(cell)
                gaps: Cell = Missing("a network diverged") if np.isnan(gap).any() else shown(median_interval(gap))
                rows.append((units(shape), NAMES[str(loss)], float(str(cell.params[RATE])),
                             shown(median_interval(judged(cell))), gaps))  # fmt: skip
    return Table(
        "loss-functions-best",
        "Share of wrong test images at each loss's best rate, chosen on other draws, and the calibration error of the "
        "scores' softmax: medians over draws with 95 % intervals.",
        (
            Column("network", "Network", "text"), Column("loss", "Loss", "text"), Column("rate", "Best rate"),
            Column("error", "Wrong images", "interval"), Column("calibration", "Calibration error", "interval"),
        ),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    rows = [
        (units(cell.params[SHAPE]), NAMES[str(cell.params[LOSS])], float(str(cell.params[RATE])),
         float(np.median(_error(cell))))
        for cell in cells.of("images")
    ]  # fmt: skip
    least = min(rows, key=lambda row: row[3], default=("-", "-", 0.0, 0.0))
    return Picture(
        "loss-functions-rates",
        "Share of wrong test images (median over draws) by learning rate; a line for each loss, a panel a network.",
        f"Fewest wrong images: {least[0]} with {least[1]} at rate {least[2]:g}, {least[3]:.1%}.",
        lambda: _draw(cells),
        Table(
            "loss-functions-rates", "",
            (Column("network", "Network", "text"), Column("loss", "Loss", "text"), Column("rate", "Rate"),
             Column("error", "Wrong images")),
            tuple(rows),
        ),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure, plain_ticks

    shapes = cells.levels("images", SHAPE)
    figure = new_figure(3.4 * max(1, len(shapes)) + 0.3, 2.8)
    for i, shape in enumerate(shapes):
        axes = framed_axes(figure, 0.75, 0.5, 0.1, 0.3, i, len(shapes))
        for loss, color in zip(cells.levels("images", LOSS), COLORS, strict=False):
            group = cells.of("images", {LOSS: loss, SHAPE: shape})
            rates = [float(str(cell.params[RATE])) for cell in group]
            errors = [float(np.median(_error(cell))) for cell in group]
            axes.plot(rates, errors, "o-", color=color, markersize=4, linewidth=1.2, label=NAMES[str(loss)])
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        axes.set_ylim(0.0, None)
        axes.set_title(units(shape), fontsize=9)
        axes.set_xlabel("learning rate")
        if i == 0:
            axes.set_ylabel("wrong test images")
            axes.legend(fontsize=7)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for shape in cells.levels("images", SHAPE):
        found = [(NAMES[str(loss)], best(cells, str(loss), shape)) for loss in cells.levels("images", LOSS)]
        errors = [f"{number_text(float(np.median(judged(cell))))} with {name}" for name, cell in found if cell]
        parts.append(f"{units(shape)}: {', '.join(errors)}")
    return (
        f"Share of wrong test images, each loss at its best rate: {'; '.join(parts)}. A hinge loss of 0 stays 0 "
        "with all weights doubled, so that a penalty must choose among weights."
    )


LESSON = Lesson("Loss functions", claims, blocks, answer)
