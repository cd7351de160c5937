"""What is around a sweep may change while it runs: clocks, time zones, rights, other drivers; not its bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fork_server import ROOT, ForkServer
from small import small_spec

import sweeps.run.trials
from analysis.records.lines import RecordError
from sweeps.audit.audit import audit_sweep
from sweeps.commands.main import main
from sweeps.run.progress import Progress
from sweeps.run.study import run_sweep
from sweeps.run.versions import versions
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.database import sqlite_uri
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]
SPEC = small_spec()
RUN = ("run", "tiny.toml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("whole")
    run_sweep(SPEC, results, workers=1)
    return digest(results / "tiny")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with a spec in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(as_toml(SPEC))
    return tmp_path


def problems(folder: Path, whole: str) -> list[str]:
    found = [
        str(finding) for finding in audit_sweep(folder / "results" / "tiny", sqlite_uri(folder / "mlflow.db")).findings
    ]
    return found + ([] if digest(folder / "results" / "tiny") == whole else ["another digest"])


def test_a_clock_that_jumps_changes_no_result_and_no_run(
    folder: Path, whole: str, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """Years forward and back, before the epoch too, from one call to the next."""
    rng, now = random.Random(0), time.time
    jumps = [0.0, 3.2e8, -3.2e8, -1.7e9, 3600.0, -3600.0]
    monkeypatch.setattr(time, "time", lambda: now() + rng.choice(jumps))
    run_sweep(SPEC, folder / "results", workers=2)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    assert main(["report", "tiny"]) == 0
    found = problems(folder, whole)
    tally("clock that jumps up to ten years at every look, in a search, its export and report", len(jumps), len(found))
    assert found == []


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """Return how to set the process's time zone, which is set back afterwards."""

    def set_to(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    before = os.environ.get("TZ")
    yield set_to
    if before is None:
        os.environ.pop("TZ", None)
    else:
        set_to(before)
    time.tzset()


def test_another_time_zone_in_the_middle_changes_nothing(
    folder: Path, whole: str, zone: Callable[[str], None], tally: Tally
) -> None:
    zones = ("UTC", "Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu")
    pages = set()
    for name in zones:
        zone(name)
        run_sweep(SPEC, folder / "results", workers=1, timeout=0.2 if name != zones[-1] else None)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    for name in zones:
        zone(name)
        assert main(["report", "tiny"]) == 0
        pages.add((folder / "results" / "tiny" / "report" / "report.md").read_bytes())
    found = problems(folder, whole) + ([] if len(pages) == 1 else ["reports differ"])
    tally("time zone changed between parts of one sweep, and between its reports", len(zones), len(found))
    assert found == []


@pytest.mark.parametrize("key", ["code", "processor", "numpy"])
def test_other_code_or_another_processor_goes_on_with_nothing(
    folder: Path, whole: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits may differ then: the log keeps what it has, and both are named."""
    run_sweep(SPEC, folder / "results", workers=1, timeout=0.2)
    path = folder / "results" / "tiny" / "gauss" / "log.jsonl"
    before = path.read_bytes()
    here = versions()
    monkeypatch.setattr(sweeps.run.trials, "versions", lambda: here | {key: "another"})
    with pytest.raises(RecordError) as told:
        run_sweep(SPEC, folder / "results", workers=1)
    assert str(told.value) == (
        f'{path}: line 1: written by another setup (versions.{key} "{here[key]}" there, "another" here); resume it'
        " there, or run into another --results"
    )
    assert path.read_bytes() == before
    monkeypatch.undo()
    run_sweep(SPEC, folder / "results", workers=1)
    assert digest(folder / "results" / "tiny") == whole


@pytest.mark.parametrize("stopped_s", [1.0, pytest.param(30.0, marks=(pytest.mark.faults, pytest.mark.takes(35.0)))])
def test_a_stopped_driver_holds_its_sweep_and_goes_on(
    server: ForkServer, folder: Path, whole: str, stopped_s: float, tally: Tally
) -> None:
    """As Ctrl-Z does, or a laptop that sleeps; meanwhile a second driver is told who has it."""
    process = server.start(folder, *RUN, with_report=False)
    lock = folder / "results" / "tiny" / "lock"
    deadline = time.monotonic() + 60.0
    while not (lock.exists() and lock.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process, signal.SIGSTOP)
    time.sleep(stopped_s)
    second = server.run(folder, *RUN)
    os.kill(process, signal.SIGCONT)
    assert server.wait(process) == 0
    output = (folder / "output").read_text().splitlines()
    told = [line for line in output if line.startswith("python -m sweeps: ")]
    found = problems(folder, whole)
    tally("driver stopped (SIGSTOP) for 30 s, a second driver refused meanwhile", 1, len(found))
    assert found == []
    assert second == 75
    assert len(told) == 1
    assert told[0].startswith(f"python -m sweeps: results/tiny: held by process {process} on ")


@pytest.mark.faults
def test_a_stopped_writer_delays_no_trial_and_goes_on(
    server: ForkServer, folder: Path, whole: str, tally: Tally
) -> None:
    process = server.start(folder, *RUN, with_report=False)
    children = Path(f"/proc/{process}/task/{process}/children")
    deadline = time.monotonic() + 60.0
    while not (writers := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(int(writers[0]), signal.SIGSTOP)
    log = folder / "results" / "tiny" / "gauss" / "log.jsonl"
    while not (log.exists() and b'"verdict"' in log.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    is_done = b'"verdict"' in log.read_bytes()
    time.sleep(10.0)
    os.kill(int(writers[0]), signal.SIGCONT)
    status = server.wait(process)
    found = problems(folder, whole) + ([] if is_done else ["waited for its writer"])
    tally("MLflow writer stopped (SIGSTOP) through the whole search and 10 s longer", 1, len(found))
    assert (found, status) == ([], 0)


def test_links_lead_to_the_sweep_wherever_they_stand(folder: Path, whole: str) -> None:
    """A results folder, a sweep's and a spec that are links to another place."""
    elsewhere = folder / "elsewhere"
    (elsewhere / "sweep").mkdir(parents=True)
    shutil.move("tiny.toml", elsewhere / "spec.toml")
    Path("tiny.toml").symlink_to(elsewhere / "spec.toml")
    (elsewhere / "results").mkdir()
    (elsewhere / "results" / "tiny").symlink_to(elsewhere / "sweep")
    Path("results").symlink_to(elsewhere / "results")
    assert main(["run", "tiny.toml", "--tracking-uri", "none"]) == 0
    assert main(["sync"]) == 0
    assert problems(folder, whole) == []
    assert (elsewhere / "sweep" / "gauss" / "log.jsonl").is_file()
    assert Path("results/tiny").is_symlink()


def test_a_link_to_nowhere_or_in_a_circle_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("nowhere").symlink_to(folder / "gone" / "results")
    Path("circle").symlink_to("circle")
    for place in ("nowhere", "circle"):
        assert main(["run", "tiny.toml", "--tracking-uri", "none", "--results", place]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"python -m sweeps: {place}")
        assert line.endswith("; use another --results")


def without_privilege() -> list[str] | None:
    """Return what to put before a command so that the rights of files count for it; None where that cannot be."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    return None if setpriv is None else [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.skipif(without_privilege() is None, reason="root may write anywhere, and there is no `setpriv`")
def test_a_folder_that_may_only_be_read_is_one_line_and_loses_nothing(folder: Path) -> None:
    """No new results, no resumption, no report; commands that only read do."""
    run_sweep(SPEC, folder / "results", workers=1, timeout=0.2)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    prefix = without_privilege()
    assert prefix is not None

    def as_user(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, sys.executable, "-m", "sweeps", *arguments],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    place = "results/tiny"
    denied = "cannot be written: Permission denied; use another --results"
    untracked = ("--tracking-uri", "none")
    told = {
        ("resume", "tiny", *untracked): f"{place}/lock: {denied}",
        ("report", "tiny"): f"{place}/report: Permission denied",
        ("run", "tiny.toml", "--results", "new", *untracked): f"new: {denied}",
    }
    for arguments, message in told.items():
        result = as_user(*arguments)
        assert (result.returncode, result.stderr.splitlines()[-1]) == (2, f"python -m sweeps: {message}"), arguments
        assert "Traceback" not in result.stderr
    for arguments in (("list",), ("show", "tiny/gauss"), ("digest", "tiny")):
        result = as_user(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_progress_is_told_in_monotonic_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, events = time.time, list[Progress]()
    monkeypatch.setattr(time, "time", lambda: now() - 1e6 * len(events))
    run_sweep(SPEC, folder / "results", workers=1, on_event=events.append)
    assert all(event.seconds_left is None or 0.0 <= event.seconds_left < 600.0 for event in events)
    records = [event.record for event in events if event.record is not None]
    assert all(0.0 <= record.duration_s < 600.0 for record in records)


def may_unshare() -> bool:
    """Return whether a process may have a network of its own."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.faults
@pytest.mark.skipif(not may_unshare(), reason="may not have a network of its own (`unshare -n`)")
def test_a_sweep_its_runs_and_its_report_need_no_network(folder: Path, whole: str, tally: Tally) -> None:
    """A network namespace that has nothing, not even a loopback that is up."""
    commands = (RUN, ("report", "tiny"), ("sync",), ("audit", "tiny"), ("doctor",))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | dict.fromkeys(("CI", "PYTEST_CURRENT_TEST"), "")
    found = list[str]()
    for arguments in commands:
        result = subprocess.run(
            ["unshare", "-n", sys.executable, "-m", "sweeps", *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        found += [f"{arguments[0]}: {result.stderr[-300:]}"] if result.returncode else []
    found += problems(folder, whole)
    tally("commands in a network namespace without any network", len(commands), len(found))
    assert found == []


ASK = """
import os, signal, subprocess, sys, time, urllib.request
ui = subprocess.Popen([sys.executable, "-m", "sweeps", "ui", "--port", "5870"])
try:
    for _ in range(240):
        try:
            answer = urllib.request.urlopen("http://127.0.0.1:5870/", timeout=10)
        except OSError:
            assert ui.poll() is None, "the UI has ended"
            time.sleep(0.5)
        else:
            print(answer.status, b"<title>MLflow</title>" in answer.read())
            break
finally:
    ui.send_signal(signal.SIGINT)
    ui.wait(30)
"""


@pytest.mark.faults
@pytest.mark.skipif(not may_unshare(), reason="may not have a network of its own (`unshare -n`)")
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)")
def test_the_ui_needs_no_network_but_the_loopback(folder: Path, whole: str, tally: Tally) -> None:
    run_sweep(SPEC, folder / "results", workers=1)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | dict.fromkeys(("CI", "PYTEST_CURRENT_TEST"), "")
    alone = 'ip link set lo up && exec "$0" -c "$1"'
    result = subprocess.run(
        ["unshare", "-n", "sh", "-c", alone, sys.executable, ASK],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = problems(folder, whole) + ([] if "200 True" in result.stdout else [result.stderr[-300:]])
    tally("UI in a network namespace that has only a loopback: its page answered", 1, len(found))
    assert found == []
