"""Table studies: what the columns became, and the network against simple models in the user's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    shown,
    study_files,
)
from analysis.records.metric_words import METRIC_WORDS
from analysis.records.study import Study
from analysis.records.table import (
    TABLE_NAME,
    ModelScores,
    RowDifference,
    TableRecord,
    is_table,
    read_table_record,
    table_path,
)
from analysis.statistics.intervals import Interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = later("The table: network against simple models")
NETWORK = "network"
MOST_CLASSES = 12
"""Classes up to which a confusion table is shown."""
PARTS = {
    "validation": later("in range: validation rows of the folds"),
    "out_of_range": later("out of range: held-out rows"),
    "test": later("test rows: all"),
    "test_in_range": later("test rows: in range"),
    "test_out_of_range": later("test rows: out of range"),
}
ROLES = {
    "number": "a number, standardized",
    "category": "one input for each value",
    "boolean": "0 or 1, standardized",
    "date": "days since 1970-01-01, standardized",
}
COLUMN_COLUMNS = (
    ReportColumn("column", "Column", "text"),
    ReportColumn("role", "Taken for", "text"),
    ReportColumn("becomes", "Becomes", "text"),
    ReportColumn("reason", "Why", "text"),
    ReportColumn("missing", "Missing"),
    ReportColumn("distinct", "Different values"),
)


@dataclass(frozen=True, slots=True)
class TableStudy:
    """A table study as the report sees it.

    Parameters
    ----------
    study : Study
        Its log.
    label : str
        What the report calls it.
    table : TableRecord
        What stands beside the log.
    """

    study: Study
    label: str
    table: TableRecord

    @property
    def baselines(self) -> tuple[ModelScores, ...]:
        """The simple models."""
        return tuple(model for model in self.table.models if model.name != NETWORK)

    @property
    def network(self) -> ModelScores | None:
        """The winner, or None before there is one."""
        return self.table.model(NETWORK)


def open_table_study(study: Study, label: str) -> TableStudy | None:
    """Return a study's table side, or None where it has none."""
    path = table_path(study)
    return None if path is None else TableStudy(study, label, read_table_record(path))


def build(studies: Sequence[Study]) -> Section:
    """Return the section; without blocks where no study is of a table."""
    blocks: list[Block] = []
    names = labels(studies)
    for study, label, slug in zip(studies, names, study_files("table", studies), strict=True):
        if not is_table(study):
            continue
        one = open_table_study(study, label)
        if one is None:
            missing = f"{label}: not shown: {TABLE_NAME} is not beside its log; the sweep's command writes it again."
            blocks.append(Paragraph(missing, "missing"))
        else:
            blocks += study_blocks(one, slug)
    return Section("table", TITLE, tuple(blocks))


def study_blocks(one: TableStudy, slug: str) -> list[Block]:
    """Return the blocks of one study."""
    table = one.table
    blocks: list[Block] = [Heading(one.label)]
    blocks += [Paragraph(warning_text(text), "finding") for text in table.warnings]
    blocks += [Paragraph(text, "finding") for text in findings(one)]
    blocks += [Paragraph(text) for text in plan_sentences(one)]
    blocks.append(Paragraph(f"Preprocessing: {table.preprocessing}.", "finding" if table.leaks else "plain"))
    if table.notes:
        blocks.append(
            ReportTable(
                f"{slug}-notes",
                "Noticed while reading.",
                (ReportColumn("note", "Note", "text"),),
                tuple((note,) for note in table.notes),
            )
        )
    blocks.append(
        ReportTable(
            f"{slug}-columns",
            f"What became of the {len(table.columns)} columns beside the target: {table.n_inputs} network inputs.",
            COLUMN_COLUMNS,
            tuple(
                (
                    column.name,
                    column.role,
                    ROLES.get(column.role, "used") if column.used else "left out",
                    column.reason,
                    column.n_missing,
                    column.n_distinct,
                )
                for column in table.columns
            ),
        )
    )
    if not one.table.models:
        blocks.append(
            Paragraph(say("Scores are not shown: no simple model has been fitted and no network certified."), "missing")
        )
        return blocks
    if one.network is None:
        words = say("The network is not shown beside them: no network has been certified yet.")
        blocks.append(Paragraph(words, "missing"))
    blocks.append(score_table(one, slug))
    picture = score_picture(one, slug)
    if picture is not None:
        blocks.append(picture)
    return blocks + confusion_blocks(one, slug)


