"""Nonlinearity: what linear networks cannot do, and how few units with an activation can."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.boundaries import (
    corners_right,
    draw_region,
    has_dead_unit,
    has_parallel_units,
    is_constant,
    is_line,
    outputs,
    points_of,
)
from analysis.course.cells import Cells, last, measured, pooled, sooner, time_to, title
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTIVATION, SHAPE = "network.activation", "network.hidden_layer_sizes"
CORNERS = np.array(list(itertools.product((0, 1), repeat=2)))
N_FUNCTIONS = 16
LARGEST_WEIGHT = 3
XOR_SIGNS = (True, False, False, True)
"""Of the quadrants: lower left, lower right, upper left, upper right."""
CORNER = 0.75
"""Share of a quadrant that must have the right sign for its corner to count as learnt."""
LEARNT = "learnt"
KIND_NAMES = {
    "constant": later("constant"),
    "one line": later("one line"),
    "corners missing": later("corners missing"),
    "not sharp": later("not sharp"),
    LEARNT: later("learnt"),
}
KINDS = tuple(KIND_NAMES)
"""Of a restart, the first that is true, once it has not learnt the set."""


def one_unit_functions() -> set[tuple[bool, ...]]:
    """Return the functions of two on-off inputs that one threshold unit computes, by trying all whole weights.

    Weights from -3 to 3 and thresholds at the halves between them: any threshold unit on these four points has the
    values of one with weights of at most 1 and a threshold of at most 1.5.
    """
    steps = range(-LARGEST_WEIGHT, LARGEST_WEIGHT + 1)
    found = set()
    for w, v, b in itertools.product(steps, steps, range(-2 * LARGEST_WEIGHT - 1, 2 * LARGEST_WEIGHT + 2)):
        found.add(tuple(bool(on) for on in CORNERS @ (w, v) + b + 0.5 > 0))
    return found


def two_layer_functions() -> set[tuple[bool, ...]]:
    """Return the functions that two threshold units and a third one over them compute, by trying all."""
    first = sorted(one_unit_functions())
    found = set()
    for one, other in itertools.product(first, repeat=2):
        for top in first:
            values = [top[2 * a + b] for a, b in zip(one, other, strict=True)]
            found.add(tuple(values))
    return found


def learnt(cells: Cells, cell: CellRecord) -> npt.NDArray[np.float64]:
    """Return 1 for replicas that were below the target at any look."""
    return np.isfinite(time_to(cell, cells.target_of(cell))).astype(np.float64)


def _exact(value: float) -> tuple[Sample, ...]:
    return (Sample("", "exact", np.array([value])),)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about nonlinearity."""
    return [
        *_linear_claims(cells),
        *_threshold_claims(),
        *_unit_claims(cells),
        *_failure_claims(cells),
        *_vanishing_claims(cells),
    ]


def _linear_claims(cells: Cells) -> list[Claim]:
    linear = cells.of("linear")
    on_xor = [cell for cell in linear if cell.params["dataset"] == "xor"] + cells.of("xor", {ACTIVATION: "linear"})
    elsewhere = [cell for cell in linear if cell.params["dataset"] != "xor"]
    n_xor, n_else = (sum(len(cell.seeds) for cell in group) for group in (on_xor, elsewhere))
    passed_xor, passed_else = (float(sum(learnt(cells, cell).sum() for cell in group)) for group in (on_xor, elsewhere))
    errors = np.concatenate([measured(cell, "collapse_error") for cell in linear]) if linear else np.array([])
    return [
        Claim(
            "17", say("Without an activation no network learns XOR, however deep"),
            say("linear networks of any depth that learn XOR, of {n_xor}", n_xor=n_xor), "equals", 0.0,
            _exact(passed_xor) if on_xor else (), budget=say("exact"),
        ),
        Claim(
            "23", say("A linear model fails on circle and spiral"),
            say("linear networks of any depth that learn circle or spiral, of {n_else}", n_else=n_else), "equals", 0.0,
            _exact(passed_else) if elsewhere else (), budget=say("exact up to noise"),
        ),
        Claim(
            "60", say("Without activations any depth is one layer"),
            say("largest difference of a linear network's scores from those of the one layer that its weights multiply "
            "to, over its largest score, to four digits"),
            "equals", 0.0, _exact(round(float(np.nanmax(errors)), 4)) if len(errors) else (), budget=say("exact"),
        ),
    ]  # fmt: skip


