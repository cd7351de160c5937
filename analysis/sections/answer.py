"""The answer: which settings reach the goal, how surely, and which of them the Playground page can take."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.formats.blocks import (
    Block,
    Cell,
    Link,
    Missing,
    Paragraph,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    optional,
    shown,
)
from analysis.records.study import Study
from analysis.records.table import ModelScores
from analysis.sections.table import TableStudy, best_baseline, metric_title, open_table_study, score_interval
from analysis.statistics.homework import HomeworkRow, homework_rows, setting_text
from analysis.statistics.intervals import Interval
from analysis.statistics.recorded import retold
from analysis.words import later, say

PLAYGROUND = "https://playground.tensorflow.org/#"
NO_FLOOR = later("this dataset declares no floor")
COLUMNS = (
    ReportColumn("dataset", later("Data type"), "text"),
    ReportColumn("activation", later("Activation"), "text"),
    ReportColumn("batch_size", later("Batch size")),
    ReportColumn("n_hidden_layers", later("# hidden layers")),
    ReportColumn("neurons", later("# neurons"), "text"),
    ReportColumn("epochs", later("Epochs")),
    ReportColumn("train_loss", later("Training loss"), "interval"),
    ReportColumn("test_loss", later("Test loss"), "interval"),
    ReportColumn("verdict", later("Verdict"), "text"),
    ReportColumn("pass_rate", later("Pass rate"), "interval"),
    ReportColumn("attainable_pass_rate", later("Attainable pass rate")),
    ReportColumn("floor", later("Floor of the test loss")),
    ReportColumn("n", later("Draws n")),
)
PAGE_COLUMNS = (
    ReportColumn("dataset", later("Data type"), "text"),
    ReportColumn("settings", later("Enter on the page"), "text"),
    ReportColumn("train_loss", later("Its training loss"), "interval"),
    ReportColumn("test_loss", later("Its test loss"), "interval"),
    ReportColumn("verdict", later("Verdict"), "text"),
    ReportColumn("n", later("Draws n")),
    ReportColumn("url", later("Open it"), "text"),
)
TABLE_COLUMNS = (
    ReportColumn("dataset", later("Data"), "text"),
    ReportColumn("setting", later("Setting of the network"), "text"),
    ReportColumn("metric", later("Metric"), "text"),
    ReportColumn("network", later("Network, folds"), "interval"),
    ReportColumn("baseline", later("Best simple model, folds"), "interval"),
    ReportColumn("best", later("Which, folds"), "text"),
    ReportColumn("network_test", later("Network, test rows"), "interval"),
    ReportColumn("baseline_test", later("Best simple model, test rows"), "interval"),
    ReportColumn("best_test", later("Which, test rows"), "text"),
    ReportColumn("verdict", later("Verdict"), "text"),
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    opened = [open_table_study(study, label) for study, label in zip(studies, names, strict=True)]
    tables = [one for one in opened if one is not None]
    # Study by study, because two folders may hold sweeps of one name.
    rows = [
        (label, row)
        for study, label, one in zip(studies, names, opened, strict=True)
        if one is None
        for row in homework_rows([study])
    ]
    winners = [(label, row) for label, row in rows if row.setting == "winner"]
    pages = [(label, row) for label, row in rows if row.setting == "page"]
    blocks: list[Block] = []
    if winners:
        blocks.append(
            ReportTable(
                "homework",
                say(
                    "The setting found for each dataset. Every draw has its own data, split into training and test "
                    "points, initial weights and order; losses and pass rates are over n such draws, with 95 % "
                    "intervals. A draw passes if its training and its test loss are below the goal. Floor: mean test "
                    "loss of the best possible predictor; attainable pass rate: how often that predictor would pass."
                ),
                COLUMNS,
                tuple(homework_cells(row, label) for label, row in winners),
            )
        )
    if any(one.network for one in tables):
        blocks.append(
            ReportTable(
                "tables",
                say(
                    "The network found for each table beside the best simple model, in the folds that the search "
                    "chose by and on the test rows, which no search saw: each with the simple model that is best "
                    "there, and 95 % intervals over rows."
                ),
                TABLE_COLUMNS,
                tuple(table_cells(one, one.network) for one in tables if one.network),
            )
        )
    blocks += [
        Paragraph(verdict_text(study, label), "finding" if study.verdict else "missing")
        for study, label in zip(studies, names, strict=True)
    ]
    blocks += [
        Paragraph(f"{label}: {study.header.about}")
        for study, label in zip(studies, labels(studies), strict=True)
        if study.header.about
    ]
    if pages:
        blocks.append(
            ReportTable(
                "playground",
                say(
                    "The best setting that can be entered on the TensorFlow Playground page, with the address that "
                    "opens it on the first draw. The page shows one draw; the losses here are means over n."
                ),
                PAGE_COLUMNS,
                tuple(page_cells(row, label) for label, row in pages),
            )
        )
    elif winners and any(study.header.has_page for study in studies):
        blocks.append(
            Paragraph(say("No setting that can be entered on the Playground page has been found yet."), "missing")
        )
    return Section("answer", say("Every setting with its intervals"), tuple(blocks))


def homework_cells(row: HomeworkRow, label: str) -> tuple[Cell, ...]:
    """Return one row of the homework table."""
    return (
        label,
        row.activation,
        row.batch_size,
        row.n_hidden_layers,
        row.neurons,
        row.epochs,
        shown(row.train_loss),
        shown(row.test_loss),
        row.verdict,
        shown(row.pass_rate),
        optional(row.attainable_pass_rate, NO_FLOOR),
        optional(row.floor, NO_FLOOR),
        row.n_replicas,
    )


def table_cells(one: TableStudy, network: ModelScores) -> tuple[Cell, ...]:
    """Return one table's row: its network beside the best simple model, in the folds and on the test rows."""
    metric, winner, verdict = one.table.metric, one.study.winner, one.study.verdict
    best, best_test = best_baseline(one), best_baseline(one, "test")
    no_model = Interval(None, None, None, 0, "none", say("no simple model has this score"))
    return (
        one.label,
        Missing(say("no winner")) if winner is None else setting_text(winner),
        metric_title(one.table, metric),
        shown(score_interval(network, "validation", metric)),
        shown(no_model if best is None else score_interval(best, "validation", metric)),
        Missing(say("none")) if best is None else best.title,
        shown(score_interval(network, "test", metric)),
        shown(no_model if best_test is None else score_interval(best_test, "test", metric)),
        Missing(say("none")) if best_test is None else best_test.title,
        say("certified") if verdict is not None and verdict.certified else say("not certified"),
    )


