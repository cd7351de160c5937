"""The linear classifier: ten templates, what a feature does for it, and what inverted images do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, measured, title
from analysis.course.chosen import GUESSING, best, between, judges, middle, wrong
from analysis.course.comparing import Levels, claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
SHAPE, INVERTED, FEATURE = "network.hidden_layer_sizes", "data.inverted", "data.feature"
LINEAR, HIDDEN, FEW = "none", "64", "8"
CLOSE = 1e-3
"""Of scores that are sums of 784 products in single precision."""
DESTROYED, KEPT = 0.5, 0.1
"""Share of what was learnt above guessing that is lost: so much is destroyed, so much is next to nothing."""
MARGIN = 0.02
BUDGET = "equal epochs, rates tried, draws and first weights"
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")


@dataclass(frozen=True, slots=True)
class Scored:
    """One image scored by ten templates.

    Parameters
    ----------
    templates : ndarray (pixels, 10)
    biases, scores : ndarray (10,)
        The network's scores.
    image : ndarray (pixels,)
    own : int
        The image's class.
    """

    templates: FloatArray
    biases: FloatArray
    scores: FloatArray
    image: FloatArray
    own: int

    @property
    def by_hand(self) -> FloatArray:
        """The image times each template, plus its bias."""
        return np.asarray(self.image @ self.templates + self.biases)

    @property
    def side(self) -> int:
        """Pixels of a side."""
        return int(len(self.image) ** 0.5)


def scored(cells: Cells) -> Scored | None:
    """Return the first replica's templates and test image."""
    for cell in cells.of("templates"):
        if {"templates", "images"} <= cell.arrays.keys():
            found = np.array(cell.arrays["images"])
            rows = np.array(cell.arrays["templates"]).reshape(-1, 10)
            pixels = len(rows) - 1
            return Scored(rows[:-1], rows[-1], found[pixels:-1], found[:pixels], int(found[-1]))
    return None


def _lost(cells: Cells, shape: str) -> list[Sample]:
    """Return which share of the accuracy above guessing is lost on inverted images, of each judging replica."""
    found = []
    for dataset in cells.datasets("inverted"):
        plain, inverted = (
            best(cells, "inverted", {"dataset": dataset, SHAPE: shape, INVERTED: share}, wrong) for share in (0.0, 0.5)
        )
        if plain is not None and inverted is not None:
            before, after = judges(wrong(plain)), judges(wrong(inverted))
            found.append(Sample(title(dataset), "median", (after - before) / np.maximum(GUESSING - before, 1e-9)))
    return found


def _images(cells: Cells, a: Levels, b: Levels) -> tuple[Sample, ...]:
    datasets = cells.datasets("inverted")
    conditions = [(title(name), {"dataset": name, **a}, {"dataset": name, **b}) for name in datasets]
    return between(cells, "inverted", conditions)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about linear classifiers."""
    found = []
    one = scored(cells)
    if one is not None:
        close = float((np.abs(one.by_hand - one.scores) < CLOSE).sum())
        found.append(
            Claim("58", "A linear classifier scores an image by ten templates",
                  f"of an image's ten scores those that are image times template plus bias, to {CLOSE:g}", "equals",
                  10.0, (Sample("", "exact", np.array([close])),), budget="exact")
        )  # fmt: skip
    match = [Sample(title(str(cell.params["dataset"])), "median", measured(cell, "template_match"))
             for cell in cells.of("templates")]  # fmt: skip
    found += [
        claim("58", "A template looks like its class (most of the ten do)",
              "share of classes whose mean image goes most with their own template (median over draws)", "above", 0.5,
              match, budget="same draws"),
        claim("31", "A hidden layer beats softmax regression", "share of wrong test images with 64 hidden units less "
              "that of softmax regression, each at its best rate (median over draws)", "below", 0.0,
              _images(cells, {SHAPE: HIDDEN, INVERTED: 0.0}, {SHAPE: LINEAR, INVERTED: 0.0}), budget=BUDGET),
        claim("36", "Inverting half of the images destroys a linear model",
              "share of its accuracy above guessing that softmax regression loses (median over draws)", "above",
              DESTROYED, _lost(cells, LINEAR), budget=BUDGET),
        claim("36", "... and not a network with a hidden layer (a tenth at most is lost)",
              "share of its accuracy above guessing that 64 hidden units lose (median over draws)", "below", KEPT,
              _lost(cells, HIDDEN), budget=BUDGET),
        claim("36", "... which loses less than the linear model", "share of wrong inverted test images with 64 hidden "
              "units less that of softmax regression (median over draws)", "below", 0.0,
              _images(cells, {SHAPE: HIDDEN, INVERTED: 0.5}, {SHAPE: LINEAR, INVERTED: 0.5}), budget=BUDGET),
        *_fever_claims(cells),
    ]  # fmt: skip
    return found


def _fever_claims(cells: Cells) -> list[Claim]:
    temperature, distance = {FEATURE: "temperature"}, {FEATURE: "distance"}
    makes = between(cells, "fever", [("", {SHAPE: LINEAR, **temperature}, {SHAPE: LINEAR, **distance})])
    equal = between(cells, "fever", [("", {SHAPE: LINEAR, **distance}, {SHAPE: FEW, **temperature})])
    return [
        claim("36", "The distance from 37 degrees makes the problem of the temperature a linear one",
              "share of wrong patients of a linear model on the temperature less that on its distance from 37 (median "
              "over draws)", "above", 0.0, makes, budget=BUDGET),
        claim("36", "... as good as hidden units on the temperature itself (to 2 in 100)",
              "share of wrong patients of a linear model on the distance less that of eight ReLU units on the "
              "temperature (median over draws)", "within", 0.0, equal, margin=MARGIN, budget=BUDGET),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and table."""
    one = scored(cells)
    if one is None:
        return [Paragraph("No template was trained.", "missing"), _table(cells)]
    return [_template_picture(one), _score_picture(one), _table(cells)]


