"""Overfitting: a simple and a flexible boundary on the same points, then on fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.boundaries import HALF, outputs, plane, points_of, scatter
from analysis.course.cells import Cells, FloatArray, difference, last, listed, losses, pooled, sooner, title, traced
from analysis.course.comparing import over_levels
from analysis.course.curves import over_epochs
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_epochs
from analysis.formats.blocks import Block, Picture, ReportColumn, ReportTable
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_FRESH = 150
"""Fresh points drawn of each set."""
DRAWN_SIDE = 121
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
    budget = say("equal epochs, rate, points and draws")

    def one(words: str, measure: str, value: Callable[[CellRecord, CellRecord], FloatArray], held: str) -> Claim:
        samples = _samples(cells, value)
        return Claim("15", words, measure, "above", 0.5, samples, pooled(samples), budget=held)

    return [
        one(
            say("The flexible boundary fits the points it was trained on better"),
            say("share of draws and activations with a lower training loss with two layers of 8 than with 2 units"),
            lambda a, b: sooner(last(b, "train"), last(a, "train")),
            budget,
        ),
        one(
            say("... and fresh points worse"),
            say("share of draws and activations with a higher test loss with two layers of 8 than with 2 units"),
            lambda a, b: sooner(last(a, "test"), last(b, "test")),
            budget,
        ),
        one(
            say("Other things equal, the simpler boundary generalizes better"),
            say(
                "share of draws and activations with a "
                "lower test loss with 2 units than with two layers of 8 at equal training loss"
            ),
            _equal_fit,
            say("equal training loss: the flexible network's first look at the simple one's last; points and draws"),
        ),
        one(
            say("The simpler the boundary, the smaller the gap"),
            say(
                "share of draws and activations with a smaller test minus "
                "training loss with 2 units than with two layers of 8"
            ),
            lambda a, b: sooner(_gap(a), _gap(b)),
            budget,
        ),
        one(
            say("A flexible network's boundary is more intricate"),
            say(
                "share of draws and activations in which lines through "
                "the range cross the boundary more often with two layers of 8 than with 2 units"
            ),
            lambda a, b: sooner(traced(a, "crossings")[-1], traced(b, "crossings")[-1]),
            budget,
        ),
        one(
            say("Training the flexible network to the end is worse than stopping it in time"),
            say(
                "share of draws and "
                "activations with a higher test loss at the end than at the look that is best for the other draws, two "
                "layers of 8"
            ),
            lambda _, b: sooner(best_epoch_on_others(b), last(b, "test")),
            say("the same networks, at two epochs"),
        ),
    ]


def _median_of(split: str) -> Callable[[CellRecord], FloatArray]:
    """Return what gives a cell's median loss at each look."""
    return lambda cell: np.asarray(np.median(losses(cell, split), axis=1), np.float64)


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    n = cells.design("sets").get("n_replicas", 0)
    return [
        _boundary_picture(cells),
        *(
            over_epochs(
                f"overfitting-{split}",
                say(
                    "Median {words} over {n} draws by epoch, mean of both activations; one line a network.",
                    words=words,
                    n=n,
                ),
                say("Median {words} by epoch and network on each set.", words=words),
                cells,
                "sets",
                SHAPE,
                _median_of(split),
                words,
                log_y=True,
            )
            for split, words in (("train", say("training loss")), ("test", say("test loss")))
        ),
        _equal_picture(cells),
        *(
            over_levels(
                f"overfitting-{name}",
                say("{words}, median over draws, mean of both activations.", words=words),
                cells,
                "sets",
                "dataset",
                SHAPE,
                value,
                kind="median",
            )
            for name, words, value in (
                ("train-loss", say("Training loss at the end"), lambda cell: last(cell, "train")),
                ("test-loss", say("Test loss at the end"), lambda cell: last(cell, "test")),
                (
                    "crossings",
                    say("How often a line through the range crosses the boundary"),
                    lambda cell: traced(cell, "crossings")[-1],
                ),
            )
        ),
        *probe_epochs(
            "overfitting-weights",
            say(
                "Median norm of the weights over {n} draws by epoch, mean of both activations; one line a network.", n=n
            ),
            say("Norm of the weights by epoch and network on each set."),
            cells,
            "sets",
            SHAPE,
            "weight_norm",
            say("norm of the weights"),
        ),
    ]