# Scores


def score_interval(model: ModelScores, part: str, metric: str) -> Interval:
    """Return a score on one part of the rows, with its 95 % interval over rows (or groups of them)."""
    there = model.parts.get(part)
    one = None if there is None else there.scores.get(metric)
    if one is None or one.value is None:
        reason = say("not measured") if one is None else one.method
        return Interval(None, None, None, 0, "none", reason)
    return Interval(one.value, one.low, one.high, one.n_units, one.method, one.method if one.low is None else None)


def best_baseline(one: TableStudy, part: str = "validation") -> ModelScores | None:
    """Return the baseline with the best score in the goal's metric on some rows, the first among equals."""
    words, best, value = METRIC_WORDS[one.table.metric], None, math.nan
    for model in one.baselines:
        estimate = score_interval(model, part, one.table.metric).estimate
        if estimate is not None and (best is None or words.is_better(estimate, value)):
            best, value = model, estimate
    return best


def metric_title(table: TableRecord, metric: str) -> str:
    """Return a metric's heading, with the target where it is in the target's unit."""
    words = METRIC_WORDS[metric]
    return f"{words.title} ({table.target.name})" if words.has_unit else words.title


def findings(one: TableStudy) -> list[str]:
    """Return what the study found, in sentences that can be quoted."""
    best = best_baseline(one)
    if one.network is None or best is None:
        return []
    ours = score_interval(one.network, "validation", one.table.metric)
    if ours.estimate is None:
        title = METRIC_WORDS[one.table.metric].title
        return [say("{label}: the network has no {title} in some fold; not compared.", label=one.label, title=title)]
    told = _part_finding(one, "validation", say("in the folds"), one.table.fold_differences)
    sentences = [say("{told} The search chose the network by these folds, which flatters it.", told=told)]
    where = say("on {n} test rows that no search saw", n=one.table.n_test_rows)
    tested = _part_finding(one, "test", where, one.table.test_differences)
    return sentences + [text for text in (tested, _range_finding(one, best)) if text]


def _part_finding(one: TableStudy, part: str, where: str, differences: Sequence[RowDifference]) -> str:
    """Return the network's score beside the best simple model's, and what pairs of rows say of every simple model."""
    best, metric = best_baseline(one, part), one.table.metric
    if one.network is None or best is None:
        return ""
    ours, theirs = (score_interval(model, part, metric) for model in (one.network, best))
    if ours.estimate is None:
        return ""
    told = say(
        "{label}: {where}, {metric} {ours}; the best simple model there, {model}, has {theirs}",
        label=one.label,
        where=where,
        metric=METRIC_WORDS[metric].title,
        ours=_with_ends(ours),
        model=best.title,
        theirs=_with_ends(theirs),
    )
    titles = {model.name: model.title for model in one.baselines}
    compared = [
        say(
            "{words} ({loss} differs by {difference}, {low} to {high}, {method})",
            words=row.words(titles.get(row.baseline, row.baseline)),
            loss=row.loss,
            difference=number_text(row.difference),
            low=number_text(row.low),
            high=number_text(row.high),
            method=row.method,
        )
        for row in differences
    ]
    if not compared:
        return say(
            "{told}; differences row by row are not shown: too few rows, or the metric is no mean over rows.", told=told
        )
    return say("{told}. Row by row the network is {compared}.", told=told, compared="; ".join(compared))


def _range_finding(one: TableStudy, best: ModelScores) -> str:
    assert one.network is not None
    network, metric = one.network, one.table.metric
    outside = score_interval(network, "out_of_range", metric)
    inside = score_interval(network, "validation", metric)
    if outside.estimate is None or inside.estimate is None:
        return ""
    told = say(
        "{label}: out of range, the network's {metric} is {outside}, in range {inside}",
        label=one.label,
        metric=METRIC_WORDS[metric].title,
        outside=_with_ends(outside),
        inside=number_text(inside.estimate),
    )
    theirs = score_interval(best, "out_of_range", metric)
    if theirs.estimate is not None:
        told += say("; out of range the same simple model has {theirs}", theirs=_with_ends(theirs))
    return f"{told}."


