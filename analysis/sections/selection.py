"""Does choosing by the in-range loss help out of range? Rules by name, their price, rank correlation, importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    labels,
    number_text,
    param_title,
    shown,
    study_files,
)
from analysis.records.study import Study, StudyHeader
from analysis.records.table import is_table
from analysis.statistics.bounded import loss_bound, loss_interval
from analysis.statistics.homework import LEAST_POINTS, setting_text
from analysis.statistics.intervals import Interval
from analysis.statistics.selection import (
    EVALUATOR,
    LEAST_TRIALS_FOR_CORRELATION,
    RULES,
    Candidates,
    Choice,
    Importance,
    Importances,
    candidates,
    choices,
    correlations,
    importances,
    mean_losses,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_TRIALS = 3
MOST_MARKS = 1200
MOST_ACTIVATIONS = 6
SEED_IMPORTANCE = 31
RULE_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("rule", "Chosen by", "text"),
    ReportColumn("trial", "Trial"),
    ReportColumn("setting", "Setting", "text"),
    ReportColumn("n_parameters", "Parameters"),
    ReportColumn("in_range", "Search loss in range", "interval"),
    ReportColumn("out_of_range", "Search loss out of range", "interval"),
    ReportColumn("price", "Price of not knowing", "interval"),
)
CORRELATION_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("by", "Trials grouped by", "text"),
    ReportColumn("group", "Group", "text"),
    ReportColumn("rank_correlation", "Rank correlation", "interval"),
    ReportColumn("n", "Trials n"),
)
IMPORTANCE_COLUMNS = (
    ReportColumn("param", "Hyperparameter", "text"),
    ReportColumn("in_range", "In range"),
    ReportColumn("in_range_se", "Standard error"),
    ReportColumn("out_of_range", "Out of range"),
    ReportColumn("out_of_range_se", "Standard error there"),
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "What each way of choosing takes from one and the same search. The oracle chooses by the loss out of "
            "range, which no search may see; it stands here to say what not knowing costs. For that price half of the "
            "draws are judged by what the other half chooses, and the other way round, so that neither side is "
            "flattered. Losses are the search's own: those a rule chose by flatter."
        )
    ]
    rules: list[tuple[Cell, ...]] = []
    groups: list[tuple[Cell, ...]] = []
    findings: list[Block] = []
    rest: list[Block] = []
    for study, name, scatter_name, importance_name in zip(
        studies, names, study_files("scatter", studies), study_files("importance", studies), strict=True
    ):
        data = candidates(study.trials)
        n = 0 if data is None else len(data.records)
        if data is None or n < LEAST_TRIALS:
            plural = "" if n == 1 else "s"
            findings.append(
                Paragraph(f"{name}: not shown: {n} complete trial{plural}; a choice takes {LEAST_TRIALS}.", "missing")
            )
            continue
        bounds = np.array([loss_bound(study.header, record) for record in data.records])
        chosen = choices(data, None if is_table(study) else bounds)
        rules += [rule_cells(study.header, choice, data, name) for choice in chosen]
        found = correlations(data)
        groups += [
            (name, one.by, one.group, shown(one.rank_correlation), one.rank_correlation.n)
            for one in found
            if one.by == "all" or one.rank_correlation.n >= LEAST_TRIALS_FOR_CORRELATION
        ]
        findings.append(Paragraph(f"{name}: {finding(chosen)} {order_finding(found[0].rank_correlation)}", "finding"))
        rest += [Heading(name), scatter_block(data, chosen, name, scatter_name)]
        rest.append(importance_block(data, name, importance_name))
    if rules:
        blocks.append(
            ReportTable(
                "selection",
                "What each rule chooses among the complete trials of each search, with 95 % intervals over draws. "
                "The loss by which a rule chose flatters. Price: loss out of range minus that of the oracle's choice, "
                "paired by draw, each judged on the half of the draws that had no part in the choice.",
                RULE_COLUMNS,
                tuple(rules),
            )
        )
    blocks += findings
    if groups:
        blocks.append(
            ReportTable(
                "rank-correlation",
                "Does the order of trials by loss in range tell their order out of range? Spearman's rank correlation "
                "of the two mean losses over trials, with its 95 % Bonett-Wright interval. A sampler's trials are no "
                "random sample: the figure is of this search. Groups of fewer than "
                f"{LEAST_TRIALS_FOR_CORRELATION} trials are left out.",
                CORRELATION_COLUMNS,
                tuple(groups),
            )
        )
    return Section("selection", "Does choosing in range help out of range?", (*blocks, *rest))


def rule_cells(header: StudyHeader, choice: Choice, data: Candidates, name: str) -> tuple[Cell, ...]:
    """Return the row of one rule."""
    seen = {"in_range": data.in_range, "oracle": data.out_of_range}.get(choice.rule.name)
    if seen is not None and np.isnan(seen).all():
        side = "out of" if choice.rule.oracle else "in"
        return (
            name,
            choice.rule.title,
            Missing(f"not shown: fewer than {LEAST_POINTS} points {side} range"),
            *[""] * 5,
        )
    i = data.records.index(choice.record)
    price: Cell = Missing("it is the oracle") if choice.rule.oracle else shown(choice.price)
    return (
        name,
        choice.rule.title,
        choice.record.number,
        setting_text(choice.record),
        choice.n_parameters,
        shown(loss_interval(header, choice.record, data.in_range[i])),
        shown(loss_interval(header, choice.record, data.out_of_range[i])),
        price,
    )


def finding(chosen: Sequence[Choice]) -> str:
    """Return what choosing by the test loss costs out of range, as a sentence."""
    price = next(choice.price for choice in chosen if choice.rule.name == "test")
    if price.estimate is None or price.low is None or price.high is None:
        return f"price of not knowing not shown: {price.reason or 'no interval'}."
    text = (
        f"choosing by test loss costs {number_text(price.estimate)} "
        f"({number_text(price.low)} to {number_text(price.high)}, n = {price.n} draws) out of range against the oracle"
    )
    if price.high < 0:
        return f"{text}: half of the draws were too few for the oracle to choose better."
    return f"{text}." if price.low > 0 else f"{text}: not to be told from nothing."


def order_finding(correlation: Interval) -> str:
    """Return whether the order of trials in range is their order out of range, as a sentence."""
    r = correlation.estimate
    if r is None:
        return f"Rank correlation not shown: {correlation.reason}."
    text = f"rank correlation {number_text(r)}"
    if correlation.low is None or correlation.high is None:
        return f"The {text} has no interval: {correlation.reason}."
    text += f" ({number_text(correlation.low)} to {number_text(correlation.high)}, n = {correlation.n} trials)"
    if correlation.low > 0:
        return f"The lower a trial in range, the lower out of range: {text}."
    if correlation.high < 0:
        return f"The lower a trial in range, the higher out of range: {text}."
    return f"The order in range says nothing sure of the order out of range: {text}."


def scatter_block(data: Candidates, chosen: Sequence[Choice], name: str, file_name: str) -> Block:
    """Return the picture of all trials' losses in range and out of range, or why there is none."""
    inside, outside = mean_losses(data.in_range), mean_losses(data.out_of_range)
    there = np.flatnonzero(np.isfinite(inside) & np.isfinite(outside))
    if len(there) < LEAST_TRIALS:
        n = len(there)
        return Paragraph(
            f"{name}: scatter not shown: {n} trial{'' if n == 1 else 's'} with a loss on both sides.", "missing"
        )
    rules: dict[int, list[str]] = {}
    for choice in chosen:
        rules.setdefault(choice.record.number, []).append(choice.rule.name)
    rows = tuple(
        (
            data.records[i].number,
            float(inside[i]),
            float(outside[i]),
            str(data.records[i].network["activation"]),
            len(data.records[i].network["hidden_layer_sizes"]),
            ", ".join(rules.get(data.records[i].number, [])),
        )
        for i in there.tolist()
    )
    best = min(rows, key=lambda row: row[1])
    oracle = min(rows, key=lambda row: row[2])
    told = f"trial {best[0]}, the lowest in range at {number_text(best[1])}, has {number_text(best[2])} out of range"
    if oracle[0] == best[0]:
        told += ", the lowest there too"
    else:
        told += f"; the lowest out of range is trial {oracle[0]}, "
        told += f"{number_text(oracle[2])} at {number_text(oracle[1])} in range"
    caption = f"{name}: {len(rows)} trials, n = {data.test.shape[1]} draws each; {told}."
    drawn = thinned(rows)
    if len(drawn) < len(rows):
        caption += f" {len(drawn)} marks are drawn; the CSV file has all."
    table = ReportTable(
        file_name,
        "",
        (
            ReportColumn("trial", "Trial"),
            ReportColumn("in_range", "Mean loss in range"),
            ReportColumn("out_of_range", "Mean loss out of range"),
            ReportColumn("activation", "Activation", "text"),
            ReportColumn("n_hidden_layers", "Hidden layers"),
            ReportColumn("chosen_by", "Chosen by", "text"),
        ),
        rows,
    )
    return Picture(file_name, caption, f"{name}: {told}.", lambda: draw_scatter(drawn, name), table)


