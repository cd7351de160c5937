"""``benchmarks/main_job.py``: both sides answer the same datasets, and each ratio is the quotient it says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.main_job import DATASETS, main, ratios, report, write_spec
from sweeps.spec.sweep import load_spec

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("datasets", [DATASETS, ("xor",), ("gauss", "spiral")])
def test_the_sweep_is_the_built_in_one_with_these_datasets(tmp_path: Path, datasets: tuple[str, ...]) -> None:
    write_spec(datasets, tmp_path / "homework.toml")
    whole, part = load_spec("homework"), load_spec(str(tmp_path / "homework.toml"))
    assert [dataset.name for dataset in part.datasets] == list(datasets)
    kept = tuple(dataset for dataset in whole.datasets if dataset.name in datasets)
    assert dataclasses.replace(whole, datasets=kept) == part


def test_ratios_are_the_scripts_cost_over_this_projects() -> None:
    script = {"seconds": 60.0, "processor_s": 50.0, "networks": 20, "network_epochs": 4000}
    sweep = {"seconds": 30.0, "processor_s": 40.0, "networks": 10_000, "network_epochs": 5_000_000}
    assert ratios(script, sweep) == {
        "wall s per network": (3.0, 0.003),
        "processor s per network": (2.5, 0.004),
        "wall us per network and epoch": (15_000.0, 6.0),
        "processor us per network and epoch": (12_500.0, 8.0),
        "wall s until nothing is left to do": (60.0, 30.0),
    }


def test_the_report_says_who_answered_and_when() -> None:
    common = {"seconds": 60.0, "processor_s": 50.0, "networks": 20, "network_epochs": 4000}
    script = common | {"answered": ["xor"], "answer_s": {"xor": 12.34, "spiral": None}}
    sweep = common | {"answered": ["xor", "spiral"], "answer_s": {"xor": 20.0, "spiral": 60.0}, "wall_s": 66.6}
    assert report(script, sweep, ("xor", "spiral"))[5:] == [
        ["networks", "20", "20", ""],
        ["network epochs", "4000", "4000", ""],
        ["whole process, wall s", "", "66.6", ""],
        ["xor: s to a lucky network / to its certificates", "12.3", "20.0", ""],
        ["spiral: s to a lucky network / to its certificates", "none", "60.0", ""],
        ["answered (lucky / certified)", "1 of 2", "2 of 2", ""],
    ]


def test_an_unknown_dataset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--datasets", "gauss,moon"])
    assert exit_.value.code == 2
    assert "--datasets: unknown moon; give some of gauss,xor,circle,spiral" in capsys.readouterr().err


@pytest.mark.slow
def test_both_sides_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    main(["--datasets", "gauss", "--trials", "2", "--script-trials", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"script", "sweeps", "ratios"}
    assert 1 <= found["script"]["networks"] <= 2
    assert found["sweeps"]["networks"] >= 2 * 16
    assert 0 < found["sweeps"]["seconds"] <= found["sweeps"]["wall_s"]
    assert all(ratio > 0 for ratio in found["ratios"].values())
