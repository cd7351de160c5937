"""The cards: one figure wherever it stands, a sentence where there is none, within the terminal's width."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import html5lib
import numpy as np
import pytest
import record_builders as build

from analysis.formats.blocks import Card, Cards, Link, Missing, Picture, ReportTable, number_text
from analysis.formats.markdown import markdown_card
from analysis.formats.plain import WIDTH, cards_text, cell_text
from analysis.records.events import Verdict
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from analysis.report import render, sections_of
from analysis.sections import next_steps
from analysis.sections.cards import MEANINGS, arm_text, card_of, cards_of, param_sentence, share_text
from analysis.sections.next_steps import card_title, edge_sentence
from analysis.statistics.homework import setting_text
from analysis.statistics.intervals import Interval
from analysis.statistics.why import ArmComparison, ChoiceArm, Edge

XHTML = "{http://www.w3.org/1999/xhtml}"
MARKUP = '<b onmouseover="x">|`*_'


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return build.study_with_networks(tmp_path_factory.mktemp("results") / "homework", "gauss")


@pytest.fixture(scope="module")
def card(study: Study) -> Card:
    return card_of(study)


@pytest.fixture(scope="module")
def files(study: Study) -> dict[str, bytes]:
    return render([study]).files


def page_cards(html: str) -> list[dict[str, str]]:
    """Return each card's figures as the page shows them, by title."""
    found = []
    for element in html5lib.parse(html).iter(f"{XHTML}article"):
        one = {"setting": "".join(element.find(".//*[@class='setting']").itertext())}
        for row in element.iterfind(f".//{XHTML}dl/{XHTML}div"):
            one["".join(row[0].itertext())] = "".join(row[1].itertext())
        found.append(one)
    return found


def test_every_figure_is_the_same_on_the_page_in_markdown_and_on_the_terminal(
    card: Card, files: dict[str, bytes]
) -> None:
    (shown,) = page_cards(files["index.html"].decode())
    markdown, terminal = files["report.md"].decode(), " ".join(cards_text([card]).split())
    assert {*shown} == {"setting", *(fact.title for fact in card.facts)}
    assert shown["setting"] == card.setting
    for fact in card.facts:
        assert shown[fact.title] == cell_text(fact.value)
        assert f"- {fact.title}: {cell_text(fact.value)}\n" in markdown
        assert cell_text(fact.value) in terminal
    assert card.beyond in terminal
    assert card.setting in terminal.replace(" | ", " ")


def test_a_figure_that_the_sections_have_too_is_the_card_s(card: Card, files: dict[str, bytes]) -> None:
    row = next(iter(read_csv_bytes(files["data/homework.csv"])))
    sides = {one["side"]: one for one in read_csv_bytes(files["data/ranges.csv"]) if one["setting"] == "winner"}
    values = {fact.title: fact.value for fact in card.facts}
    same = {
        "Training loss": (row, "train_loss"),
        "Test loss": (row, "test_loss"),
        "Pass rate": (row, "pass_rate"),
        "In range": (sides["in range"], "loss"),
        "Out of range": (sides["out of range"], "loss"),
    }
    for title, (line, key) in same.items():
        value = values[title]
        assert isinstance(value, Interval)
        assert [float(line[f"{key}{end}"]) for end in ("", "_low", "_high")] == [value.estimate, value.low, value.high]
    assert float(row["attainable_pass_rate"]) == values["Attainable"]
    assert float(row["floor"]) == values["Floor"]
    page = "".join(html5lib.parse(files["index.html"].decode()).itertext())
    for fact in card.facts:  # as text: in the card and again in its section
        number = number_text(fact.value.estimate if isinstance(fact.value, Interval) else fact.value)
        assert page.count(number) >= 2, fact.title


def test_a_name_has_one_number_in_all_of_the_report(study: Study) -> None:
    """Two tables with one row for a dataset that give a column one name give it one number."""
    (record,) = study.records["certificate"]
    floors = [1.1 * floor for floor in record.floor_test_loss]
    named = {**study.records, "certificate": [dataclasses.replace(record, floor_in_range_loss=floors)]}
    study = dataclasses.replace(study, records=named)
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for section in sections_of([study]):
        for block in section.blocks:
            if isinstance(block, Cards):
                for card in block.cards:
                    for fact in card.facts:
                        found[card.dataset, fact.title.lower()][cell_text(fact.value)].add("cards")
            elif isinstance(block, ReportTable):
                for row in block.rows:
                    for column, cell in zip(block.columns, row, strict=True):
                        if isinstance(cell, Interval | float) and sum(one[0] == row[0] for one in block.rows) == 1:
                            found[str(row[0]), column.title.lower()][cell_text(cell)].add(block.name)
    twice = {name: numbers for name, numbers in found.items() if len(set().union(*numbers.values())) > 1}
    assert {"training loss", "test loss", "pass rate"} <= {title for _, title in twice}
    assert {name: dict(numbers) for name, numbers in twice.items() if len(numbers) > 1} == {}


