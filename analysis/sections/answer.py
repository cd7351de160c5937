"""The answer: which settings reach the goal, how surely, and which of them the Playground page can take."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.records import Study
from analysis.sections.blocks import (
    Block,
    Cell,
    Column,
    Link,
    Missing,
    Section,
    Table,
    Text,
    labels,
    optional,
    shown,
)
from analysis.tables import HomeworkRow, homework_rows, setting_text

PLAYGROUND = "https://playground.tensorflow.org/#"
NO_FLOOR = "this dataset declares no floor"
COLUMNS = (
    Column("dataset", "Data type", "text"),
    Column("activation", "Activation", "text"),
    Column("batch_size", "Batch size"),
    Column("n_hidden_layers", "# hidden layers"),
    Column("neurons", "# neurons", "text"),
    Column("epochs", "Epochs"),
    Column("train_loss", "Training loss", "interval"),
    Column("test_loss", "Test loss", "interval"),
    Column("verdict", "Verdict", "text"),
    Column("pass_rate", "Pass rate", "interval"),
    Column("attainable_pass_rate", "Attainable pass rate"),
    Column("floor", "Floor of the test loss"),
    Column("n", "Draws n"),
)
PAGE_COLUMNS = (
    Column("dataset", "Data type", "text"),
    Column("settings", "Enter on the page", "text"),
    Column("train_loss", "Training loss", "interval"),
    Column("test_loss", "Test loss", "interval"),
    Column("verdict", "Verdict", "text"),
    Column("n", "Draws n"),
    Column("url", "Open it", "text"),
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    # Study by study, because two folders may hold sweeps of one name.
    rows = [
        (label, row) for study, label in zip(studies, labels(studies), strict=True) for row in homework_rows([study])
    ]
    winners = [(label, row) for label, row in rows if row.setting == "winner"]
    pages = [(label, row) for label, row in rows if row.setting == "page"]
    blocks: list[Block] = []
    if winners:
        blocks.append(
            Table(
                "homework",
                "The setting found for each dataset. Every draw has its own data, split into training and test points, "
                "initial weights and order; losses and pass rates are over n such draws, with 95 % intervals. A draw "
                "passes if its training and its test loss are below the goal. Floor: mean test loss of the best "
                "possible predictor; attainable pass rate: how often that predictor would pass.",
                COLUMNS,
                tuple(homework_cells(row, label) for label, row in winners),
            )
        )
    blocks += [
        Text(verdict_text(study, label), "finding" if study.verdict else "missing")
        for study, label in zip(studies, labels(studies), strict=True)
    ]
    if pages:
        blocks.append(
            Table(
                "playground",
                "The best setting that can be entered on the TensorFlow Playground page, with the address that opens "
                "it on the first draw. The page shows one draw; the losses here are means over n.",
                PAGE_COLUMNS,
                tuple(page_cells(row, label) for label, row in pages),
            )
        )
    elif winners and any(study.header.data.get("kind", "playground") == "playground" for study in studies):
        blocks.append(Text("No setting that can be entered on the Playground page has been found yet.", "missing"))
    return Section("answer", "The answer", tuple(blocks))


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
        return Missing("the page cannot express it")
    return Link("Playground page", url if "://" in url else PLAYGROUND + url.lstrip("#"))


def verdict_text(study: Study, label: str) -> str:
    """Return the study's verdict as one sentence, or why there is none."""
    if study.verdict is not None:
        return f"{label}: {study.verdict.text}"
    done = len(study.trials)
    if not done:
        return f"{label}: no trial has finished yet."
    failed = [record for record in study.trials if record.state == "failed"]
    if len(failed) == done:
        return f"{label}: all {done} trials failed; the first because: {failed[0].reason or 'no reason recorded'}"
    return f"{label}: not finished; {done} trials so far, no certificate yet."
