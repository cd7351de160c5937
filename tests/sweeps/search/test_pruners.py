"""Trials end at a rung by Optuna's own rule, and the same ones do so whatever happens to the sweep."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from record_builders import record
from tiny import tiny_table

from analysis.records.reading import read_study, read_sweep
from analysis.records.study import STAGES, Study, TrialRecord, canonical_lines
from sweeps.commands.printing import trials_text
from sweeps.run.certificate import ranked
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.search.pruners import Rival, largest_promoted, prune_above, rivals_of, rungs, surely_worse, value_at
from sweeps.spec.sections import EpochSpec, PruningSpec
from sweeps.spec.sweep import SpecError, SweepSpec, load_spec, parse_spec
from sweeps.spec.writing import as_table
from sweeps.store.log import digest


def pruned_table(kind: str = "successive_halving", n_trials: int = 14) -> dict[str, Any]:
    table = tiny_table()
    table["datasets"] = table["datasets"][1:]
    table["search"] |= {"n_trials": n_trials, "lag": 3}
    table["epochs"] |= {"stop_patience": 0}
    table["pruning"] = {"kind": kind, "min_epochs": 2, "reduction_factor": 2}
    return table


def spec_of(kind: str, lag: int, min_epochs: int, reduction_factor: int, max_epochs: int) -> SweepSpec:
    table = tiny_table()
    table["search"]["lag"] = lag
    table["epochs"] = {
        "max_epochs": max_epochs, "grid": list(range(1, max_epochs + 1)), "stop_from": 0, "stop_patience": 0,
    }  # fmt: skip
    table["pruning"] = {"kind": kind, "min_epochs": min_epochs, "reduction_factor": reduction_factor}
    return parse_spec(table, "t.toml")


def trial_of(number: int, means: list[float], pruned_at: int | None = None, **changes: Any) -> TrialRecord:
    plain = record(np.random.default_rng(number), number=number)
    curves: dict[str, list[float | None]] = {**plain.curves, "test_loss_mean": list(means)}
    return dataclasses.replace(
        plain,
        epoch_grid=list(range(1, len(means) + 1)),
        curves=curves,
        pruned_at=pruned_at,
        value=min(means),
        **changes,
    )


def falling_curves(seed: int, n: int, n_epochs: int) -> list[list[float]]:
    """Return losses that never rise, so that the lowest so far, which we compare, is the last, which Optuna does."""
    steps = np.random.default_rng(seed).gamma(0.3, size=(n, n_epochs))
    curves: list[list[float]] = (10.0 - np.cumsum(steps, axis=1)).tolist()
    return curves


def ended_by_us(spec: SweepSpec, curves: list[list[float]]) -> list[int | None]:
    done: list[TrialRecord] = []
    for number, curve in enumerate(curves):
        bounds = prune_above(spec, number, done)
        end = next((epoch for epoch, bound in bounds if min(curve[:epoch]) > bound), None)
        done.append(trial_of(number, curve[:end], end))
    return [trial.pruned_at for trial in done]


def ended_by_optuna(
    curves: list[list[float]], min_resource: int, reduction_factor: int, first: int = 0
) -> list[int | None]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource, reduction_factor, first)
    study = optuna.create_study(pruner=pruner)
    ends: list[int | None] = []
    for curve in curves:
        trial = study.ask()
        ends.append(None)
        for epoch, value in enumerate(curve[:-1], start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                ends[-1] = epoch
                break
        study.tell(trial, state=optuna.trial.TrialState.PRUNED if ends[-1] else None, values=None if ends[-1] else 1.0)
    return ends


@pytest.mark.parametrize(("min_epochs", "reduction_factor", "max_epochs"), [(1, 2, 9), (2, 3, 20), (1, 4, 17)])
def test_the_same_trials_end_at_the_same_rungs_as_in_optuna(
    min_epochs: int, reduction_factor: int, max_epochs: int
) -> None:
    curves = falling_curves(3, 60, max_epochs)
    spec = spec_of("successive_halving", 1, min_epochs, reduction_factor, max_epochs)
    ends = ended_by_us(spec, curves)
    assert ends == ended_by_optuna(curves, min_epochs, reduction_factor)
    assert len(set(ends)) > 2  # some at each of several rungs, some at none


def test_each_bracket_of_hyperband_is_a_successive_halving_of_its_own() -> None:
    curves = falling_curves(4, 80, 9)
    ends = ended_by_us(spec_of("hyperband", 1, 1, 2, 9), curves)
    for bracket in range(4):  # first rungs 1, 2, 4, 8
        assert ends[bracket::4] == ended_by_optuna(curves[bracket::4], 1, 2, bracket)


def test_the_largest_promoted_value_by_hand() -> None:
    assert largest_promoted([], 3) is None
    assert largest_promoted([0.5], 3) == 0.5  # of two the best one goes on
    assert largest_promoted([0.5, 0.1, 0.4], 2) == 0.4  # 2 of 4
    assert largest_promoted([0.5, 0.1, 0.4, 0.2, 0.3], 3) == 0.2  # 2 of 6


def test_only_what_was_told_before_the_ask_counts() -> None:
    spec = spec_of("successive_halving", 4, 1, 2, 8)
    done = [trial_of(number, [1.0 - 0.1 * number] * 8) for number in range(9)]
    assert prune_above(spec, 3, done) == ()
    assert prune_above(spec, 4, done) == ((1, 1.0), (2, 1.0), (4, 1.0))  # against trial 0 alone
    assert dict(prune_above(spec, 6, done))[1] == pytest.approx(0.9)  # trials 0, 1, 2: 2 of 4 go on
    assert prune_above(spec, 6, done) == prune_above(spec, 6, list(reversed(done[:3])))


def test_a_pruned_trial_has_no_value_at_later_rungs_and_a_stopped_one_keeps_its_own() -> None:
    assert value_at(trial_of(0, [0.5, 0.3, 0.4]), 2) == 0.3
    assert value_at(trial_of(0, [0.5, 0.3, 0.4]), 8) == 0.3
    assert value_at(trial_of(0, [0.5, 0.3, 0.4], pruned_at=3), 3) == 0.3
    assert value_at(trial_of(0, [0.5, 0.3, 0.4], pruned_at=3), 8) is None
    spec = spec_of("successive_halving", 1, 1, 2, 8)
    assert prune_above(spec, 1, [trial_of(0, [0.5], state="failed")]) == ()


def test_rungs_lie_on_the_grid_and_before_the_last_epoch() -> None:
    epochs = EpochSpec(81, (1, 2, 5, 10, 20, 50, 81), 0, 0)
    assert rungs(epochs, PruningSpec(), 5) == ()
    halving = PruningSpec("successive_halving", 1, 3)
    assert rungs(epochs, halving, 7) == (1, 5, 10, 50)  # for 1, 3, 9, 27
    hyperband = PruningSpec("hyperband", 1, 3)
    assert [rungs(epochs, hyperband, number) for number in range(6)] == [
        (1, 5, 10, 50), (5, 10, 50), (10, 50), (50,), (), (1, 5, 10, 50),
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["successive_halving", "hyperband"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once, undisturbed, with one worker, and return the folder."""
    results = tmp_path_factory.mktemp(request.param)
    run_sweep(parse_spec(pruned_table(request.param), "t.toml"), results, workers=1)
    return results / "tiny"