Row = tuple[int, float, float, str, int, str]


def thinned(rows: Sequence[Row]) -> list[Row]:
    """Return at most about `MOST_MARKS` rows, the chosen ones among them."""
    if len(rows) <= MOST_MARKS:
        return list(rows)
    kept = set(np.linspace(0, len(rows) - 1, MOST_MARKS).round().astype(int).tolist())
    return [row for i, row in enumerate(rows) if i in kept or row[5]]


def draw_scatter(rows: Sequence[Row], name: str) -> Figure:
    """Draw the trials: colour by activation, mark by depth, a ring with the rules that choose it."""
    from analysis.formats.style import (
        BLACK,
        COLORS,
        GRAY,
        GREEN,
        PURPLE,
        RED,
        framed_axes,
        new_figure,
        plain_ticks,
    )

    figure = new_figure(8.6, 4.2)
    axes = framed_axes(figure, 0.8, 0.55, 2.8, 0.35)
    activations = sorted({row[3] for row in rows}, key=lambda one: (-sum(row[3] == one for row in rows), one))
    shown_ones = activations[:MOST_ACTIVATIONS]
    for activation in [*shown_ones, *(["others"] if len(activations) > len(shown_ones) else [])]:
        color = COLORS[shown_ones.index(activation)] if activation in shown_ones else GRAY
        label: str | None = activation
        for marker, depths in (("o", (0, 1)), ("s", (2,)), ("^", (3,)), ("D", range(4, 1000))):
            mine = [
                row
                for row in rows
                if row[4] in depths and (row[3] == activation if activation in shown_ones else row[3] not in shown_ones)
            ]
            if mine:
                axes.plot(
                    [row[1] for row in mine],
                    [row[2] for row in mine],
                    marker,
                    color=color,
                    label=label,
                    markersize=5,
                    alpha=0.8,
                    markeredgewidth=0,
                )
                label = None
    marks = axes.get_legend_handles_labels()[0]
    rings = []
    for i, (rule, color) in enumerate(zip(RULES, (BLACK, GRAY, PURPLE, GREEN, RED), strict=True)):
        mine = [row for row in rows if rule in row[5].split(", ")]
        rings += axes.plot(
            [row[1] for row in mine],
            [row[2] for row in mine],
            "o",
            color="none",
            markeredgecolor=color,
            markersize=9 + 3 * i,
            markeredgewidth=1.5,
            label=rule.replace("_", " "),
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_title(name)
    axes.set_xlabel("mean loss in range (logarithmic)")
    axes.set_ylabel("mean loss out of range (logarithmic)")
    left = axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(1.01, 1.02), title="activation", alignment="left"
    )
    axes.add_artist(left)
    axes.legend(handles=rings, loc="upper left", bbox_to_anchor=(1.24, 1.02), title="chosen by", alignment="left")
    axes.text(
        1.03,
        0.02,
        "circle: 1 hidden layer\nsquare: 2, triangle: 3\ndiamond: more",
        transform=axes.transAxes,
        fontsize=9,
    )
    return figure


