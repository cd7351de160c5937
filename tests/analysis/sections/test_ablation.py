"""What cards and the report say of a winner's changes, on planted records."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import html5lib
import pytest
import record_builders as build

from analysis.formats.blocks import Paragraph, Picture, ReportTable
from analysis.formats.markdown import markdown_card
from analysis.formats.plain import card_sentences
from analysis.records.study import Study
from analysis.report import render, write_report
from analysis.sections import ablation as section
from analysis.sections.cards import card_of
from analysis.statistics.ablation import ablation


@pytest.fixture(scope="module")
def study() -> Study:
    return build.ablated(build.finished_study("xor", n_trials=12, n_certificate=24))


def test_a_card_names_what_matters_and_how_little_the_rest_can(study: Study) -> None:
    told, rest = card_of(study).changes
    assert told == (
        "Activation relu to linear: worse, in range +0.0494 (+0.0484 to +0.0507); out of range -0.000174 (-0.00108 to "
        "+0.00126), not decided; 32 to 0 of 32 draws pass."
    )
    assert rest == (
        "Each of the other 2 moves a typical draw's loss in range by less than 0.00203. Changes one at a time, not "
        "together: medians over 32 draws of their own, level 0.05 shared over 3 changes."
    )
    assert card_of(study).changes_short == (
        "Loss with one change, in and out of range: activation relu to linear +0.0494 and -0.000174; 2 others not "
        "shown to matter, each below 0.00203 in range (medians, n = 32)."
    )


def test_page_markdown_and_terminal_say_the_same(study: Study) -> None:
    card = card_of(study)
    page = html5lib.parse(render([study]).files["index.html"].decode())
    article = next(one for one in page.iter() if one.get("class") == "card")
    texts = ["".join(article.itertext()), markdown_card(card).replace("\\", ""), " ".join(card_sentences(card).split())]
    for text in texts:
        for sentence in card.changes:
            assert f"Change: {sentence}" in text
    assert card.changes_short in texts[0]
    assert "One change at a time, and what to try next" in texts[0]


def test_a_searchs_trials_are_named_apart_and_silent_where_they_tell_nothing(study: Study) -> None:
    assert card_of(study).why == ()
    assert not any(text.startswith("Which hyperparameters matter") for text in card_of(study).next_steps)
    told = dataclasses.replace(card_of(study), why=("Batch size 8: the rest is worse.",))
    assert "  Search trials: Batch size 8: the rest is worse." in card_sentences(told)
    assert "- Search trials: Batch size 8: the rest is worse." in markdown_card(told)
    plain = build.finished_study("xor", n_trials=12, n_certificate=24)
    without = dataclasses.replace(card_of(plain), why=("Batch size 8: the rest is worse.",))
    assert "  Why: Batch size 8: the rest is worse." in card_sentences(without)


def test_a_log_without_an_ablation_has_no_section_and_its_card_says_why_as_before(tmp_path: Path) -> None:
    plain = build.finished_study("xor", n_trials=12, n_certificate=24)
    assert section.build([plain]).blocks == ()
    card = card_of(plain)
    assert (card.changes, card.changes_short) == ((), "")
    assert card.why == ("No hyperparameter can be told to have mattered in these 11 trials.",)
    build.write_study(plain, tmp_path / "homework")
    assert "Why this setting, and what to try next" in write_report([tmp_path / "homework"]).read_text("utf-8")


def test_the_section_has_a_row_for_each_change_and_draws_them(study: Study) -> None:
    key, table, picture = section.build([study]).blocks
    assert isinstance(key, Paragraph)
    assert "one at a time" in key.text
    assert isinstance(table, ReportTable)
    assert [row[0] for row in table.rows] == [
        "activation relu to linear",
        "learning rate 0.002758 to 0.0009194",
        "batch size 28 to 31",
    ]
    assert [row[-1] for row in table.rows] == [
        "worse in range; fewer draws pass",
        "no difference shown",
        "no difference shown",
    ]
    assert isinstance(picture, Picture)
    figure = picture.draw()
    inside, outside = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["loss in range, difference", "loss out of range, difference"]
    found = ablation(study, study.winner)
    assert found is not None
    drawn = [[float(x) for x, _ in axes.collections[1].get_offsets()] for axes in (inside, outside)]
    assert drawn[0] == [one.in_range.estimate for one in found.changes]
    assert drawn[1] == [one.out_of_range.estimate for one in found.changes]


def test_a_better_change_is_a_next_step_and_out_of_range_alone_is_told_apart() -> None:
    better = build.ablated(build.finished_study("xor", n_trials=12, n_certificate=24), effect=-0.02)
    card = card_of(better)
    assert card.changes[0].startswith("Activation relu to linear: better, in range -0.0206 (")
    assert (
        "Activation relu to linear is shown to be better from here: a search around it may win more." in card.next_steps
    )
    beyond = build.ablated(build.finished_study("xor", n_trials=12, n_certificate=24), effect=0.0)
    records = beyond.records["ablation"]
    records[1] = dataclasses.replace(
        records[1], out_of_range_loss=[(loss or 0.0) + 0.1 for loss in records[1].out_of_range_loss]
    )
    first, rest = card_of(beyond).changes
    assert first.startswith("Activation relu to linear: worse out of range alone, +0.")
    assert rest.startswith("None is shown to matter: each of 3 moves a typical draw's loss in range by less than 0.0")


def test_a_winner_that_is_not_certified_says_so() -> None:
    study = build.ablated(build.finished_study("xor", n_trials=12, n_certificate=24))
    assert study.verdict is not None
    study.verdict = dataclasses.replace(study.verdict, certified=False)
    assert "Changes of a setting that is not certified one at a time, not together:" in card_of(study).changes[-1]
    table = section.build([study]).blocks[1]
    assert isinstance(table, ReportTable)
    assert "3 changes of the best setting, which is not certified, one at a time" in table.caption
