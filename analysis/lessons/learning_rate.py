"""Learning rate: a bowl held against its closed form, then survival curves of networks by rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import (
    Cells,
    difference,
    diverged,
    last,
    leaves_again,
    losses,
    measured,
    pooled,
    sooner,
    time_to,
    title,
)
from analysis.course.comparing import roughness
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_epochs
from analysis.course.surfaces import descent_of, descent_picture, same_end, surface_picture, surfaces_of
from analysis.formats.blocks import Block, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, Test, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = "training.learning_rate"
SHOWN_RATES = (0.001, 0.03, 0.3, 3.0)
"""Those of the guess: ten lines are more than there are colours."""
CURVATURE = 1.0
CLOSE = 0.01
SAME_END = 0.1
"""How near two ends must be to be one: the two minima of the hidden unit are 2.4 apart."""
MOST = 0.8
"""Share of starts that counts as any start: all of 24 are shown to be more."""
SURFACES = (
    ("linear_unit", later("Linear unit"), (later("weight of X1"), later("weight of X2"))),
    ("hidden_unit", later("Hidden tanh unit"), (later("weight into it"), later("weight out of it"))),
)


def closed_form_steps(rate: float, curvature: float, close: float = CLOSE) -> float:
    """Return after how many steps gradient descent on a bowl is within `close` of its first distance; inf: never.

    Each step multiplies the distance by 1 - rate x curvature: it shrinks exactly where rate < 2 / curvature.
    """
    factor = abs(1.0 - rate * curvature)
    if factor >= 1.0:
        return math.inf
    return 1.0 if factor <= close else float(math.ceil(math.log(close) / math.log(factor) - 1e-9))


def _rate(cells: Cells, dataset: str, rate: float) -> CellRecord | None:
    return cells.one("sets", {"dataset": dataset, RATE: rate})


def _samples(
    cells: Cells, rates: Sequence[float], measure: str, *, kind: str = "share"
) -> tuple[tuple[Sample, ...], Sample | None]:
    """Return one sample a dataset that has all these rates, and all of them together."""
    found = []
    for dataset in cells.datasets("sets"):
        chosen = [cell for rate in rates if (cell := _rate(cells, dataset, rate)) is not None]
        if len(chosen) == len(rates):
            values = _MEASURES[measure](cells, chosen)
            found.append(Sample(title(dataset), "median" if kind == "median" else "share", values))
    return tuple(found), pooled(found)


def _reached(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:
    return np.isfinite(time_to(chosen[0], cells.target_of(chosen[0]))).astype(np.float64)


def _slower_twice(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:
    base, lower = (time_to(cell, cells.target_of(cell)) for cell in chosen)
    return np.where(np.isfinite(base), sooner(2.0 * base, lower), np.nan)


def _rougher(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:  # noqa: ARG001
    high, low = (roughness(cell) for cell in chosen)
    return 1.0 - sooner(high, low)


def _leaves(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:
    return leaves_again(chosen[0], cells.target_of(chosen[0]))


def _gap(cell: CellRecord) -> np.ndarray:
    return np.abs(difference(last(cell, "test"), last(cell, "train")))


def _nearer(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:  # noqa: ARG001
    return sooner(_gap(chosen[0]), _gap(chosen[1]))


def _learnt(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:  # noqa: ARG001
    constant = np.array([np.nan if one is None else one for one in chosen[0].constant["train"]])
    return (last(chosen[0], "train") < 0.5 * constant).astype(np.float64)


def _far_above(cells: Cells, chosen: Sequence[CellRecord]) -> np.ndarray:  # noqa: ARG001
    train, test = last(chosen[0], "train"), last(chosen[0], "test")
    return (np.isfinite(train) & (test > 1.5 * train)).astype(np.float64)


_MEASURES = {
    "reached": _reached,
    "slower": _slower_twice,
    "rougher": _rougher,
    "leaves": _leaves,
    "nearer": _nearer,
    "learnt": _learnt,
    "far_above": _far_above,
}


def _claim(
    cells: Cells, number: str, words: str, measure: str, key: str, rates: Sequence[float], test: Test, even: float
) -> Claim:
    samples, over_all = _samples(cells, rates, key)
    return Claim(number, words, measure, test, even, samples, over_all)


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about the learning rate."""
    shape, start = _surface_claims(cells)
    return [
        shape,
        *_curvature_claims(cells),
        start,
        *_start_claims(cells),
        *_bowl_claims(cells),
        _claim(
            cells, "5", say("Rate 3 oscillates"),
            say("share of draws whose training loss moves more from look to look at rate 3 than at 0.1, over "
            "the last two thirds of the looks"),
            "rougher", (3.0, 0.1), "above", 0.5,
        ),
        _claim(
            cells, "5",
            say("Rate 3 can be unstable after it seemed to have converged (at least one network in twenty)"),
            say("share of the networks below the target that are above it again at a later look, rate 3"),
            "leaves", (3.0,), "above", 0.05,
        ),
        _claim(
            cells, "6", say("Rate 0.1 converges well (most networks reach the target)"),
            say("share of networks that reach the target at rate 0.1"), "reached", (0.1,), "above", 0.5,
        ),
        _claim(
            cells, "6", say("Lower rates take much longer (0.03 at least twice as long as 0.1)"),
            say("share of the networks that arrive at rate 0.1 that take more than twice as long at 0.03"),
            "slower", (0.1, 0.03), "above", 0.5,
        ),
        _claim(
            cells, "6", say("Too low a rate is useless (at 0.0001 fewer than one network in five arrives)"),
            say("share of networks that reach the target at rate 0.0001"), "reached", (0.0001,), "below", 0.2,
        ),
        _claim(
            cells, "7", say("At rate 0.001 test loss is nearer to training loss than at 0.1"),
            say("share of draws with a smaller gap between test and training loss at rate 0.001 than at 0.1"),
            "nearer", (0.001, 0.1), "above", 0.5,
        ),
        _claim(
            cells, "7",
            say("... and something has been learnt by then (half of the constant predictor's loss is gone)"),
            say("share of networks at rate 0.001 with less than half of the constant predictor's training loss"),
            "learnt", (0.001,), "above", 0.5,
        ),
        _claim(
            cells, "8", say("At rate 3 test loss is far above training loss (by half or more)"),
            say("share of networks at rate 3 whose test loss is more than 1.5 times their training loss"),
            "far_above", (3.0,), "above", 0.5,
        ),
    ]  # fmt: skip