def _threshold_claims() -> list[Claim]:
    one, two = one_unit_functions(), two_layer_functions()
    names = {"OR": (False, True, True, True), "XOR": (False, True, True, False)}
    return [
        Claim(
            "75", say("One threshold unit computes 14 of the 16 functions of two on-off inputs"),
            say("functions that some threshold unit computes, by trying all"), "equals", 14.0, _exact(float(len(one))),
            budget=say("exact"),
        ),
        Claim(
            "75", say("OR needs one unit, XOR two layers"),
            say("of these statements the true ones: one unit computes OR; none computes XOR; two layers compute XOR"),
            "equals", 3.0,
            _exact(float((names["OR"] in one) + (names["XOR"] not in one) + (names["XOR"] in two))),
            budget=say("exact"),
        ),
    ]  # fmt: skip


def _unit_claims(cells: Cells) -> list[Claim]:
    two = cells.one("failures", {ACTIVATION: "relu", SHAPE: "2"})
    versus = []
    for shape in cells.levels("xor", SHAPE):
        relu, sigmoid = (cells.one("xor", {ACTIVATION: name, SHAPE: shape}) for name in ("relu", "sigmoid"))
        if relu is not None and sigmoid is not None and shape != "none":
            versus.append(Sample(str(shape), "share", sooner(last(relu, "test"), last(sigmoid, "test"))))
    return [
        Claim(
            "18", say("Two ReLU units sometimes learn XOR and sometimes do not (between 5 and 95 of 100 restarts)"),
            say("share of restarts of two ReLU units that learn XOR"), "within", 0.5,
            (Sample("2", "share", learnt(cells, two)),) if two is not None else (), margin=0.45,
        ),
        Claim(
            "18", say("... by eye: all four corners have the right sign (between 5 and 95 of 100 restarts)"),
            say("share of restarts of two ReLU units with {corner:.0%} of every quadrant right", corner=CORNER),
            "within", 0.5,
            (Sample("2", "share", _all_corners(cells, two)),) if two is not None else (), margin=0.45,
        ),
        Claim(
            "20", say("ReLU works better than sigmoid"),
            say("share of draws with a lower test loss with ReLU than with sigmoid after equally many epochs, by "
            "layers"),
            "above", 0.5, tuple(versus), pooled(versus),
        ),
    ]  # fmt: skip


def kinds(cells: Cells, cell: CellRecord) -> list[str]:
    """Return of each restart on XOR whether it learnt the set, and if not how it failed: one of `KINDS`."""
    positive = outputs(cells, cell) > 0
    corners = corners_right(positive, XOR_SIGNS, CORNER)
    truth = np.stack([is_constant(positive), is_line(positive), corners < len(XOR_SIGNS), corners == len(XOR_SIGNS)])
    first = np.argmax(truth, axis=0)
    return [LEARNT if done else KINDS[k] for k, done in zip(first, learnt(cells, cell) > 0, strict=True)]


def _all_corners(cells: Cells, cell: CellRecord) -> npt.NDArray[np.float64]:
    """Return 1 for restarts that have the right sign at all four corners."""
    corners = corners_right(outputs(cells, cell) > 0, XOR_SIGNS, CORNER)
    return np.asarray(corners == len(XOR_SIGNS), np.float64)


def _failed(cells: Cells, cell: CellRecord) -> npt.NDArray[np.bool_]:
    return np.asarray(learnt(cells, cell) == 0, np.bool_)


def _failure_claims(cells: Cells) -> list[Claim]:
    cell = cells.one("failures", {ACTIVATION: "relu", SHAPE: "2"})
    found = []
    for words, measure, value in (
        (say("Two ReLU units that fail on XOR have a dead one"),
        say("with a unit whose derivative is 0 all over the plane"),
         has_dead_unit),
        (say("... or two that look the same way or opposite ways"),
         say("whose units' weights have a cosine beyond 0.95 or -0.95"), lambda _, one: has_parallel_units(one)),
    ):  # fmt: skip
        samples: tuple[Sample, ...] = ()
        if cell is not None:
            samples = (Sample("2", "share", value(cells, cell)[_failed(cells, cell)].astype(np.float64)),)
        found.append(
            Claim(
                "",
                words,
                say("share of failing restarts of two ReLU units {measure}", measure=measure),
                "above",
                0.5,
                samples,
            )
        )
    return found


