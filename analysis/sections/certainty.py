"""How sure: the certificate, the pass rate against the attainable one, the excess over the floor, the flattery."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.formats.blocks import (
    Block,
    Cell,
    Heading,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    finite,
    labels,
    number_text,
    optional,
    shown,
    study_files,
)
from analysis.records.study import Study, TrialRecord
from analysis.sections.curves import STAGE_WORDS
from analysis.statistics.bounded import certificate_bound, excess_interval, floor_interval, loss_bound
from analysis.statistics.coverage import (
    BEST_TRIAL_FALSE_POSITIVE,
    CERTIFICATE_FALSE_POSITIVES,
    COMMAND,
    COVERAGES,
    N_REPLICAS,
    WORST_CERTIFICATE,
)
from analysis.statistics.differences import bounded_difference
from analysis.statistics.homework import attainable_pass_rate, homework_rows, winner_record
from analysis.statistics.intervals import Interval
from analysis.statistics.overtuning import above_floor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_REPLICAS = 8
N_BINS = 40
COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("level", "Level of the test"),
    ReportColumn("train_upper", "Upper bound of training loss"),
    ReportColumn("test_upper", "Upper bound of test loss"),
    ReportColumn("bound", "Largest loss there can be"),
    ReportColumn("goal", "Goal"),
    ReportColumn("pass_rate", "Pass rate", "interval"),
    ReportColumn("attainable_pass_rate", "Attainable pass rate"),
    ReportColumn("excess", "Test loss above the floor, paired by draw", "interval"),
    ReportColumn("by_floor", "Test loss, exact floor and excess", "interval"),
    ReportColumn("flattered_by", "Search score flattered by", "interval"),
    ReportColumn("n", "Draws n"),
    ReportColumn("verdict", "Verdict", "text"),
)
PASSAGE_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("reached", "Draws that were below the goal at least once"),
    ReportColumn("median", "Median first epoch of those"),
    ReportColumn("q10", "10 % by epoch"),
    ReportColumn("q90", "90 % by epoch"),
    ReportColumn("back_above", "Of those, above the goal again at the named epoch"),
    ReportColumn("n", "Draws n"),
)


@dataclass(frozen=True, slots=True)
class FirstPassage:
    """When draws were first below the goal, and how many did not stay there.

    Parameters
    ----------
    n : int
        Draws looked at.
    n_reached : int
        Draws that were below the goal at some epoch of the grid.
    median, q10, q90 : float or None
        Quantiles of their first such epoch; None where there is none.
    n_back_above : int
        Those of them that are above the goal at the named epoch.
    """

    n: int
    n_reached: int
    median: float | None
    q10: float | None
    q90: float | None
    n_back_above: int


def first_passage(record: TrialRecord, goal: float) -> FirstPassage:
    """Return when the draws of a record were first below the goal."""
    reached = [
        (epoch, train >= goal or test >= goal)
        for epoch, train, test in zip(record.first_passage, record.train_loss, record.test_loss, strict=True)
        if epoch is not None
    ]
    epochs = [epoch for epoch, _ in reached]
    low, high = np.quantile(epochs, [0.1, 0.9]).tolist() if epochs else (None, None)
    return FirstPassage(
        n=len(record.first_passage),
        n_reached=len(epochs),
        median=float(statistics.median(epochs)) if epochs else None,
        q10=low,
        q90=high,
        n_back_above=sum(above for _, above in reached),
    )


def excess(study: Study, record: TrialRecord) -> Interval:
    """Return the mean test loss above the best possible predictor's on the same points, paired by draw."""
    if record.floor_test_loss is None:
        return Interval(None, None, None, 0, "paired", "this dataset declares no floor")
    return excess_interval(record.test_loss, record.floor_test_loss, loss_bound(study.header, record))


def by_floor(study: Study, record: TrialRecord) -> Interval:
    """Return the mean test loss as the dataset's exact floor plus the mean excess, which varies less from draw to draw.

    Only under the loss the floor is of.
    """
    floor, loss = study.header.floor, record.training.get("loss", "half_squared_error")
    if record.floor_test_loss is None or floor is None:
        return Interval(None, None, None, 0, "paired", "this dataset declares no floor")
    if loss != ("half_squared_error" if study.header.data.get("kind") == "playground" else "mse"):
        return Interval(None, None, None, 0, "paired", f"no exact floor is known of {loss}")
    bound = loss_bound(study.header, record)
    return floor_interval(record.test_loss, record.floor_test_loss, floor, bound)


