"""The linear classifier: ten templates, what a feature does for it, and what inverted images do to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, listed, measured, title
from analysis.course.choosing import best, judges
from analysis.course.chosen import GUESSING, between, middle, wrong
from analysis.course.comparing import Levels, claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

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
BUDGET = later("equal epochs, rates tried, draws and first weights")
CLASSES = (
    later("T-shirt"),
    later("Trouser"),
    later("Pullover"),
    later("Dress"),
    later("Coat"),
    later("Sandal"),
    later("Shirt"),
    later("Sneaker"),
    later("Bag"),
    later("Boot"),
)


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
            Claim("58", say("A linear classifier scores an image by ten templates"),
                  say("of an image's ten scores those that are image times template plus bias, to {close:g}",
                  close=CLOSE), "equals",
                  10.0, (Sample("", "exact", np.array([close])),), budget=say("exact"))
        )  # fmt: skip
    match = [Sample(title(str(cell.params["dataset"])), "median", measured(cell, "template_match"))
             for cell in cells.of("templates")]  # fmt: skip
    found += [
        claim("58", say("A template looks like its class (most of the ten do)"),
              say("share of classes whose mean image goes most with their own template (median over draws)"), "above",
              0.5,
              match, budget=say("same draws")),
        claim("31", say("A hidden layer beats softmax regression"),
        say("share of wrong test images with 64 hidden units less "
              "that of softmax regression, each at its best rate (median over draws)"), "below", 0.0,
              _images(cells, {SHAPE: HIDDEN, INVERTED: 0.0}, {SHAPE: LINEAR, INVERTED: 0.0}), budget=BUDGET),
        claim("36", say("Inverting half of the images destroys a linear model"),
              say("share of its accuracy above guessing that softmax regression loses (median over draws)"), "above",
              DESTROYED, _lost(cells, LINEAR), budget=BUDGET),
        claim("36", say("... and not a network with a hidden layer (a tenth at most is lost)"),
              say("share of its accuracy above guessing that 64 hidden units lose (median over draws)"), "below", KEPT,
              _lost(cells, HIDDEN), budget=BUDGET),
        claim("36", say("... which loses less than the linear model"),
        say("share of wrong inverted test images with 64 hidden "
              "units less that of softmax regression (median over draws)"), "below", 0.0,
              _images(cells, {SHAPE: HIDDEN, INVERTED: 0.5}, {SHAPE: LINEAR, INVERTED: 0.5}), budget=BUDGET),
        *_fever_claims(cells),
    ]  # fmt: skip
    return found


def _fever_claims(cells: Cells) -> list[Claim]:
    temperature, distance = {FEATURE: "temperature"}, {FEATURE: "distance"}
    makes = between(cells, "fever", [("", {SHAPE: LINEAR, **temperature}, {SHAPE: LINEAR, **distance})])
    equal = between(cells, "fever", [("", {SHAPE: LINEAR, **distance}, {SHAPE: FEW, **temperature})])
    return [
        claim("36", say("The distance from 37 degrees makes the problem of the temperature a linear one"),
              say("share of wrong patients of a linear model on the temperature less that on its distance from 37 "
              "(median over draws)"), "above", 0.0, makes, budget=BUDGET),
        claim("36", say("... as good as hidden units on the temperature itself (to 2 in 100)"),
              say("share of wrong patients of a linear model on the distance less that of eight ReLU units on the "
              "temperature (median over draws)"), "within", 0.0, equal, margin=MARGIN, budget=BUDGET),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and table."""
    one = scored(cells)
    if one is None:
        return [Paragraph(say("No template was trained."), "missing"), _table(cells)]
    return [_template_picture(one), _score_picture(one), _table(cells)]


def _names(one: Scored) -> tuple[str, ...]:
    return tuple(str(name) for name in CLASSES) if one.side == 28 else tuple(str(k) for k in range(10))


def _template_picture(one: Scored) -> Picture:
    names = _names(one)
    sizes = np.sqrt((one.templates**2).mean(axis=0))
    return Picture(
        "linear-classifier-templates",
        say("The ten templates of a linear classifier: blue pixels speak for the class, orange ones against it."),
        say("Each panel is a class's weights laid out as an image."),
        lambda: _draw_templates(one, names),
        ReportTable("linear-classifier-templates", "", (ReportColumn("class", say("Class"), "text"),
                    ReportColumn("size", say("Weights, root mean square")), ReportColumn("bias", say("Bias"))),
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
        say("One test image and its ten scores: the largest decides."),
        say("The image is of class {own}; its largest score is {highest}'s.", own=names[one.own],
        highest=names[int(one.scores.argmax())]),
        lambda: _draw_scores(one, names),
        ReportTable("linear-classifier-scores", "", (ReportColumn("class", say("Class"), "text"),
                    ReportColumn("score", say("Score")), ReportColumn("hand", say("Image times template plus bias"))),
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
    bars.set_xlabel(say("score (blue: the image's own class)"), fontsize=8)
    return figure


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    words = {LINEAR: say("linear"), HIDDEN: say("64 hidden units"), FEW: say("8 hidden units")}
    for design, key, names in (
        ("inverted", INVERTED, {0.0: say("images as they are"), 0.5: say("half inverted")}),
        ("fever", FEATURE, {"temperature": say("temperature"), "distance": say("|temperature - 37|")}),
    ):
        for dataset in cells.datasets(design):
            for level in cells.levels(design, key):
                for shape in cells.levels(design, SHAPE):
                    cell = best(cells, design, {"dataset": dataset, key: level, SHAPE: shape}, wrong)
                    shown_as = names.get(level, say("{level} inverted", level=level))  # type: ignore[arg-type]
                    rows.append(
                        (title(dataset), shown_as, words.get(str(shape), str(shape)),
                         Missing(say("not trained")) if cell is None else shown(median_interval(judges(wrong(cell)))),
                         Missing(say("not trained")) if cell is None else float(cell.training["learning_rate"]))
                    )  # fmt: skip
    return ReportTable(
        "linear-classifier-errors",
        say("Share of wrong test examples, each at its best rate: medians over the draws that did not choose it."),
        (ReportColumn("set", say("Set"), "text"), ReportColumn("input", say("Shown"), "text"),
         ReportColumn("network", say("Network"), "text"), ReportColumn("wrong", say("Wrong"), "interval"),
         ReportColumn("rate", say("Rate"))),
        tuple(rows),
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else say("(not trained)")


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
            say(
                "on {title} softmax regression is wrong on {plain} of images, on {inverted} with half "
                "of them inverted; 64 hidden units on {hidden} and {hidden_inverted}",
                title=title(dataset),
                plain=_percent(four[0]),
                inverted=_percent(four[1]),
                hidden=_percent(four[2]),
                hidden_inverted=_percent(four[3]),
            )
        )
    fever = [middle(cells, "fever", {SHAPE: LINEAR, FEATURE: feature}) for feature in ("temperature", "distance")]
    return say(
        "It scores an input by one template a class: {parts}. A linear model is wrong on {temperature} of "
        "patients by their temperature, on {distance} by its distance from 37 (5% are told wrong).",
        parts=listed(parts, "; "),
        temperature=_percent(fever[0]),
        distance=_percent(fever[1]),
    )


LESSON = Lesson(later("Linear classifier"), claims, blocks, answer)
