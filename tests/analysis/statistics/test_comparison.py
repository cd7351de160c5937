"""Sweeps and arms side by side, against plain recomputation and planted differences."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import record_builders as build
from scipy import stats

from analysis.formats.blocks import Missing, ReportTable
from analysis.formats.csv_files import read_csv
from analysis.records.study import Study, TrialRecord
from analysis.report import render, write_report
from analysis.sections.comparison import arm_findings, negated
from analysis.sections.comparison import build as build_section
from analysis.statistics.comparison import _arm_differences, arms, winner_differences
from analysis.statistics.intervals import holm

R = 16
SEEDS = [f"0.{r:05d}" for r in range(R)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def certificate(rng: np.random.Generator, out: list[float], seeds: list[str] = SEEDS, **changes) -> TrialRecord:
    return build.record(rng, stage="certificate", n_replicas=R, source=0, seeds=seeds, out_of_range_loss=out, **changes)


def study_of(record: TrialRecord, sweep: str, **changes) -> Study:
    study = build.finished_study("xor", n_trials=1, n_certificate=R, sweep=sweep, **changes)
    study.records["certificate"] = [record]
    return study


def test_winners_on_the_same_draws_compare_draw_by_draw(rng: np.random.Generator) -> None:
    hard = 0.3 + 0.1 * rng.standard_normal(R)
    first, second = (hard + shift + 0.001 * rng.standard_normal(R) for shift in (0.0, 0.01))
    studies = [study_of(certificate(rng, out.tolist()), name) for out, name in ((first, "a"), (second, "b"))]
    found = next(one for one in winner_differences(studies) if one.measure == "out_of_range_loss")
    assert found.difference.method == "paired, imagined draws at -2 and 2, 95 %"
    assert found.difference.estimate == pytest.approx(float(np.mean(first - second)))
    assert found.p_value == 1.0  # Student's t over these pairs has p < 1e-9, and knows of no stuck replica
    far = [study_of(certificate(rng, out.tolist()), name) for out, name in ((first, "a"), (first + 1.5, "b"))]
    found = next(one for one in winner_differences(far) if one.measure == "out_of_range_loss")
    assert found.difference.high < 0
    assert found.p_value < 0.05


def test_winners_on_other_draws_compare_by_both_intervals(rng: np.random.Generator) -> None:
    first, second = (0.3 + 0.1 * rng.standard_normal(R) for _ in range(2))
    others = [f"0.9{r:04d}" for r in range(R)]
    studies = [
        study_of(certificate(rng, first.tolist()), "a"),
        study_of(certificate(rng, second.tolist(), others), "b"),
    ]
    found = next(one for one in winner_differences(studies) if one.measure == "out_of_range_loss")
    assert found.difference.method == "from both means, imagined draws at 2 and 2, 95 %"
    assert found.difference.low < np.mean(first) - np.mean(second) < found.difference.high


def test_equal_seeds_of_other_data_do_not_pair(rng: np.random.Generator) -> None:
    out = (0.3 + 0.1 * rng.standard_normal(R)).tolist()
    noisier = {"noise": 0.3, "train_share": 0.7, "stretch": 3.0}
    studies = [study_of(certificate(rng, out), "a"), study_of(certificate(rng, out), "b", data=noisier)]
    assert {one.difference.method for one in winner_differences(studies)} == {
        "from both means, imagined draws at 2 and 2, 95 %"
    }


def test_only_winners_of_one_dataset_compare_and_holm_counts_them_all(rng: np.random.Generator) -> None:
    studies = [
        build.finished_study(dataset, n_trials=1, n_certificate=R, sweep=sweep, seed=seed)
        for dataset in ("xor", "circle")
        for seed, sweep in enumerate("abc")
    ]
    found = winner_differences(studies)
    assert {(one.first, one.second) for one in found} == {(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)}
    assert len(found) == 18
    assert [one.adjusted for one in found] == holm([one.p_value for one in found])


def test_losses_of_two_kinds_are_not_compared(rng: np.random.Generator) -> None:
    out = [0.3] * R
    other = certificate(rng, out)
    other = dataclasses.replace(other, training={**other.training, "loss": "squared_error"})
    found = winner_differences([study_of(certificate(rng, out), "a"), study_of(other, "b")])
    assert {one.difference.reason for one in found} == {"not compared: half_squared_error against squared_error"}


def test_too_few_points_give_a_sentence(rng: np.random.Generator) -> None:
    few = certificate(rng, [0.3] * R, n_out_of_range=[1, 1, 1, *[0] * (R - 3)])
    found = winner_differences([study_of(certificate(rng, [0.3] * R), "a"), study_of(few, "b")])
    reasons = {one.measure: one.difference.reason for one in found}
    assert reasons["out_of_range_loss"] == "not shown: 3 points out of range"
    assert reasons["test_loss"] is None


def search(rng: np.random.Generator, losses: dict[str, list[np.ndarray]]) -> Study:
    """Return a study whose trials have given test losses, by activation; out of range they are ten times that."""
    study = Study(build.header())
    for activation, rows in losses.items():
        for row in rows:
            plain = build.record(rng, number=len(study.trials), seeds=SEEDS)
            study.trials.append(
                dataclasses.replace(
                    plain,
                    params={"network.activation": activation, "training.learning_rate": 0.1},
                    test_loss=row.tolist(),
                    in_range_loss=row.tolist(),
                    out_of_range_loss=(10 * row).tolist(),
                )
            )
    return study


def test_each_half_of_an_arms_draws_is_judged_by_what_the_other_half_chooses(rng: np.random.Generator) -> None:
    rows = 0.1 + 0.02 * rng.standard_normal((5, R))
    study = search(rng, {"relu": list(rows[:3]), "tanh": list(rows[3:])})
    (found,) = arms(study, least=1)
    assert found.param == "network.activation"
    for arm, members in ((arm, rows[:3] if arm.choice == "relu" else rows[3:]) for arm in found.arms):
        by_hand = [members[members[:, 1 - r % 2 :: 2].mean(axis=1).argmin(), r] for r in range(R)]
        assert arm.losses["test_loss"] == pytest.approx(by_hand)
        assert arm.n_trials == len(members)


def test_the_arm_with_the_lowest_loss_comes_first_and_all_pairs_count(rng: np.random.Generator) -> None:
    means = {"relu": 0.3, "tanh": 0.1, "linear": 0.5}
    study = search(rng, {name: [mean + 0.01 * rng.standard_normal(R)] for name, mean in means.items()})
    (found,) = arms(study, least=1)
    assert [arm.choice for arm in found.arms] == ["tanh", "relu", "linear"]
    of_one = [one for one in found.differences if one.measure == "test_loss"]
    assert len(of_one) == 3
    assert [one.adjusted for one in of_one] == holm([one.p_value for one in of_one])


def test_arms_of_pure_noise_are_told_apart_in_few_searches() -> None:
    """Choosing inside an arm of many trials must not make it seem better than an arm of one."""
    n_found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = 0.1 + 0.02 * rng.standard_normal((13, R))
        (found,) = arms(search(rng, {"relu": list(rows[:12]), "tanh": [rows[12]]}), least=1)
        n_found += any((one.p_value or 1) < 0.05 for one in found.differences if one.measure == "test_loss")
    assert n_found <= 1


def test_arms_of_one_or_two_trials_are_not_ranked(rng: np.random.Generator) -> None:
    rows = 0.1 + 0.02 * rng.standard_normal((8, R))
    study = search(rng, {"relu": list(rows[:3]), "tanh": list(rows[3:6]), "sigmoid": list(rows[6:])})
    (found,) = arms(study)
    assert sorted(arm.choice for arm in found.arms) == ["relu", "tanh"]
    assert arms(search(rng, {"relu": list(rows[:3]), "tanh": list(rows[3:5])})) == []


def test_where_means_of_few_draws_tell_nothing_the_order_on_each_draw_may(rng: np.random.Generator) -> None:
    row = 0.1 + 0.01 * rng.standard_normal(R)
    (found,) = arms(search(rng, {"relu": [row], "tanh": [row + 0.002]}), least=1)
    one = next(one for one in found.differences if one.measure == "test_loss")
    assert one.p_value == 1.0
    assert one.difference.low < 0 < one.difference.high
    exact = stats.binomtest(R, R).proportion_ci(0.95, "exact")
    assert (one.lower_on.estimate, one.lower_on.low, one.lower_on.high) == (1.0, pytest.approx(exact.low), 1.0)
    tied = dataclasses.replace(found.arms[1], losses=found.arms[0].losses)
    same = _arm_differences([found.arms[0], tied])[0]
    assert same.lower_on.estimate == 0.5


def test_a_search_without_a_choice_among_names_has_no_arms(rng: np.random.Generator) -> None:
    assert arms(search(rng, {"relu": [np.full(R, 0.1), np.full(R, 0.2)]})) == []
    assert arms(Study(build.header())) == []


def test_arms_alike_in_range_and_different_beyond_are_pointed_out(rng: np.random.Generator) -> None:
    row = 0.1 + 0.01 * rng.standard_normal(R)
    study = search(rng, {"relu": [row], "tanh": [row + 0.002 * rng.standard_normal(R)]})
    study.trials[1] = dataclasses.replace(study.trials[1], out_of_range_loss=(20 * row).tolist())
    (found,) = arms(study, least=1)
    (told,) = arm_findings(found)
    assert re.fullmatch(
        r"with (relu|tanh), the mean loss out of range is [\d.]+; with choices of activation that are not to be told "
        r"from it in range, it is another: (relu|tanh) [\d.]+\.",
        told,
    )
    assert (
        arm_findings(
            dataclasses.replace(
                found, differences=tuple(dataclasses.replace(one, adjusted=1.0) for one in found.differences)
            )
        )
        == []
    )


def test_a_difference_turned_round_keeps_its_ends_in_order(rng: np.random.Generator) -> None:
    interval = winner_differences(
        [study_of(certificate(rng, [0.3] * R), "a"), study_of(certificate(rng, [0.4] * R), "b")]
    )[0].difference
    turned = negated(interval)
    assert turned.low < turned.estimate < turned.high
    assert turned.estimate == -interval.estimate


def test_two_sweeps_get_a_table_of_differences(tmp_path: Path) -> None:
    folders = [
        build.write_study(
            build.finished_study(n_trials=6, n_certificate=8, sweep=sweep, seed=seed), tmp_path / sweep
        ).parents[1]
        for seed, sweep in enumerate(("first", "second"))
    ]
    page = write_report([*folders], tmp_path / "both")
    rows = read_csv(page.parent / "data" / "differences.csv")
    assert [row["measure"] for row in rows] == ["test loss", "loss in range", "loss out of range"]
    assert {(row["first"], row["second"]) for row in rows} == {("first/XOR", "second/XOR")}
    assert all(0 <= float(row["p_holm"]) <= 1 for row in rows)
    assert (page.parent / "pictures" / "differences.svg").exists()
    assert (page.parent / "data" / "differences-drawn.csv").exists()
    assert [row["dataset"] for row in read_csv(page.parent / "data" / "comparison.csv")] == ["first/XOR", "second/XOR"]


def test_one_sweep_has_no_differences_between_sweeps() -> None:
    assert "data/differences.csv" not in render([build.finished_study("xor"), build.finished_study("circle")]).files


def test_sweeps_without_a_dataset_in_common_say_so() -> None:
    files = render([build.finished_study("xor", sweep="a"), build.finished_study("circle", sweep="b")]).files
    assert b"no dataset is in two of the sweeps" in files["index.html"]


def test_excess_is_paired_with_the_floor_of_the_same_draw() -> None:
    study = build.finished_study("xor", n_trials=2, n_certificate=R)
    record = study.records["certificate"][0]
    table = next(block for block in build_section([study]).blocks if isinstance(block, ReportTable))
    row = dict(zip([column.key for column in table.columns], table.rows[0], strict=True))
    floors = record.floor_in_range_loss or []
    expected = np.mean(np.subtract(record.in_range_loss, floors))
    assert row["in_range_excess"].estimate == pytest.approx(expected)


def test_a_dataset_without_a_floor_says_so_in_place_of_the_excess() -> None:
    study = build.finished_study("moons", n_trials=2, n_certificate=R)
    study.records["certificate"] = [
        dataclasses.replace(study.records["certificate"][0], floor_in_range_loss=None, floor_out_of_range_loss=None)
    ]
    table = next(block for block in build_section([study]).blocks if isinstance(block, ReportTable))
    row = dict(zip([column.key for column in table.columns], table.rows[0], strict=True))
    assert row["in_range_excess"] == row["out_of_range_floor"] == Missing("no floor declared")