def flattery(study: Study, record: TrialRecord) -> Interval:
    """Return by how much lower the search's score was than the mean test loss on fresh draws, with its interval.

    Both are taken above the best possible predictor's loss on their own draws where it is known: what is left is what
    choosing the best of many noisy trials flatters, not whether the draws were easy.
    """
    searched = next((trial for trial in study.trials if trial.number == record.source), None)
    if record.stage == "search" or searched is None:
        return Interval(None, None, None, 0, "", "no fresh draws yet")
    fresh, promised = (above_floor(one, loss_bound(study.header, one)) for one in (record, searched))
    return bounded_difference(fresh, promised, paired=False)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "A certificate trains the setting once on fresh draws that nothing has seen, at an epoch fixed before, "
            "and looks once. It passes if the upper confidence bounds of mean training and mean test loss are both "
            "below the goal; they hold whatever the law of the losses, up to the largest loss there can be. What "
            "varies between draws: data, split, initial weights, order."
        )
    ]
    rows: list[tuple[Cell, ...]] = []
    passages: list[tuple[Cell, ...]] = []
    rests: list[Block] = []
    for study, name, file_name in zip(studies, names, study_files("draws", studies), strict=True):
        record = winner_record(study)
        if record is None:
            rests.append(Paragraph(f"{name}: not shown: no trial has given a loss.", "missing"))
            continue
        rows.append(certificate_cells(study, record, name))
        passages.append(passage_cells(first_passage(record, study.header.goal), name))
        rests.append(histogram_block(study, record, name, file_name))
    if rows:
        blocks.append(
            ReportTable(
                "certificates",
                "The winner of each dataset on its fresh draws, intervals of 95 %. Pass rate: draws with both losses "
                "below the goal; attainable: the best possible predictor's on the same draws. Flattered by: mean test "
                "loss above the floor on fresh draws minus the same on the search's own draws.",
                COLUMNS,
                tuple(rows),
            )
        )
        blocks.append(
            ReportTable(
                "first-passage",
                "First passage, a flattering figure: the first epoch looked at with both losses of a draw below the "
                "goal. Whoever stops there picks the luckiest moment; the last column counts "
                "draws that rose above it again.",
                PASSAGE_COLUMNS,
                tuple(passages),
            )
        )
    return Section("certainty", "How sure", (*blocks, *rests, *coverage_blocks()))


def coverage_blocks() -> list[Block]:
    """Return what the report's own intervals were measured to be worth."""
    worst = max(CERTIFICATE_FALSE_POSITIVES.values())
    return [
        Heading("What the intervals are worth"),
        ReportTable(
            "coverage",
            "How often intervals called 95 % held the truth in simulations of losses like these, % of samples of n "
            f"draws ({COMMAND}). Where a few draws in a hundred are stuck, most small samples hold none of them: the "
            "interval of a mean loss reaches up to what they cannot exclude, given the largest loss there can be, and "
            "is wide for it. Of searches in which all 50 trials miss the goal by 0.1 %, a certificate passes one in at "
            f"most {worst:g} % (nominal 5 %), and in {WORST_CERTIFICATE:g} % where the share stuck at the bound is the "
            f"worst there is; naming the best trial would be wrong in {BEST_TRIAL_FALSE_POSITIVE:g} %.",
            (
                ReportColumn("figure", "Interval of a", "text"),
                ReportColumn("losses", "Where", "text"),
                *(ReportColumn(f"n_{n}", f"n = {n}") for n in N_REPLICAS),
            ),
            tuple((one.title, one.where, *one.covered) for one in COVERAGES),
        ),
    ]


