"""Activations: functions and derivatives, which is best on which set, and which units are dead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, last, listed, measured, pooled, sooner, title
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, plural, say
from engine.methods.activations import ACTIVATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
ACTIVATION, SHAPE, RATE = "network.activation", "network.hidden_layer_sizes", "training.learning_rate"
NAMES = {
    "linear": later("identity"), "step": later("step"), "sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU",
    "leaky_relu": later("leaky ReLU"), "prelu": later("parametric ReLU"), "elu": "ELU", "gelu": "GELU", "silu": "swish",
}  # fmt: skip
Value = Callable[[CellRecord], FloatArray]
DESIGNS = ("sets", "images")
COMPARED = (
    ("20", later("ReLU works better than sigmoid"), "test", "relu", "sigmoid"),
    ("35", later("GELU is more accurate than ReLU"), "test", "gelu", "relu"),
    ("35", later("Swish is more accurate than ReLU"), "test", "silu", "relu"),
    ("35", later("ReLU is easier to train than tanh"), "training", "relu", "tanh"),
    ("35", later("ReLU is easier to train than sigmoid"), "training", "relu", "sigmoid"),
    ("", later("A nonlinear activation (ReLU) beats none"), "test", "relu", "linear"),
    ("", later("Leaky ReLU is more accurate than ReLU"), "test", "leaky_relu", "relu"),
)
"""Number, words, split, and the two activations of a claim."""
FROM, TO, N_DRAWN = -4.0, 4.0, 161


def curves(name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return where an activation is drawn, its value and its derivative there, by the engine's own functions."""
    activation = ACTIVATIONS[name]
    z = np.linspace(FROM, TO, N_DRAWN)
    a = np.asarray(activation.function(z, activation.default_slope), np.float64)
    return z, a, np.asarray(activation.derivative(z, a, activation.default_slope), np.float64)


def places(cells: Cells, designs: Sequence[str] = DESIGNS) -> list[tuple[str, Level]]:
    """Return each dataset of these designs with each of its shapes."""
    return [
        (dataset, shape)
        for design in designs
        for dataset in cells.datasets(design)
        for shape in cells.levels(design, SHAPE)
    ]


def trained(cells: Cells, levels: Mapping[str, Level]) -> list[CellRecord]:
    """Return the cells of both designs that have these levels."""
    return [cell for design in DESIGNS for cell in cells.of(design, levels)]


def best(cells: Cells, dataset: str, activation: Level, shape: Level) -> CellRecord | None:
    """Return the cell at the rate with the lowest mean test loss on every second draw; the others judge."""
    found = trained(cells, {"dataset": dataset, ACTIVATION: activation, SHAPE: shape})
    return min(found, key=lambda cell: float(last(cell, "test")[::2].mean()), default=None)


def judged(cell: CellRecord) -> FloatArray:
    """Return the test loss of each replica that chose no rate."""
    return last(cell, "test")[1::2]


def _trained_loss(cell: CellRecord) -> FloatArray:
    return last(cell, "train")[1::2]


def depth(shape: Level) -> str:
    """Return how many layers a shape has, in words."""
    n = str(shape).count("-") + 1
    return say("{n} layer{s}", n=n, s=plural(n))


def _versus(cells: Cells, a: str, b: str, value: Value, design: str = "sets") -> tuple[Sample, ...]:
    """Return for each set and depth in which draws a's value is below b's, each at its best rate."""
    found = []
    for dataset, shape in places(cells, (design,)):
        one, other = (best(cells, dataset, name, shape) for name in (a, b))
        if one is not None and other is not None:
            left, right = value(one), value(other)
            known = ~(np.isnan(left) | np.isnan(right))
            wins = np.where(known, sooner(left, right), np.nan)
            found.append(Sample(f"{title(dataset)}, {depth(shape)}", "share", wins))
    return tuple(found)