def page_cells(row: HomeworkRow, label: str) -> tuple[Cell, ...]:
    """Return one row of the table of settings for the Playground page."""
    return (
        label,
        setting_text(row.record),
        shown(row.train_loss),
        shown(row.test_loss),
        row.verdict,
        row.n_replicas,
        page_link(row.playground_url),
    )


def page_link(url: str | None) -> Link | Missing:
    """Return the link to the Playground page; a record keeps the page's hash, with or without the page before it."""
    if not url:
        return Missing(say("the page cannot express it"))
    return Link(say("Playground page"), url if "://" in url else PLAYGROUND + url.lstrip("#"))


def verdict_text(study: Study, label: str) -> str:
    """Return the study's verdict as one sentence, or why there is none."""
    if study.verdict is not None:
        return f"{label}: {retold(study.verdict.text)}"
    done = len(study.trials)
    if not done:
        return say("{label}: no trial has finished yet.", label=label)
    failed = [record for record in study.trials if record.state == "failed"]
    if len(failed) == done:
        return say(
            "{label}: all {done} trials failed; the first because: {reason}",
            label=label,
            done=done,
            reason=failed[0].reason or say("no reason recorded"),
        )
    return say("{label}: not finished; {done} trials so far, no certificate yet.", label=label, done=done)