def _surface_claims(cells: Cells) -> list[Claim]:
    bumps, arrivals = [], []
    for cell in cells.of("starts"):
        rise = measured(cell, "swap_rise")
        bumps.append((rise > 0).sum())
        reached = np.isfinite(time_to(cell, cells.target_of(cell))).astype(np.float64)
        arrivals.append(Sample(title(str(cell.params["dataset"])), "share", reached))
    found = Sample("", "exact", np.array([float(sum(bumps))] if bumps else []))
    return [
        Claim(
            "1", say("A loss over the weights is always a bowl with one lowest point"),
            say("trained networks of three tanh units whose loss rises half way to their twin with two units swapped, "
            "which has the same loss: over a bowl there is none"),
            "equals", 0.0, (found,) if bumps else (), budget=say("exact"),
        ),
        Claim(
            "2", say("Where one starts hardly matters (nine of ten starts arrive)"),
            say("share of first weights that reach the target, all on the same data"), "above", 0.9,
            tuple(arrivals), pooled(arrivals), budget=say("equal epochs, same data"),
        ),
    ]  # fmt: skip


def _curvature_claims(cells: Cells) -> list[Claim]:
    found = []
    for design, words in (
        ("linear_unit", say("... over the two weights of a linear unit it is one")),
        ("hidden_unit", say("... and over the two of a hidden unit, too")),
    ):
        least = [measured(cell, "least_curvature")[:1] for cell in cells.of(design)]
        samples = (Sample("", "exact", least[0]),) if least else ()
        found.append(
            Claim(
                "1", words,
                say("smallest eigenvalue of the training loss's Hessian at any place of a grid of weights from -4 "
                "to 4"),
                "above", 0.0, samples, budget=say("same data; everything but two weights frozen"),
            )
        )  # fmt: skip
    return found


def _start_claims(cells: Cells) -> list[Claim]:
    found = []
    for design, words in (
        ("linear_unit", say("From any start a linear unit comes to the same weights")),
        ("hidden_unit", say("... and a hidden unit, too")),
    ):
        shares = tuple(Sample("", "share", same_end(cell, SAME_END)) for cell in cells.of(design))
        measure = say(
            "share of starts whose two weights end within {same_end:g} of the first start's", same_end=SAME_END
        )
        found.append(Claim("2", words, measure, "above", MOST, shares, budget=say("equal epochs, same data")))
    ends = [last(cell, "train") for cell in cells.of("hidden_unit")]
    alike = tuple(Sample("", "share", (one <= 1.01 * one.min()).astype(np.float64)) for one in ends)
    measure = say("share of starts of the hidden unit whose loss ends within 1 % of the lowest")
    words = say("... which costs nothing there: every end is as low")
    return [*found, Claim("2", words, measure, "above", MOST, alike, budget=say("equal epochs, same data"))]


