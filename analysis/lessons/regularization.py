"""Regularization: what L1 and L2 do to weights, and to losses within and beyond the range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, difference, last, listed, measured, pooled, sooner, title
from analysis.course.distributions import distribution_picture
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, number_text, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
PENALTY, RATE = "training.regularizer", "training.regularization_rate"
X = np.ones(4)
PEAKED, SPREAD = np.array([1.0, 0.0, 0.0, 0.0]), np.full(4, 0.25)
"""The notes' worked example: both score 1 at inputs of 1."""
SMALL, LARGE = 1e-5, 1e-1
OWN = ""
"""No number: the sources say it of equal scores, not of trained networks."""
NAMES = {"l1": "L1", "l2": "L2"}
ALIKE = 0.005
"""Losses that differ by less are alike."""
Value = Callable[[CellRecord], FloatArray]


def example() -> dict[str, tuple[float, float]]:
    """Return score, sum of squares and sum of sizes of peaked and of spread weights."""
    return {
        "score": (float(PEAKED @ X), float(SPREAD @ X)),
        "L2": (float(PEAKED @ PEAKED), float(SPREAD @ SPREAD)),
        "L1": (float(np.abs(PEAKED).sum()), float(np.abs(SPREAD).sum())),
    }


def _cell(cells: Cells, dataset: str, penalty: str, rate: float) -> CellRecord | None:
    return cells.one("penalties", {"dataset": dataset, PENALTY: penalty, RATE: rate})


def _rates(cells: Cells) -> list[float]:
    return sorted(float(str(rate)) for rate in cells.levels("penalties", RATE))


def _against(
    cells: Cells, a: tuple[str, float], b: tuple[str, float], value: Value, *, larger: bool = False
) -> tuple[Sample, ...]:
    """Return for each set in which draws a's value is below (or above) b's; a and b are a penalty and its rate."""
    found = []
    for dataset in cells.datasets("penalties"):
        one, other = _cell(cells, dataset, *a), _cell(cells, dataset, *b)
        if one is not None and other is not None:
            left, right = (_finite(value(cell)) for cell in (one, other))
            found.append(Sample(title(dataset), "share", sooner(right, left) if larger else sooner(left, right)))
    return tuple(found)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), np.inf, values)  # a diverged network's is worst


def _test(cell: CellRecord) -> FloatArray:
    return last(cell, "in_range")


def _beyond(cell: CellRecord) -> FloatArray:
    return last(cell, "out_of_range")


def best_rate(cells: Cells, dataset: str, penalty: str) -> float | None:
    """Return the rate above 0 with the lowest mean loss in range on every second draw; the others judge."""
    found = {rate: cell for rate in _rates(cells) if rate > 0 and (cell := _cell(cells, dataset, penalty, rate))}
    return min(found, key=lambda rate: float(_test(found[rate])[::2].mean()), default=None)


def _best_against_none(cells: Cells, penalty: str, value: Value) -> tuple[Sample, ...]:
    found = []
    for dataset in cells.datasets("penalties"):
        rate = best_rate(cells, dataset, penalty)
        none = _cell(cells, dataset, penalty, 0.0)
        one = None if rate is None else _cell(cells, dataset, penalty, rate)
        if one is not None and none is not None:
            found.append(Sample(title(dataset), "share", sooner(value(one)[1::2], value(none)[1::2])))
    return tuple(found)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about penalties."""
    return [*_example_claims(), *_weight_claims(cells), *_loss_claims(cells), *_bias_claims(cells)]


def _bias_claims(cells: Cells) -> list[Claim]:
    within, beyond = _with_biases(cells, _test), _with_biases(cells, _beyond)
    return [
        Claim(
            "46",
            say("Biases need not be penalised: with them in the penalty nothing changes within the range"),
            say(
                "loss within the range with L2 on weights and biases minus that with L2 on weights (median over draws)"
            ),
            "within",
            0.0,
            within,
            pooled(within),
            ALIKE,
        ),
        Claim(
            "46",
            say("... nor beyond it"),
            say(
                "loss beyond the range with L2 on weights and biases minus that with L2 on weights (median over draws)"
            ),
            "within",
            0.0,
            beyond,
            pooled(beyond),
            ALIKE,
        ),
    ]


def _with_biases(cells: Cells, value: Value) -> tuple[Sample, ...]:
    """Return for each set and strength what biases in the penalty add to a draw's value."""
    found = []
    for cell in cells.of("biases", {PENALTY: "l2"}):
        params = {key: level for key, level in cell.params.items() if key != "design"}
        other = cells.one("biases", {**params, PENALTY: "l2_all"})
        if other is not None:
            name = say("{set}, strength {rate:g}", set=title(str(params["dataset"])), rate=float(str(params[RATE])))
            found.append(Sample(name, "median", difference(value(other), value(cell))))
    return tuple(found)


