"""A table is searched, certified and reported; its log is a function of spec and rows, whoever wrote it."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import root_mean_squared_error
from tiny_tables import table_spec

from analysis.records.reading import read_sweep
from analysis.records.table import read_table_record
from engine.roads.compiled import sharing
from engine.roads.compiled.sharing import sets_to_share
from sweeps.data.table.table import TableError
from sweeps.data.table.verdict import table_verdict
from sweeps.run import trial
from sweeps.run.replay import replay
from sweeps.run.setting import search_setting
from sweeps.run.study import run_sweep
from sweeps.run.trial import run_chunk
from sweeps.spec.builtin import TABLES, builtin_specs
from sweeps.spec.from_table import build_spec
from sweeps.spec.sweep import load_spec, open_source, parse_spec
from sweeps.spec.writing import as_table, as_toml
from sweeps.store.log import digest
from sweeps.toml import SpecError

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"


@pytest.fixture(scope="module")
def whole(houses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    run_sweep(table_spec(houses, "price"), results, workers=1)
    return results / "houses"


def test_any_number_of_workers_leaves_the_same_bytes(whole: Path, houses: Path, tmp_path: Path) -> None:
    run_sweep(table_spec(houses, "price"), tmp_path, workers=2)
    assert digest(tmp_path / "houses") == digest(whole)
    for file in ("table.json", "models/certificate-0.npz", "models/certificate-0.json"):
        assert (tmp_path / "houses/houses" / file).read_bytes() == (whole / "houses" / file).read_bytes()


def test_a_stopped_sweep_goes_on_to_the_same_bytes(whole: Path, houses: Path, tmp_path: Path) -> None:
    spec = table_spec(houses, "price")
    run_sweep(spec, tmp_path, workers=1)
    log = tmp_path / "houses/houses/log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    (tmp_path / "houses/houses/table.json").unlink()
    run_sweep(load_spec(tmp_path / "houses/spec.toml"), tmp_path, workers=1)
    assert digest(tmp_path / "houses") == digest(whole)
    assert (tmp_path / "houses/houses/table.json").read_bytes() == (whole / "houses/table.json").read_bytes()


def test_the_tables_record_says_of_the_winner_what_the_log_says(whole: Path) -> None:
    (study,) = read_sweep(whole)
    network = read_table_record(whole / "houses/table.json").model("network")
    winner = study.winner
    assert network is not None
    assert winner is not None
    trial = study.trials[winner.source or 0]
    mean = trial.curves["test_loss_mean"][trial.epoch_grid.index(winner.epochs)]
    assert network.trial == trial.number
    assert np.mean(np.array(network.validation["rmse"], np.float64)) == pytest.approx(mean, rel=1e-12)
    assert winner.ensemble is not None
    assert network.test == winner.ensemble["scores"]


def test_the_spec_in_the_folder_needs_no_rule_to_be_read(whole: Path, houses: Path) -> None:
    spec = table_spec(houses, "price")
    assert load_spec(whole / "spec.toml") == spec
    assert "sha256 = " in as_toml(spec)


@pytest.mark.parametrize("stage", ["search", "finalist", "certificate"])
def test_replay_gives_every_stage_again(whole: Path, stage: str) -> None:
    result = replay(whole, "houses", 0, stage)  # type: ignore[arg-type]
    assert not result.differences


def test_the_file_may_move_but_not_change(whole: Path, houses: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "houses.csv"
    moved.parent.mkdir()
    moved.write_bytes(houses.read_bytes())
    spec = table_spec(moved, "price")
    assert spec.sha256 == table_spec(houses, "price").sha256
    run_sweep(spec, whole.parent, workers=1)  # nothing to do, and nothing refused
    moved.write_bytes(houses.read_bytes().replace(b"red", b"RED"))
    with pytest.raises(SpecError, match=r"holds another sweep \(datasets\[0\]\.sha256: .* there, .* here\)"):
        run_sweep(table_spec(moved, "price"), whole.parent, workers=1)
    with pytest.raises(TableError, match="holds other data"):
        open_source(spec, spec.datasets[0])


def test_stages_and_replicates_share_no_seed_and_the_certificate_trains_on_all_but_test_rows(houses: Path) -> None:
    spec = table_spec(houses, "price")
    source = open_source(spec, spec.datasets[0])
    blocks = [source.search_seeds(), source.search_seeds(1), source.fresh_seeds("finalist", "block")]
    blocks.append(source.fresh_seeds("certificate", "block"))
    assert len({seed for block in blocks for seed in block}) == sum(map(len, blocks))
    rows = source.rows
    everything = np.concatenate([rows.test, rows.in_range, rows.out_of_range])
    assert sorted(everything.tolist()) == list(range(83))
    assert source.fold("certificate-0").train.tolist() == rows.in_range.tolist()
    for seed in (*blocks[0], *blocks[1], *blocks[2]):
        fold = source.fold(seed.rpartition(".")[0])
        assert sorted([*fold.train, *fold.validation]) == rows.folded.tolist()
    assert source.fold("search0.fold0").validation.tolist() != source.fold("finalist-0.fold0").validation.tolist()


@pytest.mark.parametrize(
    ("batch_size", "most", "n_sessions"), [(41, trial.MOST_TOGETHER, 2), (8, trial.MOST_TOGETHER, 1), (8, 0, 0)]
)
def test_replicas_of_unequal_folds_give_what_each_gives_alone(
    houses: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, most: int, n_sessions: int
) -> None:
    """Of 62 rows 41 or 42 are trained on: six mini-batches of 8, where vectors are shared, or one and two of 41."""
    opened: list[int] = []

    def counted(*given: Any) -> list[tuple[int, ...]]:
        sets = sets_to_share(*given)
        opened.append(len(sets))
        return sets

    spec = table_spec(houses, "price", test_share=0.18)
    source = open_source(spec, spec.datasets[0])
    seeds = source.search_seeds()
    groups = source.groups(seeds)
    assert tuple(seed for group in groups for seed in group) == seeds
    assert [len(source.fold(group[0].rpartition(".")[0]).train) for group in groups] == [41, 42]
    params = {"training.optimizer": "adam", "training.learning_rate": 0.01, "training.batch_size": batch_size}
    with monkeypatch.context() as patched:
        patched.setattr(sharing, "sets_to_share", counted)
        patched.setattr(trial, "MOST_TOGETHER", most)
        together = run_chunk(spec, source, search_setting(spec, 0, params, seeds), 0)
    assert not isinstance(together, str)
    assert opened == ([n_sessions] if most else [])
    for r, seed in enumerate(seeds):
        alone = run_chunk(spec, source, search_setting(spec, 0, params, (seed,)), 0)
        assert not isinstance(alone, str)
        for name, losses in alone.losses.items():
            np.testing.assert_array_equal(losses[:, 0], together.losses[name][:, r])


def test_a_batch_that_one_of_the_folds_never_fills_is_refused_whichever_comes_first(houses: Path) -> None:
    """Folds of 41 and of 42 rows, batches of 42 that are carried on: some networks would stay as they began."""
    spec = table_spec(houses, "price", test_share=0.18)
    source = open_source(spec, spec.datasets[0])
    params = {"training.partial_batch": "carry", "training.batch_size": 42}
    for seeds in (source.search_seeds(), source.search_seeds()[::-1]):
        assert run_chunk(spec, source, search_setting(spec, 0, params, seeds), 0) == (
            "ValueError: training.batch_size: 42 is more than the 41 training points, so that no batch is ever full and"
            " no weight ever moves; give 1 to 41 (41 is the whole set)"
        )


def test_the_value_of_a_trial_is_the_users_metric_on_the_validation_rows(houses: Path) -> None:
    """Against scikit-learn, from the trained weights by hand: standardized inputs in, euros out."""
    spec = table_spec(houses, "price", network={"hidden_layer_sizes": []})
    source = open_source(spec, spec.datasets[0])
    seeds = source.search_seeds()
    params = {"training.optimizer": "adam", "training.learning_rate": 0.03, "training.batch_size": 8}
    outcome = run_chunk(spec, source, search_setting(spec, 0, params, seeds), 0)
    assert not isinstance(outcome, str)
    y = source.rows.target.values
    for r, seed in enumerate(seeds):
        fitted = source.fitted(seed.rpartition(".")[0])
        X = fitted.preprocessing.transform(source.rows.frame.iloc[fitted.fold.validation])
        W, b = outcome.parameters.weights[0][r], outcome.parameters.biases[0][r]
        target = y[fitted.fold.train]
        expected = (X @ W + b)[:, 0] * target.std() + target.mean()
        score = root_mean_squared_error(y[fitted.fold.validation], expected)
        assert outcome.losses["test"][-1, r] == pytest.approx(score, rel=1e-5)


def test_classes_are_scored_in_stratified_folds_and_counted_once(kinds: Path, tmp_path: Path) -> None:
    spec = table_spec(kinds, "kind", goal={"words": "accuracy > 0.2"})
    (study,) = run_sweep(spec, tmp_path, workers=2)
    assert study.header.metric == "1 - accuracy"
    assert study.header.goal == pytest.approx(0.8)
    record = read_table_record(tmp_path / "kinds/kinds/table.json")
    assert record.fold_kind == "stratified"
    assert [model.name for model in record.models] == ["constant", "linear", "boosting", "network"]
    for model in record.models:
        assert sum(map(sum, model.confusion)) == record.n_fold_rows
        assert set(model.test) == {"accuracy", "balanced_accuracy", "average_precision", "log_loss"}
    assert record.n_test_looks == 1
    assert study.verdict is not None
    assert study.verdict.certified


def test_what_a_fold_learns_of_its_columns_and_target_comes_from_its_training_rows_alone(
    houses: Path, tmp_path: Path
) -> None:
    """Other numbers in the rows that fold 0 does not train on: its preprocessing stays, that of fold 1 does not."""
    spec = table_spec(houses, "price", end_rule="none")
    source = open_source(spec, spec.datasets[0])
    train = set(source.fold("search0.fold0").train.tolist())
    frame = pd.read_csv(houses)
    others = [row for row in range(len(frame)) if row not in train]
    frame.loc[others, ["area", "price"]] *= 10.0
    changed = tmp_path / "houses.csv"
    frame.to_csv(changed, index=False)
    spec = table_spec(changed, "price", end_rule="none")
    other = open_source(spec, spec.datasets[0])
    assert other.fold("search0.fold0").train.tolist() == sorted(train)
    for name in ("preprocessing", "target"):
        assert getattr(other.fitted("search0.fold0"), name) == getattr(source.fitted("search0.fold0"), name)
        assert getattr(other.fitted("search0.fold1"), name) != getattr(source.fitted("search0.fold1"), name)


def test_only_the_certificate_looks_at_the_test_rows_and_once(whole: Path, houses: Path, tmp_path: Path) -> None:
    """Other test targets: every record but the certificate's stays the same."""
    spec = table_spec(houses, "price")
    source = open_source(spec, spec.datasets[0])
    lines = houses.read_text().splitlines()
    for row in source.rows.test:
        head, _, value = lines[row + 1].rpartition(",")
        lines[row + 1] = f"{head},{float(value) + 1000.0!r}"
    changed = tmp_path / "houses.csv"
    changed.write_text("\n".join(lines) + "\n")
    (there,) = read_sweep(whole)
    (here,) = run_sweep(table_spec(changed, "price"), tmp_path / "results", workers=1)
    assert here.asked == there.asked
    assert here.header.goal == there.header.goal
    for stage in ("search", "finalist"):
        for one, other in zip(here.records[stage], there.records[stage], strict=True):
            assert one.sha256 == other.sha256
    (before,), (after,) = there.records["certificate"], here.records["certificate"]
    assert before.epoch_grid == [before.epochs]
    assert before.ensemble is not None
    assert after.ensemble is not None
    assert after.ensemble["value"] > before.ensemble["value"] + 500