def spec_in(folder: Path) -> SweepSpec:
    return parse_spec(pruned_table(folder.parent.name.rstrip("0123456789")), "t.toml")


def study_in(folder: Path) -> Study:
    [study] = read_sweep(folder)
    return study


def test_what_is_pruned_says_where_and_costs_no_more(whole: Path, tmp_path: Path) -> None:
    study = study_in(whole)
    pruned = [trial for trial in study.trials if trial.pruned_at is not None]
    assert pruned
    for trial in pruned:
        assert trial.epoch_grid[-1] == trial.pruned_at < 20
        assert trial.reason is not None
        assert trial.reason.startswith(f"pruned at epoch {trial.pruned_at}: test loss ")
        assert not trial.candidate
        assert (trial.state, trial.value) == ("complete", min(m for m in trial.curves["test_loss_mean"] if m))
        assert f"pruned at epoch {trial.pruned_at}" in trials_text([trial])
    table = pruned_table()
    table["pruning"] = {"kind": "none"}
    run_sweep(parse_spec(table, "t.toml"), tmp_path, workers=2)
    full = study_in(tmp_path / "tiny").trials
    for one, other in zip(study.trials[:4], full[:4], strict=True):  # the Sobol points, which nothing told can change
        assert one.params == other.params
        assert one.curves["test_loss_mean"] == other.curves["test_loss_mean"][: len(one.epoch_grid)]
    n_epochs = [sum(trial.epoch_grid[-1] for trial in trials) for trials in (study.trials, full)]
    assert n_epochs[1] == 14 * 20
    assert n_epochs[0] < 0.95 * n_epochs[1]