def importance_block(data: Candidates, name: str, file_name: str) -> Block:
    """Return the picture of what matters in range and what out of range, or why there is none."""
    rng = np.random.default_rng(SEED_IMPORTANCE)
    inside, outside = importances(data, "in_range", rng), importances(data, "out_of_range", rng)
    sides = (("in range", inside), ("out of range", outside))
    told = [f"on {param_title(found.rows[0].param)} {side}" for side, found in sides if found.rows]
    reasons = [f"{side}, {found.reason}" for side, found in sides if found.reason is not None]
    if inside.reason is not None and inside.reason == outside.reason:
        reasons = [inside.reason]
    if not told:
        return Paragraph(f"{name}: importance of hyperparameters not shown: {'; '.join(reasons)}.", "missing")
    explained = [f"{100 * (found.explained or 0):.0f} % {side}" for side, found in sides if found.rows]
    caption = (
        f"{name}, {inside.n} trials: most hangs {', '.join(told)}. Evaluator: {EVALUATOR}, of the log of the mean loss "
        f"(lines: one standard error over folds). Share of held-out trials' variance explained: {', '.join(explained)}."
    )
    if reasons:
        caption += f" Not shown: {'; '.join(reasons)}."
    by_side = [{row.param: row for row in found.rows} for _, found in sides]
    params = list(dict.fromkeys(row.param for _, found in sides for row in found.rows))
    rows = tuple(
        (param, *(cell for rows, (_, found) in zip(by_side, sides, strict=True) for cell in shares(rows, param, found)))
        for param in params
    )
    table = ReportTable(file_name, "", IMPORTANCE_COLUMNS, rows)
    alt = f"{name}: most hangs {', '.join(told)}; {inside.n} trials."
    return Picture(file_name, caption, alt, lambda: draw_importance(inside, outside, params, name), table)


