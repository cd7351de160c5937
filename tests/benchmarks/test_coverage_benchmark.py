"""A short form of ``benchmarks/interval_coverage.py``: it finds a sound interval sound and a planted fault faulty."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from analysis.statistics.coverage import (
    BEST_TRIAL_FALSE_POSITIVE,
    CERTIFICATE_FALSE_POSITIVES,
    COVERAGES,
    MEAN,
    N_REPLICAS,
    PAIRED,
    PRICE,
    Coverage,
)
from analysis.statistics.intervals import MEAN_METHODS, hall_bound
from benchmarks.bounded_coverage import covered, laws, published_ends, student_ends, write_tables
from benchmarks.interval_coverage import (
    CERTIFICATE,
    LAWS,
    STUCK_FACTOR,
    Law,
    certificate_false_positives,
    certificate_rule,
    choice_coverage,
    main,
    mean_coverage,
    paired_coverage,
    published_rule,
    rank_correlation_coverage,
    rate_coverage,
    worst_rate_coverage,
)

FloatArray = npt.NDArray[np.float64]
BODY = LAWS[0]


def half_as_wide(samples: FloatArray, probability: float) -> FloatArray:
    """Return a bound with half of Hall's distance from the mean: the planted fault."""
    mean: FloatArray = samples.mean(axis=-1)
    return mean + 0.5 * (hall_bound(samples, probability) - mean)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_every_law_has_mean_1(law):
    losses = law.draw(np.random.default_rng(0), (400_000,))
    assert float(losses.mean()) == pytest.approx(1.0, abs=4 * float(losses.std()) / 400_000**0.5)


def test_a_share_is_stuck_far_up():
    losses = Law("", 0.0, 0.25).draw(np.random.default_rng(0), (1000,))
    low, high = sorted(set(losses.round(9).tolist()))
    assert high / low == pytest.approx(STUCK_FACTOR)


@pytest.mark.parametrize("n", [16, 64])
def test_halls_interval_holds_a_loss_without_stuck_replicas_93_to_97_times_in_100(n):
    two_sided, _ = mean_coverage("Hall t", hall_bound, BODY, n, 8000, np.random.default_rng(1))
    assert 0.93 <= two_sided.covered <= 0.97


def test_an_interval_half_as_wide_is_found_out():
    two_sided, one_sided = mean_coverage("planted", half_as_wide, BODY, 16, 8000, np.random.default_rng(1))
    assert two_sided.covered < 0.75
    assert one_sided.covered < 0.85


@pytest.mark.parametrize("n", [16, 64])
def test_students_interval_of_a_paired_difference_holds_95_times_in_100(n):
    row = paired_coverage("Student t", MEAN_METHODS["Student t"], BODY, n, 8000, np.random.default_rng(2))
    assert 0.93 <= row.covered <= 0.97


def test_no_interval_can_know_of_stuck_replicas_it_did_not_draw():
    """With one in twenty stuck, two thirds of samples of 8 hold none: the benchmark says so instead of hiding it."""
    row, _ = mean_coverage("Hall t", hall_bound, Law("5 % stuck", 0.33, 0.05), 8, 8000, np.random.default_rng(3))
    assert row.covered < 0.9
    assert row.truth_above > 10 * row.truth_below


def test_a_rates_interval_holds_at_every_rate():
    assert 0.95 <= worst_rate_coverage(16).covered <= 0.97
    assert rate_coverage(0.5, 16).covered == pytest.approx(0.9787, abs=1e-4)


def test_the_rank_correlations_interval_holds():
    row = rank_correlation_coverage(0.5, 16, 1500, np.random.default_rng(4))
    assert 0.93 <= row.covered <= 0.98


def test_the_certificate_errs_in_at_most_5_percent_where_naming_the_best_trial_always_does():
    law = Law("1 % stuck", 0.33, 0.01)
    methods = [(CERTIFICATE, certificate_rule(law)), ("planted", half_as_wide)]
    row = certificate_false_positives(law, 500, np.random.default_rng(5), methods)
    assert row.best_trial > 0.99
    assert row.first_candidate > 0.9
    assert row.certificate[CERTIFICATE] <= 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5
    assert row.certificate["planted"] > 0.15