def _judged(probe: str) -> Value:
    return lambda cell: measured(cell, probe)[1::2]


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about activations."""
    budget = say("equal epochs, rates tried, draws and first weights")
    found = []
    for number, words, split, a, b in COMPARED:
        for design in DESIGNS:
            samples = _versus(cells, a, b, judged if split == "test" else _trained_loss, design)
            found.append(
                Claim(
                    number, say("{words} on Fashion-MNIST", words=words) if design == "images" else str(words),
                    say("share of draws with a lower {split} loss with {a} than with {b}, each at its best rate",
                        split=say("test") if split == "test" else say("training"), a=NAMES[a], b=NAMES[b]),
                    "above", 0.5, samples, pooled(samples), budget=budget,
                )
            )  # fmt: skip
    dead = _dead(cells, "leaky_relu")
    found.append(
        Claim(
            "35", say("Leaky ReLU has no dead units"),
            say("networks with a unit whose derivative is 0 at every training point, all rates"), "equals", 0.0,
            (Sample("", "exact", np.array([float((dead > 0).sum())])),) if len(dead) else (),
            budget=say("exact"),
        )
    )  # fmt: skip
    relu = _dead_by_rate(cells)
    found.append(
        Claim(
            "35", say("More than one ReLU network in twenty has a dead unit"),
            say("share of ReLU networks with a dead unit after training, by rate"), "above", 0.05, relu, pooled(relu),
            budget=budget,
        )
    )  # fmt: skip
    centred = _versus(cells, "tanh", "sigmoid", _judged("off_centre"))
    found.append(
        Claim(
            "74", say("tanh's outputs are nearer to zero-centred than sigmoid's"),
            say("share of draws in which hidden outputs' means are smaller beside their size with tanh"), "above", 0.5,
            centred, pooled(centred), budget=budget,
        )
    )  # fmt: skip
    return found


def _dead(cells: Cells, activation: str) -> FloatArray:
    found = [measured(cell, "dead_units") for cell in cells.of("sets", {ACTIVATION: activation})]
    values = np.concatenate(found) if found else np.array([])
    return np.asarray(values[~np.isnan(values)], np.float64)


def _dead_by_rate(cells: Cells) -> tuple[Sample, ...]:
    """Return for each rate in which share of its settings each replica's ReLU network has a dead unit."""
    samples = []
    for rate in cells.levels("sets", RATE):
        values = [measured(cell, "dead_units") for cell in cells.of("sets", {ACTIVATION: "relu", RATE: rate})]
        if values:
            has = np.where(np.isnan(values), np.nan, np.array(values) > 0)
            known = ~np.isnan(has).all(axis=0)
            mean = np.full(has.shape[1], np.nan)
            mean[known] = np.nanmean(has[:, known], axis=0)
            samples.append(Sample(say("rate {rate}", rate=rate), "share", mean))
    return tuple(samples)


def winner(cells: Cells, dataset: str, shape: Level) -> tuple[str, float]:
    """Return which activation has the lowest median test loss, and in which share of draws it is the best of all."""
    found = {str(name): best(cells, dataset, name, shape) for name in cells.levels("sets", ACTIVATION)}
    losses = {name: judged(cell) for name, cell in found.items() if cell is not None}
    if not losses:
        return "-", float("nan")
    name = min(losses, key=lambda one: float(np.median(losses[one])))
    lowest = np.min(list(losses.values()), axis=0)
    return name, float((losses[name] <= lowest).mean())


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    return [_curves_picture(cells), _best_table(cells), _dead_table(cells)]


def _best_table(cells: Cells) -> ReportTable:
    activations = cells.levels("sets", ACTIVATION)
    rows: list[tuple[Cell, ...]] = []
    for dataset, shape in places(cells):
        name, share = winner(cells, dataset, shape)
        row: list[Cell] = [title(dataset), depth(shape), str(NAMES.get(name, name)), share]
        for activation in activations:
            cell = best(cells, dataset, activation, shape)
            row.append(Missing(say("not trained")) if cell is None else float(np.median(judged(cell))))
        rows.append(tuple(row))
    return ReportTable(
        "activations-best",
        say("Median test loss by set, depth and activation, each at its best rate (chosen on other draws); the best of "
            "them, and the share of draws in which none of the others is better."),
        (
            ReportColumn("set", say("Set"), "text"),
            ReportColumn("depth", say("Hidden layers"), "text"),
            ReportColumn("best", say("Best"), "text"),
            ReportColumn("share", say("Best of all in")),
            *(ReportColumn(str(a), str(NAMES[str(a)])) for a in activations),
        ),
        tuple(rows),
    )  # fmt: skip