def read_csv_bytes(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_verdict_beyond_the_range_comes_with_its_reason(card: Card) -> None:
    pattern = (
        r"In range and out of range are not to be told apart, 0\.\d+ against 0\.\d+: "
        r"the floor there is 0\.\d+ against 0\.\d+; "
        r"(over |under )?\d+ % of those points lie farther from the true boundary than any training point; "
        r"both classes occur there \(\d+ % \+1\); "
        r"(nowhere|first) worse than a constant guess.*\."
    )
    assert re.fullmatch(pattern, card.beyond)
    assert isinstance(card.picture, Picture)
    assert card.picture.raster
    assert isinstance(card.link, Link)
    assert re.fullmatch(r"python -m sweeps replay homework/gauss \d+", str(card.command))


def test_the_terminal_s_table_fits_its_width(tmp_path: Path) -> None:
    studies = read_sweep(build.homework(tmp_path / "results"))
    for some in (studies, studies[:1], studies * 2):
        text = cards_text(cards_of(some))
        assert all(len(line) <= WIDTH for line in text.splitlines() if "https://" not in line)


def test_a_setting_can_be_typed_in_again() -> None:
    record = build.record(np.random.default_rng(1))
    training = {
        "learning_rate": 0.0123456789,
        "optimizer": "adam",
        "batch_size": 7,
        "regularizer": "l2",
        "regularization_rate": 3.25e-05,
        "weight_decay": 0.001,
        "dropout": [0.25],
    }
    network = {"activation": "relu", "hidden_layer_sizes": [5, 3]}
    record = dataclasses.replace(record, training=training, network=network, params={"training.momentum": 0.85})
    assert setting_text(record) == (
        "relu, hidden layers 5, 3, batch size 7, adam, learning rate 0.0123456789, L2 3.25e-05, weight decay 0.001, "
        "dropout 0.25, momentum 0.85; 100 epochs"
    )


def no_trials() -> Study:
    return Study(build.header())


def one_trial() -> Study:
    study = no_trials()
    study.trials.append(build.record(np.random.default_rng(1)))
    return study


def all_diverged() -> Study:
    study = no_trials()
    study.trials.extend(build.diverged(np.random.default_rng(1), number) for number in range(6))
    study.verdict = Verdict(False, None, None, False, 0.05, 0, "budget", "no trial gave a loss")
    return study


def no_certificate() -> Study:
    study = build.finished_study("xor", n_trials=12)
    study.records["certificate"], study.records["page_certificate"] = [], []
    study.verdict = None
    return study


def nothing_beyond() -> Study:
    study = build.finished_study("xor", n_trials=6, n_certificate=8)
    study.records["certificate"] = [
        dataclasses.replace(
            study.records["certificate"][0],
            out_of_range_loss=[None] * 8,
            n_out_of_range=[0] * 8,
            constant_out_of_range_loss=None,
            floor_out_of_range_loss=[None] * 8,
        )
    ]
    return study


POOR: dict[str, tuple[Callable[[], Study], str]] = {
    "no trials": (no_trials, "no trial has finished yet."),
    "one trial": (one_trial, "Not told: 1 trial can be compared; it takes 8."),
    "all diverged": (all_diverged, "no trial gave a loss"),
    "no certificate": (no_certificate, "unfinished: best finalist so far"),
    "nothing out of range": (nothing_beyond, "Out of range against in range not shown: 0 points out of range."),
}


@pytest.mark.parametrize("name", POOR)
def test_where_there_is_no_number_there_is_a_sentence(name: str) -> None:
    make, sentence = POOR[name]
    study = make()
    files = render([study]).files
    (article,) = html5lib.parse(files["index.html"].decode()).iter(f"{XHTML}article")
    texts = ("".join(article.itertext()), files["report.md"].decode(), " ".join(cards_text([card_of(study)]).split()))
    for text in texts:
        assert sentence in text
        assert not re.findall(r"\b(?:nan|inf|None)\b", text)


def test_names_with_markup_stay_text() -> None:
    study = build.finished_study("xor", n_trials=9, n_certificate=8)
    study.header = dataclasses.replace(study.header, dataset=MARKUP, sweep=MARKUP)
    study.records["certificate"] = [
        dataclasses.replace(study.records["certificate"][0], network={"activation": MARKUP, "hidden_layer_sizes": [2]})
    ]
    (article,) = html5lib.parse(render([study]).files["index.html"].decode()).iter(f"{XHTML}article")
    assert not list(article.iter(f"{XHTML}b"))
    assert article.findtext(".//*[@class='setting']").startswith(MARKUP)
    assert "`python -m sweeps" not in markdown_card(card_of(study))  # a backtick would end the code marks
    assert "<b" not in markdown_card(card_of(study)).replace("\\<b", "")


def test_a_sentence_has_ratio_interval_sizes_and_what_is_undecided() -> None:
    mine = ChoiceArm("relu", "relu", (0, 1, 2, 3))
    sigmoid, tanh = ChoiceArm("sigmoid", "sigmoid", (4, 5, 6)), ChoiceArm("tanh", "tanh", (7, 8, 9))
    found = [
        ArmComparison("network.activation", mine, sigmoid, Interval(2.0, 1.5, 2.7, 7, "t"), 0.17, 0.01),
        ArmComparison("network.activation", mine, tanh, Interval(1.1, 0.8, 1.4, 7, "t"), 0.09, 0.6),
    ]
    assert param_sentence(found, 24) == (
        "Activation relu: with sigmoid the test loss was 2 times (1.50 to 2.70) as high, the lowest of them 0.170 "
        "(n = 3 against 4 trials); against tanh, these 24 trials do not decide."
    )


def test_a_range_of_values_and_a_layer_have_names() -> None:
    assert arm_text(ChoiceArm(0.001, 0.0123456, ())) == "0.00100 to 0.0123"
    assert card_title("network.hidden_layer_sizes.2") == "Units of hidden layer 2"
    assert card_title("network.n_hidden_layers") == "Hidden layers"
    assert card_title("training.max_epochs") == "Schedule length"  # as the setting says


def test_only_all_is_a_hundred_percent() -> None:
    assert [share_text(one) for one in (0.0, 0.004, 0.25, 0.996, 1.0)] == [
        "0 %", "under 1 %", "25 %", "over 99 %", "100 %",
    ]  # fmt: skip


def test_every_figure_says_what_it_means(card: Card, files: dict[str, bytes]) -> None:
    assert [MEANINGS[fact.title] for fact in card.facts] == [fact.meaning for fact in card.facts]
    assert not isinstance(card.setting, Missing)
    page = "".join(html5lib.parse(files["index.html"].decode()).itertext())
    assert all(fact.meaning in page for fact in card.facts)


def test_the_cards_pictures_have_their_numbers_beside_them(files: dict[str, bytes]) -> None:
    assert len(read_csv_bytes(files["data/card-two-blobs.csv"])) == 625
    assert files["pictures/card-two-blobs.png"].startswith(b"\x89PNG")


def test_an_edge_of_the_space_comes_with_the_command_that_goes_on(study: Study) -> None:
    edge = Edge("training.input_noise", 0.6, "highest", 10, 0.6)
    assert edge_sentence(study, edge) == (
        "Input noise: 0.600 is the highest of 10 trials, and the space ends at 0.600. With a higher end in FILE, "
        "`python -m sweeps extend homework --space FILE` goes on."
    )
    assert edge_sentence(study, dataclasses.replace(edge, limit=None)) == (
        "Input noise: 0.600 is the highest of 10 trials; higher values are untried."
    )
    lowest = dataclasses.replace(edge, side="lowest", param="training.learning_rate", value=0.0302, limit=0.03)
    assert edge_sentence(study, lowest).startswith(
        "Learning rate: 0.0302 is the lowest of 10 trials, and the space ends at 0.0300. With a lower end"
    )


def test_a_card_names_at_most_two_edges(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Edge(f"training.{name}", 0.6, "highest", 40) for name in ("input_noise", "learning_rate", "dropout")]
    monkeypatch.setattr(next_steps, "edges", lambda *_: found)
    told = [text for text in card_of(study).next_steps if "untried" in text]
    assert told == [edge_sentence(study, edge) for edge in found[:2]]
