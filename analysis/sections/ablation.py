"""What one change of a winner does: told in the cards, and every change in a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
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
from analysis.records.study import Study
from analysis.statistics.ablation import Ablation, OneChange, ablation, largest_of_rest, sign_of
from analysis.statistics.homework import exact_text, winner_record
from analysis.statistics.intervals import Interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = later("What one change of the winner does")
MOST_TOLD = 3
"""Changes that a card names ..."""
MOST_SHORT = 2
MOST_BEYOND = 1
"""... and, of those that matter out of range alone, so many, ..."""
MOST_LETTERS = 50
MOST_DECADES = 4
"""That a picture's scale spans ..."""
MOST_TICKS = 3
"""... with a tick at each of so many, at every second one beyond."""
LEAST_BEYOND = 0.01
"""... if they change the loss there by this share of the goal."""
SIGN_WORDS = {1: later("worse"), -1: later("better"), 0: later("no difference shown")}
COLUMNS = (
    ReportColumn("change", later("Change"), "text"),
    ReportColumn("in_range", later("Loss in range, difference"), "interval"),
    ReportColumn("out_of_range", later("Loss out of range, difference"), "interval"),
    ReportColumn("passes_before", later("Draws that pass: winner")),
    ReportColumn("passes_after", later("Draws that pass: changed")),
    ReportColumn("told", later("What is shown"), "text"),
)
KEY = later(
    "An experiment, unlike a search's trials: the winner and each change of it were trained on the same draws, which "
    "neither the search nor a certificate has seen, equally long, and measured once. A difference is the median over "
    "draws of the changed setting's loss minus the winner's: above 0 the change is worse on a typical draw; draws that "
    "get stuck show in the draws that pass. Intervals and tests are exact under any law of the losses (order "
    "statistics; McNemar), and all that is shown for one data set holds together in 95 of 100 studies: level 0.05 is "
    "shared over three comparisons of each change. It is about changes from this winner, one at a time: what two do "
    "together was not measured. Points out of range decided nothing."
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section; without blocks where no winner has been changed."""
    names = labels(studies)
    blocks: list[Block] = []
    for study, name, file_name in zip(studies, names, study_files("ablation", studies), strict=True):
        found = ablation(study, winner_record(study))
        if found is not None:
            blocks += ablation_blocks(study, found, name, file_name)
    return Section("ablation", TITLE, (Paragraph(KEY), *blocks) if blocks else ())


def ablation_blocks(study: Study, found: Ablation, name: str, file_name: str) -> list[Block]:
    """Return the table and the picture of one study."""
    whose = say("the winner") if is_certified(study) else say("the best setting, which is not certified")
    level = number_text(100 * (1 - found.level))
    caption = say(
        "{name}: {n_changes} changes of {whose}, one at a time, n = {n} draws; intervals at {level} %.",
        name=name,
        n_changes=len(found.changes),
        whose=whose,
        n=found.n,
        level=level,
    )
    rows = tuple(change_cells(one) for one in found.changes)
    return [ReportTable(file_name, caption, COLUMNS, rows), change_picture(found, name, file_name, rows)]


def change_cells(one: OneChange) -> tuple[Cell, ...]:
    """Return one row of the table."""
    if one.reason is not None or one.passes is None:
        nothing = Missing(printable(one.reason or say("not measured")))
        return change_text(one), nothing, nothing, nothing, nothing, nothing
    return (
        change_text(one),
        shown(one.in_range),
        shown(one.out_of_range),
        one.passes.before,
        one.passes.after,
        told_text(one),
    )


def told_text(one: OneChange) -> str:
    """Return what is shown of a change: ``"worse in range; fewer draws pass"``."""
    parts = [
        f"{SIGN_WORDS[sign]} {where}"
        for sign, where in ((one.in_range_sign, say("in range")), (one.out_of_range_sign, say("out of range")))
        if sign
    ]
    if one.pass_sign:
        parts.append(say("fewer draws pass" if one.pass_sign > 0 else "more draws pass"))
    return "; ".join(parts) or SIGN_WORDS[0]


def change_sentences(study: Study) -> tuple[str, ...]:
    """Return what a card says of the changes of its winner; nothing where there was no ablation.

    First those that matter most for reaching the goal, then how little all others can matter.
    """
    found = ablation(study, winner_record(study))
    if found is None:
        return ()
    told = [change_sentence(one) for one in found.told[:MOST_TOLD]]
    beyond = [one for one in found.rest if one.out_of_range_sign and _counts(study, one.out_of_range)]
    beyond.sort(key=lambda one: -abs(one.out_of_range.estimate or 0.0))
    told += [
        say(
            "{begun}: {sign_words} out of range alone, {signed_text}.",
            begun=_begun(change_text(one)),
            sign_words=SIGN_WORDS[one.out_of_range_sign],
            signed_text=signed_text(one.out_of_range),
        )
        for one in beyond[:MOST_BEYOND]
    ]
    return (*told, rest_sentence(study, found))


def short_sentence(study: Study) -> str:
    """Return the same in one sentence without intervals, for the first screen; empty where there was no ablation."""
    found = ablation(study, winner_record(study))
    if found is None:
        return ""
    parts = []
    for one in found.told[:MOST_SHORT]:
        outside = one.out_of_range.estimate
        beyond = "" if outside is None else say(" and {signed}", signed=_signed(outside))
        parts.append(f"{change_text(one)} {_signed(one.in_range.estimate or 0.0)}{beyond}")
    others, most = len(found.told) - MOST_SHORT, largest_of_rest(found)
    if others > 0:
        parts.append(say("{others} more, smaller", others=others))
    if found.rest:
        below = "" if most is None else say(", each below {most} in range", most=number_text(most))
        which = (
            say("{n_rest} others not shown", n_rest=len(found.rest))
            if found.told
            else say("none of {n_rest} shown", n_rest=len(found.rest))
        )
        parts.append(say("{which} to matter{below}", which=which, below=below))
    return say(
        "Loss with one change, in and out of range: {parts} (medians, n = {n}).", parts="; ".join(parts), n=found.n
    )


def change_sentence(one: OneChange) -> str:
    """Return what one change that matters does, in range and out of range side by side."""
    sign = one.in_range_sign or one.pass_sign
    parts = [
        say("{sign_words}, in range {signed_text}", sign_words=SIGN_WORDS[sign], signed_text=signed_text(one.in_range))
    ]
    if one.out_of_range.estimate is not None:
        beyond = SIGN_WORDS[one.out_of_range_sign] if one.out_of_range_sign else say("not decided")
        parts.append(
            say("out of range {signed_text}, {beyond}", signed_text=signed_text(one.out_of_range), beyond=beyond)
        )
    if one.passes is not None and (one.pass_sign or one.passes.before != one.passes.after):
        shown_or_not = "" if one.pass_sign else say(", not decided")
        parts.append(
            say(
                "{before} to {after} of {n} draws pass{shown_or_not}",
                before=one.passes.before,
                after=one.passes.after,
                n=one.passes.n,
                shown_or_not=shown_or_not,
            )
        )
    return f"{_begun(change_text(one))}: {'; '.join(parts)}."


def rest_sentence(study: Study, found: Ablation) -> str:
    """Return how little the other changes can matter, and what all of this is about."""
    others, n_rest = len(found.told) - MOST_TOLD, len(found.rest)
    parts = []
    if others > 0:
        parts.append(say("{others} more, smaller, in the report", others=others))
    most = largest_of_rest(found)
    if n_rest and most is not None:
        which = (
            say("Each of the other {n_rest}", n_rest=n_rest)
            if found.told
            else say("None is shown to matter: each of {n_rest}", n_rest=n_rest)
        )
        parts.append(
            say("{which} moves a typical draw's loss in range by less than {most}", which=which, most=number_text(most))
        )
    elif n_rest:
        parts.append(say("Of the other {n_rest} no difference is shown", n_rest=n_rest))
    whose = "" if is_certified(study) else say(" of a setting that is not certified")
    parts.append(
        say(
            "Changes{whose} one at a time, not together: medians over {n} draws of their own, level 0.05 shared over "
            "{n_changes} changes",
            whose=whose,
            n=found.n,
            n_changes=len(found.changes),
        )
    )
    return ". ".join(_begun(part) for part in parts) + "."


def better_changes(study: Study) -> list[str]:
    """Return the changes that are shown to be better than the winner in range, the best first, capitalized."""
    found = ablation(study, winner_record(study))
    better = [] if found is None else [one for one in found.changes if one.in_range_sign < 0 and one.pass_sign <= 0]
    return [_begun(change_text(one)) for one in sorted(better, key=lambda one: one.in_range.estimate or 0.0)]


def is_certified(study: Study) -> bool:
    """Return whether what was changed is a certified winner."""
    return study.verdict is not None and study.verdict.certified


def change_text(one: OneChange) -> str:
    """Return what was changed, and what came along: ``"optimizer adam to sgd (learning rate 0.01 to 0.0548)"``."""
    along = []
    for key, before, after in one.along:
        if after is not None:
            moved = f"{title_text(key)} {value_text(after)}"
            along.append(
                moved
                if before is None
                else say(
                    "{title_text} {before} to {after}",
                    title_text=title_text(key),
                    before=value_text(before),
                    after=value_text(after),
                )
            )
    if one.epochs is not None:
        along.append(say("measured at epoch {epochs}", epochs=one.epochs))
    more = f" ({', '.join(along)})" if along else ""
    return say(
        "{title_text} {before} to {after}{more}",
        title_text=title_text(one.param),
        before=value_text(one.before),
        after=value_text(one.after),
        more=more,
    )


def title_text(key: str) -> str:
    """Return a hyperparameter's name."""
    return say("hidden layers") if key == "network.hidden_layer_sizes" else param_title(key)


def value_text(value: Scalar) -> str:
    """Return a hyperparameter's value, to the four digits that a search gives it."""
    return f"{value:.4g}" if isinstance(value, float) else printable(exact_text(value))


def signed_text(interval: Interval) -> str:
    """Return a difference with its ends, each with its sign: ``"+0.012 (+0.009 to +0.015)"``."""
    if interval.estimate is None:
        return interval.reason or say("not measured")
    if interval.low is None or interval.high is None:
        return _signed(interval.estimate)
    return say(
        "{signed} ({signed_2} to {signed_3})",
        signed=_signed(interval.estimate),
        signed_2=_signed(interval.low),
        signed_3=_signed(interval.high),
    )


def change_picture(found: Ablation, name: str, file_name: str, rows: tuple[tuple[Cell, ...], ...]) -> Picture:
    """Return the picture of all changes: in range and out of range side by side."""
    told = found.told
    alt = say("{name}: none of {n_changes} changes is shown to matter.", name=name, n_changes=len(found.changes))
    if told:
        alt = say(
            "{name}: shown to matter: {n_told} of {n_changes} changes. {change_sentence}",
            name=name,
            n_told=len(told),
            n_changes=len(found.changes),
            change_sentence=change_sentence(told[0]),
        )
    return Picture(
        f"{file_name}-changes",
        say(
            "{name}: median difference of each change from the winner, n = {n} draws; right of 0 it is worse. Blue "
            "and orange where a difference is shown, gray where not. Scales are linear near 0 and logarithmic beyond.",
            name=name,
            n=found.n,
        ),
        printable(alt),
        lambda: draw_changes(found, name),
        ReportTable(f"{file_name}-changes", "", COLUMNS, rows),
    )


def draw_changes(found: Ablation, name: str) -> Figure:
    """Draw a line for each change in two columns, in range and out of range."""
    from analysis.formats.style import BLACK, BLUE, ORANGE, new_figure

    height = 0.9 + 0.2 * len(found.changes)
    figure = new_figure(9.6, height)
    sides = (
        (say("in range"), BLUE, 0.37, [one.in_range for one in found.changes]),
        (say("out of range"), ORANGE, 0.7, [one.out_of_range for one in found.changes]),
    )
    for title, color, left, intervals in sides:
        axes = figure.add_axes((left, 0.5 / height, 0.28, 1.0 - 0.9 / height))
        draw_side(axes, intervals, color)
        axes.axvline(0.0, color=BLACK, linewidth=0.8)
        axes.set_xlabel(say("loss {title}, difference", title=title), fontsize=9)
        axes.set_yticks([])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
    for y, one in enumerate(found.changes):
        at = 1.0 - (0.4 + (y + 0.6) / (len(found.changes) + 0.2) * (height - 0.9)) / height
        figure.text(0.36, at, short(change_text(one), MOST_LETTERS), ha="right", va="center", fontsize=8)
    figure.suptitle(name, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def draw_side(axes: Axes, intervals: Sequence[Interval], color: str) -> None:
    """Draw the intervals of one side of the range, those that leave out 0 in a colour."""
    from analysis.formats.style import GRAY

    lines = [
        (y, one.low, one.estimate, one.high)
        for y, one in enumerate(intervals)
        if one.low is not None and one.high is not None and one.estimate is not None
    ]
    colors = [color if sign_of(intervals[y]) else GRAY for y, *_ in lines]
    axes.hlines([y for y, *_ in lines], [low for _, low, _, _ in lines], [high for *_, high in lines], color=colors,
                linewidth=2)  # fmt: skip
    axes.scatter([estimate for _, _, estimate, _ in lines], [y for y, *_ in lines], s=18, c=colors, zorder=3)
    ends = sorted(max(abs(low), abs(high)) for _, low, _, high in lines)
    if not ends or ends[-1] == 0.0:
        return
    top = math.floor(math.log10(ends[-1]))
    middle = math.floor(math.log10(max(ends[len(ends) // 2], 1e-300)))
    linear = min(max(middle, top - MOST_DECADES), top)
    axes.set_xscale("symlog", linthresh=10.0**linear, linscale=0.6)
    places = [10.0**k for k in range(top, linear - 1, -1 if top - linear < MOST_TICKS else -2)]
    ticks = [*(-place for place in places), 0.0, *places]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    # The negative side has its room only where something lies there.
    lowest = min(low for _, low, _, _ in lines)
    axes.set_xlim(1.2 * min(lowest, -(10.0**linear)), 1.2 * ends[-1])
    axes.tick_params(axis="x", labelsize=8)


def _begun(text: str) -> str:
    """Return a text as a sentence begins."""
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{number_text(abs(value))}"


def _counts(study: Study, interval: Interval) -> bool:
    return abs(interval.estimate or 0.0) >= LEAST_BEYOND * study.header.goal
