"""A process that has imported and compiled everything, and forks a command line for every kill.

Started as a script it reads jobs, one JSON object a line, and answers each in one line; `ForkServer` talks to it. What
is forked runs `sweeps.commands.main.main` with the real MLflow writer, itself forked instead of started anew.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 300
COUNT_NAME = "points"
TABLES = b""
"""In the server: an empty database as MLflow makes it."""


class ForkServer:
    """The hold of a test on the server, which ends with the block."""

    def __enter__(self) -> ForkServer:
        path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
            text=True,
        )
        assert self._answer() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def start(
        self,
        folder: Path,
        *arguments: str,
        role: str = "",
        kill_at: int = 0,
        with_report: bool = True,
        with_tables: bool = True,
    ) -> int:
        """Fork a command line in a folder and return its process, a group of its own.

        With `role`, ``driver`` or ``writer``, that process kills itself before its `kill_at`-th step that reaches the
        disk; 0 writes the number of steps to the file ``points`` instead. A report takes most of a small sweep's time,
        and can be left out. So do the tables that MLflow makes in a new database, a hundred steps, all of them in a
        draft that is not there yet: without `with_tables` the draft is a copy of one that MLflow made before.
        """
        job = {
            "folder": str(folder),
            "arguments": arguments,
            "role": role,
            "kill_at": kill_at,
            "report": with_report,
            "tables": with_tables,
        }
        return int(self._ask(job))

    def wait(self, process: int) -> int:
        """Wait for a process; return its exit status, negative if a signal has ended it."""
        return int(self._ask({"wait": process}))

    def run(
        self,
        folder: Path,
        *arguments: str,
        role: str = "",
        kill_at: int = 0,
        with_report: bool = True,
        with_tables: bool = True,
    ) -> int:
        """Fork a command line and wait for it."""
        return self.wait(
            self.start(folder, *arguments, role=role, kill_at=kill_at, with_report=with_report, with_tables=with_tables)
        )

    def kill_after(self, process: int, seconds: float, whom: str) -> bool:
        """Kill a driver, its writer or both some time from now; return whether there was one to kill."""
        time.sleep(seconds)
        return bool(self._ask({"kill": process, "whom": whom}))

    def _ask(self, job: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class ForkedWriter:
    """Stands for `subprocess.Popen` where a driver starts its writer: a fork of what is loaded already."""

    on_start: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, command: Sequence[str], *, stderr: io.FileIO, **_: object) -> None:
        from sweeps.tracking import writer_process

        (to_read, to_write), (to_hear, to_say) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            os.dup2(to_read, 0)
            os.dup2(to_say, 1)
            os.dup2(stderr.fileno(), 2)
            os.closerange(3, 256)  # as a new program would have: the driver's lock ends with the driver
            sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
            self.on_start()
            with leaving():
                os._exit(writer_process.main(command[command.index("sweeps.tracking.writer_process") + 1 :]))
        os.close(to_read)
        os.close(to_say)
        self.stdin, self.stdout = os.fdopen(to_write, "wb"), os.fdopen(to_hear, "rb")
        self._status: int | None = None

    def wait(self) -> int:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def leaving() -> Any:
    """End a forked process with its traceback: never go back into the loop of the server."""
    try:
        yield
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def count_points(folder: Path, kill_at: int) -> None:
    """Count each step that reaches the disk, and die before one of them; or write down how many there were."""
    from sqlalchemy.engine.default import DefaultDialect

    n = [0]
    process = os.getpid()

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if os.getpid() == process:
                n[0] += 1
                if n[0] == kill_at:
                    os.kill(process, signal.SIGKILL)
                if kill_at == 0:
                    descriptor = os.open(folder / COUNT_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    plain_write(descriptor, str(n[0]).encode())
                    os.close(descriptor)
            return step(*arguments, **options)

        return call

    plain_write = os.write
    for name in ("write", "fsync", "replace", "rename", "unlink", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    Path.write_bytes = counted(Path.write_bytes)  # type: ignore[method-assign]
    DefaultDialect.do_commit = counted(DefaultDialect.do_commit)


def _fork(job: dict[str, Any]) -> int:
    process = os.fork()
    if process:
        return process
    with leaving():
        import analysis.report
        import sweeps.tracking.database
        from sweeps.commands.main import main
        from sweeps.tracking import writer_process

        os.setsid()
        signal.alarm(LONGEST_S)
        folder = Path(job["folder"])
        os.chdir(folder)
        out = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in ((null, 0), (out, 1), (out, 2)):
            os.dup2(descriptor, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        writer_process.subprocess.Popen = ForkedWriter  # type: ignore[misc, assignment]
        if job["role"] == "writer":
            ForkedWriter.on_start = staticmethod(lambda: count_points(folder, job["kill_at"]))
        elif job["role"]:
            count_points(folder, job["kill_at"])
        if not job["tables"]:
            sweeps.tracking.database.let_mlflow_make = lambda path: path.write_bytes(TABLES)
        if not job["report"]:
            analysis.report.write_report = lambda folders, **_: folders[0]
        status = main(job["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _kill(process: int, whom: str) -> int:
    """Kill whom a job names; return how many there were."""
    children = Path(f"/proc/{process}/task/{process}/children")
    writers = [int(n) for n in children.read_text().split()] if children.exists() else []
    n_killed = 0
    for victim in {"driver": [process], "writer": writers, "both": [process, *writers]}[whom]:
        with contextlib.suppress(ProcessLookupError):
            n_killed += Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
            os.kill(victim, signal.SIGKILL)
    return n_killed


def _warm_up() -> None:
    """Load, compile and draw what a command needs: in a fork nothing is left to be done but what it is about."""
    from small import small_spec

    import sweeps.audit.records
    import sweeps.commands
    import sweeps.run.versions
    from sweeps.audit.audit import audit_sweep
    from sweeps.commands.main import main
    from sweeps.spec.writing import as_toml
    from sweeps.tracking.database import let_mlflow_make, sqlite_uri
    from sweeps.tracking.projection import sync

    global TABLES
    known_digest = functools.cache(sweeps.run.versions.code_digest)
    for module in pkgutil.iter_modules(sweeps.commands.__path__, "sweeps.commands."):
        importlib.import_module(module.name)
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        (folder / "tiny.toml").write_text(as_toml(small_spec()), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["run", "tiny.toml", "--tracking-uri", "none"]) == 0
        let_mlflow_make(folder / "tables.db")
        TABLES = (folder / "tables.db").read_bytes()
        (folder / "mlflow.db").write_bytes(TABLES)
        sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
        audit_sweep(folder / "results" / "tiny", sqlite_uri(folder / "mlflow.db"))
    read_schema_once()
    for user in (sweeps.run.versions, sweeps.audit.records):  # this project's own sources: no kill changes them
        user.code_digest = known_digest  # type: ignore[attr-defined]


def read_schema_once() -> None:
    """Let MLflow read its hundred files of migrations once, not whenever a database is opened."""
    from mlflow.store.db import utils

    if not hasattr(utils._get_latest_schema_revision, "cache_clear"):
        utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    utils._get_latest_schema_revision()


def _serve() -> None:
    import warnings

    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _warm_up()
    gc.collect()
    gc.freeze()  # or each fork's collector walks through all that was loaded, and copies its pages
    random.seed(0)
    print('"ready"', file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            answer = os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1])
        elif "kill" in job:
            answer = _kill(job["kill"], job["whom"])
        else:
            answer = _fork(job)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