def _with_ends(interval: Interval) -> str:
    assert interval.estimate is not None
    if interval.low is None or interval.high is None:
        return number_text(interval.estimate)
    ends = say(" ({low} to {high})", low=number_text(interval.low), high=number_text(interval.high))
    return f"{number_text(interval.estimate)}{ends}"


def score_table(one: TableStudy, slug: str) -> ReportTable:
    """Return every model's scores on every part, in the user's units."""
    table = one.table
    metrics = [name for name in METRIC_WORDS if any(name in model.validation for model in one.table.models)]
    rows: list[tuple[Cell, ...]] = []
    for model in table.models:
        for part, name in PARTS.items():
            if part in model.parts:
                cells = [shown(score_interval(model, part, metric)) for metric in metrics]
                rows.append((model.title, f"{name}, n = {model.parts[part].n_rows}", *cells))
        rows += (
            [(model.title, say("no score"), *[Missing(say("not measured"))] * len(metrics))] if not model.parts else []
        )
    how = "; ".join(
        f"{model.title}: {' / '.join(dict.fromkeys(model.words))}" for model in one.table.models if model.words
    )
    return ReportTable(
        f"{slug}-scores",
        say(
            "Scores in the target's own unit with 95 % intervals over rows (groups of them where the folds keep groups "
            "together), found in one way for all models. Folds: every row is predicted by models that did not train on "
            "it, a network's seeds count with their mean loss in a row. Models of different folds share training rows, "
            "which no interval here knows of. Test rows: the mean prediction of all networks; simple models fitted on "
            "all other rows. {how}.",
            how=how,
        ),
        (
            ReportColumn("model", say("Model"), "text"),
            ReportColumn("rows", say("Rows"), "text"),
            *(ReportColumn(metric, metric_title(table, metric), "interval") for metric in metrics),
        ),
        tuple(rows),
    )


def score_picture(one: TableStudy, slug: str) -> Picture | None:
    """Return the goal's metric of every model in and out of range as a picture, or None without a number."""
    metric = one.table.metric
    points = [
        (model.title, part, score_interval(model, part, metric))
        for model in one.table.models
        for part in ("validation", "out_of_range")
        if part in model.parts
    ]
    points = [point for point in points if point[2].estimate is not None]
    if not points:
        return None
    title = metric_title(one.table, metric)
    alt = "; ".join(f"{name}, {_side(part)}: {_with_ends(interval)}" for name, part, interval in points)
    return Picture(
        f"{slug}-models",
        say(
            "{label}: {title} of every model on the validation rows of all folds and on the held-out rows, with 95 % "
            "intervals over rows; higher is better."
            if METRIC_WORDS[metric].higher_is_better
            else "{label}: {title} of every model on the validation rows of all folds and on the held-out rows, with "
            "95 % intervals over rows; lower is better.",
            label=one.label,
            title=title,
        ),
        f"{title}: {alt}.",
        lambda: draw_scores(points, title),
        ReportTable(
            f"{slug}-models",
            "",
            (
                ReportColumn("model", say("Model"), "text"),
                ReportColumn("rows", say("Rows"), "text"),
                ReportColumn(metric, title, "interval"),
            ),
            tuple((name, str(PARTS[part]), interval) for name, part, interval in points),
        ),
    )


def _side(part: str) -> str:
    return str(PARTS[part]).partition(":")[0]


def draw_scores(points: Sequence[tuple[str, str, Interval]], title: str) -> Figure:
    """Draw one line a model, blue in range and orange out of range."""
    from analysis.formats.style import BLUE, ORANGE, framed_axes, new_figure

    names = list(dict.fromkeys(name for name, _, _ in points))
    figure = new_figure(8.0, 1.1 + 0.5 * len(names))
    axes = framed_axes(figure, 1.9, 0.55, 0.2, 0.4)
    labelled: set[str] = set()
    for name, part, interval in points:
        assert interval.estimate is not None
        inside = part == "validation"
        color, y = (BLUE, names.index(name) - 0.14) if inside else (ORANGE, names.index(name) + 0.14)
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [y, y], color=color, linewidth=3)
        label = None if part in labelled else _side(part)
        labelled.add(part)
        axes.plot([interval.estimate], [y], "o" if inside else "s", color=color, markersize=8, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(title)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="upper left", ncols=2)
    return figure


