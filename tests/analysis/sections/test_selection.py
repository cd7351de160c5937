"""What the report says of choosing: rules, price, order, importance, and why something is not shown."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
import record_builders as build

from analysis.formats.blocks import Missing, Paragraph, Picture, ReportTable
from analysis.records.study import Study, TrialRecord
from analysis.sections.selection import MOST_MARKS, order_finding, thinned
from analysis.sections.selection import build as build_section
from analysis.statistics.intervals import Interval
from analysis.statistics.selection import RULES, candidates, choices

R = 16
SEEDS = [f"0.{r:05d}" for r in range(R)]


def trial(number: int, test: float, out: float | None, noise: float = 0.001) -> TrialRecord:
    """Return a trial with losses about these means; `out` None means no point out of range."""
    rng = np.random.default_rng(number)
    losses = (test + noise * rng.standard_normal(R)).tolist()
    beyond = [None] * R if out is None else (out + noise * rng.standard_normal(R)).tolist()
    plain = build.record(np.random.default_rng(number), number=number, seeds=SEEDS)
    return dataclasses.replace(
        plain, test_loss=losses, in_range_loss=losses, train_loss=losses, out_of_range_loss=beyond
    )


def study_of(trials: list[TrialRecord]) -> Study:
    study = Study(build.header())
    study.records["search"] = trials
    return study


def texts(study: Study) -> str:
    return "\n".join(block.text for block in build_section([study]).blocks if isinstance(block, Paragraph))


def test_where_the_order_turns_round_the_report_says_so_with_the_price() -> None:
    study = study_of([trial(i, 0.1 + 0.02 * i, 1.0 - 0.05 * i + 0.08 * (i == 5)) for i in range(12)])
    told = texts(study)
    assert re.search(r"XOR: choosing by test loss costs 0\.5[45]\d \(-?\d\.\d+ to \d\.\d+, n = 16 draws\)", told)
    assert "The lower a trial in range, the higher out of range" in told
    table = next(block for block in build_section([study]).blocks if isinstance(block, ReportTable))
    assert [row[1] for row in table.rows] == [rule.title for rule in RULES.values()]
    assert [row[2] for row in table.rows] == [0, 0, 0, table.rows[3][2], 11]
    assert table.rows[-1][-1] == Missing("it is the oracle")


def test_where_both_sides_agree_nothing_is_to_pay() -> None:
    told = texts(study_of([trial(i, 0.1 + 0.02 * i, 0.3 + 0.05 * i + 0.08 * (i == 5)) for i in range(12)]))
    assert "choosing by test loss costs 0 (0 to 0, n = 16 draws)" in told
    assert "The lower a trial in range, the lower out of range" in told


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        (study_of([]), "XOR: not shown: 0 complete trials; a choice takes 3."),
        (study_of([trial(0, 0.1, 0.2)]), "XOR: not shown: 1 complete trial; a choice takes 3."),
        (
            study_of([trial(i, 0.1, None) for i in range(5)]),
            "price of not knowing not shown: 0 replicas with enough points out of range; it takes 4.",
        ),
        (study_of([trial(i, 0.1, None) for i in range(5)]), "scatter not shown: 0 trials with a loss on both sides."),
        (
            study_of([trial(i, 0.1 + 0.01 * i, 0.2) for i in range(5)]),
            "importance of hyperparameters not shown: 5 trials; importance takes 40.",
        ),
        (
            study_of([trial(i, 0.1 + 0.01 * i, 0.2) for i in range(5)]),
            "Rank correlation not shown: 5 trials with both losses; it takes 8.",
        ),
    ],
)
def test_what_cannot_be_shown_gets_a_sentence(study: Study, sentence: str) -> None:
    assert sentence in texts(study)


def test_an_oracle_that_saw_nothing_chooses_nothing() -> None:
    few = [
        dataclasses.replace(trial(i, 0.1 + 0.01 * i, 0.2), n_out_of_range=[1, 1, 1, *[0] * (R - 3)]) for i in range(5)
    ]
    for study in (study_of([trial(i, 0.1, None) for i in range(5)]), study_of(few)):
        table = next(block for block in build_section([study]).blocks if isinstance(block, ReportTable))
        assert table.rows[-1][2] == Missing("not shown: fewer than 10 points out of range")
        assert table.rows[0][2] == 0
        assert table.rows[0][6] == Missing("no value was measured")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_trials_without_finite_losses_are_not_chosen_among(value: float) -> None:
    spoilt = [dataclasses.replace(trial(i, 0.1, 0.2), test_loss=[value] * R) for i in range(4)]
    assert "XOR: not shown: 0 complete trials; a choice takes 3." in texts(study_of(spoilt))


def test_the_scatter_has_every_trial_and_names_the_rules_that_chose_it() -> None:
    study = study_of([trial(i, 0.1 + 0.02 * i, 1.0 - 0.05 * i) for i in range(12)])
    picture = next(block for block in build_section([study]).blocks if isinstance(block, Picture))
    assert [row[0] for row in picture.data.rows] == list(range(12))
    data = candidates(study.trials)
    assert data is not None
    for choice in choices(data, np.full(12, 5.0)):
        row = picture.data.rows[choice.record.number]
        assert choice.rule.name in row[5].split(", ")
    assert picture.draw().axes


def test_marks_are_thinned_but_never_a_chosen_one() -> None:
    rows = [(i, 0.1, 0.2, "relu", 1, "oracle" if i == 4321 else "") for i in range(10_000)]
    kept = thinned(rows)
    assert MOST_MARKS <= len(kept) <= MOST_MARKS + 1
    assert rows[4321] in kept


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0.5, 0.2, 0.7, 30, ""), "the lower out of range"),
        (Interval(-0.5, -0.7, -0.2, 30, ""), "the higher out of range"),
        (Interval(0.1, -0.2, 0.4, 30, ""), "says nothing sure"),
        (Interval(1.0, None, None, 9, "", "the ranks agree perfectly"), "has no interval: the ranks agree perfectly."),
        (Interval(None, None, None, 3, "", "3 trials"), "Rank correlation not shown: 3 trials."),
    ],
)
def test_the_order_is_put_into_words(interval: Interval, words: str) -> None:
    assert words in order_finding(interval)


def test_what_matters_is_shown_with_its_evaluator() -> None:
    rng = np.random.default_rng(3)
    trials = []
    for i in range(60):
        rate = float(10 ** rng.uniform(-3, 0))
        one = trial(i, 0.1 + 0.3 * rate, 0.5 + 0.1 * rng.random())
        trials.append(dataclasses.replace(one, params={**one.params, "training.learning_rate": rate}))
    pictures = [block for block in build_section([study_of(trials)]).blocks if isinstance(block, Picture)]
    importance = pictures[1]
    assert importance.name == "importance-xor"
    assert "most hangs on learning rate in range" in importance.caption
    assert "permutation importance of extremely randomized trees" in importance.caption
    assert importance.data.rows[0][0] == "training.learning_rate"
    assert importance.draw().axes