@pytest.mark.parametrize("name", builtin_specs(TABLES))
def test_every_built_in_table_loads(name: str) -> None:
    if name.startswith("house_prices") and not (SHARED / "ames").is_dir():
        pytest.skip("needs the house prices in ../shared/data")
    text = resources.files("sweeps").joinpath("specs", TABLES, f"{name}.toml").read_text("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEPS_DATA", str(SHARED))
        spec = build_spec(tomllib.loads(text), f"{name}.toml")
    assert spec.name == spec.datasets[0].name == name
    assert parse_spec(as_table(spec), name) == spec


def test_a_space_may_search_what_the_defaults_fix_but_not_what_the_user_fixes(houses: Path) -> None:
    schedules = {"training": {"schedule": {"choice": ["cosine", "constant"]}, "learning_rate": {"choice": [0.01]}}}
    spec = table_spec(houses, "price", space=schedules)
    assert "schedule" not in dict(spec.training)
    with pytest.raises(SpecError, match="training: schedule is also in the space; fix it or search it"):
        table_spec(houses, "price", space=schedules, training={"schedule": "cosine"})


def test_the_held_out_end_is_no_objective(whole: Path, houses: Path, tmp_path: Path) -> None:
    spec = table_spec(houses, "price")
    source = open_source(spec, spec.datasets[0])
    lines = houses.read_text().splitlines()
    for row in source.rows.out_of_range:
        head, _, value = lines[row + 1].rpartition(",")
        lines[row + 1] = f"{head},{float(value) + 1000.0!r}"
    changed = tmp_path / "houses.csv"
    changed.write_text("\n".join(lines) + "\n")
    (there,) = read_sweep(whole)
    (here,) = run_sweep(table_spec(changed, "price"), tmp_path / "results", workers=1)
    assert here.asked == there.asked
    assert [trial.value for trial in here.trials] == [trial.value for trial in there.trials]
    assert [t.out_of_range_loss for t in here.trials] != [t.out_of_range_loss for t in there.trials]
    assert (here.verdict, there.verdict) == (there.verdict, here.verdict)


