"""Width: test loss through interpolation, double descent or none, in range and beyond it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, last, listed, losses, sooner, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Picture, ReportColumn, ReportTable, number_text, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
NOISE, SHAPE = "training.label_noise", "network.hidden_layer_sizes"
MIDDLE, DEEP = 64, ("8", "32", "64")
"""The width that the largest is held against; widths that were tried with more layers than one."""
Value = Callable[[CellRecord], FloatArray]
Row = tuple[int, CellRecord]


def rows(cells: Cells, dataset: str, noise: float) -> list[Row]:
    """Return the cells of one hidden layer by width, narrowest first."""
    found = cells.of("widths", {"dataset": dataset, NOISE: noise})
    return sorted(
        ((int(str(cell.params[SHAPE])), cell) for cell in found if "-" not in str(cell.params[SHAPE])),
        key=lambda row: row[0],
    )


def conditions(cells: Cells, *, noisy: bool | None = None) -> list[tuple[str, str, float]]:
    """Return name, dataset and label noise of each condition."""
    found = []
    for dataset in cells.datasets("widths"):
        for noise in (float(str(one)) for one in cells.levels("widths", NOISE)):
            if noisy is None or noisy == (noise > 0):
                labels = say("noise {noise:g}", noise=noise) if noise else say("right labels")
                found.append((f"{title(dataset)}, {labels}", dataset, noise))
    return found


def peak(found: Sequence[Row], value: Value) -> int:
    """Return the place of the width, neither first nor last, with the largest median on every second draw."""
    return 1 + int(np.argmax([np.median(value(cell)[::2]) for _, cell in found[1:-1]]))


def around_the_peak(found: Sequence[Row], value: Value) -> tuple[FloatArray, FloatArray]:
    """Return on the other draws whether loss falls from the best narrower width's to below the peak's, and after it.

    Returns
    -------
    rises, falls : ndarray (R // 2,)
        1 where the peak is above the best narrower width; 1 where the widest is below the peak.
    """
    at = peak(found, value)
    before = min((cell for _, cell in found[:at]), key=lambda cell: float(np.median(value(cell)[::2])))
    top, widest = value(found[at][1])[1::2], value(found[-1][1])[1::2]
    return sooner(value(before)[1::2], top), sooner(widest, top)


def double_descent(found: Sequence[Row], value: Value) -> FloatArray:
    """Return 1 for draws in which the loss rises to the peak and falls again behind it."""
    rises, falls = around_the_peak(found, value)
    return np.asarray((rises == 1) & (falls == 1), np.float64)


def _test(cell: CellRecord) -> FloatArray:
    return last(cell, "in_range")


def _beyond(cell: CellRecord) -> FloatArray:
    return last(cell, "out_of_range")


def _told(cell: CellRecord) -> FloatArray:
    return last(cell, "told")


def _double(cells: Cells, value: Value, *, noisy: bool) -> list[Sample]:
    return [
        Sample(name, "share", double_descent(found, value))
        for name, dataset, noise in conditions(cells, noisy=noisy)
        if len(found := rows(cells, dataset, noise)) > 2
    ]


def _wider(cells: Cells, value: Value) -> list[Sample]:
    samples = []
    for name, dataset, noise in conditions(cells):
        found = dict(rows(cells, dataset, noise))
        if MIDDLE in found and max(found) > MIDDLE:
            samples.append(Sample(name, "share", sooner(value(found[max(found)]), value(found[MIDDLE]))))
    return samples


def deeper(cells: Cells, n_layers: int) -> list[Sample]:
    """Return for each condition how often so many layers are better than one fewer, mean over the widths of both."""
    samples = []
    for name, dataset, noise in conditions(cells):
        parts = []
        for width in DEEP:
            levels: dict[str, Level] = {"dataset": dataset, NOISE: noise}
            fewer, more = (
                cells.one("widths", {**levels, SHAPE: "-".join([width] * n)}) for n in (n_layers - 1, n_layers)
            )
            if fewer is not None and more is not None:
                parts.append(sooner(_test(more), _test(fewer)))
        if parts:
            samples.append(Sample(name, "share", np.mean(parts, axis=0)))
    return samples


def _longer(cells: Cells) -> list[Sample]:
    samples = []
    for name, dataset, noise in conditions(cells):
        found = rows(cells, dataset, noise)
        if found and len(found[-1][1].looks) > 1:
            course = losses(found[-1][1], "in_range")
            samples.append(Sample(name, "share", sooner(course[-1], course[-2])))
    return samples


def _descent_in_epochs(cells: Cells) -> list[Sample]:
    """Return for each condition of noisy labels in which draws the widest network's loss rises and falls again."""
    samples = []
    for name, dataset, noise in conditions(cells, noisy=True):
        found = rows(cells, dataset, noise)
        if found and len(found[-1][1].looks) > 2:
            samples.append(Sample(name, "share", descends_twice(losses(found[-1][1], "in_range"))))
    return samples


def descends_twice(course: FloatArray) -> FloatArray:
    """Return whether a course (L, R) is at its peak above the best look before and above the last.

    Peak and best look before it are those of every second draw's medians; the others are judged.
    """
    middle = np.median(course[:, ::2], axis=1)
    at = 1 + int(np.argmax(middle[1:-1]))
    before = int(np.argmin(middle[:at]))
    judged = course[:, 1::2]
    return np.asarray((judged[before] < judged[at]) & (judged[-1] < judged[at]), np.float64)


def interpolated(cells: Cells, cell: CellRecord) -> FloatArray:
    """Return 1 for networks that fit the labels they were told."""
    return np.asarray(last(cell, "told") < cells.target_of(cell), np.float64)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about width."""
    fits = [
        Sample(name, "share", interpolated(cells, found[-1][1]))
        for name, dataset, noise in conditions(cells)
        if (found := rows(cells, dataset, noise))
    ]
    inside = say(
        "share of the draws that did not choose the peak in which the loss in range at the peak is above that of the "
        "best narrower network and above that of the widest"
    )
    beyond = say(
        "share of the draws that did not choose the peak in which the loss beyond the range at the peak is above that "
        "of the best narrower network and above that of the widest"
    )
    return [
        claim("37", say("The widest network fits every label, wrong ones too"),
              say("share of networks of the largest width below 0.01 on the labels that they were told"),
              "above", 0.5, fits),
        claim("38", say("The narrowest network fits none of the wrong labels (one in twenty at most)"),
              say("share of networks of one unit below 0.01 on the labels that they were told, noisy labels"),
              "below", 0.05,
              [Sample(name, "share", interpolated(cells, found[0][1]))
               for name, dataset, noise in conditions(cells, noisy=True) if (found := rows(cells, dataset, noise))]),
        claim("38", say("Double descent in epochs with noisy labels: the widest network's loss rises to a peak and "
                        "falls"),
              say("share of the draws that did not choose the peak in which the widest network's loss in range at the "
                  "peak is above that at the best look before it and above the last"),
              "above", 0.5, _descent_in_epochs(cells)),
        claim("38", say("Double descent in width with noisy labels: test loss rises to a peak and falls again"),
              inside, "above", 0.5, _double(cells, _test, noisy=True)),
        claim("38", say("... and with right labels"), inside, "above", 0.5, _double(cells, _test, noisy=False)),
        claim("38", say("... and beyond the range, with noisy labels"), beyond, "above", 0.5,
              _double(cells, _beyond, noisy=True)),
        claim("38", say("More units help: the largest width against 64"),
              say("share of draws with a lower loss in range with the largest width than with {middle}", middle=MIDDLE),
              "above", 0.5, _wider(cells, _test)),
        claim("38", say("... beyond the range, too"),
              say("share of draws with a lower loss beyond the range with the largest width than with {middle}",
                  middle=MIDDLE), "above", 0.5, _wider(cells, _beyond)),
        claim("38", say("A second layer of the same width helps"),
              say("share of draws and widths (8, 32, 64) with a lower loss in range with two layers than with one"),
              "above", 0.5, deeper(cells, 2), budget=say("equal epochs and rates")),
        claim("38", say("A third layer of the same width helps"),
              say("share of draws and widths (8, 32) with a lower loss in range with three layers than with two"),
              "above", 0.5, deeper(cells, 3), budget=say("equal epochs and rates")),
        claim("38", say("More epochs help the widest network (last look against the one before)"),
              say("share of draws with a lower loss in range at the last look"), "above", 0.5, _longer(cells),
              budget=say("same network")),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    return [_picture(cells), _table(cells)]


def _table(cells: Cells) -> ReportTable:
    body: list[tuple[Cell, ...]] = []
    for name, dataset, noise in conditions(cells):
        for cell in cells.of("widths", {"dataset": dataset, NOISE: noise}):
            body.append(
                (name, str(cell.params[SHAPE]), shown(share_interval(interpolated(cells, cell))),
                 shown(median_interval(_test(cell))), shown(median_interval(_beyond(cell))))
            )  # fmt: skip
    return ReportTable(
        "width-losses",
        say("Share of networks that fit the labels they were told, and losses to right labels: medians over draws."),
        (ReportColumn("labels", say("Labels"), "text"), ReportColumn("units", say("Units"), "text"),
         ReportColumn("fits", say("Fits every label"), "interval"), ReportColumn("inside", say("In range"), "interval"),
         ReportColumn("outside", say("Beyond"), "interval")),
        tuple(body),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    body = [
        (name, float(width), words, middle)
        for name, dataset, noise in conditions(cells)
        for width, cell in rows(cells, dataset, noise)
        for words, value in ((say("in range"), _test), (say("beyond"), _beyond), (say("told labels"), _told))
        if np.isfinite(middle := float(np.median(value(cell))))
    ]
    return Picture(
        "width-curves",
        say("Median loss by width after the last epoch: in range, beyond it, and on the labels that were told, a panel "
            "for each condition."),
        _words(cells),
        lambda: _draw(cells),
        ReportTable("width-curves", "", (ReportColumn("labels", say("Labels"), "text"),
                    ReportColumn("width", say("Width")), ReportColumn("where", say("Where"), "text"),
                    ReportColumn("median", say("Loss"))), tuple(body)),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import BLUE, GRAY, RED, framed_axes, new_figure, plain_ticks

    found = conditions(cells)
    figure = new_figure(2.2 * max(1, len(found)) + 0.4, 2.8)
    for i, (name, dataset, noise) in enumerate(found):
        axes = framed_axes(figure, 0.45, 0.5, 0.08, 0.3, i, len(found))
        for value, color, words in ((_test, BLUE, say("in range")), (_beyond, RED, say("beyond")),
                                    (_told, GRAY, say("told labels"))):  # fmt: skip
            points = [(width, max(float(np.median(value(cell))), 1e-6)) for width, cell in rows(cells, dataset, noise)]
            points = [(x, y) for x, y in points if np.isfinite(y)]
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=color, markersize=3, linewidth=1.2,
                      label=words)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        plain_ticks(axes, "x")
        plain_ticks(axes, "y")
        axes.tick_params(labelsize=6, which="both")
        axes.set_title(name, fontsize=8)
        axes.set_xlabel(say("width"), fontsize=8)
        if i == 0:
            axes.legend(fontsize=6)
    return figure


def _words(cells: Cells) -> str:
    parts = []
    for name, dataset, noise in conditions(cells):
        found = rows(cells, dataset, noise)
        if len(found) > 2:
            at = peak(found, _test)
            words = [say("{width} units {loss}", width=width, loss=number_text(float(np.median(_test(cell)[1::2]))))
                     for width, cell in (found[0], found[at], found[-1])]  # fmt: skip
            parts.append(f"{name}: {', '.join(words)}")
    return listed(parts, "; ")


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    return say(
        "Median loss in range of the narrowest, the worst in between, and the widest network: {words}.",
        words=_words(cells),
    )


LESSON = Lesson(later("Width and interpolation"), claims, blocks, answer)
