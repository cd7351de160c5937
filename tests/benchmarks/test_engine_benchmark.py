"""``benchmarks/engine.py``: it runs, stops where peers disagree, and rewrites its part of a document only."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import engine as benchmark
from benchmarks.engine import NARROW, TABLES, check_agreement, main
from benchmarks.engine_tables import markdown, summary, write_into
from benchmarks.peers import Peer, engine_peer, numbers

ROOT = Path(__file__).resolve().parents[2]


def row(peer: str, us: float, cores: int = 1, prepare_s: float = 0.0) -> dict[str, Any]:
    return {
        "config": "2-8-8-1 tanh",
        "batch": 10,
        "cores": cores,
        "peer": peer,
        "us_per_epoch_per_network": us,
        "ratio": us / 5.0,
        "prepare_s": prepare_s,
    }


def test_a_quick_run_prints_a_list_of_figures_and_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cost.svg"
    assert main(["--quick", "--only", "together", "--json", "--draw", str(path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["peer"] for row in rows] == ["1", "2", "4", "8", "12", "16", "20", "24", "32", "48", "64"]
    assert {(row["config"], row["batch"]) for row in rows} == {("2-8-8-1 tanh", 10)}
    assert all(row["us_per_epoch_per_network"] > 0 for row in rows)
    assert [row["ratio"] for row in rows if row["peer"] == "16"] == [1.0]
    assert path.read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.slow
def test_every_table_runs(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_bytes((ROOT / "docs" / "performance.md").read_bytes())
    assert main(["--quick", "--into", str(path)]) == 0
    parts = re.findall(
        r"<!-- (\w+): begin -->\n\n(.*?)\n\n<!-- \1: end -->", path.read_text(encoding="utf-8"), re.DOTALL
    )
    assert [name for name, _ in parts] == ["main_job", *TABLES]
    assert all(" |\n" in text and "load " in text for _, text in parts[1:])


def test_the_document_has_a_place_for_every_table() -> None:
    names = re.findall(r"<!-- (\w+): begin -->", (ROOT / "docs" / "performance.md").read_text(encoding="utf-8"))
    assert [name for name in names if name in TABLES] == list(TABLES)


def test_peers_that_disagree_stop_the_benchmark() -> None:
    config = NARROW[0]
    own, other = (engine_peer(config, numbers(config, n), road="numpy") for n in (1, 2))
    check_agreement(config, [own, other])
    wrong = Peer("wrong rate", 1, lambda epochs: None, lambda: 0.123)
    with pytest.raises(RuntimeError, match=r"^2-8-8-1 tanh, batch 10: losses differ after 3 epochs: .*wrong rate"):
        check_agreement(config, [own, wrong])
    wrong.loss = lambda: float("nan")
    with pytest.raises(RuntimeError, match="losses differ"):
        check_agreement(config, [own, wrong])


def test_a_disagreement_hides_no_other_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = json.dumps([{"table": "narrow", **row("this engine", 5.0)}, {"disagreement": "losses differ"}])

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, int(command[3] == "wide"), sound)

    monkeypatch.setattr(benchmark, "subprocess", SimpleNamespace(run=run, PIPE=subprocess.PIPE))
    assert main(["--quick", "--only", "narrow", "--only", "wide", "--only", "homework"]) == 1
    said = capsys.readouterr()
    assert said.out.count("this engine") == 2
    heads = re.findall(r"^\d+ cores of .*, load [\d.]+ before it began; .*\.\n(\w+)$", said.out, re.MULTILINE)
    assert heads == ["narrow", "homework"]
    assert said.err.splitlines().count("failed: losses differ") == 2
    assert "failed: wide on 1 core(s), exit status 1; see above" in said.err


def test_peers_that_disagree_are_one_line_and_the_others_are_measured() -> None:
    config, effort = NARROW[0], benchmark.Effort(True, 1, 0.001)
    own = engine_peer(config, numbers(config, 1), road="numpy")
    wrong = Peer("wrong rate", 1, lambda epochs: None, lambda: 0.123)
    (told,) = benchmark.compare(config, 1, [own, wrong], effort)
    assert told["disagreement"].startswith("2-8-8-1 tanh, batch 10: losses differ after 3 epochs: ")
    assert [line["peer"] for line in benchmark.compare(config, 1, [own], effort)] == ["this engine"]


def test_training_on_made_images_does_not_hang_on_the_last_bit() -> None:
    ((config, problem),) = benchmark.wide_problems(benchmark.Effort(True, 1, 0.001))
    moved = dataclasses.replace(problem, weights=[W * np.float32(1 + 2**-23) for W in problem.weights])
    check_agreement(config, [engine_peer(config, problem), dataclasses.replace(engine_peer(config, moved), name="ulp")])
    assert sorted(set(problem.y.ravel())) == list(range(10))


def test_the_summary_takes_the_best_batched_rival_and_adds_its_compiling() -> None:
    rows = [
        row("this engine", 5.0),
        row("PyTorch eager", 5000.0),
        row("NumPy, one at a time", 500.0),
        row("PyTorch batched x 64", 60.0),
        row("JAX vmap x 16", 40.0, prepare_s=0.8),  # 0.8 s over 16 networks and 1000 epochs are 50 us more
        row("this engine", 3.0, cores=2),
    ]
    assert summary(rows) == [
        ["2-8-8-1 tanh", "10", "1", "5", "1e+03 (≥ 600)", "", "100 (≥ 80)", "8 (≥ 5), JAX vmap x 16", "12"],
        ["2-8-8-1 tanh", "10", "2", "3", "", "", "", "", ""],
    ]
    assert "| 2-8-8-1 tanh | 10 | 1 | JAX vmap x 16 | 40 | 8 | 0.8 |" in markdown("narrow", rows)


def test_only_the_part_between_the_marks_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "doc.md"
    path.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter <!-- b: begin -->\n", encoding="utf-8")
    write_into(path, "a", "| new |")
    assert path.read_text(encoding="utf-8") == (
        "before\n<!-- a: begin -->\n\n| new |\n\n<!-- a: end -->\nafter <!-- b: begin -->\n"
    )
    with pytest.raises(ValueError, match=r"doc.md: give it one line '<!-- b: begin -->' and one '<!-- b: end -->'"):
        write_into(path, "b", "x")


def test_a_peer_that_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    assert not benchmark.has("jax")
    assert capsys.readouterr().err == "not measured: jax is not installed; python -m pip install jax\n"


def test_drawing_needs_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--only", "threads", "--draw", "x.svg"])
    assert exit_.value.code == 2
    assert "--draw: draws the table `together`; give --only together, too" in capsys.readouterr().err