def test_the_digest_does_not_depend_on_the_workers(whole: Path, tmp_path: Path) -> None:
    run_sweep(spec_in(whole), tmp_path, workers=3)
    assert digest(tmp_path / "tiny") == digest(whole)


@pytest.mark.parametrize("n_lines", [4, 11, 20, 29])
def test_the_digest_survives_a_cut_at_any_line(whole: Path, tmp_path: Path, n_lines: int) -> None:
    log = Path("tiny") / "xor" / "log.jsonl"
    (tmp_path / log).parent.mkdir(parents=True)
    lines = (whole.parent / log).read_bytes().splitlines(keepends=True)
    (tmp_path / log).write_bytes(b"".join(lines[:n_lines]) + b'{"sha256":"torn')
    cut = read_study(tmp_path / log)
    assert set(canonical_lines(cut)) <= set(canonical_lines(study_in(whole)))
    run_sweep(spec_in(whole), tmp_path, workers=2)
    assert digest(tmp_path / "tiny") == digest(whole)


def test_replay_finds_every_trial_equal(whole: Path) -> None:
    study = study_in(whole)
    for stage in STAGES:
        for one in study.records[stage]:
            assert replay(whole, "xor", one.number, stage).differences == ()


def test_a_pruned_trial_is_a_finalist_only_if_there_is_nothing_else(whole: Path) -> None:
    study = study_in(whole)
    cut_short = {trial.number for trial in study.trials if trial.pruned_at is not None}
    assert not cut_short & {finalist.source for finalist in study.records["finalist"]}
    pruned, plain = trial_of(0, [0.01], pruned_at=1), trial_of(1, [0.5])
    assert ranked([pruned, plain]) == [plain]
    assert ranked([pruned]) == [pruned]