def certificate_cells(study: Study, record: TrialRecord, name: str) -> tuple[Cell, ...]:
    """Return one row of the table of certificates."""
    row = next(row for row in homework_rows([study]) if row.setting == "winner")
    no_certificate = Missing("no certificate yet")
    certified = record.stage == "certificate" and study.verdict is not None
    bound = loss_bound(study.header, record)
    uppers: tuple[float, ...] = ()
    if certified and study.verdict:
        confidence = 1 - study.verdict.level
        uppers = tuple(certificate_bound(losses, bound, confidence) for losses in (record.train_loss, record.test_loss))
    return (
        name,
        study.verdict.level if certified and study.verdict else no_certificate,
        *(uppers or (no_certificate,) * 2),
        bound,
        study.header.goal,
        shown(row.pass_rate),
        optional(attainable_pass_rate(record, study.header.goal), "this dataset declares no floor"),
        shown(excess(study, record)),
        shown(by_floor(study, record)),
        shown(flattery(study, record)),
        len(record.test_loss),
        row.verdict,
    )


def passage_cells(passage: FirstPassage, name: str) -> tuple[Cell, ...]:
    """Return one row of the table of first passages."""
    none = "no draw was below the goal"
    return (
        name,
        passage.n_reached,
        optional(passage.median, none),
        optional(passage.q10, none),
        optional(passage.q90, none),
        passage.n_back_above if passage.n_reached else Missing(none),
        passage.n,
    )


def histogram_block(study: Study, record: TrialRecord, name: str, file_name: str) -> Block:
    """Return the picture of how the draws' test losses are spread, or why there is none."""
    losses = finite(record.test_loss)
    if len(losses) < LEAST_REPLICAS:
        return Paragraph(
            f"{name}: spread over draws not shown: {len(losses)} draw{'' if len(losses) == 1 else 's'}.", "missing"
        )
    floors = finite(record.floor_test_loss or ())
    low, middle, high = np.quantile(losses, [0.1, 0.5, 0.9]).tolist()
    n_above = sum(loss >= study.header.goal for loss in losses)
    n_diverged = sum(epoch is not None for epoch in record.diverged_at)
    alt = (
        f"{name}: the middle 80 % of {len(losses)} draws have a test loss of {number_text(low)} to "
        f"{number_text(high)}, median {number_text(middle)}; {n_above} are at or above the goal "
        f"{study.header.goal:g}; {n_diverged} diverged."
    )
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("draw", "Draw"),
            ReportColumn("test_loss", "Test loss"),
            ReportColumn("floor", "Best possible predictor"),
        ),
        tuple(
            (i, loss, optional(_at(record.floor_test_loss, i), "no floor")) for i, loss in enumerate(record.test_loss)
        ),
    )
    return Picture(
        file_name,
        f"{name}: test loss of the winner's {len(losses)} draws, one data set of its own each; "
        f"{STAGE_WORDS.get(record.stage, record.stage)}.",
        alt,
        lambda: draw_histogram(study, losses, floors, name),
        data,
    )


def _at(values: Sequence[float | None] | None, i: int) -> float | None:
    return values[i] if values is not None and i < len(values) else None


def draw_histogram(study: Study, losses: Sequence[float], floors: Sequence[float], name: str) -> Figure:
    """Draw the histogram of test losses over that of the best possible predictor."""
    from analysis.formats.style import BLACK, BLUE, GRAY, RED, framed_axes, new_figure

    figure = new_figure(8.6, 2.9)
    axes = framed_axes(figure, 0.8, 0.55, 2.1, 0.35)
    # A few stuck or diverged draws would squeeze all others into one bar: they share the last one.
    top = max(float(np.quantile(losses, 0.98)) * 1.1, study.header.goal * 1.2)
    edges = np.linspace(0.0, top, N_BINS + 1)
    n_beyond = sum(loss > top for loss in losses)
    axes.hist(np.minimum(losses, top), bins=list(edges), color=BLUE, label="the winner")
    if floors:
        axes.hist(
            np.minimum(floors, top),
            bins=list(edges),
            histtype="step",
            color=BLACK,
            linewidth=1.4,
            label="best possible predictor",
        )
    axes.axvline(
        study.header.goal, color=RED, linewidth=1.6, linestyle=(0, (4, 2)), label=f"goal {study.header.goal:g}"
    )
    mean = float(np.mean(losses))
    axes.axvline(mean, color=GRAY, linewidth=1.6, label=f"mean {number_text(mean)}")
    axes.set_title(name)
    axes.set_xlabel(
        "test loss of one draw" + (f" (last bar: {n_beyond} beyond {number_text(top)})" if n_beyond else "")
    )
    axes.set_ylabel("draws")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
