"""Losses: softmax cross-entropy, multiclass hinge and squared error, each at its own best rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, difference, listed, measured, pooled, title
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, number_text, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say
from engine.methods.losses import LOSSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
LOSS, RATE, SHAPE = "training.loss", "training.learning_rate", "network.hidden_layer_sizes"
NAMES = {
    "softmax_cross_entropy": later("cross-entropy"),
    "hinge": later("hinge"),
    "half_squared_error": later("squared error"),
}
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


Condition = tuple[str, str, Level]
"""A design, a dataset and the units of the hidden layers."""
DESIGNS = ("images", "fashion")
PAIRS = (
    ("softmax_cross_entropy", "half_squared_error"),
    ("softmax_cross_entropy", "hinge"),
    ("hinge", "half_squared_error"),
)


def conditions(cells: Cells, designs: Sequence[str] = DESIGNS) -> list[Condition]:
    """Return each dataset of these designs with each shape of network."""
    return [
        (design, dataset, shape)
        for design in designs
        for dataset in cells.datasets(design)
        for shape in cells.levels(design, SHAPE)
    ]


def trained(cells: Cells, loss: Level, condition: Condition) -> list[CellRecord]:
    """Return a loss's cells, one for each rate."""
    design, dataset, shape = condition
    return cells.of(design, {LOSS: loss, "dataset": dataset, SHAPE: shape})


def losses_of(cells: Cells) -> list[str]:
    """Return the losses that were trained."""
    return list(dict.fromkeys(str(loss) for design in DESIGNS for loss in cells.levels(design, LOSS)))


def best(cells: Cells, loss: str, condition: Condition) -> CellRecord | None:
    """Return the cell at the rate that is best on the first half of the draws; the other half judges."""
    return min(trained(cells, loss, condition), key=lambda cell: float(_chosen_by(cell).mean()), default=None)


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


def units(condition: Condition) -> str:
    """Return a dataset and a shape in words."""
    _, dataset, shape = condition
    return (
        say("{title}, linear", title=title(dataset))
        if shape == "none"
        else say("{title}, {shape} units", title=title(dataset), shape=shape)
    )


def _differences(cells: Cells, design: str, a: str, b: str, what: str) -> tuple[Sample, ...]:
    value = judged if what == "error" else _calibration
    found = []
    for condition in conditions(cells, (design,)):
        one, other = best(cells, a, condition), best(cells, b, condition)
        if one is not None and other is not None:
            found.append(Sample(units(condition), "median", difference(value(one), value(other))))
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
            "61", say("A hinge loss of 0 stays 0 with all weights doubled"),
            say("of {n_problems} separable problems with hinge loss 0 those whose loss is 0 at twice the weights",
            n_problems=N_PROBLEMS),
            "equals",
            float(N_PROBLEMS), (Sample("", "exact", np.array([kept * N_PROBLEMS])),), budget=say("exact"),
        ),
        Claim(
            "61", say("Cross-entropy has no such end: doubling the weights lowers it further"),
            say("share of the same {n_problems} problems in which cross-entropy falls and stays above 0",
            n_problems=N_PROBLEMS), "above", 0.95,
            (Sample("", "share", ((soft_after < soft_before) & (soft_after > 0)).astype(float)),),
            budget=say("same problems"),
        ),
    ]  # fmt: skip


def _accuracy_claims(cells: Cells) -> list[Claim]:
    found = []
    for design in DESIGNS:
        found += [_pair_claim(cells, design, a, b) for a, b in PAIRS]
        gaps = _differences(cells, design, "softmax_cross_entropy", "hinge", "calibration")
        found.append(
            Claim(
                "", _where(design, say("Cross-entropy's probabilities are calibrated better than the softmax of hinge "
                                       "scores")),
                say("calibration error with cross-entropy less that with hinge loss"), "below", 0.0, gaps, pooled(gaps),
                budget=say("equal epochs, rates tried, draws and first weights"),
            )
        )  # fmt: skip
    return [*found, *_hidden_layer_claims(cells)]


def _where(design: str, words: str) -> str:
    return f"Fashion-MNIST: {words}" if design == "fashion" else words


def _pair_claim(cells: Cells, design: str, a: str, b: str) -> Claim:
    samples = _differences(cells, design, a, b, "error")
    if a == "softmax_cross_entropy":
        words = say("Cross-entropy and {name} are equally accurate, to one image in a hundred", name=NAMES[b])
        shares = say(
            "share of wrong test images with cross-entropy less that with {name}, each at its best of equally many "
            "rates", name=NAMES[b],
        )  # fmt: skip
    else:
        words = say("Hinge and {name} are equally accurate, to one image in a hundred", name=NAMES[b])
        shares = say(
            "share of wrong test images with hinge loss less that with {name}, each at its best of equally many rates",
            name=NAMES[b],
        )
    return Claim(
        "", _where(design, words), shares, "within", 0.0, samples, pooled(samples), margin=MARGIN,
        budget=say("equal epochs, rates tried, draws and first weights"),
    )  # fmt: skip