@pytest.mark.parametrize(
    ("pruning", "message"),
    [
        ({"kind": "asha"}, "pruning: kind: unknown 'asha'; known: none, successive_halving, hyperband, racing"),
        ({"kind": "hyperband", "min_epochs": 20}, "pruning: min_epochs: 20 must be below max_epochs, 20"),
        ({"kind": "hyperband", "reduction_factor": 1}, "pruning: reduction_factor: 1 is outside 2 to 100"),
        ({"kind": "hyperband", "min_epoch": 3}, "pruning: unknown 'min_epoch'; did you mean 'min_epochs'?"),
    ],
)
def test_pruning_that_cannot_be_is_refused(pruning: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(tiny_table() | {"pruning": pruning}, "t.toml")
    assert str(caught.value) == f"t.toml: {message}"


def racing_trial(number: int, losses: dict[str, list[float]], **changes: Any) -> TrialRecord:
    return dataclasses.replace(trial_of(number, [0.5]), rung_losses=losses, **changes)


def test_the_best_trial_told_before_is_the_rival_of_each_rung() -> None:
    spec = spec_of("racing", 3, 2, 2, 8)
    trials = [
        racing_trial(0, {"2": [0.4, 0.6], "4": [0.3, 0.3]}),
        racing_trial(1, {"2": [0.4, 0.4]}),  # ended there
        racing_trial(2, {"2": [0.0, 0.0]}, source=0),
        racing_trial(3, {"2": [0.0, 0.0]}, state="diverged"),
        racing_trial(4, {"2": [0.0, 0.0]}),
    ]
    assert rivals_of(spec, 6, trials) == (Rival(2, 1, (0.4, 0.4)), Rival(4, 0, (0.3, 0.3)))
    assert rivals_of(spec, 7, trials)[0] == Rival(2, 4, (0.0, 0.0))
    assert rivals_of(spec_of("hyperband", 3, 2, 2, 8), 7, trials) == ()
    assert prune_above(spec, 7, trials) == ()


def test_a_race_is_decided_in_pairs_of_draws() -> None:
    """Hard and easy draws hide a small difference from who compares means, and not from who compares pairs."""
    rng = np.random.default_rng(0)
    draws = rng.uniform(0.05, 0.5, size=16)
    better, worse = draws, draws + 0.02 + 0.002 * rng.standard_normal(16)
    assert surely_worse(worse.tolist(), better.tolist())
    assert not surely_worse(worse.tolist(), rng.permutation(better).tolist())
    assert not surely_worse(better.tolist(), worse.tolist())
    wrong = [surely_worse((draws + 0.02 * rng.standard_normal(16)).tolist(), draws.tolist()) for _ in range(2000)]
    assert np.mean(wrong) < 0.015  # of equals, at one-sided 99 %


def test_a_race_ends_the_same_trials_for_any_number_of_workers_and_in_a_replay(tmp_path: Path) -> None:
    table = pruned_table("racing", 20)
    table["search"]["n_replicas"] = 8
    spec = parse_spec(table, "tiny.toml")
    (study,) = run_sweep(spec, tmp_path, workers=1)
    (other,) = run_sweep(spec, tmp_path / "other", workers=3)
    assert digest(tmp_path / "tiny") == digest(tmp_path / "other" / "tiny")
    assert study.digest == other.digest
    ended = [trial for trial in study.trials if trial.pruned_at is not None]
    assert 0 < len(ended) < 20
    for trial in ended:
        rivals = {rival.epoch: rival for rival in rivals_of(spec, trial.number, study.trials)}
        rival = rivals[trial.pruned_at]  # type: ignore[index]
        assert surely_worse(trial.test_loss, rival.losses)
        there = f"surely above trial {rival.number}'s there, in pairs of draws"
        assert trial.reason == f"pruned at epoch {trial.pruned_at}: test loss {trial.value:.4g} is {there}"
        assert max(map(int, trial.rung_losses or {})) == trial.pruned_at
        assert replay(tmp_path / "tiny", "xor", trial.number).differences == ()
    for trial in study.trials:
        if trial.pruned_at is None and trial.rung_losses:
            last = max(map(int, trial.rung_losses))
            rivals = {rival.epoch: rival for rival in rivals_of(spec, trial.number, study.trials)}
            assert last not in rivals or not surely_worse(trial.rung_losses[str(last)], rivals[last].losses)
    without = parse_spec(pruned_table("none", 3), "tiny.toml")
    (plain,) = run_sweep(without, tmp_path / "none", workers=1)
    assert all(trial.rung_losses is None for trial in plain.trials)


def test_a_race_needs_draws_of_its_own() -> None:
    table = as_table(load_spec("fashion_mnist"))
    table["pruning"]["kind"] = "racing"
    with pytest.raises(SpecError) as error:
        parse_spec(table, "f.toml")
    assert str(error.value) == (
        'f.toml: pruning: kind: "racing"; the replicas of fashion_mnist share its rows, so that pairs of them show '
        'nothing surely: use "successive_halving"'
    )
