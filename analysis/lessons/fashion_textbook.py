"""A textbook's recipes on Fashion-MNIST: softmax regression, a hidden layer, two with dropout, as they stand there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, losses, pooled, sooner
from analysis.course.chosen import GUESSING
from analysis.course.kept import n_parameters
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, Test, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE, START, REST = "network.hidden_layer_sizes", "network.initializer", "training.partial_batch"
LINEAR, HIDDEN, DROPOUT = "none", "256", "256-256"
NAMES = {LINEAR: later("softmax regression"), HIDDEN: later("a layer of 256"), DROPOUT: later("two of 256, dropout")}
STARTS = {"normal": "N(0, 0.01^2)", "pytorch": later("uniform 1 / sqrt(fan_in)")}
REFERENCE = {(LINEAR, "normal"): "0.834 +- 0.003", (HIDDEN, "normal"): "0.842 +- 0.008",
             (HIDDEN, "pytorch"): "0.852 +- 0.006", (DROPOUT, "normal"): "0.850 +- 0.008"}  # fmt: skip
"""Validation accuracy after the same training by an independent implementation, five seeds."""
REPORTED, MARGIN = 0.84, 0.01
"""The textbook's accuracy of one hidden layer: 0.83 to 0.85."""
ALL = 60_000
LEFT_OVER = later("First weights, images left over")


def error(cell: CellRecord) -> FloatArray:
    """Return the share of wrong images at the end; a network that diverged guesses."""
    found = last(cell, "test_error")
    return np.where(np.isfinite(found), found, GUESSING)


def accuracy(cell: CellRecord) -> FloatArray:
    """Return the share of right images at the end."""
    return 1.0 - error(cell)


def is_whole(cells: Cells) -> bool:
    """Return whether the networks were trained on all images as they were published, in the textbook's batches."""
    data = cells.design("recipes").get("data", {})
    batches = cells.levels("recipes", "training.batch_size")
    names = cells.datasets("recipes")
    published = bool(data.get("published")) and data.get("n_train") == ALL and names == ["fashion_mnist"]
    return published and batches == [256] and cells.design("recipes")["looks"][-1] == 10


def condition(cell: CellRecord) -> str:
    """Return a cell's first weights and what becomes of the images left over."""
    start = str(cell.params[START])
    return f"{STARTS.get(start, start)}, {cell.params[REST]}"


def name_of(cell: CellRecord) -> str:
    """Return a cell's recipe."""
    shape = str(cell.params[SHAPE])
    return str(NAMES.get(shape, shape))


def _pairs(cells: Cells, key: str, a: Level, b: Level) -> list[tuple[CellRecord, CellRecord]]:
    """Return the cells of two levels of a factor with everything else equal (dropout belongs to its recipe)."""
    found = []
    for one in cells.of("recipes", {key: a}):
        left_out = ("design", key, *(("training.dropout",) if key == SHAPE else ()))
        other = cells.one("recipes", {**{k: v for k, v in one.params.items() if k not in left_out}, key: b})
        if other is not None:
            found.append((one, other))
    return found


def _fewer(cells: Cells, key: str, a: Level, b: Level) -> tuple[Sample, ...]:
    """Return in which share of settings level a has fewer wrong images than level b, of each replica.

    Recipes are compared by first weights and images left over, first weights and these by recipe: with more conditions
    eight replicas could decide nothing.
    """
    found: dict[str, list[FloatArray]] = {}
    for one, other in _pairs(cells, key, a, b):
        name = condition(one) if key == SHAPE else name_of(one)
        found.setdefault(name, []).append(sooner(error(one), error(other)))
    return tuple(Sample(name, "share", np.mean(wins, axis=0)) for name, wins in found.items())


def _claim(
    number: str, words: str, measure: str, samples: tuple[Sample, ...], test: Test = "above", even: float = 0.5,
    margin: float = 0.0, budget: str = "",
) -> Claim:  # fmt: skip
    equal = budget or say("equal epochs, rate, batches and images")
    return Claim(number, words, measure, test, even, samples, pooled(samples), margin, equal)