def _bowl_claims(cells: Cells) -> list[Claim]:
    step = cells.of("step")
    size = [1.0 - math.sqrt(losses(cell, "train")[1, 0] / losses(cell, "train")[0, 0]) for cell in step]
    wrong = [row for row in bowl_rows(cells) if row[1] != row[2]]
    n = len(bowl_rows(cells))
    return [
        Claim(
            "3", say("A step is rate times gradient: 2.5 x 0.01 = 0.025"),
            say("first step at gradient 2.5 and rate 0.01"),
            "equals", 0.025, (Sample("", "exact", np.round(size, 5)),) if size else (), budget=say("exact"),
        ),
        Claim(
            "4", say("On the bowl each rate converges in its own number of steps, or diverges"),
            say("of {n} rates, those whose steps (or divergence) differ from the closed form", n=n),
            "equals", 0.0, (Sample("", "exact", np.array([float(len(wrong))])),) if n else (), budget=say("exact"),
        ),
    ]  # fmt: skip


def bowl_rows(cells: Cells) -> list[tuple[float, float, float]]:
    """Return rate, steps as trained and steps of the closed form; infinite where it never arrives."""
    curvatures = cells.design("bowl").get("data", {}).get("curvatures", [CURVATURE])
    rows = []
    for cell in cells.of("bowl"):
        rate, loss = float(str(cell.params[RATE])), losses(cell, "train")
        within = loss <= loss[0] * CLOSE**2 * (1.0 + 1e-5)
        first = [cell.looks[int(np.argmax(column))] if column.any() else math.inf for column in within.T]
        diverges = bool((loss[-1] > loss[0]).all())
        exact = closed_form_steps(rate, curvatures[0])
        seen = next((float(look) for look in cell.looks if look >= exact), math.inf)
        rows.append((rate, math.inf if diverges else float(max(first)), seen))
    return rows


def blocks(cells: Cells) -> list[Block]:
    """Return the pictures and tables."""
    surfaces = surfaces_of(cells, SURFACES)
    curvature = cells.design("bowl").get("data", {}).get("curvatures", [CURVATURE])[0]
    return [
        _survival_picture(cells),
        _rates_table(cells),
        *probe_epochs(
            "learning-rate-gradient",
            say(
                "Median norm of the training loss's gradient over {n} draws by epoch, at four of the rates. It is "
                "small where training has come to rest, and where units are saturated and it cannot go on; a step is "
                "the rate times it.",
                n=cells.design("sets").get("n_replicas", 0),
            ),
            say("Norm of the gradient by epoch and rate on each set."),
            cells,
            "sets",
            RATE,
            "gradient_norm",
            say("norm of the gradient"),
            levels=SHOWN_RATES,
        ),
        descent_picture(
            "learning-rate-descent",
            say(
                "Gradient descent on the bowl from 1, the first eight steps on the curve: slow, straight in, from "
                "side to side, out. Steps beyond the picture are left out."
            ),
            say("Above rate {rate:g} each step ends higher on the other side.", rate=2 / curvature),
            [descent_of(cell, curvature) for cell in cells.of("bowl")],
        ),
        _bowl_table(cells),
        surface_picture(
            "learning-rate-surfaces",
            say(
                "Training loss over the two weights of a linear unit and of one hidden tanh unit (two blobs, noise 50 "
                "%, no biases), pale is high; the way down from the same two starts, plain gradient descent on all "
                "points. The bowl has one lowest place, the other surface two, each the other's mirror image."
            ),
            say("Both starts lead the linear unit to one place and the hidden unit to two."),
            surfaces,
        ),
    ]


def _bowl_table(cells: Cells) -> ReportTable:
    never = Missing(say("diverges"))
    rows = tuple(
        (
            rate,
            1.0 - rate * CURVATURE,
            never if math.isinf(steps) else steps,
            never if math.isinf(exact) else exact,
        )
        for rate, steps, exact in bowl_rows(cells)
    )
    return ReportTable(
        "learning-rate-bowl",
        say(
            "The bowl: steps until the distance from the bottom is a hundredth of the first one, as trained and by the "
            "closed form. Each step multiplies the distance by 1 - rate x curvature."
        ),
        (
            ReportColumn("rate", say("Rate")),
            ReportColumn("factor", say("Factor a step")),
            ReportColumn("steps", say("Steps")),
            ReportColumn("exact", say("Exact")),
        ),
        rows,
    )


