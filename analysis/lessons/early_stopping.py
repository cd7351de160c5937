"""Early stopping: clean labels first, patience, the homework's rule, weight decay, and a bound from random labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, last, listed, losses, sooner, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
NOISE, PENALTY = "training.label_noise", "training.regularization_rate"
RANDOM = 0.9
"""Share of wrong labels of ten classes at which labels say nothing."""
PATIENCE = 3
"""Looks without a lower validation loss after which training ends."""
STILL = 1e-5
"""Of the homework: so small a move of the mean training loss, an epoch, ends training."""
FITTED, HALF, LITTLE, GUESSING = 0.95, 0.5, 0.01, 0.9
Value = Callable[[CellRecord], FloatArray]


def _cells(cells: Cells, *, noisy: bool | None, penalty: float = 0.0) -> list[tuple[str, CellRecord]]:
    """Return the cells of one penalty by what is said of their labels: noisy, clean (False), or either (None)."""
    found = []
    for dataset in cells.datasets("labels"):
        for noise in cells.levels("labels", NOISE):
            share = float(str(noise))
            cell = cells.one("labels", {"dataset": dataset, NOISE: noise, PENALTY: penalty})
            if cell is not None and share < RANDOM and (noisy is None or noisy == (share > 0)):
                found.append((say("{title}, {share:.0%} wrong", title=title(dataset), share=share), cell))
    return found


def _strength(cells: Cells) -> float:
    return max((float(str(rate)) for rate in cells.levels("labels", PENALTY)), default=0.0)


def patience_stop(cell: CellRecord) -> tuple[Places, Places]:
    """Return the look that patience goes back to and the one at which it ends training, by place, of each replica."""
    validation = losses(cell, "validation_loss")
    best = np.zeros(validation.shape[1], np.intp)
    ended = np.full(validation.shape[1], len(validation) - 1)
    for r, course in enumerate(validation.T):
        for i in range(1, len(course)):
            if course[i] < course[best[r]]:
                best[r] = i
            elif i - best[r] >= PATIENCE:
                ended[r] = i
                break
    return best, ended


def still_stop(cell: CellRecord) -> Places:
    """Return the first look at which the told training loss has moved by `STILL` an epoch or less; the last if none."""
    course, looks = losses(cell, "told"), np.array(cell.looks, np.float64)
    with np.errstate(invalid="ignore"):
        still = np.abs(np.diff(course, axis=0)) / np.diff(looks)[:, None] <= STILL
    return np.where(still.any(axis=0), still.argmax(axis=0) + 1, len(looks) - 1)


def at(cell: CellRecord, name: str, places: Places) -> FloatArray:
    """Return a course's value at a look of each replica's own."""
    return np.asarray(losses(cell, name)[places, np.arange(len(places))], np.float64)


def ended_at(cell: CellRecord, name: str) -> FloatArray:
    """Return a course's last value."""
    return np.asarray(losses(cell, name)[-1], np.float64)


def epochs_to(cell: CellRecord, name: str, share: float) -> FloatArray:
    """Return the first look at which a share of points is fitted; infinite where it never is."""
    course = losses(cell, name)
    reached = np.where(np.isfinite(course), course, 0.0) >= share
    return np.where(reached.any(axis=0), np.array(cell.looks, np.float64)[reached.argmax(axis=0)], np.inf)


def _samples(found: Sequence[tuple[str, CellRecord]], value: Value, kind: str = "share") -> list[Sample]:
    return [Sample(name, kind, value(cell)) for name, cell in found]  # type: ignore[arg-type]


def _gain(cell: CellRecord) -> FloatArray:
    return at(cell, "held_error", patience_stop(cell)[0]) - ended_at(cell, "held_error")


