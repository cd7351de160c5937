"""Whether "another 50 trials would gain at most ..." holds: recorded searches, judged on draws that no search has seen.

    python benchmarks/convergence.py record FOLDER --seeds 1-10
    python benchmarks/convergence.py judge FOLDER

`record` runs the homework's search on each of its four datasets, of small networks and short training, well past the
trial at which the promise is made, and writes one file a search (those that are there are kept). The truth is a
setting's mean loss on fresh draws, of all that were the search's best from trial 40 on, or among its six best where it
is judged. Even seeds have data with more noise and begin with two good settings; odd seeds have neither. The
estimator's constants were chosen on seeds 11 to 13; what is reported is of seeds 1 to 10.

`judge` makes the promise from the first n trials alone, and compares it with what the next 50 gained on the truth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parent.parent
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from analysis.records.study import Study, TrialRecord  # noqa: E402
from analysis.statistics.convergence import AHEAD, LEAST_TRIALS, convergence_of  # noqa: E402
from sweeps.run.setting import Setting, looks_of  # noqa: E402
from sweeps.run.study import run_sweep  # noqa: E402
from sweeps.run.trial import run_trial  # noqa: E402
from sweeps.search.stopping import EVERY  # noqa: E402
from sweeps.spec.sweep import SweepSpec, load_spec, open_source, parse_spec  # noqa: E402
from sweeps.spec.writing import as_table  # noqa: E402

GRID = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)
N_TRIALS = 120
BUDGET = 200  # of the homework: what a search would run that nothing ends
N_BEST = 6  # of whose truths the finalists would choose
N_FRESH = 128
CHECKED_AT = (40, 70)
FloatArray = npt.NDArray[np.float64]
DATASETS = ("gauss", "xor", "circle", "spiral")
INPUT_NOISES = [0.0, 0.05, 0.15, 0.3, 0.6]
"""And `FIRST`: the homework's when its searches were recorded, so that the same ones can be recorded again."""
FIRST = [
    {
        "network": {"activation": "relu", "hidden_layer_sizes": widths, "initializer": "he_uniform"},
        "training": {
            "optimizer": "adam", "learning_rate": 0.01, "batch_size": 10, "order": "shuffled", "schedule": "cosine",
            "max_epochs": GRID[-1], "input_noise": 0.6, "regularizer": "l2", "regularization_rate": 0.001,
        },
    }
    for widths in ([8], [8, 8])
]  # fmt: skip


def spec_of(dataset: str, seed: int, sampler: str) -> SweepSpec:
    """Return the search that is recorded."""
    table: dict[str, Any] = as_table(load_spec("homework"))
    is_plain = seed % 2 == 1
    table["name"] = f"{sampler}-{dataset}-{seed}"
    table["seed"] = seed
    table["datasets"] = [one | {"n_beyond": 50} for one in table["datasets"] if one["name"] == dataset]
    table["search"] |= {"until": "budget", "n_trials": N_TRIALS, "sampler": sampler}
    table["epochs"] |= {"max_epochs": GRID[-1], "grid": list(GRID), "stop_from": 100, "stop_patience": 3}
    table["space"]["network"]["n_hidden_layers"] = {"low": 1, "high": 3}
    table["space"]["training"]["batch_size"] = {"low": 5, "high": 30}
    table["space"]["training"]["max_epochs"]["choice"] = [50, 100, 200]
    table["space"]["training"]["input_noise"]["choice"] = INPUT_NOISES
    table["search"].pop("first")
    if not is_plain:
        table["datasets"][0] |= {"noise": 0.35}
        table["search"]["first"] = FIRST
    table["finalists"] = {"n": 0, "n_replicas": N_FRESH}
    table["certificates"]["n"] = 0
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    table["ablation"] = {"n_replicas": 0}
    return parse_spec(table, table["name"])


def remembered(study: Study) -> list[TrialRecord]:
    """Return the trials that were the search's best from trial 40 on, or among its six best where it is judged."""
    trials = [trial for trial in study.trials if trial.state == "complete" and trial.source is None]
    kept: set[int] = set()
    for n in range(min(CHECKED_AT), N_TRIALS + 1):
        ranked = sorted((trial for trial in trials if trial.number < n), key=lambda one: (one.value, one.number))
        n_kept = N_BEST if n in CHECKED_AT or n - AHEAD in CHECKED_AT else 1
        kept |= {trial.number for trial in ranked[:n_kept]}
    return [trial for trial in trials if trial.number in kept]