def _vanishing_claims(cells: Cells) -> list[Claim]:
    found = []
    for dataset in cells.datasets("vanishing"):
        shapes = [str(shape) for shape in cells.levels("vanishing", SHAPE)]
        deep = max(shapes, key=len, default="")
        pair = [cells.one("vanishing", {"dataset": dataset, ACTIVATION: a, SHAPE: deep}) for a in ("sigmoid", "relu")]
        if pair[0] is not None and pair[1] is not None:
            sigmoid, relu = (measured(cell, "first_gradient") for cell in pair if cell is not None)
            found.append(Sample(title(dataset), "share", sooner(sigmoid, relu)))
    return [
        Claim(
            "20", say("... and lessens vanishing gradients (four hidden layers, Xavier weights)"),
            say("share of draws in which the first layer's gradient over the last layer's is larger with ReLU than "
            "with sigmoid, before training"),
            "above", 0.5, tuple(found), pooled(found), budget=say("same draws, same weights"),
        )
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [_picture(cells), _share_table(cells), _failure_picture(cells), _kind_table(cells), _gradient_table(cells)]


def _kind_words() -> str:
    """Return what the kinds of a failure mean."""
    return "; ".join(
        (
            say("constant: one sign everywhere"),
            say("one line: a straight line divides the plane"),
            say("corners missing: a corner or more has less than {corner:.0%} of its quadrant right", corner=CORNER),
            say("not sharp: all four corners right, but a loss above the target"),
        )
    )


def _kind_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("failures"):
        found = np.array(kinds(cells, cell))
        shares = [shown(share_interval((found == kind).astype(np.float64))) for kind in KINDS]
        rows.append((str(cell.params[ACTIVATION]), str(cell.params[SHAPE]), len(found), *shares))
    return ReportTable(
        "nonlinearity-kinds",
        say(
            "How restarts end on XOR after {epochs} epochs, the first that is "
            "true: {kinds}. Read off a grid of 25 x 25 places.",
            epochs=cells.design("failures").get("looks", [0])[-1],
            kinds=_kind_words(),
        ),
        (
            ReportColumn("activation", say("Activation"), "text"),
            ReportColumn("units", say("Units"), "text"),
            ReportColumn("n", "n"),
            *(ReportColumn(kind.replace(" ", "_"), str(KIND_NAMES[kind]).capitalize(), "interval") for kind in KINDS),
        ),
        tuple(rows),
    )


Drawn = tuple[str, CellRecord, int]
"""Title, cell and restart of one panel."""


def _typical(cells: Cells, activation: str) -> list[Drawn]:
    """Return of the smallest network of an activation one restart of each kind, and the smallest one that learnt."""
    group = cells.of("failures", {ACTIVATION: activation})
    found: list[Drawn] = []
    for kind in KINDS:
        for cell in group if kind == LEARNT else group[:1]:
            members = [r for r, one in enumerate(kinds(cells, cell)) if one == kind]
            if members:
                ordered = sorted(members, key=lambda r: (last(cell, "test")[r], r))
                units = say("{activation}, {shape} units", activation=activation, shape=cell.params[SHAPE])
                share = say("{kind}: {n} of {total}", kind=KIND_NAMES[kind], n=len(members), total=len(cell.seeds))
                found.append((f"{units}\n{share}", cell, ordered[len(ordered) // 2]))
                break
    return found


def _failure_picture(cells: Cells) -> Picture:
    panels = [_typical(cells, str(one)) for one in cells.levels("failures", ACTIVATION)]
    rows = [
        (title.replace("\n", ", "), cell.seeds[r], float(last(cell, "test")[r]))
        for row in panels
        for title, cell, r in row
    ]
    return Picture(
        "nonlinearity-failures",
        say(
            "Typical restarts on XOR, of each kind the one with the middle test loss, beside one that learnt it: what "
            "the network says of the plane, and its training points."
        ),
        "; ".join(row[0] for row in rows) or say("No network was trained."),
        lambda: _draw_failures(cells, panels),
        ReportTable(
            "nonlinearity-failures",
            "",
            (
                ReportColumn("kind", say("Kind"), "text"),
                ReportColumn("seed", say("Seed"), "text"),
                ReportColumn("loss", say("Test loss")),
            ),
            tuple(rows),
        ),
        raster=True,
    )


def _draw_failures(cells: Cells, panels: Sequence[Sequence[Drawn]]) -> Figure:
    from analysis.formats.style import new_figure

    columns, rows = max((len(row) for row in panels), default=1), max(1, len(panels))
    figure = new_figure(2.15 * columns, 2.5 * rows)
    for i, row in enumerate(panels):
        for j, (words, cell, r) in enumerate(row):
            axes = figure.add_axes(((j + 0.1) / columns, 1 - (i + 0.94) / rows, 0.85 / columns, 0.74 / rows))
            draw_region(axes, cells, cell, r, points_of(cells, cell, r).train)
            axes.set_title(words, fontsize=8)
    return figure


def _share_table(cells: Cells) -> ReportTable:
    activations = [str(one) for one in cells.levels("xor", ACTIVATION)]
    rows: list[tuple[Cell, ...]] = []
    for shape in cells.levels("xor", SHAPE):
        row: list[Cell] = [str(shape)]
        for activation in activations:
            cell = cells.one("xor", {ACTIVATION: activation, SHAPE: shape})
            row.append(Missing(say("not trained")) if cell is None else shown(share_interval(learnt(cells, cell))))
        rows.append(tuple(row))
    n = cells.design("xor").get("n_replicas", 0)
    return ReportTable(
        "nonlinearity-xor",
        say("Share of {n} restarts that learn XOR, by units of the hidden layers and activation.", n=n),
        (ReportColumn("units", say("Units"), "text"), *(ReportColumn(name, name, "interval") for name in activations)),
        tuple(rows),
    )


def _gradient_table(cells: Cells) -> ReportTable:
    rows = []
    for cell in cells.of("vanishing"):
        ratio = measured(cell, "first_gradient")
        rows.append(
            (
                title(str(cell.params["dataset"])),
                str(cell.params[ACTIVATION]),
                str(cell.params[SHAPE]),
                float(np.median(ratio)),
                shown(share_interval(learnt(cells, cell))),
            )
        )
    return ReportTable(
        "nonlinearity-gradients",
        say(
            "The first layer's gradient over the last layer's before training (median over draws, Xavier weights), "
            "and the share of networks that reach the target afterwards."
        ),
        (
            ReportColumn("set", say("Set"), "text"),
            ReportColumn("activation", say("Activation"), "text"),
            ReportColumn("units", say("Units"), "text"),
            ReportColumn("ratio", say("First over last gradient")),
            ReportColumn("learnt", say("Reached the target"), "interval"),
        ),
        tuple(rows),
    )


def _picture(cells: Cells) -> Picture:
    rows = [
        (str(cell.params[ACTIVATION]), str(cell.params[SHAPE]), float(learnt(cells, cell).mean()))
        for cell in cells.of("xor")
    ]
    best = max(rows, key=lambda row: row[2], default=("-", "-", math.nan))
    return Picture(
        "nonlinearity-shares",
        say(
            "Share of restarts that learn XOR, with 95 % intervals, by units of the hidden layers; one line an "
            "activation."
        ),
        say(
            "Linear networks never learn XOR; the best of the others, {activation} with {shape} units, does in "
            "{share:.0%} of restarts.",
            activation=best[0],
            shape=best[1],
            share=best[2],
        ),
        lambda: _draw(cells),
        ReportTable(
            "nonlinearity-shares",
            "",
            (
                ReportColumn("activation", say("Activation"), "text"),
                ReportColumn("units", say("Units"), "text"),
                ReportColumn("share", say("Share")),
            ),
            tuple(rows),
        ),
    )


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    figure = new_figure(8.0, 3.2)
    axes = framed_axes(figure, 0.7, 0.6, 1.4, 0.3)
    shapes = [str(shape) for shape in cells.levels("xor", SHAPE)]
    for k, activation in enumerate(cells.levels("xor", ACTIVATION)):
        at, middle, low, high = [], [], [], []
        for i, shape in enumerate(shapes):
            cell = cells.one("xor", {ACTIVATION: activation, SHAPE: shape})
            if cell is not None:
                interval = share_interval(learnt(cells, cell))
                at.append(i + 0.08 * (k - 1.5))
                middle.append(interval.estimate or 0.0)
                low.append(middle[-1] - (interval.low or 0.0))
                high.append((interval.high or 0.0) - middle[-1])
        axes.errorbar(at, middle, [low, high], color=COLORS[k % len(COLORS)], label=str(activation), marker="o",
                      markersize=4, linewidth=1.2, capsize=2)  # fmt: skip
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(say("units of the hidden layers"))
    axes.set_ylabel(say("share that learns XOR"))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    enough = None
    for shape in cells.levels("xor", SHAPE):
        for activation in cells.levels("xor", ACTIVATION):
            cell = cells.one("xor", {ACTIVATION: activation, SHAPE: shape})
            if cell is not None and enough is None and learnt(cells, cell).mean() > 0.5:
                enough = say(
                    "{activation} with {shape} units is the first that learns XOR in more than half of the draws",
                    activation=activation,
                    shape=shape,
                )
    found = enough or say("no network of this design learns XOR in more than half of the draws")
    return say(
        "No linear network of any depth learns XOR; {found}. One threshold unit computes "
        "{one} of the {n_functions} functions of two inputs, two layers all {two}.",
        found=found,
        one=len(one_unit_functions()),
        n_functions=N_FUNCTIONS,
        two=len(two_layer_functions()),
    )


LESSON = Lesson(later("Nonlinearity"), claims, blocks, answer)
