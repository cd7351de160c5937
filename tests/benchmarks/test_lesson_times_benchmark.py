"""``benchmarks/lesson_times.py``: a lesson that nobody knows is refused, and a table has the slowest first."""

from __future__ import annotations

from pathlib import Path

import pytest

import benchmarks.lesson_times
from benchmarks.lesson_times import main


def test_an_unknown_lesson_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["deepth"])
    assert exit_.value.code == 2
    assert "unknown deepth; give some of activations, " in capsys.readouterr().err


@pytest.mark.parametrize(("slowest", "status"), [(29.0, 0), (31.0, 1)])
def test_the_slowest_comes_first_and_decides(
    slowest: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], folder: Path) -> tuple[str, float, float]:
        return "", slowest if command[-1] == "depth" else 2.0, 1.5

    monkeypatch.setattr(benchmarks.lesson_times, "run_process", run)
    assert main(["backprop", "depth"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == [f"| depth | {slowest:.1f} | 1.5 |", "| backprop | 2.0 | 1.5 |"]