def _example_claims() -> list[Claim]:
    found = example()
    true = (
        (found["score"][0] == found["score"][1])
        + (found["L2"] == (1.0, 0.25))
        + (found["L1"][0] == found["L1"][1] == 1.0)
    )
    return [
        Claim(
            "61",
            say("Peaked and spread weights score equally; L2 prefers the spread ones, L1 neither"),
            say(
                "of these statements the true ones, for weights (1, 0, 0, 0) and (1, 1, 1, 1) / 4 at inputs of 1: "
                "scores are equal; sums of squares are 1 and 0.25; sums of sizes are 1 and 1"
            ),
            "equals",
            3.0,
            (Sample("", "exact", np.array([float(true)])),),
            budget=say("exact"),
        )
    ]


def _weight_claims(cells: Cells) -> list[Claim]:
    at = 1e-2
    found = []
    for words, measure, samples in (
        (
            say("L2 leaves a trained network's weights more even than no penalty does"),
            say(
                "share of draws in which (mean |w|)^2 / mean w^2 is larger with L2 at {at:g} than without penalty",
                at=at,
            ),
            _against(cells, ("l2", at), ("l2", 0.0), lambda cell: measured(cell, "weight_spread"), larger=True),
        ),
        (
            say("L1 makes weights more peaked than L2"),
            say(
                "share of draws in which (mean |w|)^2 / mean w^2 is smaller with L1 than with L2, both at {at:g}", at=at
            ),
            _against(cells, ("l1", at), ("l2", at), lambda cell: measured(cell, "weight_spread")),
        ),
        (
            say("L1 sets weights to 0, L2 does not"),
            say("share of draws in which more weights are exactly 0 with L1 than with L2, both at {at:g}", at=at),
            _against(cells, ("l1", at), ("l2", at), lambda cell: measured(cell, "zero_weights"), larger=True),
        ),
        (
            say("L2 makes weights smaller"),
            say(
                "share of draws in which the root mean square weight is smaller with L2 at {at:g} than without penalty",
                at=at,
            ),
            _against(cells, ("l2", at), ("l2", 0.0), lambda cell: measured(cell, "weight_size")),
        ),
    ):
        found.append(Claim(OWN, words, measure, "above", 0.5, samples, pooled(samples)))
    return found


def _loss_claims(cells: Cells) -> list[Claim]:
    found = []
    for penalty, name in NAMES.items():
        small = _against(cells, (penalty, SMALL), (penalty, LARGE), lambda cell: last(cell, "train"))
        found.append(
            Claim(
                "62",
                say("With a small strength of {name} the data loss matters more", name=name),
                say(
                    "share of draws with a lower training loss (without penalty) at {small:g} than at {large:g}",
                    small=SMALL,
                    large=LARGE,
                ),
                "above",
                0.5,
                small,
                pooled(small),
            )
        )
    for penalty, name in NAMES.items():
        for words, value in ((say("within"), _test), (say("beyond"), _beyond)):
            samples = _best_against_none(cells, penalty, value)
            found.append(
                Claim(
                    OWN,
                    say("{name} lowers the loss {words} the range", name=name, words=words),
                    say(
                        "share of draws with a lower loss {words} the range than without penalty, at the strength that "
                        "is best within the range on other draws",
                        words=words,
                    ),
                    "above",
                    0.5,
                    samples,
                    pooled(samples),
                )
            )
    return found


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    return [_picture(cells), _example_table(), distribution_picture(cells), _weight_table(cells)]


def _example_table() -> ReportTable:
    rows = tuple((name, *values) for name, values in example().items())
    words = {"score": say("Score"), "L2": say("Sum of squares (L2)"), "L1": say("Sum of sizes (L1)")}
    return ReportTable(
        "regularization-example",
        say("Two weight vectors with one score, at inputs (1, 1, 1, 1)."),
        (
            ReportColumn("what", say("What"), "text"),
            ReportColumn("peaked", "(1, 0, 0, 0)"),
            ReportColumn("spread", "(1, 1, 1, 1) / 4"),
        ),
        tuple((words[name], one, other) for name, one, other in rows),
    )


