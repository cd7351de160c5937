"""A command that is interrupted ends soon; interrupted again, at once; its MLflow writer goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.tracking.database import sqlite_uri
from sweeps.tracking.projection import sync

Tally = Callable[[str, float, float], None]
ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Neither Python nor a signal gets in while OpenSSL is at it; as while a compiler is.
STUBBORN = """
import hashlib, sys
from sweeps.commands.interrupting import ending_soon
with ending_soon():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""

ORDERLY = """
import time
from sweeps.commands.interrupting import ending_soon
with ending_soon():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("in order", flush=True)
"""


def start(*command: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WITHOUT_TERMINAL = """
import os, signal, time
from sweeps.commands.interrupting import ending_soon
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with ending_soon():
    os.kill(os.getpid(), signal.SIGHUP)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.5)
        print("in order", flush=True)
"""

# What comes while nobody watches.
UNWATCHED = """
import os, signal, threading, time
from sweeps.commands.interrupting import ending_soon, unwatched
with ending_soon():
    assert threading.active_count() == 2
    try:
        with unwatched():
            assert threading.active_count() == 1
            numbers = [signal.SIGTERM, signal.SIGINT][:int(os.environ["SIGNALS"])]
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
            for number in numbers:
                os.kill(os.getpid(), number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    except KeyboardInterrupt:
        assert threading.active_count() == 2
        time.sleep(1.0)
        print("in order", flush=True)
    else:
        assert threading.active_count() == 2
        print("not interrupted", flush=True)
with unwatched():  # nothing is to be stopped
    pass
"""


@pytest.mark.parametrize(("numbers", "longest_s"), [((signal.SIGINT,), 5.0), ((signal.SIGTERM, signal.SIGINT), 1.5)])
def test_even_what_cannot_be_interrupted_ends_soon_and_at_once_the_second_time(
    tmp_path: Path, numbers: tuple[int, ...], longest_s: float
) -> None:
    process = start("-c", STUBBORN, folder=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # until it is inside
    begin = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.2)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - begin < longest_s
    assert (process.returncode, error) == (130, "interrupted; what the logs hold is safe, and `resume` goes on\n")


def test_what_ends_in_order_is_left_to_end_so(tmp_path: Path) -> None:
    process = start("-c", ORDERLY, folder=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    assert output == "in order\n"
    assert error.splitlines()[-1] == "KeyboardInterrupt"


def test_who_was_started_with_nohup_outlives_its_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TERMINAL], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "in order\n", "")


@pytest.mark.parametrize(
    ("n_signals", "status", "output"),
    [(0, 0, "not interrupted\n"), (1, 0, "in order\n"), (2, 130, "")],
    ids=["none", "one", "two"],
)
def test_what_comes_while_nobody_watches_is_heard_afterwards(n_signals: int, status: int, output: str) -> None:
    environment = {**ENVIRONMENT, "SIGNALS": str(n_signals)}
    done = subprocess.run(
        [sys.executable, "-c", UNWATCHED], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (status, output), done.stderr


def descendants(number: int) -> list[int]:
    children = [int(n) for n in Path(f"/proc/{number}/task/{number}/children").read_text().split()]
    return [*children, *(n for child in children for n in descendants(child))]


def lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at the writer through Linux' /proc")
@pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
@pytest.mark.parametrize("n_signals", [1, 2])
def test_a_sweep_and_its_writer_are_gone_within_seconds_and_sync_writes_the_rest(
    tmp_path: Path, n_signals: int, tally: Tally
) -> None:
    process = start("-m", "sweeps", "run", "homework", "--trials", "400", "--until", "budget", folder=tmp_path)
    log = tmp_path / "results" / "homework" / "xor" / "log.jsonl"
    deadline = time.monotonic() + 240.0
    while time.monotonic() < deadline and not (log.exists() and log.read_bytes().count(b'"finished"') > 20):
        time.sleep(0.1)
    (writer,) = descendants(process.pid)
    begin = time.monotonic()
    for _ in range(n_signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, error = process.communicate(timeout=60)
    took_s = time.monotonic() - begin
    while lives(writer) and time.monotonic() < begin + 60.0:
        time.sleep(0.05)
    writer_took_s = time.monotonic() - begin - took_s
    is_late = took_s >= (5.0 if n_signals == 1 else 1.5) or writer_took_s >= 5.0
    what = "Ctrl-C" if n_signals == 1 else "Ctrl-C given twice"
    tally(f"{what}: driver gone after {took_s:.1f} s, its writer {writer_took_s:.1f} s later", 1, is_late)
    assert process.returncode in (130, -signal.SIGINT)  # 130 either way to a shell: Python's very end knows no handlers
    assert "Traceback" not in error
    assert "`python -m sweeps resume homework` goes on" in error or "`resume` goes on" in error
    assert took_s < (5.0 if n_signals == 1 else 1.5)
    assert writer_took_s < 5.0
    sync(tmp_path / "results", sqlite_uri(tmp_path / "mlflow.db"))
    assert sync(tmp_path / "results", sqlite_uri(tmp_path / "mlflow.db")).n_written == 0
