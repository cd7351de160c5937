"""Tables of `benchmarks/engine.py` as text: Markdown, a terminal's lines, a drawing, and the machine they are of."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.c_loops import FLAGS

Row = dict[str, Any]
TRIAL_EPOCHS = 16 * 1000  # networks times epochs of one trial, over which a peer's compiling is spread

GOALS: dict[tuple[str, int], dict[str, float]] = {  # least multiple of this engine's time, by network, batch and rival
    ("2-8-8-1 tanh", 10): {"PyTorch eager": 600, "scikit-learn": 400, "NumPy": 80, "best batched": 5},
    ("2-8-8-1 tanh", 1): {"PyTorch eager": 4000, "best batched": 1.5},
    ("2-4-1 relu", 30): {"PyTorch eager": 200},
    ("2-6-2-1 relu", 30): {"PyTorch eager": 200},
    ("2-8-8-8-8-8-8-1 tanh", 10): {"PyTorch eager": 200},
    ("1-150-150-1 relu", 1): {"PyTorch eager": 10},
    ("1-150-150-1 relu", 8): {"PyTorch eager": 10},
    ("784-256-10 relu", 256): {"PyTorch eager": 1.11},
    ("784-256-256-10 relu", 256): {"PyTorch eager": 1},
    ("330-128-1 tanh", 32): {"PyTorch eager": 1},
    ("1-2-1 sigmoid, Adam, all points", 10_000): {"PyTorch eager": 20},
}


def summary(rows: list[Row]) -> list[list[str]]:
    """Return, for each network, batch and number of cores, the multiples that rivals take, beside their goals."""
    lines = []
    for config, batch, cores in dict.fromkeys((row["config"], row["batch"], row["cores"]) for row in rows):
        own, *rivals = [row for row in rows if (row["config"], row["batch"], row["cores"]) == (config, batch, cores)]
        batched = [row for row in rivals if " x " in row["peer"]]
        own_us = own["us_per_epoch_per_network"]
        cells = {row["peer"]: row["ratio"] for row in rivals if " x " not in row["peer"]}
        cells["NumPy"] = cells.pop("NumPy, one at a time", None)
        best = min(batched, key=lambda row: row["ratio"], default=None)
        compiled = min((_with_compiling(row) / own_us for row in batched), default=None)
        goals = GOALS.get((config, batch), {})

        lines.append(
            [config, str(batch), str(cores), f"{own_us:.3g}"]
            + [_multiple(cells.get(who), goals.get(who)) for who in ("PyTorch eager", "scikit-learn", "NumPy")]
            + [_multiple(best and best["ratio"], goals.get("best batched")) + (f", {best['peer']}" if best else "")]
            + [_multiple(compiled)]
        )
    return lines


def _multiple(value: float | None, goal: float | None = None) -> str:
    return "" if value is None else f"{value:.3g}" + (f" (≥ {goal:g})" if goal else "")


def _with_compiling(row: Row) -> float:
    return float(row["us_per_epoch_per_network"]) + float(row["prepare_s"]) * 1e6 / TRIAL_EPOCHS


def table(heads: list[str], text: tuple[int, ...], lines: list[list[str]]) -> str:
    """Return a Markdown table, columns to the right but those of text."""
    rule = ["---" if i in text else "--:" for i in range(len(heads))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rule, *lines])


def c_loops_text(rows: list[Row]) -> str:
    """Return one line on the rows of loops in C: how they were made, or that they are left out."""
    if not any(row["peer"].startswith("a C loop") for row in rows):
        return "Loops in C are left out: they need one core to run on and a C compiler `cc`, for benchmarks/loop.c."
    return (
        f"C loops (benchmarks/loop.c): 16 networks in the innermost loop, `cc {' '.join(FLAGS)}`; tanhf of the C "
        "library, in the blocked form by an exponential of its own; preparing is compiling."
    )


def markdown(name: str, rows: list[Row]) -> str:
    """Return a table of results as Markdown."""
    if name == "compiler":
        lines = [[row["config"], row["peer"], f"{row['prepare_s']:.2f}"] for row in rows]
        return table(["type", "what", "processor s"], (0, 1), lines)
    if name == "together":
        longest = max(row["us_per_epoch_per_network"] for row in rows)
        lines = [
            [row["peer"], f"{us:.3g}", f"{row['ratio']:.3g}", "█" * max(1, round(40 * us / longest))]
            for row in rows
            for us in [row["us_per_epoch_per_network"]]
        ]
        return table(["networks together", "µs per epoch and network", "× that of 16", ""], (3,), lines)
    if name in {"settings", "threads"}:
        first = "× SGD" if name == "settings" else "speed-up of 2 threads"
        lines = [[row["peer"], f"{row['us_per_epoch_per_network']:.3g}", f"{row['ratio']:.3g}"] for row in rows]
        return table(["", "µs per epoch and network", first], (0,), lines)
    heads = ["network", "batch", "cores", "who", "µs per epoch and network", "× ours", "preparing, s"]
    lines = [
        [
            *(str(row[key]) for key in ("config", "batch", "cores", "peer")),
            f"{row['us_per_epoch_per_network']:.4g}",
            _multiple(row["ratio"], GOALS.get((row["config"], row["batch"]), {}).get(row["peer"])),
            str(row["prepare_s"] or ""),
        ]
        for row in rows
    ]
    everything = table(heads, (0, 3), lines)
    if name != "narrow":
        return everything
    heads = ["network", "batch", "cores", "ours, µs", "× PyTorch eager", "× scikit-learn", "× NumPy"]
    heads += ["× best batched rival", "the same with its compiling over one trial"]
    short = table(heads, (0,), summary(rows))
    return f"{short}\n\n{c_loops_text(rows)}\n\n<details><summary>Every line</summary>\n\n{everything}\n\n</details>"


def machine(load: float) -> str:
    """Return one line on what it was measured with."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        model = next((line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")), model)
    versions = []
    for package in ("numpy", "numba", "torch", "jax", "scikit-learn"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    python = platform.python_version()
    return (
        f"{os.cpu_count()} cores of {model}, load {load:.1f} before it began; Python {python}, {', '.join(versions)}."
    )


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"


def has_marks(document: str, name: str) -> bool:
    """Return whether a document has the two marks of a table, once each and in order."""
    begin, end = _marks(name)
    return document.count(begin) == document.count(end) == 1 and document.index(begin) < document.index(end)


def marks_text(name: str) -> str:
    """Return what a document without the marks of a table lacks."""
    begin, end = _marks(name)
    return f"give it one line {begin.strip()!r} and one {end!r} after it"


def write_into(path: Path, name: str, text: str) -> None:
    """Put a table between its two marks in a document, leaving the rest as it is.

    Raises
    ------
    ValueError
        If the document has no such marks.
    """
    document = path.read_text(encoding="utf-8")
    if not has_marks(document, name):
        raise ValueError(f"{path}: {marks_text(name)}")
    begin, end = _marks(name)
    before, rest = document.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


def draw(rows: list[Row], path: Path) -> None:
    """Draw the cost of a network against the number of networks that train together; PNG, SVG or PDF by name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n = [int(row["peer"]) for row in rows]
    us = [row["us_per_epoch_per_network"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    axes.loglog(n, us, "o-", base=2)
    axes.set_xticks(n, [str(count) for count in n], minor=False)
    axes.set_yscale("log", base=10)
    axes.set_xlabel("networks that train together")
    axes.set_ylabel("µs per epoch and network")
    axes.set_title(f"{rows[0]['config']}, batch {rows[0]['batch']}, one core")
    axes.grid(True, which="major", alpha=0.3)
    figure.savefig(path)
    pyplot.close(figure)


def plain_text(name: str, rows: list[Row]) -> str:
    """Return a table of results for a terminal."""
    out = io.StringIO()
    print(f"\n{name}", file=out)
    for row in rows:
        us = row["us_per_epoch_per_network"]
        figures = f"{us:12.2f} us {row['ratio']:10.2f} x" if us is not None else " " * 26
        preparing = f"   (preparing {row['prepare_s']:.2f} s)" if row["prepare_s"] else ""
        where = f"  {row['config']:32s} batch {row['batch'] or '':>5}  {row['cores']} core(s)  {row['peer']:34s}"
        print(f"{where}{figures}{preparing}", file=out)
    if name == "narrow":
        print(c_loops_text(rows), file=out)
    return out.getvalue().rstrip()