def confusion_blocks(one: TableStudy, slug: str) -> list[Block]:
    """Return the confusion table of the network, else of the best baseline, if the target has classes."""
    classes = one.table.target.classes
    model = one.network if one.network is not None else best_baseline(one)
    if not classes or model is None or not model.confusion:
        return []
    if len(classes) > MOST_CLASSES:
        return [
            Paragraph(f"The confusion table is not shown: {len(classes)} classes, up to {MOST_CLASSES} fit.", "missing")
        ]
    return [
        ReportTable(
            f"{slug}-confusion",
            say(
                "Confusion table of the {title}: rows of each class (down) taken for each class (across), every row of "
                "the folds once, by models that did not train on it.",
                title=model.title,
            ),
            (
                ReportColumn("class", say("True class"), "text"),
                *(ReportColumn(f"taken_for_{i}", say("taken for {name}", name=name)) for i, name in enumerate(classes)),
                ReportColumn("share_right", say("Share right")),
            ),
            tuple(
                (name, *counts, counts[i] / sum(counts) if sum(counts) else Missing(say("no row")))
                for i, (name, counts) in enumerate(zip(classes, model.confusion, strict=True))
            ),
        )
    ]


# The plan in words


def warning_text(text: str) -> str:
    """Return a warning as a sentence."""
    return say("Warning: {text}.", text=text)


def plan_sentences(one: TableStudy) -> list[str]:
    """Return what was read, predicted and held back, one sentence a subject."""
    table = one.table
    files = "; ".join(
        f"{file.name} ({file.n_rows} rows, {file.n_columns} columns, SHA-256 {file.sha256[:12]}"
        f"{', test rows' if file.use == 'test' else ''})"
        for file in table.files
    )
    target = table.target
    learnt = "" if target.transform == "none" else f", learnt as {target.transform.replace('_', ' and ')}"
    kinds = f" ({len(target.classes)} classes)" if target.classes else ""
    folds = f"{table.n_fold_rows} rows in {table.n_folds} {table.fold_kind} folds, {table.n_seeds} seeds each: "
    folds += f"{table.n_folds * table.n_seeds} networks a trial. "
    if table.n_test_rows:
        looks = table.n_test_looks
        folds += f"Test rows: {table.n_test_rows} ({table.test_origin}), set aside before anything looked; "
        if table.has_test_targets:
            folds += f"scored {'once' if looks == 1 else f'{looks} times'} since. "
        else:
            folds += "their targets are not known here. "
    else:
        folds += "No test rows. "
    end = table.held_out
    if end is None:
        folds += "Nothing held out as out of range."
    elif end.feature is None:
        folds += f"Out of range: the {end.n_rows} rows farthest from the middle of all features, held out beforehand."
    elif end.rule == "value":
        folds += f"Out of range: the {end.n_rows} rows with {end.feature} {end.value}, held out beforehand."
    elif end.rule == "each":
        folds += (
            f"Out of range: each {end.feature} in turn ({end.value}), one a fold, whose networks saw none of its rows."
        )
    else:
        side = "above" if end.rule == "top" else "below"
        folds += f"Out of range: the {end.n_rows} rows with {end.feature} {side} {end.bound:.6g}, "
        folds += "held out beforehand."
    if end is not None and end.n_kept:
        folds += f" {end.n_kept} rows as far out stay in range: no class gives more than its share."
    return [
        f"Read: {files}.",
        f"Predicted: {target.name}, a {target.task}{kinds}, as {target.reason}{learnt}. Goal: {table.goal}"
        + (f" ({METRIC_WORDS[table.metric].title} {number_text(table.goal_value)})" if table.goal_value else "")
        + ".",
        folds,
    ]
