"""A sweep's log is the same for any number of workers and after any number of kills, and is found whole."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_spec, tiny_table

import sweeps.run.trials
from analysis.records.lines import RecordError
from analysis.records.reading import read_sweep
from analysis.records.study import STAGES, Study, canonical_lines
from analysis.statistics.intervals import upper_bound
from engine.model_files import load_model
from sweeps.data.source import Source
from sweeps.run.executors import LocalCrew, Result
from sweeps.run.plan import Piece, Plan
from sweeps.run.progress import Progress
from sweeps.run.replay import replay
from sweeps.run.setting import Setting, search_setting
from sweeps.run.study import run_sweep
from sweeps.run.trial import run_chunk, run_trial
from sweeps.run.trial_record import Outcome
from sweeps.spec.sweep import DatasetSpec, SweepSpec, open_source, parse_spec
from sweeps.spec.writing import with_overrides
from sweeps.store.log import SweepHeldError, SweepLock, digest
from sweeps.toml import SpecError

SPEC = tiny_spec()
SOURCE = open_source(SPEC, SPEC.datasets[0])
BUILDERS = Path(__file__).resolve().parents[2] / "builders"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once, undisturbed, with one worker, and return the folder."""
    results = tmp_path_factory.mktemp("results")
    run_sweep(SPEC, results, workers=1)
    return results / "tiny"


def audit(studies: list[Study]) -> None:
    for study in studies:
        n_trials = study.header.n_trials
        assert [trial.number for trial in study.trials] == list(range(n_trials)) == sorted(study.asked)
        assert all(trial.params == study.asked[trial.number] for trial in study.trials)
        for stage in STAGES:
            assert [record.number for record in study.records[stage]] == list(range(len(study.records[stage])))
        for record in (record for stage in STAGES for record in study.records[stage]):
            assert record.value == pytest.approx(np.mean(record.test_loss), rel=1e-12)
            assert record.test_upper == upper_bound(record.test_loss, 0.95)
            below = max(record.train_upper, record.test_upper) < study.header.goal
            assert record.candidate == (below and record.state == "complete")
            assert record.epochs in record.epoch_grid
            assert record.duration_s >= 0
        assert study.verdict is not None


def test_the_log_satisfies_its_invariants(whole: Path) -> None:
    audit(read_sweep(whole))


@pytest.mark.parametrize("workers", [2, 3])
def test_the_digest_does_not_depend_on_the_workers(whole: Path, tmp_path: Path, workers: int) -> None:
    studies = run_sweep(SPEC, tmp_path, workers=workers)
    assert digest(tmp_path / "tiny") == digest(whole)
    for study, there, other in zip(studies, read_sweep(tmp_path / "tiny"), read_sweep(whole), strict=True):
        assert study.chain == there.chain
        assert there.chain is not None
        assert there.chain.proves == "sealed: nothing is missing, added or altered"
        assert other.chain is not None
        assert there.chain.seals == other.chain.seals == [study.digest]
        assert there.chain.head != other.chain.head  # times differ, if nothing else does


def test_the_digest_survives_kills_and_torn_lines(whole: Path, tmp_path: Path) -> None:
    code = "from pathlib import Path; from tiny import tiny_spec; from sweeps.run.study import run_sweep\n"
    code += f"print(1, flush=True); run_sweep(tiny_spec(), Path({str(tmp_path)!r}), workers=2)"
    environment = os.environ | {"PYTHONPATH": f"{BUILDERS}{os.pathsep}{BUILDERS.parents[1]}"}
    rng = random.Random(5)
    log = tmp_path / "tiny" / "gauss" / "log.jsonl"
    for _ in range(3):
        size = log.stat().st_size if log.exists() else 0
        with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
            while process.poll() is None and (not log.exists() or log.stat().st_size == size):
                time.sleep(0.01)  # until it has written: a kill before that proves nothing
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        with log.open("ab") as stream:
            stream.write(b'{"sha256":"torn')
    audit(run_sweep(SPEC, tmp_path, workers=1))
    assert digest(tmp_path / "tiny") == digest(whole)


def test_a_finished_sweep_is_left_as_it_is(whole: Path) -> None:
    before = (whole / "gauss" / "log.jsonl").read_bytes()
    studies = run_sweep(SPEC, whole.parent, workers=1)
    assert (whole / "gauss" / "log.jsonl").read_bytes() == before
    assert all(study.verdict is not None for study in studies)


