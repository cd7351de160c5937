"""``benchmarks/compile_steps.py``: whose time is whose, and that the steps are still there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks.compile_steps import REST, ROOT, STEPS, Watch, watched


def test_a_steps_time_is_its_own_without_the_steps_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 1.0, 3.0, 7.0, 15.0))
    monkeypatch.setattr("time.process_time", lambda: next(times))
    outside, inside, *_ = STEPS
    watch = Watch()
    assert watched(watch, outside, lambda x: watched(watch, inside, lambda y: y + 1)(x) * 2)(3) == 8
    assert (watch.seconds[REST], watch.seconds[outside], watch.seconds[inside]) == (1.0, 2.0 + 8.0, 4.0)
    assert (watch.calls[outside], watch.calls[inside]) == (1, 1)


@pytest.mark.slow
def test_every_step_takes_some_time_and_together_they_are_all() -> None:
    command = [sys.executable, "benchmarks/compile_steps.py", "float64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = dict(re.findall(r"^(.*?) +(\d+\.\d\d) s", done.stdout, re.MULTILINE))
    assert set(found) == {*STEPS, REST, "all"}
    seconds = {step: float(text) for step, text in found.items()}
    assert min(seconds.values()) > 0
    assert sum(seconds.values()) == pytest.approx(2 * seconds["all"], abs=0.05)
