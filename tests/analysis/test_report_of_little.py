"""The report of studies with little to show: no trial, one, none that ended well, nothing out of range, no number."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import html5lib
import numpy as np
import pytest
import record_builders as build

from analysis.records.events import Verdict
from analysis.records.study import Study
from analysis.report import render, write_report

XHTML = "{http://www.w3.org/1999/xhtml}"


def empty() -> Study:
    return Study(build.header())


def single() -> Study:
    study = empty()
    study.trials.append(build.record(np.random.default_rng(1)))
    return study


def all_failed() -> Study:
    study = empty()
    study.trials.extend(build.failed(np.random.default_rng(1), number) for number in range(6))
    study.verdict = Verdict(False, None, None, False, 0.05, 0, "all_failed", "all trials failed")
    return study


def all_diverged() -> Study:
    study = empty()
    study.trials.extend(build.diverged(np.random.default_rng(1), number) for number in range(6))
    return study


def one_replica() -> Study:
    study = build.finished_study("xor", n_trials=6, n_certificate=2)
    rng = np.random.default_rng(1)
    study.records["search"] = [build.record(rng, number=number, n_replicas=1) for number in range(6)]
    study.records["certificate"] = [build.record(rng, stage="certificate", n_replicas=1, source=0)]
    return study


def nothing_out_of_range() -> Study:
    study = build.finished_study("xor", n_trials=6, n_certificate=8)
    none = [None] * 8
    study.records["certificate"] = [
        dataclasses.replace(
            study.records["certificate"][0],
            out_of_range_loss=none,
            n_out_of_range=[0] * 8,
            constant_out_of_range_loss=None,
            floor_out_of_range_loss=none,
        )
    ]
    return study


def three_out_of_range() -> Study:
    study = nothing_out_of_range()
    study.records["certificate"] = [
        dataclasses.replace(
            study.records["certificate"][0],
            out_of_range_loss=[0.4, 0.5, 0.6, *[None] * 5],
            n_out_of_range=[1, 1, 1, 0, 0, 0, 0, 0],
        )
    ]
    return study


def no_floor() -> Study:
    study = build.finished_study("moons", n_trials=6, n_certificate=8)
    for stage, records in study.records.items():
        study.records[stage] = [
            dataclasses.replace(
                record,
                floor_train_loss=None,
                floor_test_loss=None,
                floor_in_range_loss=None,
                floor_out_of_range_loss=None,
            )
            for record in records
        ]
    return study


def no_numbers() -> Study:
    study = build.finished_study("xor", n_trials=6, n_certificate=8)
    study.records["certificate"] = [
        dataclasses.replace(
            study.records["certificate"][0],
            curves={key: [None] * len(build.EPOCH_GRID) for key in study.records["certificate"][0].curves},
            in_range_loss=[None] * 8,
            out_of_range_loss=[None] * 8,
            n_in_range=[0] * 8,
            n_out_of_range=[0] * 8,
            constant_in_range_loss=None,
            constant_out_of_range_loss=None,
            floor_in_range_loss=[None] * 8,
            floor_out_of_range_loss=[None] * 8,
            floor_test_loss=[None] * 8,
            floor_train_loss=[None] * 8,
        )
    ]
    return study


def no_finite_number(value: float) -> Study:
    """Return a study that a hand-written log could hold: no loss is a number."""
    study = build.finished_study("xor", n_trials=6, n_certificate=8)
    for stage, records in study.records.items():
        study.records[stage] = [
            dataclasses.replace(
                one,
                value=value,
                train_upper=value,
                test_upper=value,
                curves={key: [value] * len(curve) for key, curve in one.curves.items()},
                **{
                    f"{name}_loss": [value] * len(one.test_loss)
                    for name in ("train", "test", "in_range", "out_of_range")
                },
            )
            for one in records
        ]
    return study


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_are_no_numbers_give_sentences(value: float) -> None:
    text = "".join(html5lib.parse(render([no_finite_number(value)]).files["index.html"].decode()).itertext())
    assert "not shown: 0 complete trials" in text
    assert not re.findall(r"\b(?:nan|inf|None)\b", text)


POOR = {
    "empty": (empty, "no trial has finished"),
    "single trial": (single, "1 trial; shares of fewer than 5 say nothing"),
    "all failed": (all_failed, "all 6 trials failed"),
    "all diverged": (all_diverged, "6 diverged"),
    "one replica": (one_replica, "1 draw"),
    "nothing out of range": (nothing_out_of_range, "not shown: 0 points out of range"),
    "three points out of range": (three_out_of_range, "not shown: 3 points out of range"),
    "no floor": (no_floor, "this dataset declares no floor"),
    "no numbers": (no_numbers, "the record holds no curve"),
}


@pytest.mark.parametrize("name", POOR)
def test_a_study_with_little_to_show_gets_a_sentence(name: str, tmp_path: Path) -> None:
    make, sentence = POOR[name]
    path = build.write_study(make(), tmp_path / "homework")
    html = write_report([path.parent.parent]).read_text("utf-8")
    text = "".join(html5lib.parse(html).find(f".//{XHTML}main").itertext())
    assert sentence in text
    assert not re.findall(r".{0,30}\b(?:nan|inf|None)\b.{0,30}", text)


@pytest.mark.parametrize("make", [empty, all_failed], ids=["empty", "all failed"])
def test_a_study_without_numbers_names_every_section(make: Callable[[], Study]) -> None:
    assert [key for key, _, blocks in render([make()]).sections if blocks] == build.SHOWN_SECTIONS