def _weight_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for dataset in cells.datasets("penalties"):
        for penalty in NAMES:
            for rate in _rates(cells):
                cell = _cell(cells, dataset, penalty, rate)
                if cell is not None and (rate > 0 or penalty == "l1"):
                    rows.append(
                        (
                            title(dataset),
                            NAMES[penalty] if rate else say("none"),
                            rate,
                            *(_median(cell, name) for name in ("weight_size", "weight_spread", "zero_weights")),
                            float(np.median(last(cell, "train"))),
                            shown(median_interval(_test(cell))),
                            shown(median_interval(_beyond(cell))),
                        )
                    )
    return ReportTable(
        "regularization-weights",
        say("Weights after training and losses without the penalty: medians over draws."),
        (
            ReportColumn("set", say("Set"), "text"),
            ReportColumn("penalty", say("Penalty"), "text"),
            ReportColumn("rate", say("Strength")),
            ReportColumn("size", say("Weights, root mean square")),
            ReportColumn("spread", say("Evenness of weights")),
            ReportColumn("zero", say("Share of weights at 0")),
            ReportColumn("train", say("Training loss")),
            ReportColumn("inside", say("In range"), "interval"),
            ReportColumn("outside", say("Beyond"), "interval"),
        ),
        tuple(rows),
    )


def _median(cell: CellRecord, probe: str) -> Cell:
    values = measured(cell, probe)
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else Missing(say("diverged, or all weights are 0"))


def _picture(cells: Cells) -> Picture:
    rows = [
        (
            title(str(cell.params["dataset"])),
            NAMES[str(cell.params[PENALTY])],
            float(str(cell.params[RATE])),
            float(np.median(_test(cell))),
            float(np.median(_beyond(cell))),
        )
        for cell in cells.of("penalties")
    ]
    return Picture(
        "regularization-strength",
        say(
            "Median loss within the range (full lines) and beyond it (dashed) by strength of the penalty, a colour for "
            "each penalty, a panel a set; the leftmost points are without penalty."
        ),
        "; ".join(_best_words(cells, dataset) for dataset in cells.datasets("penalties")) + ".",
        lambda: _draw(cells),
        ReportTable(
            "regularization-strength",
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("penalty", say("Penalty"), "text"),
                ReportColumn("rate", say("Strength")),
                ReportColumn("inside", say("In range")),
                ReportColumn("outside", say("Beyond")),
            ),
            tuple(row for row in rows if np.isfinite(row[3]) and np.isfinite(row[4])),
        ),
    )


def _judged(value: Value, cell: CellRecord) -> str:
    return number_text(float(np.median(value(cell)[1::2])))


def _best_words(cells: Cells, dataset: str) -> str:
    parts = []
    for penalty, name in NAMES.items():
        rate = best_rate(cells, dataset, penalty)
        one, none = (None if r is None else _cell(cells, dataset, penalty, r) for r in (rate, 0.0))
        if one is not None and none is not None:
            inside, outside = (
                say("from {before} to {after}", before=_judged(value, none), after=_judged(value, one))
                for value in (_test, _beyond)
            )
            parts.append(
                say(
                    "{name} at {rate:g} takes the loss within the range {inside}, beyond it {outside}",
                    name=name,
                    rate=rate,
                    inside=inside,
                    outside=outside,
                )
            )
    return f"{title(dataset)}: {listed(parts)}"


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    datasets, rates = cells.datasets("penalties"), _rates(cells)
    figure = new_figure(2.75 * max(1, len(datasets)) + 0.3, 2.8)
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.75, 0.55, 0.1, 0.3, i, len(datasets))
        for (penalty, name), color in zip(NAMES.items(), COLORS, strict=False):
            for value, dash, side in ((_test, "-", say("in range")), (_beyond, "--", say("beyond"))):
                points = [
                    (k, max(float(np.median(value(cell))), 1e-6))
                    for k, rate in enumerate(rates)
                    if (cell := _cell(cells, dataset, penalty, rate)) is not None
                ]
                axes.plot(
                    *zip(*points, strict=True),
                    dash,
                    marker="o",
                    color=color,
                    markersize=3,
                    linewidth=1.2,
                    label=f"{name}, {side}",
                )
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates], fontsize=6)
        axes.set_yscale("log")
        axes.tick_params(axis="y", labelsize=6, which="both")
        axes.set_title(title(dataset), fontsize=9)
        axes.set_xlabel("strength")
        if i == 0:
            axes.set_ylabel("loss")
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    words = "; ".join(_best_words(cells, dataset) for dataset in cells.datasets("penalties"))
    even = pooled(_against(cells, ("l2", 1e-2), ("l2", 0.0), lambda cell: measured(cell, "weight_spread"), larger=True))
    share = (
        ""
        if even is None
        else say("; in trained networks L2 at 0.01 makes weights more even in {mean:.0%} of draws.", mean=even.x.mean())
    )
    return say(
        "At the strength that is best within the range, {words}. At equal scores L2 prefers the spread weights and L1 "
        "neither{share}",
        words=words,
        share=share or ".",
    )


LESSON = Lesson(later("Penalties on the weights"), claims, blocks, answer)
