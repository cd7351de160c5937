"""What of a record becomes params, metrics and tags of an MLflow run."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import record_builders as build
from hypothesis import given
from hypothesis import strategies as st

from analysis.formats.plain import cell_text
from analysis.sections.cards import card_of
from sweeps.tracking.content_parts import legal_key, short_text
from sweeps.tracking.run_contents import parent_content, record_content, record_uid
from sweeps.tracking.trial_contents import trial_metrics

LEGAL = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. :/")


def content(**changes: Any) -> Any:
    record = dataclasses.replace(build.record(np.random.default_rng(0), number=7), **changes)
    return record, record_content(build.header(), record, "ada")


def test_the_uid_names_sweep_dataset_stage_and_number() -> None:
    assert record_uid(content(stage="page_certificate")[0]) == "homework/xor:page_certificate:7"


def test_final_means_are_the_records_means() -> None:
    record, run = content()
    found = {key: value for key, value, _ in run.metrics if not key.startswith("by_epoch/")}
    assert found["final_test_loss"] == pytest.approx(np.mean(record.test_loss), rel=1e-15)
    assert found["in_range_loss"] == pytest.approx(np.mean(record.in_range_loss), rel=1e-15)
    assert found["out_of_range_loss"] == pytest.approx(np.mean(record.out_of_range_loss), rel=1e-15)
    passed = sum(a < 0.1 and b < 0.1 for a, b in zip(record.train_loss, record.test_loss, strict=True))
    assert found["pass_rate"] == passed / len(record.test_loss)


def test_curves_have_the_epoch_as_step() -> None:
    record, run = content()
    curve = [(step, value) for key, value, step in run.metrics if key == "by_epoch/test_loss"]
    assert curve == list(zip(record.epoch_grid, record.curves["test_loss_mean"], strict=True))


def test_a_run_has_at_most_25_metric_keys_and_20_params() -> None:
    sizes = {f"network.hidden_layer_sizes.{i}": 8 for i in range(1, 7)}
    record, run = content()
    run = record_content(build.header(), dataclasses.replace(record, params={**record.params, **sizes}), "ada")
    assert len({key for key, _, _ in run.metrics}) <= 25
    assert len(run.params) <= 20


def test_nothing_that_is_not_finite_is_sent() -> None:
    plain = build.record(np.random.default_rng(0))
    record = dataclasses.replace(plain, value=math.inf, train_upper=math.nan, test_loss=[math.inf] * 16)
    assert all(math.isfinite(value) for _, value, _ in trial_metrics(0.1, record))


@pytest.mark.parametrize(
    ("state", "status"), [("complete", "FINISHED"), ("diverged", "FINISHED"), ("failed", "FAILED")]
)
def test_only_a_failed_trial_is_a_failed_run(state: Any, status: str) -> None:
    _, run = content(state=state)
    assert (run.status, run.tags["state"]) == (status, state)


def test_a_failed_trial_without_any_number_still_has_a_run() -> None:
    run = record_content(build.header(), build.failed(np.random.default_rng(0)), "ada")
    assert (run.tags["reason"], run.texts) == ("no memory", {})


def test_candidates_and_later_stages_carry_their_record_and_others_do_not() -> None:
    assert "record.json" in content(candidate=True)[1].texts
    assert "record.json" in content(candidate=False, stage="finalist")[1].texts
    assert "record.json" not in content(candidate=False)[1].texts


def test_the_parent_carries_header_and_verdict() -> None:
    run = parent_content(build.finished_study(), "ada")
    assert set(run.texts) == {"study.json", "verdict.json"}
    assert run.status == "FINISHED"


def test_the_parent_of_an_unfinished_study_is_killed() -> None:
    study = build.finished_study()
    study.verdict = None
    assert parent_content(study, "ada").status == "KILLED"


def test_a_run_never_ends_before_it_starts() -> None:
    _, run = content(started_at_s=1.7e9, duration_s=-5.0)
    assert run.end_ms >= run.start_ms


@given(st.text(min_size=1, max_size=400))
def test_any_name_becomes_a_legal_key(name: str) -> None:
    key = legal_key(name)
    assert 0 < len(key) <= 250
    assert set(key) <= LEGAL


def test_names_that_differ_only_in_illegal_signs_stay_apart() -> None:
    assert len({legal_key(name) for name in ("a[1]", "a(1)", "a_1_", "a<1>")}) == 4


def test_a_text_that_mlflow_would_cut_is_replaced_by_its_digest() -> None:
    assert short_text("x" * 6001, 6000).startswith("sha256:")
    assert short_text("x" * 6000, 6000) == "x" * 6000


def test_a_run_is_called_by_what_it_tried() -> None:
    training = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 10}
    network = {"activation": "tanh", "hidden_layer_sizes": [8, 8]}
    names = [
        content(number=number, stage=stage, training=training, network=network)[1].tags["mlflow.runName"]
        for number, stage in ((42, "search"), (0, "page_certificate"))
    ]
    assert names == ["xor #42 tanh 8-8 adam 0.01", "xor page certificate 0 tanh 8-8 adam 0.01"]


def test_the_parents_description_is_the_card_and_the_verdict() -> None:
    study = build.finished_study("xor")
    described = parent_content(study, "ada").tags["mlflow.note.content"]
    card = card_of(study)
    assert described.startswith("### XOR: certified\n\n**")
    assert str(card.setting) in described
    assert card.beyond in described
    assert all(f"- {fact.title}: {cell_text(fact.value)} ({fact.meaning})\n" in described for fact in card.facts)
    assert "`python -m sweeps replay homework/xor " in described
    assert "certified: both upper bounds are below 0.1" in described


def test_an_unfinished_parent_has_no_card() -> None:
    study = build.finished_study("xor")
    study.verdict = None
    assert parent_content(study, "ada").tags["mlflow.note.content"].startswith("xor. One run per trial")