def compared(low: float, high: float) -> dict[str, object]:
    return {"difference": (low + high) / 2, "low": low, "high": high, "bound": high, "n_units": 50, "method": "planted"}


@pytest.mark.parametrize(
    ("linear", "boosting", "passed", "text"),
    [
        ((-0.3, -0.1), (-0.2, -0.1), True, "better than logistic regression; better than gradient boosting."),
        ((-0.3, -0.1), (-0.2, 0.1), False, "better than logistic regression; not to be told apart from gradient "
                                           "boosting at n = 50."),
        ((0.1, 0.2), (-0.1, 0.3), False, "worse than logistic regression; not to be told apart from gradient "
                                         "boosting at n = 50."),
    ],
)  # fmt: skip
def test_a_verdict_says_better_or_worse_only_where_pairs_of_rows_tell(
    whole: Path, linear: tuple[float, float], boosting: tuple[float, float], passed: bool, text: str
) -> None:
    (study,) = read_sweep(whole)
    judged = {
        "metric": "accuracy", "value": 0.9, "n_rows": 50, "n_units": 50, "unit": "row", "passed": passed, "level": 0.04,
        "against": "linear", "best_here": "boosting", "bound": 0.5, "goal": "beat the best baseline in accuracy",
        "baselines": {"linear": {"accuracy": 0.8}, "boosting": {"accuracy": 0.85}},
        "comparisons": {"linear": compared(*linear), "boosting": compared(*boosting)},
    }  # fmt: skip
    study.records["certificate"] = [dataclasses.replace(study.records["certificate"][0], ensemble=judged)]
    verdict = table_verdict(0.05, study, "budget")
    assert verdict.certified == passed
    result = (
        "accuracy 0.9 of 4 networks together on 50 test rows (best baseline in the folds, logistic regression: 0.8; "
        "here, gradient boosting: 0.85)"
    )
    at = "at level 0.04 (this sweep's first look at these rows; 0.04 of 0.05 is spent)"
    if passed:
        assert verdict.text == f"Certified: {result} reaches the goal, {judged['goal']}, {at}: {text}"
    else:
        assert verdict.text == f"Not certified: {result}; to {judged['goal']} is not shown {at}: {text}"