def _mean_of_each(group: Sequence[CellRecord], probe: str) -> FloatArray:
    """Return each replica's mean over settings in which it did not diverge; a replica is one value."""
    by_replica = np.array([measured(cell, probe) for cell in group]).T
    return np.array([values[~np.isnan(values)].mean() for values in by_replica if not np.isnan(values).all()])


def _dead_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for activation in cells.levels("sets", ACTIVATION):
        for shape in cells.levels("sets", SHAPE):
            group = cells.of("sets", {ACTIVATION: activation, SHAPE: shape})
            # A replica is one value: its mean over sets and rates.
            dead, centre = (_mean_of_each(group, probe) for probe in ("dead_units", "off_centre"))
            middle: Cell = float(np.median(centre)) if len(centre) else Missing(say("all diverged"))
            rows.append((str(NAMES[str(activation)]), depth(shape), shown(median_interval(dead)), middle))
    return ReportTable(
        "activations-dead",
        say("Share of hidden units that are dead after training (derivative 0 at every training point), and size of "
            "hidden outputs' means over their root mean squares (0 is zero-centred): medians over draws of means over "
            "sets and rates."),
        (
            ReportColumn("activation", say("Activation"), "text"), ReportColumn("depth", say("Hidden layers"), "text"),
            ReportColumn("dead", say("Dead units"), "interval"), ReportColumn("centre", say("Off centre")),
        ),
        tuple(rows),
    )  # fmt: skip


def _curves_picture(cells: Cells) -> Picture:  # noqa: ARG001 (one signature for all)
    rows = [
        (str(NAMES[name]), float(z), float(a), float(d))
        for name in NAMES
        for z, a, d in zip(*(values[::8] for values in curves(name)), strict=True)
    ]
    steepest = {name: float(np.abs(curves(name)[2]).max()) for name in NAMES}
    return Picture(
        "activations-curves",
        say("Ten activations (full lines) with their derivatives (dashed), from -4 to 4."),
        say("Largest derivatives: {parts}.",
            parts=", ".join(f"{NAMES[name]} {value:.3g}" for name, value in steepest.items())),
        _draw,
        ReportTable(
            "activations-curves", "",
            (ReportColumn("activation", say("Activation"), "text"), ReportColumn("z", "z"),
             ReportColumn("a", say("Value")), ReportColumn("derivative", say("Derivative"))),
            tuple(rows),
        ),
    )  # fmt: skip


def _draw() -> Figure:
    from analysis.formats.style import COLORS, GRAY, new_figure

    figure = new_figure(9.0, 3.6)
    for k, name in enumerate(NAMES):
        row, column = divmod(k, 5)
        axes = figure.add_axes((0.04 + 0.195 * column, 0.56 - 0.49 * row, 0.155, 0.35))
        z, a, derivative = curves(name)
        axes.axhline(0.0, color=GRAY, linewidth=0.6)
        axes.plot(z, a, color=COLORS[0], linewidth=1.4)
        axes.plot(z, derivative, "--", color=COLORS[1], linewidth=1.2)
        axes.set_ylim(-1.6, 2.6)
        axes.set_title(str(NAMES[name]), fontsize=9)
        axes.tick_params(labelsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in dict.fromkeys(dataset for dataset, _ in places(cells)):
        names = [str(NAMES.get(winner(cells, one, shape)[0], "-")) for one, shape in places(cells) if one == dataset]
        parts.append(f"{title(dataset)} {' / '.join(dict.fromkeys(names))}")
    dead = _dead(cells, "relu")
    share = say(" {share:.1%} of ReLU units are dead after training.", share=dead.mean()) if len(dead) else ""
    return say("Lowest median test loss, by set (one layer / more): {parts}.{share}", parts=listed(parts), share=share)


LESSON = Lesson(later("Activations"), claims, blocks, answer)
