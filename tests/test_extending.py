"""The examples of docs/extending.md, applied to a copy of the tree and run."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_table

from sweeps.toml import toml_text

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"```(python|diff)\n# (FILE|IN) (\S+)\n(.*?)```", re.DOTALL)


def replaced(text: str, changes: str, path: str) -> str:
    """Return a file with runs of ``-`` lines replaced by the ``+`` lines behind them."""
    for run in re.findall(r"((?:-.*\n)+(?:\+.*\n)+)", changes):
        old = "".join(line[1:] + "\n" for line in run.splitlines() if line.startswith("-"))
        new = "".join(line[1:] + "\n" for line in run.splitlines() if line.startswith("+"))
        assert text.count(old) == 1, f"docs/extending.md: {path} does not have once: {old}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    for package in ("sweeps", "analysis", "engine"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    examples = FENCE.findall((ROOT / "docs" / "extending.md").read_text("utf-8"))
    assert len(examples) == 9
    for _, kind, name, content in examples:
        path = tree / name
        if kind == "FILE":
            assert not path.exists()
            path.write_text(content, "utf-8")
        else:
            path.write_text(replaced(path.read_text("utf-8"), content, name), "utf-8")
    return tree


def run(tree: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spec_text(table: dict[str, Any]) -> str:
    table = copy.deepcopy(table)
    datasets, space = table.pop("datasets"), table.pop("space")
    lines = [f"{key} = {toml_text(table.pop(key))}" for key in ("name", "seed")]
    for key, value in table.items():
        lines += [f"[{key}]", *(f"{name} = {toml_text(one)}" for name, one in value.items())]
    for dataset in datasets:
        lines += ["[[datasets]]", *(f"{name} = {toml_text(one)}" for name, one in dataset.items())]
    lines += ["[space]", *(f"{g}.{k} = {toml_text(v)}" for g, content in space.items() for k, v in content.items())]
    return "\n".join(lines) + "\n"


def new_table() -> dict[str, Any]:
    """Return a sweep that uses every addition but the kind."""
    table = tiny_table()
    table["search"] |= {"sampler": "tpe_wide", "n_trials": 5}
    table["certificates"]["n_replicas"] = 20
    table["datasets"] = [{**table["datasets"][0], "name": "halves"}]
    table["training"] |= {"optimizer": "sign_sgd"}
    table["space"]["network"]["activation"] = {"choice": ["mish"]}
    table["space"]["training"].pop("optimizer", None)
    return table


def test_every_addition_takes_part_in_a_sweep_and_its_report(extended: Path, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text(spec_text(new_table()))
    run(extended, tmp_path, "-m", "sweeps", "run", "new.toml", "--tracking-uri", "none", "--workers", "1")
    report = (tmp_path / "results" / "tiny" / "report" / "report.md").read_text("utf-8")
    assert "How long the best trained" in report
    assert "mish" in report
    assert "two halves" in report
    assert "playground.tensorflow.org" not in report


def test_a_kind_of_data_takes_part_in_a_sweep(extended: Path, tmp_path: Path) -> None:
    table = new_table()
    table["datasets"] = [{"kind": "line", "name": "steep", "slope": 2.0, "noise": 0.1, "n_samples": 50}]
    table["training"]["loss"] = "mse"
    table["network"] = {"output_activation": "linear", "initializer": "xavier_uniform"}
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    (tmp_path / "line.toml").write_text(spec_text(table))
    run(extended, tmp_path, "-m", "sweeps", "run", "line.toml", "--tracking-uri", "none", "--workers", "1")
    assert (tmp_path / "results" / "tiny" / "steep" / "log.jsonl").stat().st_size


def test_what_the_additions_claim_is_true_of_them(extended: Path, tmp_path: Path) -> None:
    program = """
import numpy as np
from engine.methods.activations import ACTIVATIONS
from engine.playground.draws import draw
from engine.playground.registry import DATASETS, lowest_loss
Z = np.linspace(-3, 3, 50)
mish, step = ACTIVATIONS["mish"], 1e-6
slope = (mish.function(Z + step, 0.0) - mish.function(Z - step, 0.0)) / (2 * step)
np.testing.assert_allclose(mish.derivative(Z, mish.function(Z, 0.0), 0.0), slope, atol=1e-8)
page = draw("halves", 0.2, 0.5, [str(k) for k in range(100)])
losses = 0.5 * (DATASETS["halves"].conditional_mean(page.test_points, 0.2) - page.test.y[..., 0]) ** 2
assert abs(losses.mean() - lowest_loss("halves", 0.2)) < 0.005
"""
    run(extended, tmp_path, "-c", program)