def test_network_and_baselines_have_the_same_rows_for_units_in_every_part(whole: Path) -> None:
    record = read_table_record(whole / "houses/table.json")
    for part in ("validation", "out_of_range", "test", "test_in_range", "test_out_of_range"):
        found = {(m.parts[part].n_rows, m.parts[part].scores["rmse"].method) for m in record.models}
        assert len(found) == 1, part
        assert {m.parts[part].scores["rmse"].n_units for m in record.models} == {record.models[0].parts[part].n_rows}
    whole_test, *sides = (record.models[0].parts[f"test{side}"].n_rows for side in ("", "_in_range", "_out_of_range"))
    assert whole_test == record.n_test_rows == sum(sides)
    assert {one.baseline for one in record.test_differences} == {"constant", "linear", "boosting"}
    assert {one.baseline for one in record.fold_differences} == {"constant", "linear", "boosting"}
    assert {one.n_rows for one in record.fold_differences} == {record.n_fold_rows}


def test_without_known_test_targets_nothing_is_certified(houses: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(houses)
    frame.iloc[:60].to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[60:].drop(columns="price").to_csv(tmp_path / "test.csv", index=False)
    spec = table_spec(tmp_path / "train.csv", "price", test_file=str(tmp_path / "test.csv"), end_rule="none")
    (study,) = run_sweep(spec, tmp_path, workers=2)
    assert study.verdict is not None
    assert not study.verdict.certified
    assert study.verdict.text.startswith("Not certified: no test row has a known target")
    lines = (tmp_path / "train" / "train" / "submission.csv").read_text().splitlines()
    assert lines[0] == "key,price"
    assert [line.partition(",")[0] for line in lines[1:]] == frame["key"].iloc[60:].tolist()
    predictions = np.array([float(line.partition(",")[2]) for line in lines[1:]])
    assert np.isfinite(predictions).all()
    assert read_table_record(tmp_path / "train" / "train" / "table.json").n_test_looks == 0
