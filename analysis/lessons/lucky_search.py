"""Lucky search: what the best of k settings promised on one draw, and what it gives on others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, listed, pooled, title
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Picture, ReportColumn, ReportTable, shown
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAP = 2.0
"""What a loss counts at most: that of an output on the wrong side everywhere."""
SIZES = (1, 3, 10, 30, 100, 240)
ORDERS = 20
WORTH = 0.01


def price(cells: Cells, dataset: str, k: int) -> FloatArray:
    """Return, for each draw as the test set, fresh minus promised loss of the best of k settings, (R,).

    The k settings are the first of a shuffled order; the mean over `ORDERS` fixed orders. Fresh is the same setting's
    mean loss on all other draws: over all draws it is no harder than the promised one, so that at k = 1 the price is 0.
    """
    group = cells.of("settings", {"dataset": dataset})
    if len(group) < 2:
        return np.array([])
    loss = np.stack([np.minimum(last(cell, "test"), CAP) for cell in group])
    n, R = loss.shape
    others = (loss.sum(axis=1, keepdims=True) - loss) / (R - 1)
    rng = np.random.default_rng(1)
    total = np.zeros(R)
    draws = np.arange(R)
    for _ in range(ORDERS):
        tried = rng.permutation(n)[: min(k, n)]
        best = tried[loss[tried].argmin(axis=0)]
        total += others[best, draws] - loss[best, draws]
    return total / ORDERS


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claim about test data that are used again and again."""
    most = max(SIZES)
    samples = tuple(
        Sample(title(dataset), "median", values)
        for dataset in cells.datasets("settings")
        if len(values := price(cells, dataset, most))
    )
    single = tuple(
        Sample(title(dataset), "median", price(cells, dataset, 1))
        for dataset in cells.datasets("settings")
        if len(price(cells, dataset, 1))
    )
    budget = say("same test points for all settings")
    return [
        Claim(
            "14", say("A test set that chose among many settings flatters the best of them (by 0.01 and more)"),
            say("fresh minus promised test loss of the best of {most} settings (median over draws)", most=most),
            "above", WORTH,
            samples, pooled(samples), budget=budget,
        ),
        Claim(
            "14", say("... and one that chose nothing does not (within 0.02)"),
            say("fresh minus promised test loss of one setting that was not chosen (median over draws)"), "within", 0.0,
            single, pooled(single), margin=0.02, budget=budget,
        ),
    ]  # fmt: skip


def _rows(cells: Cells) -> list[tuple[str, int, FloatArray]]:
    return [
        (title(dataset), k, values)
        for dataset in cells.datasets("settings")
        for k in SIZES
        if len(values := price(cells, dataset, k))
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    rows = _rows(cells)
    body: list[tuple[Cell, ...]] = [
        (name, k, float(values.mean()), shown(median_interval(values))) for name, k, values in rows
    ]
    n = cells.design("settings").get("n_replicas", 0)
    table = ReportTable(
        "lucky-search-price",
        say("Fresh minus promised test loss of the best of k settings, over {n} draws as test sets.", n=n),
        (ReportColumn("set", say("Set"), "text"), ReportColumn("k", say("Settings tried")), ReportColumn("mean",
        say("Mean price")),
         ReportColumn("median", say("Median price"), "interval")),
        tuple(body),
    )  # fmt: skip
    points = tuple((name, k, float(values.mean())) for name, k, values in rows)
    prices = "; ".join(f"{name}, {k}: {value:.3g}" for name, k, value in points)
    picture = Picture(
        "lucky-search-curve",
        say("The price of choosing: fresh minus promised test loss (mean over draws) by the number of settings tried."),
        say("Price by settings tried: {prices}.", prices=prices),
        lambda: _draw(points),
        ReportTable(
            "lucky-search-curve", "",
            (ReportColumn("set", say("Set"), "text"),
            ReportColumn("k", say("Settings tried")),
            ReportColumn("price", say("Price"))), points,
        ),
    )  # fmt: skip
    return [picture, table]


def _draw(points: Sequence[tuple[str, int, float]]) -> Figure:
    from analysis.formats.style import BLACK, COLORS, framed_axes, new_figure, plain_ticks

    figure = new_figure(6.5, 3.0)
    axes = framed_axes(figure, 0.8, 0.5, 1.2, 0.2)
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    for name, color in zip(dict.fromkeys(point[0] for point in points), COLORS, strict=False):
        own = [(k, value) for other, k, value in points if other == name]
        axes.plot([k for k, _ in own], [value for _, value in own], "o-", color=color, label=name, markersize=4)
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    axes.set_xlabel(say("settings tried"))
    axes.set_ylabel(say("fresh minus promised loss"))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    most = max(SIZES)
    parts = [
        say("{mean:.3f} on {name}", mean=values.mean(), name=name) for name, k, values in _rows(cells) if k == most
    ]
    return say(
        "The best of {most} settings promises a test loss that is too low by this much on average: {parts}.",
        most=most,
        parts=listed(parts),
    )


LESSON = Lesson(later("Lucky search"), claims, blocks, answer)
