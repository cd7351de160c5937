"""How often each choice of each hyperparameter passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import (
    Block,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    param_title,
    printable,
    short,
    shown,
    study_files,
)
from analysis.records.events import Scalar
from analysis.records.study import Study, TrialRecord
from analysis.statistics.intervals import Interval, clopper_pearson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CHOICES = 6
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
        Share of candidates with its Clopper-Pearson interval; its `n` counts the trials that made the choice.
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
            rates.append(ChoiceRate(param, choice, clopper_pearson(sum(passed), len(passed))))
    return rates


def _groups(values: Sequence[Scalar]) -> list[tuple[str, list[int]]]:
    """Return ``(choice, positions)`` of each distinct value, or of bins where there are too many numbers."""
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    positions: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        positions.setdefault(_text(value), []).append(i)
    if len(numbers) < len(values) or not np.isfinite(numbers).all():
        often = sorted(positions, key=lambda text: (-len(positions[text]), text))
        if len(often) <= MOST_CHOICES:
            return [(text, positions[text]) for text in sorted(often)]
        rest = sorted(i for text in often[MOST_CHOICES - 1 :] for i in positions[text])
        kept = sorted(often[: MOST_CHOICES - 1])
        return [*((text, positions[text]) for text in kept), (f"{len(often) - len(kept)} others", rest)]
    most = MOST_CHOICES if all(number.is_integer() for number in numbers) else N_BINS
    if len(positions) <= most:
        return sorted(positions.items(), key=lambda item: numbers[item[1][0]])
    array = np.array(numbers)
    edges = np.unique(np.quantile(array, np.linspace(0, 1, N_BINS + 1), method="nearest"))
    bins = np.clip(np.searchsorted(edges, array, side="right") - 1, 0, len(edges) - 2)
    members = [np.flatnonzero(bins == k) for k in range(len(edges) - 1)]
    return [(_span(array[chosen]), chosen.tolist()) for chosen in members if len(chosen)]


def _span(numbers: npt.NDArray[np.float64]) -> str:
    low, high = number_text(float(numbers.min())), number_text(float(numbers.max()))
    return low if low == high else f"{low} to {high}"


def _text(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "For each choice the share of the trials that made it and became candidates, with its 95 % Clopper-Pearson "
            "interval and the number of trials n. The sampler goes where it expects to pass, and choices come "
            "together: a high share says where candidates were found, not that this choice alone makes them."
        )
    ]
    for study, name, file_name in zip(studies, names, study_files("choices", studies), strict=True):
        blocks.append(choices_block(study, name, file_name))
    return Section("choices", "How often each choice passed", tuple(blocks))


def choices_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    n = sum(record.state != "failed" for record in study.trials)
    if n < LEAST_TRIALS:
        return Paragraph(
            f"{name}: not shown: {n} trial{'' if n == 1 else 's'}; shares of fewer than {LEAST_TRIALS} say nothing.",
            "missing",
        )
    rates = choice_rates(study.trials)
    if not rates:
        return Paragraph(f"{name}: not shown: no hyperparameter took two values in {n} trials.", "missing")
    passed = sum(record.candidate for record in study.trials)
    if not passed:
        return Paragraph(f"{name}: not shown: none of {n} trials became a candidate; every share is 0.", "missing")
    telling = max(rates, key=lambda rate: rate.rate.low or 0.0)
    alt = (
        f"{name}: {passed} of {n} trials became candidates; most surely with {printable(telling.param)} "
        f"{printable(telling.choice)}: {100 * (telling.rate.estimate or 0):.0f} % of {telling.rate.n}."
    )
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("param", "Hyperparameter", "text"),
            ReportColumn("choice", "Choice", "text"),
            ReportColumn("pass_rate", "Share of candidates", "interval"),
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
    """Draw the shares in two columns, the choices of a hyperparameter under its name."""
    from analysis.formats.style import BLUE, GRAY, framed_axes, new_figure

    columns = two_columns(rates)
    n_lines = max(len(column) for column in columns)
    figure = new_figure(9.6, 0.9 + 0.2 * n_lines)
    for i, column in enumerate(columns):
        axes = framed_axes(figure, 1.9, 0.5, 0.45, 0.4, i, len(columns))
        shares = [(y, line) for y, line in enumerate(column) if isinstance(line, ChoiceRate)]
        axes.hlines(
            [y for y, _ in shares],
            [100 * (line.rate.low or 0) for _, line in shares],
            [100 * (line.rate.high or 0) for _, line in shares],
            color=GRAY,
            linewidth=2,
        )
        axes.plot(
            [100 * (line.rate.estimate or 0) for _, line in shares],
            [y for y, _ in shares],
            "o",
            color=BLUE,
            markersize=5,
            clip_on=False,
        )
        for y, line in shares:
            axes.text(105, y, str(line.rate.n), va="center", fontsize=8)
        # Names as texts, not as ticks, each of which brings two lines and a second text.
        axes.set_yticks([])
        for y, entry in enumerate(column):
            text, weight = (short(entry.choice), "normal") if isinstance(entry, ChoiceRate) else (short(entry), "bold")
            axes.text(
                -0.02, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8, weight=weight
            )
        axes.set_ylim(n_lines - 0.4, -0.6)
        axes.set_xlim(-3, 101)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of candidates, %; at the right n")
    figure.suptitle(name, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def two_columns(rates: Sequence[ChoiceRate]) -> list[list[ChoiceRate | str]]:
    """Return the lines of the picture: each hyperparameter's name, then its choices, split where columns are even."""
    groups: list[list[ChoiceRate | str]] = []
    for param in dict.fromkeys(rate.param for rate in rates):
        groups.append([param_title(param), *(rate for rate in rates if rate.param == param)])
    total = sum(len(group) for group in groups)
    columns: list[list[ChoiceRate | str]] = [[], []]
    for group in groups:
        columns[0 if not columns[1] and len(columns[0]) + len(group) / 2 <= total / 2 else 1].extend(group)
    return [column for column in columns if column]