def _names(one: Scored) -> tuple[str, ...]:
    return CLASSES if one.side == 28 else tuple(str(k) for k in range(10))


def _template_picture(one: Scored) -> Picture:
    names = _names(one)
    sizes = np.sqrt((one.templates**2).mean(axis=0))
    return Picture(
        "linear-classifier-templates",
        "The ten templates of a linear classifier: blue pixels speak for the class, orange ones against it.",
        "Each panel is a class's weights laid out as an image.",
        lambda: _draw_templates(one, names),
        ReportTable("linear-classifier-templates", "", (ReportColumn("class", "Class", "text"),
                    ReportColumn("size", "Weights, root mean square"), ReportColumn("bias", "Bias")),
                    tuple(zip(names, sizes.tolist(), one.biases.tolist(), strict=True))),
    )  # fmt: skip


def _draw_templates(one: Scored, names: Sequence[str]) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    from analysis.formats.style import MIDDLE, NEGATIVE, POSITIVE, new_figure

    colors = LinearSegmentedColormap.from_list("templates", [NEGATIVE, MIDDLE, POSITIVE])
    most = float(np.quantile(np.abs(one.templates), 0.99))
    figure = new_figure(6.5, 2.9)
    for k, name in enumerate(names):
        axes = figure.add_axes((0.01 + 0.2 * (k % 5), 0.5 * (1 - k // 5) + 0.01, 0.18, 0.41))
        axes.imshow(one.templates[:, k].reshape(one.side, one.side), cmap=colors, vmin=-most, vmax=most)
        axes.set_title(name, fontsize=8)
        axes.set_axis_off()
    return figure


def _score_picture(one: Scored) -> Picture:
    names = _names(one)
    return Picture(
        "linear-classifier-scores",
        "One test image and its ten scores: the largest decides.",
        f"The image is of class {names[one.own]}; its largest score is {names[int(one.scores.argmax())]}'s.",
        lambda: _draw_scores(one, names),
        ReportTable("linear-classifier-scores", "", (ReportColumn("class", "Class", "text"),
                    ReportColumn("score", "Score"), ReportColumn("hand", "Image times template plus bias")),
                    tuple(zip(names, one.scores.tolist(), one.by_hand.tolist(), strict=True))),
    )  # fmt: skip


def _draw_scores(one: Scored, names: Sequence[str]) -> Figure:
    from analysis.formats.style import BLUE, GRAY, new_figure

    figure = new_figure(6.5, 2.4)
    axes = figure.add_axes((0.01, 0.08, 0.3, 0.84))
    axes.imshow(one.image.reshape(one.side, one.side), cmap="gray")
    axes.set_axis_off()
    bars = figure.add_axes((0.48, 0.16, 0.5, 0.8))
    bars.barh(range(10), one.scores.tolist(), color=[BLUE if k == one.own else GRAY for k in range(10)])
    bars.set_yticks(range(10), list(names), fontsize=8)
    bars.invert_yaxis()
    bars.set_xlabel("score (blue: the image's own class)", fontsize=8)
    return figure


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    words = {LINEAR: "linear", HIDDEN: "64 hidden units", FEW: "8 hidden units"}
    for design, key, names in (
        ("inverted", INVERTED, {0.0: "images as they are", 0.5: "half inverted"}),
        ("fever", FEATURE, {"temperature": "temperature", "distance": "|temperature - 37|"}),
    ):
        for dataset in cells.datasets(design):
            for level in cells.levels(design, key):
                for shape in cells.levels(design, SHAPE):
                    cell = best(cells, design, {"dataset": dataset, key: level, SHAPE: shape}, wrong)
                    shown_as = names.get(level, f"{level} inverted")  # type: ignore[arg-type]
                    rows.append(
                        (title(dataset), shown_as, words.get(str(shape), str(shape)),
                         Missing("not trained") if cell is None else shown(median_interval(judges(wrong(cell)))),
                         Missing("not trained") if cell is None else float(cell.training["learning_rate"]))
                    )  # fmt: skip
    return ReportTable(
        "linear-classifier-errors",
        "Share of wrong test examples, each at its best rate: medians over the draws that did not choose it.",
        (ReportColumn("set", "Set", "text"), ReportColumn("input", "Shown", "text"),
         ReportColumn("network", "Network", "text"), ReportColumn("wrong", "Wrong", "interval"),
         ReportColumn("rate", "Rate")),
        tuple(rows),
    )  # fmt: skip


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("inverted"):
        four = [
            middle(cells, "inverted", {"dataset": dataset, SHAPE: shape, INVERTED: share})
            for shape in (LINEAR, HIDDEN)
            for share in (0.0, 0.5)
        ]
        parts.append(
            f"on {title(dataset)} softmax regression is wrong on {four[0]:.1%} of images, on {four[1]:.1%} with "
            f"half of "
            f"them inverted; 64 hidden units on {four[2]:.1%} and {four[3]:.1%}"
        )
    fever = [middle(cells, "fever", {SHAPE: LINEAR, FEATURE: feature}) for feature in ("temperature", "distance")]
    return (
        f"It scores an input by one template a class: {'; '.join(parts)}. A linear model is wrong on {fever[0]:.1%} of "
        f"patients by their temperature, on {fever[1]:.1%} by its distance from 37 (5% are told wrong)."
    )


LESSON = Lesson("Linear classifier", claims, blocks, answer)
