"""The main job against the obvious script, side by side in one run.

    python benchmarks/main_job.py                                                  both in full, minutes
    python benchmarks/main_job.py --into docs/performance.md                       the same, into its place there
    python benchmarks/main_job.py --datasets gauss --trials 2 --script-trials 2    does it run?

Both run on the same machine, one after the other, on the same datasets with the same noise. The script
(`benchmarks/obvious_script.py`) is one process that searches one dataset after the other, a network a trial, until the
first network is lucky; `python -m sweeps run` uses every core and ends with certificates. Wall time leaves start-up
(imports, the compiler, creating the databases) aside on both sides. Processor time leaves it aside for the script, but
counts all that the sweep's process and its children took, start-up and report included. A network is one training from
its first weights to where it stopped, whatever came out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from analysis.records.reading import read_sweep  # noqa: E402
from analysis.records.study import STAGES  # noqa: E402
from benchmarks.engine_tables import machine, table, write_into  # noqa: E402

DATASETS = ("gauss", "xor", "circle", "spiral")


def run_process(command: list[str], folder: Path, root: Path = ROOT) -> tuple[str, float, float]:
    """Run a process in a folder; return what it printed, its wall seconds, and processor seconds with its children's.

    The project is that of the checkout `root`.

    Raises
    ------
    SystemExit
        If it fails, with what it wrote to standard error.
    """
    environment = {**os.environ, "PYTHONPATH": str(root), "GIT_PYTHON_REFRESH": "quiet"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:4])}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout, wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_script(seed: int, datasets: tuple[str, ...], max_trials: int, folder: Path) -> dict[str, Any]:
    """Run the obvious script and return its totals; a dataset without a lucky hit counts with all its time."""
    command = [sys.executable, str(ROOT / "benchmarks" / "obvious_script.py"), "--seed", str(seed)]
    command += ["--max-trials", str(max_trials), "--datasets", ",".join(datasets), "--tracking", str(folder)]
    printed, _, _ = run_process(command, folder)
    rows = json.loads(printed.splitlines()[-1])
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "processor_s": sum(row["processor_s"] for row in rows),
        "answered": [row["dataset"] for row in rows if row["hit_s"] is not None],
        "answer_s": {row["dataset"]: row["hit_s"] for row in rows},
        "networks": sum(row["networks"] for row in rows),
        "network_epochs": sum(row["network_epochs"] for row in rows),
    }


def write_spec(datasets: tuple[str, ...], path: Path) -> None:
    """Write the built-in sweep with some of its datasets only."""
    text = (ROOT / "sweeps" / "specs" / "homework.toml").read_text(encoding="utf-8")

    def keep(block: re.Match[str]) -> str:
        return block[0] if re.search(rf'^name = "({"|".join(datasets)})"$', block[0], re.MULTILINE) else ""

    path.write_text(re.sub(r"\[\[datasets\]\]\n(?:[a-z_]+ = .*\n)+\n*", keep, text), encoding="utf-8")


def run_sweep(
    seed: int, datasets: tuple[str, ...], max_trials: int | None, folder: Path, extra: list[str]
) -> dict[str, Any]:
    """Run the main job and return its totals, read from its logs."""
    write_spec(datasets, folder / "homework.toml")
    command = [sys.executable, "-m", "sweeps", "run", "homework.toml", "--seed", str(seed), *extra]
    command += ["--ablation", "off"]  # it begins when all answers are there, and the script has none
    command += [] if max_trials is None else ["--trials", str(max_trials)]
    _, wall_s, processor_s = run_process(command, folder)
    results = folder / "results" / "homework"
    studies = read_sweep(results)
    records = {study.header.dataset: [r for stage in STAGES for r in study.records[stage]] for study in studies}
    everything = [record for trained in records.values() for record in trained]
    first_s = min(record.started_at_s for record in everything)
    # A log's last line is its verdict. A record's own duration adds up its pieces, which run side by side.
    ended_s = {name: (results / name / "log.jsonl").stat().st_mtime - first_s for name in records}
    certified = [s.header.dataset for s in studies if s.verdict is not None and s.verdict.certified]
    return {
        "seconds": max(ended_s.values()),
        "wall_s": wall_s,
        "processor_s": processor_s,
        "answered": certified,
        "answer_s": {name: ended_s[name] if name in certified else None for name in records},
        "networks": sum(len(record.seeds) for record in everything),
        "network_epochs": sum(len(record.seeds) * record.epoch_grid[-1] for record in everything if record.epoch_grid),
    }


def ratios(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return what is compared, (script, this project), by name."""

    def per(total: str, unit: str, factor: float = 1.0) -> tuple[float, float]:
        return theirs[total] / theirs[unit] * factor, ours[total] / ours[unit] * factor

    return {
        "wall s per network": per("seconds", "networks"),
        "processor s per network": per("processor_s", "networks"),
        "wall us per network and epoch": per("seconds", "network_epochs", 1e6),
        "processor us per network and epoch": per("processor_s", "network_epochs", 1e6),
        "wall s until nothing is left to do": (theirs["seconds"], ours["seconds"]),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--datasets", default=",".join(DATASETS), help="names with commas (default: %(default)s)")
    parser.add_argument("--trials", type=int, help="budget of a dataset here (default: the sweep's own)")
    parser.add_argument("--script-trials", type=int, default=60, help="the script gives a dataset up after so many")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between its marks in a document")
    parser.add_argument("extra", nargs="*", help="further arguments of `sweeps run`, after --")
    args = parser.parse_args(arguments)
    datasets = tuple(args.datasets.split(","))
    if unknown := set(datasets) - set(DATASETS):
        parser.error(f"--datasets: unknown {', '.join(sorted(unknown))}; give some of {','.join(DATASETS)}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        theirs_folder, ours_folder, warm = (Path(scratch) / name for name in ("theirs", "ours", "warm"))
        for folder in (theirs_folder, ours_folder, warm):
            folder.mkdir()
        print("compiling, once a machine ...", file=sys.stderr)
        run_sweep(args.seed, datasets[:1], 1, warm, ["--tracking-uri", "none"])
        print("the obvious script ...", file=sys.stderr)
        theirs = run_script(args.seed, datasets, args.script_trials, theirs_folder)
        print("the main job ...", file=sys.stderr)
        ours = run_sweep(args.seed, datasets, args.trials, ours_folder, args.extra)
    if args.json:
        compared = ratios(theirs, ours)
        print(json.dumps({"script": theirs, "sweeps": ours, "ratios": {k: a / b for k, (a, b) in compared.items()}}))
        return
    heads, lines = ["", "script", "sweeps", "ratio"], report(theirs, ours, datasets)
    if args.into:
        write_into(args.into, "main_job", f"{table(heads, (0,), lines)}\n\n{machine(load)}")
        return
    for line in [heads, *lines]:
        print(f"{line[0]:52} {line[1]:>12} {line[2]:>12} {line[3]:>8}")


def report(theirs: dict[str, Any], ours: dict[str, Any], datasets: tuple[str, ...]) -> list[list[str]]:
    """Return the lines of the comparison: what, the script's figure, this project's, the quotient."""
    lines = [[name, f"{a:.4g}", f"{b:.4g}", f"{a / b:.3g}"] for name, (a, b) in ratios(theirs, ours).items()]
    lines += [
        [name.replace("_", " "), str(theirs[name]), str(ours[name]), ""] for name in ("networks", "network_epochs")
    ]
    lines.append(["whole process, wall s", "", f"{ours['wall_s']:.1f}", ""])
    for name in datasets:
        lucky, certified = (side["answer_s"].get(name) for side in (theirs, ours))
        lines.append([f"{name}: s to a lucky network / to its certificates", _seconds(lucky), _seconds(certified), ""])
    answered = [f"{len(side['answered'])} of {len(datasets)}" for side in (theirs, ours)]
    return [*lines, ["answered (lucky / certified)", *answered, ""]]


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