def _hidden_layer_claims(cells: Cells) -> list[Claim]:
    found = []
    for design in DESIGNS:
        shapes = cells.levels(design, SHAPE)
        for dataset in cells.datasets(design):
            gains = []
            for loss in cells.levels(design, LOSS) if "none" in shapes and len(shapes) > 1 else ():
                linear, hidden = (best(cells, str(loss), (design, dataset, shape)) for shape in ("none", shapes[-1]))
                if linear is not None and hidden is not None:
                    gains.append(Sample(NAMES[str(loss)], "median", judged(hidden) - judged(linear)))
            found.append(
                Claim(
                    "31" if dataset == "fashion_mnist" else "",
                    say("A hidden layer beats a linear classifier on {title}", title=title(dataset)),
                    say("share of wrong test images with a hidden layer less that of the linear classifier"), "below",
                    0.0, tuple(gains), pooled(gains), budget=say("equal epochs, rates tried and draws"),
                )
            )  # fmt: skip
    return found


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [_picture(cells), _best_table(cells)]


def _best_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for condition in conditions(cells):
        for loss in losses_of(cells):
            cell = best(cells, loss, condition)
            if cell is not None:
                gap = _calibration(cell)
                gaps: Cell = Missing(say("a network diverged")) if np.isnan(gap).any() else shown(median_interval(gap))
                rows.append((units(condition), NAMES[loss], float(str(cell.params[RATE])),
                             shown(median_interval(judged(cell))), gaps))  # fmt: skip
    return ReportTable(
        "loss-functions-best",
        say("Share of wrong test images at each loss's best rate, chosen on other draws, and the calibration error of "
        "the scores' softmax: medians over draws with 95 % intervals."),
        (
            ReportColumn("network", say("Network"), "text"),
            ReportColumn("loss", say("Loss"), "text"),
            ReportColumn("rate", say("Best rate")),
            ReportColumn("error", say("Wrong images"), "interval"),
            ReportColumn("calibration", say("Calibration error"), "interval"),
        ),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    rows = [
        (units((design, str(cell.params["dataset"]), cell.params[SHAPE])), NAMES[str(cell.params[LOSS])],
         float(str(cell.params[RATE])), float(np.median(_error(cell))))
        for design in DESIGNS
        for cell in cells.of(design)
    ]  # fmt: skip
    least = min(rows, key=lambda row: row[3], default=("-", "-", 0.0, 0.0))
    return Picture(
        "loss-functions-rates",
        say("Share of wrong test images (median over draws) by learning rate; a line for each loss, a panel a "
        "network."),
        say("Fewest wrong images: {network} with {loss} at rate {rate:g}, {share:.1%}.", network=least[0],
        loss=least[1], rate=least[2], share=least[3]),
        lambda: _draw(cells),
        ReportTable(
            "loss-functions-rates", "",
            (ReportColumn("network", say("Network"), "text"),
            ReportColumn("loss", say("Loss"), "text"),
            ReportColumn("rate", say("Rate")),
             ReportColumn("error", say("Wrong images"))),
            tuple(rows),
        ),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure, plain_ticks

    panels = conditions(cells)
    figure = new_figure(3.4 * max(1, len(panels)) + 0.3, 2.8)
    for i, condition in enumerate(panels):
        axes = framed_axes(figure, 0.75, 0.5, 0.1, 0.3, i, len(panels))
        for loss, color in zip(losses_of(cells), COLORS, strict=False):
            group = trained(cells, loss, condition)
            rates = [float(str(cell.params[RATE])) for cell in group]
            errors = [float(np.median(_error(cell))) for cell in group]
            axes.plot(rates, errors, "o-", color=color, markersize=4, linewidth=1.2, label=NAMES[loss])
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        axes.set_ylim(0.0, None)
        axes.set_title(units(condition), fontsize=9)
        axes.set_xlabel(say("learning rate"))
        if i == 0:
            axes.set_ylabel(say("wrong test images"))
            axes.legend(fontsize=7)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for condition in conditions(cells):
        found = [(NAMES[loss], best(cells, loss, condition)) for loss in losses_of(cells)]
        errors = [
            say("{share} with {name}", share=number_text(float(np.median(judged(cell)))), name=name)
            for name, cell in found
            if cell
        ]
        parts.append(f"{units(condition)}: {', '.join(errors)}")
    return say(
        "Share of wrong test images, each loss at its best rate: {parts}. A hinge loss of 0 stays 0 "
        "with all weights doubled, so that a penalty must choose among weights.",
        parts=listed(parts, "; "),
    )


LESSON = Lesson(later("Loss functions"), claims, blocks, answer)
