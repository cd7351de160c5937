"""The main job of another version of this project beside this one's: time to the certificates, and how low they are.

    git worktree add ../before 86892fa
    python -m benchmarks.versions ../before                                            seeds 1 to 4, minutes
    python -m benchmarks.versions ../before --into FILE                                the same, between its marks there
    python -m benchmarks.versions ../before --seeds 1 -- --trials 200 --until budget   a long search
    python -m benchmarks.versions ../before --seeds 1 -- --trials 2                    does it run?

Seed by seed in turns, the one that begins changing from seed to seed, two workers, without MLflow. Time runs from the
first trial to the last line of the last log: search, finalists, page settings and certificates, without start-up and
report. Processor time is the whole process's, report included. This version's ablation, which begins after its
certificates, is left out: the other knows nothing like it. Each version draws its own thousand draws, whose floors
differ, so losses are also shown above the floor of the same draws.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.records.reading import read_sweep
from analysis.records.study import STAGES
from benchmarks.engine_tables import has_marks, machine, marks_text, table, write_into
from benchmarks.main_job import ROOT, run_process

HEADS = ["seed", "what", "before", "now", "now over before"]


@dataclass(frozen=True, slots=True)
class Run:
    """One main job: seconds, and each dataset's certified loss.

    Parameters
    ----------
    seconds : float
        Wall time from the first trial to the last log's last line.
    processor_s : float
        User and system time of the process and its children.
    certified : dict of str to tuple of float
        Mean test loss of the certified winner and its mean above the floor of the same draws, by dataset.
    """

    seconds: float
    processor_s: float
    certified: dict[str, tuple[float, float]]


def run_version(root: Path, seed: int, folder: Path, extra: Sequence[str]) -> Run:
    """Run the main job of the checkout `root` in a folder, and read its logs."""
    command = [sys.executable, "-m", "sweeps", "run", "homework", "--seed", str(seed), "--tracking-uri", "none"]
    command += ["--workers", "2", *(["--ablation", "off"] if root == ROOT else []), *extra]
    _, _, processor_s = run_process(command, folder, root)
    results = folder / "results" / "homework"
    studies = read_sweep(results)
    began_s = min(r.started_at_s for study in studies for stage in STAGES for r in study.records[stage])
    ended_s = max((results / study.header.dataset / "log.jsonl").stat().st_mtime for study in studies)
    certified = {}
    for study in studies:
        if study.verdict is None or not study.verdict.certified or study.verdict.winner is None:
            continue
        record = study.records_of("certificate")[study.verdict.winner]
        loss, floor = np.asarray(record.test_loss), np.asarray(record.floor_test_loss)
        certified[study.header.dataset] = float(loss.mean()), float((loss - floor).mean())
    return Run(ended_s - began_s, processor_s, certified)


def lines(seed: int, before: Run, now: Run) -> list[list[str]]:
    """Return the table's lines of one seed."""
    found = [
        [str(seed), name, f"{a:.1f}", f"{b:.1f}", f"{b / a:.2f}"]
        for name, a, b in (
            ("wall s to the certificates", before.seconds, now.seconds),
            ("processor s, report included", before.processor_s, now.processor_s),
        )
    ]
    for name in sorted(before.certified.keys() | now.certified.keys()):
        losses = [
            "none" if name not in run.certified else "{:.4f}, {:.4f} above the floor".format(*run.certified[name])
            for run in (before, now)
        ]
        found.append(["", f"{name}: certified mean test loss", *losses, ""])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout of the other version")
    parser.add_argument("--seeds", default="1,2,3,4", help="with commas (default: %(default)s)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between its marks in a document")
    parser.add_argument("extra", nargs="*", help="further arguments of `sweeps run` for both, after --")
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)  # argparse takes no "--" behind an option
    args = parser.parse_args(given[:cut])
    args.extra += given[cut + 1 :]
    if not (args.before / "sweeps" / "__main__.py").is_file():
        parser.error(f"{args.before}: no checkout of this project (no sweeps/__main__.py)")
    if args.into and not (args.into.is_file() and has_marks(args.into.read_text(encoding="utf-8"), "versions")):
        parser.error(f"--into {args.into}: {marks_text('versions')}")
    roots, load = (args.before.resolve(), ROOT), os.getloadavg()[0]
    found: list[list[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for position, root in enumerate(roots):
            print(f"compiling {root.name} ...", file=sys.stderr)
            folder = Path(scratch) / f"warm{position}"
            folder.mkdir()
            run_version(root, 1, folder, ["--trials", "1"])
        for turn, seed in enumerate(int(part) for part in args.seeds.split(",")):
            runs: dict[int, Run] = {}
            for position in (0, 1) if turn % 2 == 0 else (1, 0):
                print(f"seed {seed}, {('before', 'now')[position]} ...", file=sys.stderr)
                folder = Path(scratch) / f"seed{seed}-{position}"
                folder.mkdir()
                runs[position] = run_version(roots[position], seed, folder, args.extra)
            found += lines(seed, runs[0], runs[1])
    printed = f"{table(HEADS, (2, 3, 4), found)}\n\n{machine(load)}"
    if args.into:
        write_into(args.into, "versions", printed)
    else:
        print(printed)


if __name__ == "__main__":
    main()