def test_the_command_prints_both_tables_and_writes_them(tmp_path, capsys):
    path = tmp_path / "coverage.json"
    assert main(["--simulations", "50", "--bootstrap", "2", "--sweeps", "5", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("nominal 95 % interval")
    assert "false successes" in printed
    tables = json.loads(path.read_text())
    assert {row["interval"] for row in tables["coverage"]} >= {"Hall t", "bootstrap BCa", "Clopper-Pearson"}
    assert [row["law"] for row in tables["certificate"]] == [law.name for law in LAWS]


def test_the_price_of_not_knowing_is_held_by_halves_and_missed_by_leaving_one_out():
    halved, left_out, published = choice_coverage(BODY, 0.0, 16, 1000, np.random.default_rng(4))
    assert 0.92 <= halved.covered <= 0.97
    assert left_out.covered < 0.85
    assert published.covered >= 0.93


@pytest.mark.parametrize("one", [one for one in COVERAGES if one.interval in (MEAN, PAIRED)], ids=str)
def test_the_reports_own_figures_are_those_of_the_simulation(one: Coverage) -> None:
    law = next(law for law in LAWS if law.name == one.law)
    rng = np.random.default_rng(5)
    for n, percent in zip(N_REPLICAS, one.covered, strict=True):
        if one.interval == MEAN:
            row, _ = mean_coverage(MEAN, published_rule(law), law, n, 8000, rng)
        else:
            row = paired_coverage(MEAN, published_rule(law, difference=True), law, n, 8000, rng)
        assert 100 * row.covered == pytest.approx(percent, abs=100 * 5 * row.standard_error)


@pytest.mark.parametrize("one", [one for one in COVERAGES if one.interval == PRICE], ids=str)
def test_the_reports_figures_of_the_price_are_those_of_the_simulation(one: Coverage) -> None:
    law = next(law for law in LAWS if law.name == one.law.partition(",")[0])
    differ = 0.1 if one.law.endswith("differ") else 0.0
    *_, published = choice_coverage(law, differ, 16, 400, np.random.default_rng(6))
    assert (published.interval, published.law) == (one.interval, one.law)
    assert 100 * published.covered == pytest.approx(one.covered[1], abs=100 * 5 * published.standard_error)


@pytest.mark.parametrize("law", [LAWS[0], LAWS[5]], ids=lambda law: law.name)
def test_the_reports_false_positive_rate_is_that_of_the_simulation(law: Law) -> None:
    methods = [(CERTIFICATE, certificate_rule(law))]
    row = certificate_false_positives(law, 500, np.random.default_rng(7), methods)
    assert 100 * row.certificate[CERTIFICATE] == pytest.approx(
        CERTIFICATE_FALSE_POSITIVES[law.name], abs=100 * 5 * row.standard_error
    )
    assert 100 * row.best_trial == BEST_TRIAL_FALSE_POSITIVE


def test_the_document_holds_the_reports_figures() -> None:
    text = (Path(__file__).parents[2] / "docs" / "intervals.md").read_text("utf-8")
    for one in COVERAGES:
        assert f"| {' | '.join(f'{value:.1f}' for value in one.covered)} |" in text, one
    for percent in CERTIFICATE_FALSE_POSITIVES.values():
        assert f"| {percent:.1f} |" in text


@pytest.mark.parametrize("law", list({law.name: law for _, law in laws(64)}.values()), ids=lambda law: law.name)
def test_every_bounded_law_has_its_mean_and_its_bound(law) -> None:
    losses = law.draw(np.random.default_rng(0), (400_000,))
    assert float(losses.mean()) == pytest.approx(law.mean, abs=4.5 * float(losses.std()) / 400_000**0.5)
    assert 0.0 <= losses.min() <= losses.max() <= law.bound


def test_the_published_interval_holds_at_the_shares_at_most_risk_where_students_does_not() -> None:
    rng = np.random.default_rng(8)
    worst = [law for row, law in laws(64) if row == "worst share stuck at the bound, 25"]
    assert min(covered(law, published_ends, 64, 1500, rng)[0] for law in worst) >= 0.93 - 3 * 0.0066
    assert min(covered(law, student_ends, 64, 1500, rng)[0] for law in worst) < 0.9


def test_tables_are_written_between_their_marks(tmp_path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- measured: one -->\nold\n<!-- end -->\nafter\n", "utf-8")
    write_tables(path, {"one": ["| a |", "|---|"]})
    assert path.read_text("utf-8") == "before\n<!-- measured: one -->\n\n| a |\n|---|\n\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match=r"no lines <!-- measured: two --> and <!-- end -->; add them where"):
        write_tables(path, {"two": []})