def test_a_timeout_leaves_a_prefix_that_a_resume_completes(whole: Path, tmp_path: Path) -> None:
    cut = run_sweep(SPEC, tmp_path, workers=1, timeout=0.15)
    for part, full in zip(cut, read_sweep(whole), strict=True):
        assert part.verdict is None
        assert set(canonical_lines(part)) <= set(canonical_lines(full))
    run_sweep(SPEC, tmp_path, workers=2)
    assert digest(tmp_path / "tiny") == digest(whole)


def test_what_came_in_beside_a_failure_is_kept_and_told(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Result] = []
    events: list[Progress] = []

    def lost(self: LocalCrew, plan: Plan, piece: Piece, result: Result) -> Result:
        if len(received) == 2:
            raise KeyboardInterrupt
        received.append(result)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(LocalCrew, "received", lost)
        patch.setattr("sweeps.run.study.wait", lambda futures, **_: concurrent.futures.wait(futures))
        with pytest.raises(KeyboardInterrupt):
            run_sweep(SPEC, tmp_path, workers=1, on_event=events.append)
    kept = [trial for study in read_sweep(tmp_path / "tiny") for trial in study.trials]
    assert len(kept) == 2
    assert [event.record for event in events if event.record is not None] == kept
    run_sweep(SPEC, tmp_path, workers=1)
    assert digest(tmp_path / "tiny") == digest(whole)