def patience_less_still(cell: CellRecord) -> FloatArray:
    """Return the wrong held-out images where patience goes back to, less those where the homework's rule stops."""
    return at(cell, "held_error", patience_stop(cell)[0]) - at(cell, "held_error", still_stop(cell))


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about early stopping."""
    noisy, clean, strength = _cells(cells, noisy=True), _cells(cells, noisy=False), _strength(cells)
    alone = cells.of("labels", {NOISE: RANDOM, PENALTY: 0.0})
    decayed = _cells(cells, noisy=True, penalty=strength)
    return [
        claim(
            "39",
            say("A network fits labels drawn at random"),
            say(
                "share of draws with {fitted:.0%} of the training points on their random label after the last epoch",
                fitted=FITTED,
            ),
            "above",
            0.5,
            [Sample("", "share", (ended_at(cell, "told_fitted") >= FITTED).astype(float)) for cell in alone],
            budget=say("same draws"),
        ),
        claim(
            "40",
            say("Points with a right label are fitted first"),
            say(
                "share of draws in which half of the points with a "
                "right label are fitted before half of those with a wrong one"
            ),
            "above",
            0.5,
            _samples(
                noisy, lambda cell: sooner(epochs_to(cell, "clean_fitted", HALF), epochs_to(cell, "wrong_fitted", HALF))
            ),
            budget=say("same network"),
        ),
        claim(
            "40",
            say("Early stopping helps where labels are noisy"),
            say(
                "share of wrong held-out images where patience goes "
                "back to, less that after the last epoch (median over draws)"
            ),
            "below",
            0.0,
            _samples(noisy, _gain, "median"),
            budget=say("same network"),
        ),
        claim(
            "40",
            say("... and little where they are not (one image in a hundred at most)"),
            say(
                "share of wrong held-out "
                "images where patience goes back to, less that after the last epoch, right labels (median over draws)"
            ),
            "within",
            0.0,
            _samples(clean, _gain, "median"),
            margin=LITTLE,
            budget=say("same network"),
        ),
        claim(
            "40",
            say("Early stopping saves time: less than half of the epochs"),
            say("share of draws in which patience ends training before half of the epochs"),
            "above",
            0.5,
            _samples(_cells(cells, noisy=None), _is_early),
            budget=say("same network"),
        ),
        claim(
            "43",
            say("The homework's stop, when the training loss moves by 1e-5 or less, regularizes too"),
            say(
                "share of draws with fewer wrong held-out images where it stops than after the last epoch, noisy labels"
            ),
            "above",
            0.5,
            _samples(
                noisy,
                lambda cell: (at(cell, "held_error", still_stop(cell)) < ended_at(cell, "held_error")).astype(float),
            ),
            budget=say("same network"),
        ),
        claim(
            "43",
            say("Patience on the validation loss stops at fewer errors than the homework's rule"),
            say(
                "share of wrong held-out images where patience goes back to, less that where the homework's rule "
                "stops, noisy labels (median over draws)"
            ),
            "below",
            0.0,
            _samples(noisy, patience_less_still, "median"),
            budget=say("same network"),
        ),
        claim(
            "42",
            say("Weight decay does not prevent that all labels are fitted"),
            say(
                "share of draws with {fitted:.0%} of "
                "the noisy labels fitted after the last epoch with L2 at {strength:g}",
                fitted=FITTED,
                strength=strength,
            ),
            "above",
            0.5,
            _samples(decayed, lambda cell: (ended_at(cell, "told_fitted") >= FITTED).astype(float)),
            budget=say("same draws"),
        ),
        claim(
            "42",
            say("... and helps together with early stopping"),
            say(
                "share of wrong held-out images where patience goes "
                "back to with L2 at {strength:g}, less that without (median over draws)",
                strength=strength,
            ),
            "below",
            0.0,
            _stopped_with_against_without(cells, strength),
        ),
        *_bound_claims(noisy),
    ]


def _is_early(cell: CellRecord) -> FloatArray:
    looks = np.array(cell.looks, np.float64)
    return np.asarray(looks[patience_stop(cell)[1]] < looks[-1] / 2, np.float64)


def _stopped_with_against_without(cells: Cells, strength: float) -> list[Sample]:
    without = dict(_cells(cells, noisy=True))
    return [
        Sample(
            name,
            "median",
            at(cell, "held_error", patience_stop(cell)[0])
            - at(without[name], "held_error", patience_stop(without[name])[0]),
        )
        for name, cell in _cells(cells, noisy=True, penalty=strength)
        if name in without and strength > 0
    ]


def _bound_claims(noisy: Sequence[tuple[str, CellRecord]]) -> list[Claim]:
    def covered(name: str) -> Value:
        return lambda cell: (losses(cell, "held_error") <= losses(cell, name)).all(axis=0).astype(float)

    return [
        claim(
            "41",
            say("Fitted clean and unfitted random points bound the test error: the bound covers it"),
            say(
                "share of draws in which the bound (at 95 %) is above the share of wrong held-out images at every look"
            ),
            "above",
            0.8,
            _samples(noisy, covered("garg_bound")),
            budget=say("same network"),
        ),
        claim(
            "41",
            say("... and says more than guessing would (below 0.9)"),
            say("share of draws in which the bound is below 0.9 where patience goes back to"),
            "above",
            0.5,
            _samples(noisy, lambda cell: (at(cell, "garg_bound", patience_stop(cell)[0]) < GUESSING).astype(float)),
            budget=say("same network"),
        ),
        claim(
            "41",
            say("Without its term for few points it covers the error, too, where patience goes back to"),
            say("share of draws in which the bound's first two terms are above the share of wrong held-out images"),
            "above",
            0.5,
            _samples(
                noisy,
                lambda cell: (
                    at(cell, "held_error", patience_stop(cell)[0]) <= at(cell, "garg_leading", patience_stop(cell)[0])
                ).astype(float),
            ),
            budget=say("same network"),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    return [
        _picture(cells),
        *_losses_picture(cells),
        _table(cells),
        Paragraph(
            say(
                "In which sense do measures of complexity fail? Networks that fit random labels have the capacity to "
                "overfit anything, and generalize on true labels all the same: a bound by capacity alone says "
                "nothing "
                "(Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017). In "
                "words; "
                "not measured here."
            )
        ),
    ]


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for penalty in cells.levels("labels", PENALTY):
        for name, cell in _cells(cells, noisy=None, penalty=float(str(penalty))):
            best, ended = patience_stop(cell)
            looks = np.array(cell.looks, np.float64)
            rows.append(
                (
                    name,
                    float(str(penalty)),
                    shown(median_interval(at(cell, "held_error", best))),
                    shown(median_interval(at(cell, "held_error", still_stop(cell)))),
                    shown(median_interval(ended_at(cell, "held_error"))),
                    float(np.median(looks[ended])),
                    float(np.median(looks[still_stop(cell)])),
                    shown(share_interval((ended_at(cell, "told_fitted") >= FITTED).astype(float))),
                )
            )
    return ReportTable(
        "early-stopping-errors",
        say(
            "Share of wrong held-out images where patience goes back to, where the homework's rule stops, and after "
            "the last epoch (medians over draws), where each rule stops, and the share of draws with all but one in "
            "twenty of the labels fitted."
        ),
        (
            ReportColumn("labels", say("Labels"), "text"),
            ReportColumn("penalty", "L2"),
            ReportColumn("stopped", say("Wrong, patience"), "interval"),
            ReportColumn("rule", say("Wrong, homework's rule"), "interval"),
            ReportColumn("ended", say("Wrong, at the end"), "interval"),
            ReportColumn("patience", say("Patience stops at")),
            ReportColumn("still", say("Homework's rule stops at")),
            ReportColumn("fitted", say("Labels fitted"), "interval"),
        ),
        tuple(rows),
    )


COURSES = (
    ("clean_fitted", later("right labels fitted")),
    ("wrong_fitted", later("wrong labels fitted")),
    ("held_error", later("wrong on held-out images")),
)


LOSSES = (
    ("clean_loss", later("loss on right labels")),
    ("wrong_loss", later("loss on wrong labels")),
)


def _losses_picture(cells: Cells) -> list[Picture]:
    """Return the picture of the training loss on right and on wrong labels apart; older records have none."""
    panels = [(name, cell) for name, cell in _cells(cells, noisy=True) if "wrong_loss" in cell.losses]
    if not panels:
        return []
    ends = [
        say(
            "{name} {clean:.3g} and {wrong:.3g}",
            name=name,
            clean=float(np.median(last(cell, "clean_loss"))),
            wrong=float(np.median(last(cell, "wrong_loss"))),
        )
        for name, cell in panels
    ]
    return [
        Picture(
            "early-stopping-losses",
            say(
                "Training loss on points with a right and with a wrong label apart (against the label that was told), "
                "medians over draws by epoch, without penalty. Where the loss on wrong labels rises while that on "
                "right ones falls, the network takes such points for what they are."
            ),
            say("Loss at the end on right and on wrong labels: {ends}.", ends="; ".join(ends)),
            lambda: _draw(panels, LOSSES, log_y=True),
            _courses_table("early-stopping-losses", panels, LOSSES),
        )
    ]


def _picture(cells: Cells) -> Picture:
    panels = _cells(cells, noisy=None) + [
        (say("{title}, at random", title=title(str(cell.params["dataset"]))), cell)
        for cell in cells.of("labels", {NOISE: RANDOM, PENALTY: 0.0})
    ]
    return Picture(
        "early-stopping-courses",
        say(
            "Medians over draws by epoch, without penalty: right labels are fitted before wrong ones; the dashed line "
            "is where patience goes back to (median)."
        ),
        say("One panel for each share of wrong labels."),
        lambda: _draw(panels, COURSES),
        _courses_table("early-stopping-courses", panels, COURSES),
    )


def _courses_table(
    name: str, panels: Sequence[tuple[str, CellRecord]], courses: Sequence[tuple[str, str]]
) -> ReportTable:
    """Return what a picture of medians by epoch shows, as numbers."""
    rows = [
        (panel, str(words), float(look), float(np.median(row)))
        for panel, cell in panels
        for course, words in courses
        for look, row in zip(cell.looks, losses(cell, course), strict=True)
        if np.isfinite(np.median(row))
    ]
    columns = (
        ReportColumn("labels", say("Labels"), "text"),
        ReportColumn("what", say("What"), "text"),
        ReportColumn("epoch", say("Epoch")),
        ReportColumn("median", say("Median")),
    )
    return ReportTable(name, "", columns, tuple(rows))


def _draw(
    panels: Sequence[tuple[str, CellRecord]], courses: Sequence[tuple[str, str]], *, log_y: bool = False
) -> Figure:
    from analysis.formats.style import BLUE, GRAY, GREEN, RED, framed_axes, new_figure, plain_ticks

    figure = new_figure(1.9 * max(1, len(panels)) + 0.6, 2.7)
    for i, (name, cell) in enumerate(panels):
        axes = framed_axes(figure, 0.4, 0.5, 0.08, 0.35, i, len(panels))
        for (course, words), color in zip(courses, (BLUE, RED, GREEN), strict=False):
            middle = np.median(losses(cell, course), axis=1)
            known = np.isfinite(middle)
            axes.plot(np.array(cell.looks)[known], middle[known], color=color, linewidth=1.3, label=words)
        axes.axvline(float(np.median(np.array(cell.looks)[patience_stop(cell)[0]])), color=GRAY, linestyle="--")
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        if log_y:
            axes.set_yscale("log")
            plain_ticks(axes, "y")
        else:
            axes.set_ylim(-0.02, 1.02)
        axes.set_title(name.rpartition(", ")[2], fontsize=8)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=6, which="both")
        if i == 0:
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = [
        say(
            "{name}: {median:.1%} stopped, {median_2:.1%} at the end",
            name=name,
            median=np.median(at(cell, "held_error", patience_stop(cell)[0])),
            median_2=np.median(ended_at(cell, "held_error")),
        )
        for name, cell in _cells(cells, noisy=None)
    ]
    return say(
        "Points with a right label are fitted first, so that patience stops before the wrong ones are: share of wrong "
        "held-out images, {parts}.",
        parts=listed(parts, "; "),
    )


LESSON = Lesson(later("Early stopping"), claims, blocks, answer)