def record(folder: Path, dataset: str, seed: int, sampler: str) -> None:
    """Run one search and measure its good settings on fresh draws; write both into one file."""
    spec = spec_of(dataset, seed, sampler)
    path = folder / f"{spec.name}.json"
    if path.is_file():
        return
    start = time.process_time()
    with tempfile.TemporaryDirectory() as results:
        [study] = run_sweep(spec, Path(results), workers=1)
    searched = time.process_time() - start
    source = open_source(spec, spec.datasets[0])
    seeds = source.fresh_seeds("finalist", spec.name)
    truth = {}
    for trial in remembered(study):
        grid = looks_of(spec, trial.params)
        look_at = grid[: grid.index(trial.epochs) + 1]
        setting = Setting("finalist", 0, trial.number, trial.params, seeds, look_at, trial.epochs)
        truth[trial.number] = run_trial(spec, source, spec.name, setting).test_loss
    content = {
        "seconds": {"search": searched, "truth": time.process_time() - start - searched},
        "trials": [
            {"number": trial.number, "state": trial.state, "source": trial.source, "value": trial.value,
             "test_loss": trial.test_loss}
            for trial in study.trials
        ],
        "truth": truth,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@dataclass(frozen=True, slots=True)
class Search:
    """A recorded search: losses (T, R) on the search's draws, and on fresh ones (128,) by trial number."""

    name: str
    losses: FloatArray
    truth: dict[int, FloatArray]

    def best(self, n: int, count: int = 1) -> list[int]:
        """Return the best of the first n trials, as the search sees them."""
        return [int(i) for i in np.argsort(self.losses[:n].mean(axis=1), kind="stable")[:count]]

    def gain(self, n: int) -> float:
        """Return what 50 trials after the first n gained on fresh draws, by the search's own choice."""
        return float(np.mean(self.truth[self.best(n)[0]] - self.truth[self.best(n + AHEAD)[0]]))

    def gain_of_finalists(self, n: int) -> float:
        """Return the same where half of the fresh draws choose among the best six, and the other half measures."""
        gains = []
        for chooses in (slice(0, N_FRESH // 2), slice(N_FRESH // 2, N_FRESH)):
            measures = slice(N_FRESH // 2, N_FRESH) if chooses.start == 0 else slice(0, N_FRESH // 2)
            now, then = (
                min(self.best(m, N_BEST), key=lambda i: float(np.mean(self.truth[i][chooses]))) for m in (n, n + AHEAD)
            )
            gains.append(float(np.mean(self.truth[now][measures] - self.truth[then][measures])))
        return float(np.mean(gains))

    def stop(self, last: int) -> int | None:
        """Return the number of trials, at most `last`, after which the stop rule ends the search; None: it does not."""
        for n in range(LEAST_TRIALS, last + 1, EVERY):
            found = convergence_of(self.losses[:n])
            if found is not None and found.is_converged:
                return n
        return None


def read(path: Path) -> Search:
    """Return a recorded search."""
    content = json.loads(path.read_text())
    nothing = [np.inf] * len(content["trials"][0]["test_loss"])
    losses = [
        trial["test_loss"] if trial["state"] == "complete" and trial["source"] is None else nothing
        for trial in content["trials"]
    ]
    return Search(path.stem, np.array(losses), {int(k): np.array(v) for k, v in content["truth"].items()})


def held_text(promises: Sequence[tuple[float, float]]) -> str:
    """Return how many gains (first) were no more than promised (second), with a 95 % interval."""
    held = sum(gain <= promised for gain, promised in promises)
    if not promises:
        return "none"
    low, high = binomtest(held, len(promises)).proportion_ci(method="exact")
    return f"{held} of {len(promises)} ({held / len(promises):.3f}, {low:.3f} to {high:.3f})"


def judge(searches: Sequence[Search], out: TextIO) -> None:
    """Print each search's promises and gains, and how many promises held."""
    kept: dict[str, list[tuple[float, float]]] = {}
    stops = []
    out.write("search n promised gain gain_of_finalists noise converged\n")
    for search in searches:
        stop = search.stop(N_TRIALS - AHEAD)  # the last that can be judged
        stops.append(search.stop(N_TRIALS))
        for n in sorted({*CHECKED_AT, *([stop] if stop else [])}):
            found = convergence_of(search.losses[:n])
            if found is None:
                continue
            gain = search.gain(n)
            finalists = search.gain_of_finalists(n) if n in CHECKED_AT else float("nan")
            out.write(
                f"{search.name} {n} {found.gain:.4f} {gain:+.4f} {finalists:+.4f} {found.noise:.4f} "
                f"{found.is_converged}\n"
            )
            if n in CHECKED_AT:
                kept.setdefault(f"after {n} trials, the search's choice", []).append((gain, found.gain))
                kept.setdefault(f"after {n} trials, the finalists' choice", []).append((finalists, found.gain))
            if n == stop:
                kept.setdefault("where the rule stops, the search's choice", []).append((gain, found.gain))
    for name, promises in kept.items():
        median = float(np.median([promised for _, promised in promises]))
        out.write(f"{name}: held in {held_text(promises)}; median promise {median:.4f}\n")
    stopped = [stop for stop in stops if stop is not None]
    saved = sum(BUDGET - stop for stop in stopped)
    out.write(
        f"ended by trial {N_TRIALS}: {len(stopped)} of {len(stops)}, median {np.median(stopped or [np.nan]):.0f}; "
        f"of {BUDGET} trials each {saved} of {BUDGET * len(stops)} are not run\n"
    )


def main() -> None:
    """Record searches, or judge what is recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("record", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="1-10", metavar="A-B")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--seconds", type=float, default=450, help="begin no search after so many")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    names = [(dataset, seed) for seed in range(first, last + 1) for dataset in DATASETS]
    if arguments.command == "judge":
        paths = [arguments.folder / f"{arguments.sampler}-{dataset}-{seed}.json" for dataset, seed in names]
        judge([read(path) for path in paths if path.is_file()], sys.stdout)
        return
    start = time.monotonic()
    for dataset, seed in names:
        if time.monotonic() - start > arguments.seconds:
            return
        record(arguments.folder, dataset, seed, arguments.sampler)


if __name__ == "__main__":
    main()
