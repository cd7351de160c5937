"""How often each choice of each hyperparameter passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.intervals import Interval, wilson
from analysis.records import Scalar, Study, TrialRecord
from analysis.sections.blocks import (
    Block,
    Column,
    Picture,
    Section,
    Table,
    Text,
    file_names,
    labels,
    number_text,
    printable,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CHOICES = 8
N_BINS = 4
LEAST_TRIALS = 5


@dataclass(frozen=True, slots=True)
class ChoiceRate:
    """How often the trials that made one choice became candidates.

    Parameters
    ----------
    param : str
        Spec key.
    choice : str
        The value, or the range of values of a bin.
    rate : Interval
        Share of candidates with its Wilson interval; its `n` counts the trials that made the choice.
    """

    param: str
    choice: str
    rate: Interval


def choice_rates(trials: Sequence[TrialRecord]) -> list[ChoiceRate]:
    """Return the pass rate of every choice of every hyperparameter that took at least two values.

    A param with more than `MOST_CHOICES` numbers is cut into `N_BINS` bins with equally many trials. Trials in which
    a conditional param was not active do not count there.
    """
    usable = [record for record in trials if record.state != "failed"]
    rates: list[ChoiceRate] = []
    for param in sorted({key for record in usable for key in record.params}):
        pairs = [(record.params[param], record.candidate) for record in usable if param in record.params]
        groups = _groups([value for value, _ in pairs])
        if len(groups) < 2:
            continue
        for choice, members in groups:
            passed = [pairs[i][1] for i in members]
            rates.append(ChoiceRate(param, choice, wilson(sum(passed), len(passed))))
    return rates


def _groups(values: Sequence[Scalar]) -> list[tuple[str, list[int]]]:
    """Return ``(choice, positions)`` of each distinct value, or of bins where there are too many numbers."""
    numeric = all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    distinct = sorted(set(values), key=(lambda value: float(value or 0)) if numeric else _text)
    if not numeric or len(distinct) <= MOST_CHOICES:
        most = sorted(distinct, key=lambda value: -sum(other == value for other in values))[:MOST_CHOICES]
        return [
            (_text(value), [i for i, other in enumerate(values) if _text(other) == _text(value)])
            for value in distinct
            if value in most
        ]
    array = np.array(values, dtype=float)
    edges = np.unique(np.quantile(array, np.linspace(0, 1, N_BINS + 1), method="nearest"))
    bins = np.clip(np.searchsorted(edges, array, side="right") - 1, 0, len(edges) - 2)
    return [
        (f"{number_text(float(edges[k]))} to {number_text(float(edges[k + 1]))}", np.flatnonzero(bins == k).tolist())
        for k in range(len(edges) - 1)
        if (bins == k).any()
    ]


def _text(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Text(
            "For each choice the share of the trials that made it and became candidates, with its 95 % Wilson "
            "interval and the number of trials n. The sampler goes where it expects to pass, and choices come "
            "together: a high share says where candidates were found, not that this choice alone makes them."
        )
    ]
    for study, name, file_name in zip(studies, names, file_names("choices", names), strict=True):
        blocks.append(choices_block(study, name, file_name))
    return Section("choices", "How often each choice passed", tuple(blocks))


def choices_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    n = sum(record.state != "failed" for record in study.trials)
    if n < LEAST_TRIALS:
        return Text(
            f"{name}: not shown: {n} trial{'' if n == 1 else 's'}; shares of fewer than {LEAST_TRIALS} say nothing.",
            "missing",
        )
    rates = choice_rates(study.trials)
    if not rates:
        return Text(f"{name}: not shown: no hyperparameter took two values in {n} trials.", "missing")
    passed = sum(record.candidate for record in study.trials)
    telling = max(rates, key=lambda rate: rate.rate.low or 0.0)
    alt = f"{name}: {passed} of {n} trials became candidates; "
    alt += (
        f"most surely with {printable(telling.param)} {printable(telling.choice)}: "
        f"{100 * (telling.rate.estimate or 0):.0f} % of {telling.rate.n}."
        if passed
        else "no choice was ever among candidates."
    )
    data = Table(
        file_name,
        "",
        (
            Column("param", "Hyperparameter", "text"),
            Column("choice", "Choice", "text"),
            Column("pass_rate", "Share of candidates", "interval"),
        ),
        tuple((rate.param, rate.choice, shown(rate.rate)) for rate in rates),
    )
    return Picture(
        file_name,
        f"{name}: {passed} candidates among {n} trials. The number at the right of each line is n.",
        alt,
        lambda: draw_choices(rates, name),
        data,
    )


def draw_choices(rates: Sequence[ChoiceRate], name: str) -> Figure:
    """Draw the shares, one small picture a hyperparameter, three abreast."""
    from analysis.sections.style import BLUE, GRAY, new_figure

    params = list(dict.fromkeys(rate.param for rate in rates))
    n_columns = min(3, len(params))
    lines = [params[i : i + n_columns] for i in range(0, len(params), n_columns)]
    heights = [max(sum(rate.param == param for rate in rates) for param in line) + 1.6 for line in lines]
    figure = new_figure(9.6, 0.24 * sum(heights) + 0.5)
    grid = figure.add_gridspec(len(lines), n_columns, height_ratios=heights)
    for i, line in enumerate(lines):
        for j, param in enumerate(line):
            axes = figure.add_subplot(grid[i, j])
            own = [rate for rate in rates if rate.param == param]
            for k, rate in enumerate(own):
                axes.plot([100 * (rate.rate.low or 0), 100 * (rate.rate.high or 0)], [k, k], color=GRAY, linewidth=2)
                axes.plot([100 * (rate.rate.estimate or 0)], [k], "o", color=BLUE, markersize=5)
                axes.text(103, k, str(rate.rate.n), va="center", fontsize=8)
            axes.set_yticks(range(len(own)), [_short(rate.choice) for rate in own], fontsize=8)
            # Every row of pictures has one height a choice, so that a picture of two choices is not stretched.
            axes.set_ylim(heights[i] - 1.6 - 0.4, -0.6)
            axes.set_xlim(-3, 101)
            axes.tick_params(axis="x", labelsize=8)
            axes.set_title(_short(param.split(".")[-1].replace("_", " "), 34), fontsize=9)
            axes.grid(visible=False, axis="y")
    figure.suptitle(f"{name}: share of candidates, %", fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def _short(text: str, most: int = 22) -> str:
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"
