"""Measure what going on with a long search costs before its first new trial is on record.

    python -m benchmarks.resume [--trials 5000] [--missing 5] [--sampler tpe] [--profile FILE]

makes a log of so many trials (records of 16 replicas that were trained, each entered many times, with params of its
own), all but the last ones finished, and goes on with it in a new process. That one prints its processor time, imports
included, when the first new trial has been trained and written.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.records.events import AskedLine
from analysis.records.lines import Chain
from analysis.records.study import study_name
from analysis.records.values import as_data
from benchmarks.made_sweep import made_spec
from sweeps.run.kinds import kind_of, load
from sweeps.run.progress import Progress
from sweeps.run.study import run_sweep
from sweeps.search.samplers import make_sampler
from sweeps.spec.writing import as_toml
from sweeps.store.log import LOG_NAME, SPEC_NAME

N_REPLICAS = 16
N_TRAINED = 20
"""Records that the made log's are copies of."""


class _Begun(Exception):  # noqa: N818
    """The first new trial is on record."""


def make_log(folder: Path, sampler: str, n_trials: int, n_missing: int) -> None:
    """Write the sweep of a search that lacks its last trials."""
    (trained,) = run_sweep(made_spec(N_TRAINED, n_replicas=N_REPLICAS), folder / "trained", workers=1)
    spec = made_spec(n_trials, sampler, n_replicas=N_REPLICAS)
    (plan,) = kind_of(spec).plans(spec, folder / spec.name)
    plan.folder.mkdir(parents=True)
    (folder / spec.name / SPEC_NAME).write_text(as_toml(spec))
    random, rng, chain = make_sampler(made_spec(10, "random"), "gauss"), np.random.default_rng(0), Chain("")
    chain.study = study_name(plan.header)
    with (plan.folder / LOG_NAME).open("w") as stream:
        stream.write(chain.encode("study", as_data(plan.header)))
        for number in range(n_trials - n_missing):
            params, point = random.ask(number)
            stream.write(chain.encode("asked", as_data(AskedLine(number, params, point, None))))
            like = trained.trials[number % N_TRAINED]
            value = float(rng.uniform(0.01, 0.5))
            record = dataclasses.replace(like, number=number, params=params, value=value, source=None)
            stream.write(chain.encode("finished", as_data(record)))


def go_on(folder: Path) -> float:
    """Go on with a sweep; return this process's processor time once there is a new record."""

    def look(progress: Progress) -> None:
        if progress.record is not None:
            raise _Begun

    try:
        run_sweep(load(folder / SPEC_NAME), folder.parent, workers=1, on_event=look)
    except _Begun:
        return time.process_time()
    raise AssertionError("no trial was missing")


def main() -> int:
    """Make the log, go on with it elsewhere, print the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000, help="default: 5000")
    parser.add_argument("--missing", type=int, default=5, help="default: 5")
    parser.add_argument("--sampler", default="tpe", help="default: tpe")
    parser.add_argument("--profile", type=Path, help="file for cProfile's figures")
    parser.add_argument("--go-on", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.go_on is not None:
        profile = cProfile.Profile()
        if arguments.profile is not None:
            profile.enable()
        imported = time.process_time()
        print(f"{go_on(arguments.go_on):.2f} s of processor time, imports {imported:.2f} s of it")
        if arguments.profile is not None:
            profile.disable()
            profile.dump_stats(arguments.profile)
        return 0
    with tempfile.TemporaryDirectory() as name:
        make_log(Path(name), arguments.sampler, arguments.trials, arguments.missing)
        again = [sys.executable, "-m", "benchmarks.resume", "--go-on", str(Path(name) / "made")]
        if arguments.profile is not None:
            again += ["--profile", str(arguments.profile)]
        return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
