"""A Dask cluster trains what threads would: same digest, after a worker's death too; unequal workers are refused."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import gc
import logging
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_spec, tiny_table

from analysis.records.lines import encode_line
from analysis.records.reading import read_sweep
from analysis.records.study import Study, TrialRecord
from analysis.records.values import as_data
from sweeps.run import study
from sweeps.run.crews import check_executor
from sweeps.run.dask_crew import SHORTEST_S, DaskCrew, connected
from sweeps.run.executors import Cohort, LocalCrew, Result, cohorts, timed
from sweeps.run.plan import Piece, Plan, Timing
from sweeps.run.progress import Progress
from sweeps.run.remote import check_equal, own_versions, train_here
from sweeps.run.setting import Setting
from sweeps.run.study import run_sweep
from sweeps.run.trial_record import Outcome
from sweeps.run.trials import TrialPlan, TrialTrainer
from sweeps.spec.sweep import DatasetSpec, SweepSpec, parse_spec
from sweeps.spec.writing import with_overrides
from sweeps.store.log import digest
from sweeps.toml import SpecError

distributed = pytest.importorskip("distributed")
Tally = Callable[[str, float, float], None]
SPEC: SweepSpec = with_overrides(tiny_spec(), goal="test_loss < 0.001")


def short_spec() -> SweepSpec:
    """Return a sweep of one dataset that is a search and little else."""
    table = tiny_table()
    table["search"] |= {"n_trials": 24, "lag": 12, "sampler": "random", "n_candidates": 1}
    table["goal"]["below"] = 0.001
    table["finalists"]["n"] = 1
    table["certificates"]["n"] = 0
    return parse_spec(table | {"datasets": table["datasets"][:1]}, "tiny.toml")


SHORT = short_spec()


def here(n_workers: int) -> distributed.LocalCluster:
    return distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with here(2) as cluster:
        yield cluster


def named(cluster: distributed.LocalCluster) -> str:
    return str(cluster.scheduler_address).replace("tcp://", "dask://")


@pytest.mark.faults
def test_the_digest_is_that_of_threads(cluster: distributed.LocalCluster, tmp_path: Path, tally: Tally) -> None:
    digests = set()
    for workers in (1, 2, 4):
        run_sweep(SPEC, tmp_path / str(workers), workers=workers)
        digests.add(digest(tmp_path / str(workers) / "tiny"))
    studies = run_sweep(SPEC, tmp_path / "dask", workers=1, executor=named(cluster))
    digests.add(digest(tmp_path / "dask" / "tiny"))
    assert len(digests) == 1
    assert len({trial.worker for study in studies for trial in study.trials}) == 2
    with distributed.Client(cluster, set_as_default=False) as client:
        loaded = client.run(lambda: [name for name in ("optuna", "mlflow", "sqlalchemy") if name in sys.modules])
    assert list(loaded.values()) == [[], []]
    tally("one sweep by 1, 2 and 4 threads and by 2 Dask workers: another digest", 4, 0)


@pytest.mark.faults
def test_what_a_killed_worker_had_is_trained_again(
    cluster: distributed.LocalCluster, tmp_path: Path, tally: Tally
) -> None:
    run_sweep(SPEC, tmp_path / "threads", workers=2)
    with distributed.Client(cluster, set_as_default=False) as client:
        victims = sorted(client.run(os.getpid).values())
    killed: list[int] = []

    def kill_one(progress: object) -> None:
        n_finished = getattr(progress, "n_finished", 0)
        if n_finished == 3 and not killed:
            killed.append(victims[0])
            os.kill(victims[0], signal.SIGKILL)

    run_sweep(SPEC, tmp_path / "dask", workers=1, executor=named(cluster), on_event=kill_one)
    assert killed == victims[:1]
    assert digest(tmp_path / "dask" / "tiny") == digest(tmp_path / "threads" / "tiny")
    tally("worker of `dask-local` killed in mid-search: another digest", 1, 0)


@pytest.mark.faults
def test_a_worker_of_other_code_is_refused(cluster: distributed.LocalCluster, tmp_path: Path, tally: Tally) -> None:
    cluster.scale(2)
    plan = TrialPlan(SPEC, SPEC.datasets[0], tmp_path)
    params, _ = plan.proposer(_study(plan)).ask(0)
    piece = Piece(plan.setting(_study(plan), 0, params, ()), 0)
    with connected(named(cluster)) as crew:
        crew._expected = own_versions() | {"code": "0123456789ab"}
        with pytest.raises(SpecError, match=r"^worker .+:\d+: code [0-9a-f]{12}, but 0123456789ab here; its numbers "):
            crew.submit(plan, Cohort(((piece,),))).result()
    tally("Dask worker with other code: taken", 1, 0)


@pytest.mark.faults
def test_a_cluster_without_workers_or_none_is_told_in_a_line() -> None:
    with distributed.LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    ) as empty:
        with pytest.raises(SpecError) as told, connected(named(empty)):
            pass
        address = empty.scheduler_address
    assert str(told.value) == f"{address}: a cluster without workers; start one: dask worker {address}"


def _study(plan: TrialPlan) -> Study:
    return Study(plan.header)


def sent_and_back(plan: TrialPlan, setting: Setting) -> tuple[Any, Any]:
    """Return what comes of a setting in another process, and what comes of it here."""
    trainer, batch = pickle.loads(pickle.dumps((plan.trainer(), (Piece(setting, 0),))))
    ((result,),) = pickle.loads(pickle.dumps(train_here(trainer, [batch], own_versions())))
    assert result.timing.worker.endswith(f":{os.getpid()}")
    (here,) = plan.train(batch, threading.Event())
    return plan.received(batch[0], result.outcome), here


@pytest.mark.parametrize("dataset", SPEC.datasets, ids=lambda one: one.name)
def test_a_record_made_by_a_worker_is_the_one_made_here(tmp_path: Path, dataset: DatasetSpec) -> None:
    plan = TrialPlan(SPEC, dataset, tmp_path)
    proposer = plan.proposer(_study(plan))
    for number in range(3):
        setting = plan.setting(_study(plan), number, proposer.ask(number)[0], ())
        back, here = sent_and_back(plan, setting)
        timing = Timing(1.0, 2.0, "w")
        assert isinstance(back, TrialRecord)
        assert isinstance(here, Outcome)
        assert back.started_at_s == 0.0
        found, expected = (plan.record(setting, [one], timing) for one in (back, here))
        assert found == expected
        assert as_data(found) == as_data(expected)
        assert encode_line("finished", as_data(found)) == encode_line("finished", as_data(expected))


def test_a_trial_that_cannot_be_trained_is_recorded_by_the_driver(tmp_path: Path) -> None:
    plan = TrialPlan(SPEC, SPEC.datasets[0], tmp_path)
    params, _ = plan.proposer(_study(plan)).ask(0)
    setting = plan.setting(_study(plan), 0, params | {"training.batch_size": 10_000}, ())
    back, here = sent_and_back(plan, setting)
    assert isinstance(back, str)
    assert back == here
    assert plan.record(setting, [back], Timing()).state == "failed"


def test_networks_come_back_where_they_are_kept(tmp_path: Path) -> None:
    plan = TrialPlan(SPEC, SPEC.datasets[0], tmp_path)
    params, _ = plan.proposer(_study(plan)).ask(0)
    setting = dataclasses.replace(plan.setting(_study(plan), 0, params, ()), stage="certificate")
    back, here = sent_and_back(plan, setting)
    assert isinstance(back, Outcome)
    assert isinstance(here, Outcome)
    assert back.sha256 == here.sha256
    assert back.epochs == here.epochs
    assert [array.tobytes() for array in back.draws.train.X] == [array.tobytes() for array in here.draws.train.X]


def test_unequal_versions_are_named_on_both_sides() -> None:
    here = own_versions()
    assert {"code", "numpy", "numba", "processor", "python"} <= here.keys()
    assert "optuna" not in here
    check_equal("w", dict(here), here)
    with pytest.raises(SpecError) as told:
        check_equal("tcp://h:1", here | {"processor": "x86_64 AVX2"}, here)
    assert str(told.value) == (
        f"worker tcp://h:1: processor x86_64 AVX2, but {here['processor']} here; its numbers could differ: start"
        " workers of this version on this type of processor"
    )
    with pytest.raises(SpecError, match=r"^worker .+: processor .+, but x86_64 AVX2 here; "):
        train_here(TrialTrainer("", ""), [], here | {"processor": "x86_64 AVX2"})


class _Crew(LocalCrew):
    shortest_s = SHORTEST_S

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers


@pytest.mark.parametrize(
    ("n_batches", "batch_s", "n_workers", "n_under_way", "sizes"),
    [
        (8, 0.01, 2, 0, [[4], [4]]),  # five would do for 50 ms, but then a worker had less
        (20, 0.01, 2, 0, [[5], [5], [5], [5]]),
        (16, 2.1, 2, 0, [[1]] * 16),  # two seconds are over with each of them
        (16, 1.1, 2, 0, [[1, 1, 1]] * 5 + [[1]]),  # two seconds of two workers
        (8, None, 2, 0, [[1]] * 8),
        (8, 0.2, 4, 0, [[1]] * 8),  # fewer than four for each worker
        (1, 0.01, 4, 7, [[1]]),
        (1, 0.01, 4, 8, []),  # nobody is idle: it waits for others to go with
        (0, 0.01, 2, 0, []),
        (16, 0.2, 2, 0, [[1, 1, 1, 1]] * 4),  # a quarter of what is under way
        (40, 0.2, 2, 0, [[1] * 10] * 4),
        (400, 0.1, 2, 0, [[1] * 20] * 20),  # in one message at most
        (3, 0.2, 2, 13, []),
        (4, 0.2, 2, 12, [[1, 1, 1, 1]]),
        (5, 0.2, 2, 12, [[1, 1, 1, 1], [1]]),
        (3, 0.2, 2, 3, [[1]] * 3),  # the end is near: each by itself
        (30, 0.03, 1, 0, [[2, 2, 2]] * 5),
        (9, 0.03, 1, 8, [[2, 2, 2], [2, 1]]),
    ],
)
def test_what_is_short_goes_together(
    n_batches: int, batch_s: float | None, n_workers: int, n_under_way: int, sizes: list[list[int]]
) -> None:
    batches = [(object(),) for _ in range(n_batches)]
    found = cohorts(batches, _Crew(n_workers), batch_s, n_under_way)  # type: ignore[arg-type]
    assert [[len(task) for task in cohort.tasks] for cohort in found] == sizes
    sent = [batch for cohort in found for batch in cohort.batches]
    assert sent == batches[: len(sent)]
    assert [batch for cohort in found for task in cohort.tasks for batch in task] == sent


def test_threads_get_each_batch_by_itself() -> None:
    crew = _Crew(2)
    crew.shortest_s = LocalCrew.shortest_s
    batches = [(object(),) for _ in range(8)]
    found = cohorts(batches, crew, 0.01, 40)  # type: ignore[arg-type]
    assert found == [Cohort((batch,)) for batch in batches]


def test_a_certificate_that_is_not_there_is_told_in_a_line() -> None:
    import dask

    with pytest.raises(SpecError) as none, connected("tls://127.0.0.1:9"):
        pass
    files = dict.fromkeys(("ca-file", "client.cert", "client.key"), "/nowhere/cert.pem")
    settings = {f"distributed.comm.tls.{name}": path for name, path in files.items()}
    with dask.config.set(settings), pytest.raises(SpecError) as unread, connected("tls://127.0.0.1:9"):
        pass
    assert str(none.value) == (
        "tls://127.0.0.1:9: no certificate to show; set Dask's distributed.comm.tls.ca-file, .client.cert and"
        " .client.key, as docs/scale.md has them"
    )
    assert str(unread.value) == (
        "tls://127.0.0.1:9: the certificate cannot be read ([Errno 2] No such file or directory); docs/scale.md has the"
        " settings"
    )


@pytest.mark.parametrize("name", ["dask", "dask://", "dask://h", "http://h:1", "dask-local:0", "dask-local:x", ""])
def test_an_executor_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SpecError) as told:
        check_executor(name)
    assert str(told.value) == f'--executor: "{name}" must be local, dask-local, dask-local:N or dask://HOST:PORT'


def test_executors_that_are_some_are_accepted() -> None:
    for name in (
        "local",
        "dask-local",
        "dask-local:3",
        "dask://127.0.0.1:8786",
        "tls://host:8786",
        "dask://[::1]:8786",
    ):
        check_executor(name)


def test_a_result_whose_worker_dies_before_it_is_fetched_is_trained_again(
    tmp_path: Path, cluster: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    fetch = DaskCrew._fetch

    async def kill_first(crew: DaskCrew, tasks: list[distributed.Future]) -> list[list[Result]]:
        if not killed:
            killed.append("")  # the others of the first round go on
            while tasks[0].status != "finished":
                await asyncio.sleep(0.01)
            ((_, holders),) = (await crew._client.scheduler.who_has(keys=[tasks[0].key])).items()
            killed[:] = holders
            processes = await crew._client.run(os.getpid, workers=killed, asynchronous=True)
            os.kill(processes[killed[0]], signal.SIGKILL)
        return await fetch(crew, tasks)

    run_sweep(SHORT, tmp_path / "threads", workers=2)
    monkeypatch.setattr(DaskCrew, "_fetch", kill_first)
    run_sweep(SHORT, tmp_path / "dask", workers=1, executor=named(cluster))
    assert len(killed) == 1
    assert digest(tmp_path / "dask" / "tiny") == digest(tmp_path / "threads" / "tiny")


def test_a_task_that_fails_for_good_is_told_before_the_others_of_its_message_are_done(
    cluster: distributed.LocalCluster,
) -> None:
    """Those that wait for a worker when the last one has died would never be."""
    with connected(named(cluster)) as crew:
        crew._client.wait_for_workers(2)
        slow = crew._client.submit(time.sleep, 3.0, pure=False)
        bad = crew._client.submit(check_equal, "w", {"numpy": "2"}, {"numpy": "1"}, pure=False)
        fetched = asyncio.run_coroutine_threadsafe(crew._fetch([slow, bad]), crew._loop)
        with pytest.raises(SpecError) as told:
            fetched.result(60)
        assert slow.status == "pending"
    assert str(told.value) == (
        "worker w: numpy 2, but 1 here; its numbers could differ: start workers of this version on this type of"
        " processor"
    )


@pytest.mark.faults
def test_a_task_that_kills_whoever_trains_it_is_told_with_the_last_of_its_workers() -> None:
    """Dask gives a task up that has taken four workers with it."""

    def train(crew: DaskCrew) -> None:
        deadly = crew._client.map(os._exit, [1], pure=False)
        others = crew._client.map(time.sleep, [0.01] * 5, pure=False)
        asyncio.run_coroutine_threadsafe(crew._fetch([*deadly, *others]), crew._loop).result(60)

    with here(2) as cluster:
        with pytest.raises(SpecError) as told, connected(named(cluster)) as crew:
            train(crew)
        address = re.escape(cluster.scheduler_address)
    expected = rf"{address}: 4 workers died of one task, the last tcp://127\.0\.0\.1:\d+; `resume` goes on"
    assert re.fullmatch(expected, str(told.value))


class FailingCrew(LocalCrew):
    """Trains at once; the task of the first trial fails for good."""

    def __init__(self) -> None:
        self.n_workers = 2

    def submit(self, plan: Plan, cohort: Cohort) -> concurrent.futures.Future[list[list[Result]]]:
        future = concurrent.futures.Future[list[list[Result]]]()
        if cohort.batches[0][0].setting.number == 0:
            future.set_exception(SpecError("worker w: no equal"))
        else:
            cancel = threading.Event()
            future.set_result([timed(lambda one: plan.train(one, cancel), batch, "w") for batch in cohort.batches])
        return future


def test_what_comes_in_beside_a_task_that_fails_for_good_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "open_crew", lambda *_: contextlib.nullcontext(FailingCrew()))
    with pytest.raises(SpecError, match=r"^worker w: no equal$"):
        run_sweep(SHORT, tmp_path, workers=1)
    (kept,) = read_sweep(tmp_path / "tiny")
    assert sorted(trial.number for trial in kept.trials) == list(range(1, SHORT.search.lag))


def test_a_search_sends_and_fetches_several_tasks_at_a_time(
    tmp_path: Path, cluster: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    submit = DaskCrew.submit

    def count(crew: DaskCrew, plan: Plan, cohort: Cohort) -> concurrent.futures.Future[list[list[Result]]]:
        sent.append(len(cohort.tasks))
        return submit(crew, plan, cohort)

    monkeypatch.setattr(DaskCrew, "submit", count)
    monkeypatch.setattr(DaskCrew, "shortest_s", 1e-6)  # so that no two trials of a few milliseconds share a task
    run_sweep(SHORT, tmp_path / "dask", workers=1, executor=named(cluster))
    run_sweep(SHORT, tmp_path / "threads", workers=2)
    assert max(sent) > 1
    assert digest(tmp_path / "dask" / "tiny") == digest(tmp_path / "threads" / "tiny")


def test_a_search_that_is_stopped_leaves_nothing_that_speaks_later(
    tmp_path: Path, cluster: distributed.LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """An asyncio task whose error nobody has asked for says so once it is collected."""

    def interrupt(progress: Progress) -> None:
        if progress.n_finished > 3:
            raise KeyboardInterrupt

    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        run_sweep(SHORT, tmp_path, workers=1, executor=named(cluster), on_event=interrupt)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