def typical_draw(simple: CellRecord, flexible: CellRecord) -> int:
    """Return the draw in which flexible minus simple test loss is the middle one."""
    order = np.argsort(difference(last(flexible, "test"), last(simple, "test")), kind="stable")
    return int(order[len(order) // 2])


def _drawn(cells: Cells) -> list[tuple[str, Pair, int]]:
    """Return each set with its first pair of networks and their typical draw."""
    found = []
    for dataset in cells.datasets("sets"):
        for pair in pairs(cells, dataset)[:1]:
            if all("weights" in cell.arrays for cell in pair):
                found.append((title(dataset), pair, typical_draw(*pair)))
    return found


def _shape(cell: CellRecord) -> str:
    return str(cell.params[SHAPE])


def _boundary_picture(cells: Cells) -> Picture:
    drawn = _drawn(cells)
    rows = tuple(
        (name, _shape(cell), cell.seeds[draw], float(last(cell, "train")[draw]), float(last(cell, "test")[draw]))
        for name, pair, draw in drawn
        for cell in pair
    )
    names = [_shape(cell) for _, pair, _ in drawn[:1] for cell in pair] or ["", ""]
    activation = "".join(str(pair[0].params[ACTIVATION]) for _, pair, _ in drawn[:1])
    return Picture(
        "overfitting-boundaries",
        say(
            "The boundaries of {simple} units (black) and of {flexible} units (purple, dashed; {activation}) that "
            "learnt the same points: above on those, below on fresh ones. Of each set the draw with the middle "
            "difference in test loss; losses of both.",
            simple=names[0],
            flexible=names[1],
            activation=activation,
        ),
        "; ".join(
            say(
                "{name}, {shape} units: {train:.3g} and {test:.3g} on fresh points",
                name=name,
                shape=shape,
                train=train,
                test=test,
            )
            for name, shape, _, train, test in rows
        )
        or say("No network was trained."),
        lambda: _draw_boundaries(cells, drawn),
        ReportTable(
            "overfitting-boundaries",
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("units", say("Units"), "text"),
                ReportColumn("seed", say("Seed"), "text"),
                ReportColumn("train", say("Training loss")),
                ReportColumn("test", say("Test loss")),
            ),
            rows,
        ),
    )


def _draw_boundaries(cells: Cells, drawn: Sequence[tuple[str, Pair, int]]) -> Figure:
    from analysis.formats.style import new_figure

    n = max(1, len(drawn))
    figure = new_figure(2.2 * n, 5.0)
    for j, (name, pair, draw) in enumerate(drawn):
        points = points_of(cells, pair[0], draw)
        fresh = (points.test[0][:N_FRESH], points.test[1][:N_FRESH])
        for i, (split, shown) in enumerate((("train", points.train), ("test", fresh))):
            axes = figure.add_axes(((j + 0.1) / n, 1 - (i + 0.95) / 2, 0.85 / n, 0.76 / 2))
            scatter(axes, shown)
            _draw_pair(axes, cells, pair, draw)
            both = say(" and ").join(f"{last(cell, split)[draw]:.3f}" for cell in pair)
            axes.set_title(f"{name}\n{say('fresh points') if i else say('its points')}: {both}", fontsize=8)
    return figure


def _draw_pair(axes: Axes, cells: Cells, pair: Pair, draw: int) -> None:
    from analysis.formats.style import BLACK, PURPLE

    steps = np.linspace(-HALF, HALF, DRAWN_SIDE)
    for cell, color, dash in zip(pair, (BLACK, PURPLE), ("solid", "dashed"), strict=True):
        values = outputs(cells, cell, DRAWN_SIDE, slice(draw, draw + 1))[0].reshape(DRAWN_SIDE, DRAWN_SIDE)
        if (values > 0).any() and (values <= 0).any():
            axes.contour(steps, steps, values, levels=[0.0], colors=color, linestyles=dash, linewidths=1.4, zorder=4)
    plane(axes)


def _equal_picture(cells: Cells) -> Picture:
    groups = [
        (title(dataset), str(simple.params[ACTIVATION]), last(simple, "test"), at_equal_fit(simple, flexible))
        for dataset in cells.datasets("sets")
        for simple, flexible in pairs(cells, dataset)
    ]
    rows = [
        (name, activation, float(x), float(y))
        for name, activation, simple, flexible in groups
        for x, y in zip(simple, flexible, strict=True)
        if np.isfinite(x) and np.isfinite(y)
    ]
    below = sum(x < y for _, _, x, y in rows)
    return Picture(
        "overfitting-equal-fit",
        say(
            "Test loss at equal training loss: each dot a draw, the simple network at its end across, the flexible one "
            "at its first look with as low a training loss up. Above the line the simple network is better."
        ),
        say(
            "In {below} of {n_rows} draws the simple network is better at equal training loss.",
            below=below,
            n_rows=len(rows),
        ),
        lambda: _draw_equal(cells.datasets("sets"), groups),
        ReportTable(
            "overfitting-equal-fit",
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("activation", say("Activation"), "text"),
                ReportColumn("simple", say("Simple")),
                ReportColumn("flexible", say("Flexible")),
            ),
            tuple(rows),
        ),
    )


def _draw_equal(datasets: Sequence[str], groups: Sequence[tuple[str, str, FloatArray, FloatArray]]) -> Figure:
    from analysis.formats.style import COLORS, GRAY, framed_axes, new_figure

    names = [title(dataset) for dataset in datasets]
    colors = dict(zip(dict.fromkeys(activation for _, activation, _, _ in groups), COLORS * 2, strict=False))
    n = max(1, len(names))
    figure = new_figure(2.2 * n, 2.4)
    for i, name in enumerate(names):
        axes = framed_axes(figure, 0.55, 0.5, 0.1, 0.3, i, n)
        for _, activation, x, y in (group for group in groups if group[0] == name):
            axes.plot(x, y, "o", color=colors[activation], markersize=3, alpha=0.6, label=activation)
        top = max(
            [
                0.1,
                *(
                    v
                    for _, _, *both in (g for g in groups if g[0] == name)
                    for one in both
                    for v in one[np.isfinite(one)]
                ),
            ]
        )
        axes.plot([0, top], [0, top], color=GRAY, linewidth=1.0)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(say("simple"), fontsize=8)
        axes.tick_params(labelsize=6)
        if i == 0:
            axes.set_ylabel(say("flexible"), fontsize=8)
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("sets"):
        both = pairs(cells, dataset)
        if both:
            loss = [[np.median(last(cell, split)) for split in ("train", "test")] for cell in both[0]]
            parts.append(
                say(
                    "{title} {train:.3f} and {test:.3f}, flexible {flexible_train:.3f} and {flexible_test:.3f}",
                    title=title(dataset),
                    train=loss[0][0],
                    test=loss[0][1],
                    flexible_train=loss[1][0],
                    flexible_test=loss[1][1],
                )
            )
    activation = cells.levels("sets", ACTIVATION)
    return say(
        "Median training and test loss at the end ({activation}), simple network: {parts}.",
        activation=activation[0],
        parts=listed(parts, "; "),
    )


LESSON = Lesson(later("Overfitting"), claims, blocks, answer)
