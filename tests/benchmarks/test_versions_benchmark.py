"""``benchmarks/versions.py``: which figures stand side by side, and what a missing certificate looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.main_job import ROOT
from benchmarks.versions import Run, lines, main


def test_a_seeds_lines_have_times_their_quotient_and_every_dataset_of_either() -> None:
    before = Run(60.0, 100.0, {"gauss": (0.0325, 0.00221)})
    now = Run(30.0, 75.0, {"gauss": (0.0326, 0.0023), "xor": (0.0774, 0.0059)})
    assert lines(3, before, now) == [
        ["3", "wall s to the certificates", "60.0", "30.0", "0.50"],
        ["3", "processor s, report included", "100.0", "75.0", "0.75"],
        ["", "gauss: certified mean test loss", "0.0325, 0.0022 above the floor", "0.0326, 0.0023 above the floor", ""],
        ["", "xor: certified mean test loss", "none", "0.0774, 0.0059 above the floor", ""],
    ]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path)])
    assert exit_.value.code == 2
    assert f"{tmp_path}: no checkout of this project (no sweeps/__main__.py)" in capsys.readouterr().err


def test_a_document_without_marks_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__main__.py").touch()
    monkeypatch.setattr("benchmarks.versions.run_version", lambda *_: pytest.fail("measured"))
    for document in (tmp_path / "none.md", ROOT / "README.md"):
        with pytest.raises(SystemExit) as exit_:
            main([str(tmp_path), "--into", str(document)])
        assert exit_.value.code == 2
        assert capsys.readouterr().err.endswith(
            f"error: --into {document}: give it one line '<!-- versions: begin -->' and one '<!-- versions: end -->' "
            "after it\n"
        )


def test_what_stands_after_two_dashes_goes_to_both_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__main__.py").touch()
    seen = []

    def run(root: Path, seed: int, folder: Path, extra: list[str]) -> Run:
        seen.append((root, seed, extra))
        return Run(1.0, 1.0, {})

    monkeypatch.setattr("benchmarks.versions.run_version", run)
    main([str(tmp_path), "--seeds", "3", "--", "--trials", "2", "--until", "budget"])
    assert seen[2:] == [(tmp_path, 3, ["--trials", "2", "--until", "budget"]), (ROOT, 3, seen[2][2])]
    assert "wall s to the certificates" in capsys.readouterr().out
