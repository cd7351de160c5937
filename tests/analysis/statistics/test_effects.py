"""Effects of a grid's factors, against grids whose effects are known."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from record_builders import header, record
from scipy import stats

from analysis.formats.blocks import Paragraph, ReportTable
from analysis.records.events import Scalar
from analysis.records.study import Study, TrialRecord
from analysis.report import render
from analysis.sections import answer
from analysis.sections import effects as section
from analysis.statistics.effects import EffectClaim, effects, grid_of, judge, turned_round

OPTIMIZERS, SIZES = ("sgd", "adam"), (1, 8)
N = 12


def grid_study(log_loss: Callable[[dict[str, Scalar]], float], spread: float = 0.05, kind: str = "perceptron") -> Study:
    """Return a 2 x 2 x 3 grid whose test losses are exp(log_loss + noise), the noise partly shared by a draw."""
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 0.5, N)
    trials = []
    cells = itertools.product((1, 2, 4), OPTIMIZERS, SIZES)
    for number, (depth, optimizer, batch) in enumerate(cells):
        params: dict[str, Scalar] = {
            "network.n_hidden_layers": depth,
            **{f"network.hidden_layer_sizes.{i + 1}": 150 for i in range(depth)},
            "training.optimizer": optimizer,
            "training.batch_size": batch,
        }
        plain = record(rng, number=number, n_replicas=N)
        network = plain.network | {"n_inputs": 1, "hidden_layer_sizes": [150] * depth}
        test = np.exp(log_loss(params) + shared + rng.normal(0, spread, N))
        trials.append(
            dataclasses.replace(
                plain,
                params=params,
                network=network,
                seeds=[f"split{i}" for i in range(N)],
                test_loss=test.tolist(),
                train_loss=(0.8 * test).tolist(),
                value=float(test.mean()),
                duration_s=0.2 * 200 if batch == 1 else 0.1 * 200,
            )
        )
    study = Study(header(n_replicas=N, data={"kind": kind}))
    study.records["search"] = trials
    return study


def adam_and_depth(params: dict[str, Any]) -> float:
    """Adam is 0.7 lower, each depth 0.2 higher; batch 1 is 0.4 lower with SGD and 0.3 higher with Adam."""
    adam = params["training.optimizer"] == "adam"
    batch = (0.3 if adam else -0.4) if params["training.batch_size"] == 1 else 0.0
    return -2.0 - 0.7 * adam + 0.2 * params["network.n_hidden_layers"] + batch


def test_a_ratio_is_the_paired_geometric_mean() -> None:
    study = grid_study(adam_and_depth)
    grid = grid_of(study)
    assert grid is not None
    assert [*grid.factors] == ["network.n_hidden_layers", "training.optimizer", "training.batch_size"]
    found = effects(grid, "test")
    assert len(found) == 3 + 1 + 1
    effect = next(one for one in found if one.factor == "training.optimizer")
    by_hand = []
    for r in range(N):
        logs: dict[str, list[float]] = {"sgd": [], "adam": []}
        for trial in study.trials:
            logs[str(trial.params["training.optimizer"])].append(math.log(trial.test_loss[r]))
        by_hand.append(np.mean(logs["sgd"]) - np.mean(logs["adam"]))
    assert effect.ratio.estimate == pytest.approx(math.exp(np.mean(by_hand)))
    low, high = stats.t.interval(0.95, N - 1, np.mean(by_hand), stats.sem(by_hand))
    assert (effect.ratio.low, effect.ratio.high) == pytest.approx((math.exp(low), math.exp(high)))
    # SGD is 0.7 higher, less (0.3 + 0.4) / 2 with half of the cells at batch size 1.
    assert math.log(effect.ratio.estimate) == pytest.approx(0.7 - 0.35, abs=0.05)
    assert effect.sign == 1


def test_sharing_draws_makes_intervals_narrow() -> None:
    grid = grid_of(grid_study(adam_and_depth))
    assert grid is not None
    for effect in effects(grid, "test"):
        assert effect.ratio.low is not None
        assert effect.ratio.high is not None
        assert math.log(effect.ratio.high / effect.ratio.low) < 0.15  # the draws' own spread is 0.5


def test_an_effect_that_turns_round_is_found_where_it_does() -> None:
    grid = grid_of(grid_study(adam_and_depth))
    assert grid is not None
    main = effects(grid, "test")
    turned = turned_round(grid, "test", main)
    assert [(one.factor, one.within) for one in turned] == [("training.batch_size", (("training.optimizer", "adam"),))]
    assert turned[0].ratio.estimate == pytest.approx(math.exp(0.3), rel=0.05)


def test_without_effects_nothing_is_decided_more_often_than_the_level() -> None:
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        study = grid_study(lambda params: -2.0)
        for trial in study.trials:
            trial.test_loss[:] = np.exp(rng.normal(-2, 0.3, N)).tolist()
        grid = grid_of(study)
        assert grid is not None
        wrong += any(effect.sign for effect in effects(grid, "test"))
    assert wrong <= 8  # 5 % of 60 are 3; more than 8 have a chance below 1 %


def claim(words: str, factor: str, a: Scalar, b: Scalar, sign: int) -> EffectClaim:
    return EffectClaim(words, factor, a, b, "test", sign)


def test_verdicts_on_claims() -> None:
    grid = grid_of(grid_study(adam_and_depth))
    assert grid is not None
    claims = [
        claim("Adam is bad", "training.optimizer", "adam", "sgd", 1),
        claim("deep is bad", "network.n_hidden_layers", 4, 1, 1),
        claim("batch size 1 is best", "training.batch_size", 1, 8, -1),
        claim("width is bad", "network.hidden_layer_sizes", 4, 1, 1),
    ]
    assert [judgment.verdict for judgment in judge(grid, claims)] == [
        "does not hold",
        "holds",
        "holds only under optimizer sgd; the other way round under optimizer adam",
        "not measured",
    ]
    noise = grid_of(grid_study(lambda params: -2.0, spread=0.5))
    assert noise is not None
    assert judge(noise, claims[:1])[0].verdict == "not decided"


def changed(study: Study, **changes: Any) -> Study:
    trials: list[TrialRecord] = list(study.trials)
    trials[3] = dataclasses.replace(trials[3], **changes)
    study.records["search"] = trials
    return study


def test_what_is_no_full_grid_has_no_section() -> None:
    whole = grid_study(adam_and_depth)
    missing = grid_study(adam_and_depth)
    missing.records["search"] = missing.trials[:-1]
    other_draws = changed(grid_study(adam_and_depth), seeds=["other"] * N)
    failed = changed(grid_study(adam_and_depth), state="failed")
    pruned = changed(grid_study(adam_and_depth), pruned_at=5)
    empty = Study(header())
    for study in (missing, other_draws, failed, pruned, empty):
        assert grid_of(study) is None
        assert section.build([study]).blocks == ()
    assert section.build([empty, whole]).blocks


def test_the_section_tells_everything_about_the_homework() -> None:
    study = grid_study(adam_and_depth)
    tables = {block.name: block for block in section.build([study]).blocks if isinstance(block, ReportTable)}
    claims = tables["effects-xor-claims"]
    assert [row[:2] for row in claims.rows[:1]] == [("Adam trains badly", "does not hold")]
    cells = tables["effects-xor-cells"]
    by_depth = {row[1]: row[4] for row in cells.rows}
    assert by_depth["2"] == 23_101
    pairs = tables["effects-xor-pairs"]
    batch = next(row for row in pairs.rows if row[0] == "batch size")
    assert batch[-1] == pytest.approx(2.0)  # 0.2 s an epoch against 0.1 s
    texts = [block.text for block in section.build([study]).blocks if isinstance(block, Paragraph)]
    assert any("counts the biases twice" in text for text in texts)


def test_the_report_has_the_section() -> None:
    pages = render([grid_study(adam_and_depth)])
    assert "What each choice does" in [title for _, title, _ in pages.sections]
    assert b"effects-xor-claims.csv" in b" ".join(name.encode() for name in pages.files)


def test_the_answer_says_by_which_rows_trials_were_compared() -> None:
    study = grid_study(adam_and_depth)
    part = "Trials are compared by the 10 000 test images."
    study.header = dataclasses.replace(study.header, about=part, has_page=False)
    texts = [block.text for block in answer.build([study]).blocks if isinstance(block, Paragraph)]
    assert any(part in text for text in texts)
    assert not any("Playground page" in text for text in texts)