def _rates_table(cells: Cells) -> ReportTable:
    rows = []
    for rate in cells.levels("sets", RATE):
        group = cells.of("sets", {RATE: rate})
        times = np.stack([time_to(cell, cells.target_of(cell)) for cell in group])
        left = np.concatenate([leaves_again(cell, cells.target_of(cell)) for cell in group])
        left = left[~np.isnan(left)]
        middle = float(np.median(times))
        rows.append(
            (
                float(str(rate)),
                shown(share_interval(np.isfinite(times).mean(axis=0))),
                Missing(say("half never arrive")) if math.isinf(middle) else middle,
                shown(share_interval(np.stack([diverged(cell) for cell in group]).mean(axis=0))),
                float(left.mean()) if len(left) else Missing(say("none arrived")),
                len(left),
            )
        )
    n = cells.design("sets").get("n_replicas", 0)
    return ReportTable(
        "learning-rate-rates",
        say(
            "Each rate over {n_datasets} sets, {n} draws each. Diverged: not finite, or ten times the "
            "constant predictor's loss. The last columns: share of the networks that arrived which were above the "
            "target at a later look, and how many arrived.",
            n_datasets=len(cells.datasets("sets")),
            n=n,
        ),
        (
            ReportColumn("rate", say("Rate")),
            ReportColumn("reached", say("Reached the target"), "interval"),
            ReportColumn("median", say("Median epochs")),
            ReportColumn("diverged", say("Diverged"), "interval"),
            ReportColumn("left", say("Left it again")),
            ReportColumn("arrived", say("Arrived")),
        ),
        tuple(rows),
    )


def _survival_picture(cells: Cells) -> Picture:
    rows = []
    for dataset in cells.datasets("sets"):
        for rate in cells.levels("sets", RATE):
            cell = cells.one("sets", {"dataset": dataset, RATE: rate})
            if cell is not None:
                times = time_to(cell, cells.target_of(cell))
                rows += [(title(dataset), float(str(rate)), look, float((times > look).mean())) for look in cell.looks]
    best = _best_rate(cells)
    return Picture(
        "learning-rate-survival",
        say(
            "Share of networks that have not reached a loss below {target:g} ({low_target:g} on the "
            "regression sets) yet, by epoch: one panel a set, one line a rate. Lines that stay at 1 never arrive.",
            target=cells.target("sets"),
            low_target=_low_target(cells),
        ),
        say(
            "Survival curves by rate; over all sets most networks arrive at rate {rate:g}: {share:.0%}.",
            rate=best[0],
            share=best[1],
        ),
        lambda: _draw_survival(cells),
        ReportTable(
            "learning-rate-survival",
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("rate", say("Rate")),
                ReportColumn("epoch", say("Epoch")),
                ReportColumn("left", say("Left")),
            ),
            tuple(rows),
        ),
    )


def _draw_survival(cells: Cells) -> Figure:
    from matplotlib import colormaps

    from analysis.formats.style import framed_axes, new_figure, plain_ticks

    datasets, rates = cells.datasets("sets"), cells.levels("sets", RATE)
    n = max(1, len(datasets))
    figure = new_figure(1.75 * n + 1.0, 2.9)
    colors = colormaps["viridis"](np.linspace(0.0, 0.92, max(len(rates), 2)))
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.42 if i == 0 else 0.2, 0.5, 0.05, 0.35, i, n)
        for rate, color in zip(rates, colors, strict=False):
            cell = cells.one("sets", {"dataset": dataset, RATE: rate})
            if cell is not None:
                times = time_to(cell, cells.target_of(cell))
                left = [(times > look).mean() for look in cell.looks]
                axes.step(cell.looks, left, where="post", color=color, linewidth=1.4, label=f"{rate:g}")
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title(dataset), fontsize=9)
        axes.set_xlabel(say("epoch"), fontsize=8)
        axes.tick_params(labelsize=7)
        if i == 0:
            axes.set_ylabel(say("share not there yet"), fontsize=8)
        else:
            axes.set_yticklabels([])
        if i == n - 1:
            axes.legend(title=say("rate"), fontsize=6, title_fontsize=7, loc="lower left")
    return figure


def _low_target(cells: Cells) -> float:
    return min((cells.target("sets", name) for name in cells.datasets("sets")), default=0.0)


def _best_rate(cells: Cells) -> tuple[float, float]:
    """Return the rate at which most networks arrive, and their share."""
    shares: list[tuple[float, Level]] = []
    for rate in cells.levels("sets", RATE):
        group = cells.of("sets", {RATE: rate})
        shares.append(
            (float(np.mean([np.isfinite(time_to(cell, cells.target_of(cell))).mean() for cell in group])), rate)
        )
    share, rate = max(shares, key=lambda one: one[0]) if shares else (math.nan, math.nan)
    return float(str(rate)), share


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    rate, share = _best_rate(cells)
    epochs = cells.design("sets").get("looks", [0])[-1]
    lowest, highest = (min(rates), max(rates)) if (rates := cells.levels("sets", RATE)) else (0, 0)  # type: ignore[type-var]
    return say(
        "Over all sets most networks arrive within {epochs} epochs at rate {rate:g} ({share:.0%}); the best of the "
        "tried rates from {lowest:g} to {highest:g}. On a bowl a rate diverges exactly above 2 / curvature.",
        epochs=epochs,
        rate=rate,
        share=share,
        lowest=lowest,
        highest=highest,
    )


LESSON = Lesson(later("Learning rate"), claims, blocks, answer)