def shares(rows: Mapping[str, Importance], param: str, found: Importances) -> tuple[Cell, Cell]:
    """Return one hyperparameter's importance and its standard error on one side, or why there is none."""
    row = rows.get(param)
    if row is None:
        return (Missing(found.reason or "not measured"),) * 2
    return row.share, row.standard_error


def draw_importance(inside: Importances, outside: Importances, params: Sequence[str], name: str) -> Figure:
    """Draw the importances of both sides, one hyperparameter a line."""
    from analysis.formats.style import BLUE, ORANGE, framed_axes, new_figure

    figure = new_figure(8.6, 1.2 + 0.3 * len(params))
    axes = framed_axes(figure, 2.4, 0.55, 1.5, 0.35)
    for found, shift, color, label in ((inside, -0.18, BLUE, "in range"), (outside, 0.18, ORANGE, "out of range")):
        rows = found.rows
        if not rows:
            continue
        places = [params.index(row.param) + shift for row in rows]
        shares = [100 * row.share for row in rows]
        axes.barh(places, shares, 0.34, color=color, label=label)
        errors = [100 * row.standard_error for row in rows]
        axes.hlines(
            places,
            [share - error for share, error in zip(shares, errors, strict=True)],
            [share + error for share, error in zip(shares, errors, strict=True)],
            color="black",
            linewidth=1,
        )
    axes.set_yticks(range(len(params)), [param_title(param) for param in params])
    axes.set_ylim(len(params) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_title(name)
    axes.set_xlabel("error added by shuffling it, % of the variance of the log loss")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