class Flipped:
    """A dataset whose out-of-range targets are the opposite of what they should be."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def draws(self, seeds: tuple[str, ...]) -> Any:
        draws = self._source.draws(seeds)
        beyond = dataclasses.replace(draws.out_of_range, y=-draws.out_of_range.y)
        return dataclasses.replace(draws, out_of_range=beyond)


def test_out_of_range_targets_reach_no_decision(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(spec: SweepSpec, dataset: DatasetSpec, folder: Path) -> Source:
        return Flipped(open_source(spec, dataset, folder))

    monkeypatch.setattr(sweeps.run.trials, "open_source", flipped)
    for study, straight in zip(run_sweep(SPEC, tmp_path, workers=2), read_sweep(whole), strict=True):
        assert study.asked == straight.asked
        assert study.verdict == straight.verdict
        for stage in STAGES:
            for one, other in zip(study.records[stage], straight.records[stage], strict=True):
                assert (one.params, one.epochs, one.value) == (other.params, other.epochs, other.value)
                assert one.out_of_range_loss != other.out_of_range_loss


def test_until_reached_asks_nothing_after_the_third_candidate_is_told(tmp_path: Path) -> None:
    spec = with_overrides(SPEC, until="reached", goal="test_loss < 0.6", n_trials=9)
    for study in run_sweep(spec, tmp_path, workers=2):
        told = [trial.candidate for trial in study.trials]
        third = next(i for i in range(9) if sum(told[: i + 1]) == 3)
        assert len(study.trials) == third + spec.search.lag
        assert study.verdict is not None
        assert study.verdict.stopped == "reached"
        assert study.verdict.certified


def test_stages_share_no_seed() -> None:
    blocks = [set(SOURCE.fresh_seeds(stage, "block")) for stage in ("finalist", "certificate")]
    blocks += [set(SOURCE.search_seeds()), set(SOURCE.search_seeds(1))]
    assert sum(map(len, blocks)) == len(set().union(*blocks)) == 4 + 8 + 80 + 4


def test_replay_finds_every_stage_equal(whole: Path) -> None:
    for stage in (one for one in STAGES if one != "ablation"):  # the tiny sweep has none; test_ablation replays some
        assert replay(whole, "xor", 0, stage).differences == ()


def test_replay_finds_a_record_that_was_changed(whole: Path, tmp_path: Path) -> None:
    from sweeps.store.log import StudyLog

    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "spec.toml").write_bytes((whole / "spec.toml").read_bytes())
    study = read_sweep(whole)[0]
    log = StudyLog(tmp_path / "tiny" / "gauss" / "log.jsonl", study.header)
    log.asked(0, study.asked[0], {}, None)
    log.record(dataclasses.replace(study.trials[0], value=0.0))
    log.close()
    assert replay(tmp_path / "tiny", "gauss", 0).differences == ("value",)


def test_a_replica_of_many_equals_the_same_alone() -> None:
    source = open_source(SPEC, SPEC.datasets[1])
    params = dict(run_params())
    seeds = SOURCE.search_seeds()
    together = run_trial(SPEC, source, "s/d", search_setting(SPEC, 0, params, seeds))
    for r, seed in enumerate(seeds):
        setting = Setting("finalist", 0, None, params, (seed,), (together.epochs,), epochs=together.epochs)
        alone = run_trial(SPEC, source, "s/d", setting)
        assert alone.test_loss == [together.test_loss[r]]
        assert alone.out_of_range_loss == [together.out_of_range_loss[r]]


def run_params() -> dict[str, Any]:
    return {
        "network.activation": "relu",
        "network.n_hidden_layers": 2,
        "network.hidden_layer_sizes.1": 5,
        "network.hidden_layer_sizes.2": 3,
        "training.batch_size": 7,
        "training.learning_rate": 0.1,
        "training.regularizer": "none",
    }


def test_a_diverged_trial_counts_with_the_cap() -> None:
    source = open_source(SPEC, SPEC.datasets[0])
    params = run_params() | {"training.learning_rate": 1e30, "network.activation": "linear"}
    record = run_trial(SPEC, source, "s/d", search_setting(SPEC, 0, params, SOURCE.search_seeds()))
    assert record.state == "diverged"
    assert record.reason == "4 of 4 replicas diverged"
    assert record.value == record.diverged_cap == pytest.approx(10 * record.constant_loss)
    assert not record.candidate


def test_a_replica_at_rest_keeps_what_it_had_while_the_others_go_on() -> None:
    epochs = {"max_epochs": 30, "grid": list(range(1, 31)), "stop_from": 0, "stop_patience": 0}
    plain = parse_spec(tiny_table() | {"epochs": epochs}, "t.toml")
    resting = parse_spec(tiny_table() | {"epochs": epochs | {"stop_delta": 0.01}}, "t.toml")
    setting = search_setting(plain, 0, run_params(), SOURCE.search_seeds())
    moving, rested = (run_chunk(spec, open_source(spec, spec.datasets[1]), setting, 0) for spec in (plain, resting))
    assert isinstance(moving, Outcome)
    assert isinstance(rested, Outcome)
    train = moving.losses["train"]
    still = np.abs(np.diff(train, axis=0)) <= 0.01
    ends = 1 + np.argmax(still, axis=0)  # index of the look at which each comes to rest
    assert still.any(axis=0).all()
    assert len(set(ends.tolist())) > 1
    assert rested.epochs == tuple(range(1, int(ends.max()) + 2))
    for name, losses in rested.losses.items():
        for r, end in enumerate(ends):
            np.testing.assert_array_equal(losses[: end + 1, r], moving.losses[name][: end + 1, r])
            np.testing.assert_array_equal(losses[end:, r], losses[end, r])
    alone = dataclasses.replace(
        setting, seeds=setting.seeds[:1], look_at=(*range(1, int(ends[0]) + 2),), stops_early=False
    )
    first = run_chunk(plain, open_source(plain, plain.datasets[1]), alone, 0)
    assert isinstance(first, Outcome)
    np.testing.assert_array_equal(rested.parameters.weights[0][0], first.parameters.weights[0][0])


def test_a_diverged_replica_never_comes_to_rest() -> None:
    table = tiny_table()
    table["epochs"]["stop_delta"] = 1e-5
    spec = parse_spec(table, "t.toml")
    params = run_params() | {"training.learning_rate": 1e30, "network.activation": "linear"}
    setting = search_setting(spec, 0, params, SOURCE.search_seeds())
    assert run_trial(spec, open_source(spec, spec.datasets[0]), "s/d", setting).state == "diverged"


def test_a_trial_that_cannot_run_fails_with_its_reason() -> None:
    source = open_source(SPEC, SPEC.datasets[0])
    params = run_params() | {"network.activation": "step"}
    record = run_trial(SPEC, source, "s/d", search_setting(SPEC, 0, params, SOURCE.search_seeds()))
    assert record.state == "failed"
    assert record.reason is not None
    assert record.reason.startswith("ValueError: ")
    assert "'step' cannot be trained" in record.reason


def test_a_trial_whose_batches_are_never_full_fails_instead_of_counting_untrained_weights() -> None:
    params = {**run_params(), "training.batch_size": 351}
    source = open_source(SPEC, SPEC.datasets[1])
    setting = Setting("search", 0, None, params, source.search_seeds(), (1,))
    assert run_trial(SPEC, source, "tiny/xor", setting).reason == (
        "ValueError: training.batch_size: 351 is more than the 350 training points, so that no batch is ever full and"
        " no weight ever moves; give 1 to 350 (350 is the whole set)"
    )
    fits = dataclasses.replace(setting, params={**params, "training.batch_size": 350})
    assert run_trial(SPEC, source, "tiny/xor", fits).reason is None


def test_the_in_range_points_are_the_test_points_inside_the_box() -> None:
    source = open_source(SPEC, SPEC.datasets[1])
    draws = source.draws(SOURCE.search_seeds())
    low, high = draws.train.X.min(axis=1, keepdims=True), draws.train.X.max(axis=1, keepdims=True)
    inside = ((low <= draws.test.X) & (high >= draws.test.X)).all(axis=2)
    assert (draws.n_in_range == inside.sum(axis=1)).all()
    beyond = draws.out_of_range
    counted = beyond.weight > 0 if beyond.weight is not None else None
    outside = ~((low <= beyond.X) & (high >= beyond.X)).all(axis=2)
    assert counted is not None
    assert (counted == outside).all()
    assert (draws.n_out_of_range > 10).all()


def test_another_spec_in_the_folder_is_refused_with_the_difference(whole: Path) -> None:
    before = digest(whole)
    with pytest.raises(SpecError) as caught:
        run_sweep(with_overrides(SPEC, n_trials=8), whole.parent, workers=1)
    assert str(caught.value) == (
        f"{whole}: this sweep already has a budget of 9 trials; more can be added with a larger --trials, fewer cannot "
        "be taken away; another --results or name starts a new one"
    )
    assert digest(whole) == before


def test_a_held_sweep_names_its_holder(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    held = pytest.raises(SweepHeldError, match=rf"held by process {os.getpid()} on .* since 2")
    with SweepLock(tmp_path / "tiny"), held:
        run_sweep(SPEC, tmp_path, workers=1)


def test_an_altered_line_is_refused_with_file_and_line(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    (folder / "gauss").mkdir(parents=True)
    (folder / "spec.toml").write_bytes((whole / "spec.toml").read_bytes())
    lines = (whole / "gauss" / "log.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"tanh", b"relu").replace(b"0.", b"1.", 1)
    (folder / "gauss" / "log.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match=r"gauss/log.jsonl: line 5: altered"):
        run_sweep(SPEC, tmp_path, workers=1)


@pytest.mark.parametrize(("workers", "timeout", "message"), [
    (0, None, "workers: 0; give at least 1"), (1, 0.0, "timeout: 0; give seconds above 0"),
])  # fmt: skip
def test_workers_and_timeout_that_will_not_do_write_nothing(
    tmp_path: Path, workers: int, timeout: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        run_sweep(SPEC, tmp_path, workers=workers, timeout=timeout)
    assert not list(tmp_path.iterdir())


def test_watchers_see_every_record_and_the_verdict(tmp_path: Path) -> None:
    events: list[Progress] = []
    studies = run_sweep(SPEC, tmp_path, workers=2, on_event=events.append)
    n_records = sum(len(study.records[stage]) for study in studies for stage in STAGES)
    assert sum(event.record is not None for event in events) == n_records
    assert [event.header.dataset for event in events if event.phase == "done"].count("xor") == 1


def test_certificates_leave_weights_that_give_their_losses(whole: Path) -> None:
    study = read_sweep(whole)[0]
    record = study.records["certificate"][0]
    models = whole / "gauss" / "models"
    with np.load(models / "certificate-0.npz", allow_pickle=False) as weights:
        assert weights["weights_0"].shape == (80, 2, record.network["hidden_layer_sizes"][0])
    with np.load(models / "certificate-0.curves.npz", allow_pickle=False) as curves:
        assert curves["test_loss"][-1].tolist() == record.test_loss
    sums = (models / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in sums} == {p.name for p in models.iterdir()} - {"SHA256SUMS"}


def test_certificates_leave_the_first_network_at_every_look_up_to_the_one_that_counts(whole: Path) -> None:
    record = read_sweep(whole)[0].records["certificate"][0]
    models = whole / "gauss" / "models"
    frames, final = (load_model(models / f"certificate-0{ending}.npz") for ending in (".frames", ""))
    assert frames.extra == {"epochs": [0, *record.epoch_grid], "seed": record.seeds[0]}
    for by_epoch, at_end in zip(frames.parameters.weights, final.parameters.weights, strict=True):
        assert by_epoch[-1].tobytes() == at_end[0].tobytes()
        assert (by_epoch[0] != by_epoch[-1]).any()


def test_a_cancelled_piece_gives_no_result() -> None:
    import threading

    from sweeps.run.trial import Cancelled

    cancel = threading.Event()
    cancel.set()
    setting = search_setting(SPEC, 0, run_params(), SOURCE.search_seeds())
    with pytest.raises(Cancelled):
        run_chunk(SPEC, open_source(SPEC, SPEC.datasets[0]), setting, 0, cancel)