def claims(cells: Cells) -> list[Claim]:
    """Return the textbook's claims about its recipes."""
    reported = tuple(Sample(condition(cell), "median", accuracy(cell)) for cell in cells.of("recipes", {SHAPE: HIDDEN}))
    return [
        _claim("31", say("A multilayer perceptron beats softmax regression"),
               say("share of replicas in which a layer of 256 has fewer wrong images"),
               _fewer(cells, SHAPE, HIDDEN, LINEAR)),
        _claim("31", say("784-256-10 has a validation accuracy of 0.83 to 0.85 after 10 epochs on all images"),
               say("accuracy on the 10 000 test images (median over first weights and orders); --full alone trains so"),
               reported if is_whole(cells) else (), "within", REPORTED, MARGIN, say("the textbook's own training")),
        _claim("52", say("Two layers with dropout are better than one without"),
               say("share of replicas in which two layers of 256 with dropout have fewer wrong images"),
               _fewer(cells, SHAPE, DROPOUT, HIDDEN),
               budget=say("equal epochs, rate, batches and images; a layer and dropout change at once")),
        _claim("48", say("Uniform weights within 1 / sqrt(fan_in) are better than N(0, 0.01^2)"),
               say("share of replicas with fewer wrong images, by recipe"), _fewer(cells, START, "pytorch", "normal")),
        _claim("", say("Leaving out the images left over at an epoch's end is better than a small step of their own"),
               say("share of replicas with fewer wrong images after the last epoch, by recipe"),
               _fewer(cells, REST, "drop", "keep"), budget=say("equal epochs; one step an epoch fewer")),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return curves and the table of accuracies."""
    return [
        _picture(cells),
        _table(cells),
        Paragraph(
            say("All replicas have the same images, as published: intervals are over first weights and orders alone, "
                "and the images that compare served for validation in the textbook, too.")
            if cells.design("recipes").get("data", {}).get("published")
            else say("Smaller than the textbook: each replica draws its own images. The textbook's figures are those "
                     "of all 60 000 images (--full).")
        ),
    ]  # fmt: skip


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("recipes"):
        values = accuracy(cell)
        shape = str(cell.params[SHAPE])
        hidden = () if shape == LINEAR else tuple(map(int, shape.split("-")))
        d = int(cell.network["n_inputs"])
        rows.append(
            (name_of(cell), condition(cell), n_parameters((d, *hidden, 10)), shown(median_interval(values)),
             float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0,
             shown(median_interval(last(cell, "train"))), shown(median_interval(last(cell, "test"))),
             REFERENCE.get((shape, str(cell.params[START])), "-") if is_whole(cells) else "-")
        )  # fmt: skip
    return ReportTable(
        "fashion-textbook-accuracy",
        say("Share of right images after {epochs} epochs, over {n} replicas; keep: the images left over at an epoch's "
            "end make a step of their own, drop: none. Beside it what an independent implementation reached with all "
            "images (mean +- standard deviation, 5 seeds).", epochs=cells.design("recipes").get("looks", [0])[-1],
            n=cells.design("recipes").get("n_replicas", 0)),
        (ReportColumn("recipe", say("Recipe"), "text"), ReportColumn("start", LEFT_OVER, "text"),
         ReportColumn("parameters", say("Parameters")), ReportColumn("accuracy", say("Accuracy, median"), "interval"),
         ReportColumn("mean", say("Mean")), ReportColumn("sd", say("Standard deviation")),
         ReportColumn("train", say("Training loss"), "interval"), ReportColumn("test", say("Test loss"), "interval"),
         ReportColumn("reference", say("Independent"), "text")),
        tuple(rows),
    )  # fmt: skip


def _middle(cell: CellRecord, name: str) -> FloatArray:
    rows = losses(cell, name)
    return np.asarray(np.median(1.0 - rows if name == "test_error" else rows, axis=1), np.float64)


def _picture(cells: Cells) -> Picture:
    rows = tuple(
        (name_of(cell), condition(cell), float(look), float(train), float(test), float(right))
        for cell in cells.of("recipes")
        for look, train, test, right in zip(
            cell.looks, *(_middle(cell, name) for name in ("train", "test", "test_error")), strict=True
        )
        if np.isfinite([train, test, right]).all()
    )
    return Picture(
        "fashion-textbook-curves",
        say("Cross-entropy and accuracy by epoch, medians over replicas, by first weights (images left over: {rest}): "
            "solid lines training, dots test.", rest=", ".join(map(str, cells.levels("recipes", REST)[:1]))),
        say("Panels of loss and of accuracy for each kind of first weights, a colour for each recipe."),
        lambda: _draw(cells),
        ReportTable("fashion-textbook-curves", "", (
            ReportColumn("recipe", say("Recipe"), "text"), ReportColumn("start", LEFT_OVER, "text"),
            ReportColumn("epoch", say("Epoch")), ReportColumn("train", say("Training loss")),
            ReportColumn("test", say("Test loss")), ReportColumn("accuracy", say("Accuracy"))), rows),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    starts = [str(one) for one in cells.levels("recipes", START)]
    figure = new_figure(1.9 * 2 * max(1, len(starts)) + 0.6, 2.8)
    shown_rests = cells.levels("recipes", REST)
    for i, (start, what) in enumerate((start, what) for start in starts for what in ("loss", "accuracy")):
        axes = framed_axes(figure, 0.5, 0.5, 0.08, 0.35, i, 2 * len(starts))
        group = cells.of("recipes", {START: start, REST: shown_rests[0]})
        for cell, color in zip(group, COLORS, strict=False):
            names = (("train", "-"), ("test", ":")) if what == "loss" else (("test_error", ":"),)
            for name, dash in names:
                values = _middle(cell, name)
                label = name_of(cell) if name in ("train", "test_error") else None
                axes.plot(cell.looks, np.where(np.isfinite(values), values, np.nan), dash, color=color, linewidth=1.2,
                          marker=".", markersize=3, label=label)  # fmt: skip
        axes.tick_params(labelsize=6)
        axes.set_title(str(STARTS.get(start, start)), fontsize=7)
        axes.set_xlabel(say("epoch"), fontsize=8)
        axes.set_ylabel(say("cross-entropy") if what == "loss" else say("accuracy"), fontsize=7)
        if i == 0:
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for shape in cells.levels("recipes", SHAPE):
        group = cells.of("recipes", {SHAPE: shape})
        middles = [float(np.median(accuracy(cell))) for cell in group]
        parts.append(say("{name} {low:.3f} to {high:.3f}", name=name_of(group[0]), low=min(middles), high=max(middles)))
    n = cells.design("recipes").get("data", {}).get("n_train", 0)
    return say(
        "Accuracy after {epochs} epochs on {n_train} images, by first weights and what becomes of the images left "
        "over: {parts}.",
        epochs=cells.design("recipes").get("looks", [0])[-1],
        n_train=n,
        parts="; ".join(parts),
    )


LESSON = Lesson(later("The textbook's recipes"), claims, blocks, answer)
