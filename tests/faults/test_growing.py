"""A budget that grows gives the search that it would have been at once, whatever chooses its trials."""

from __future__ import annotations

import dataclasses
import importlib.util
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fork_server import ForkServer
from small import small_spec, small_table
from tally import many

from analysis.records.study import Study, canonical_lines
from sweeps.audit.audit import audit_sweep
from sweeps.run.study import run_sweep
from sweeps.spec.samplers import OPTUNA, SAMPLERS
from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.spec.writing import with_overrides

Tally = Callable[[str, float, float], None]
GROWING = [name for name in SAMPLERS if name != "grid"]  # whose budget is its list


def takes(sampler: str) -> pytest.MarkDecorator:
    """Return the mark that says what a sampler's search of hundreds of trials takes: a Gaussian process the most."""
    return pytest.mark.takes(250.0 if sampler == "gp" else 30.0)


def searched(study: Study) -> list[str]:
    """Return what a log says of its search, as its digest takes it: all but the header, times, looks and verdict."""
    part = Study(study.header, asked=study.asked)
    part.records["search"] = sorted(study.trials, key=lambda trial: trial.number)
    return list(canonical_lines(part))[1:]


@pytest.mark.parametrize(
    ("sampler", "n"),
    [
        *((name, 4) for name in GROWING if name != "gp"),  # PyTorch alone takes seconds to load
        *(pytest.param(name, many(100), marks=(pytest.mark.faults, takes(name))) for name in GROWING),
    ],
)
def test_an_extended_search_is_the_one_that_it_would_have_been(
    tmp_path: Path, sampler: str, n: int, tally: Tally
) -> None:
    needs = OPTUNA[sampler].needs if sampler in OPTUNA else None
    if needs and importlib.util.find_spec(needs) is None:
        pytest.skip(f"{sampler} needs {needs}")
    table = small_table()
    table["search"] |= {"sampler": sampler, "n_trials": n, "n_startup_trials": min(n // 2, 10)}
    table["goal"] = {"metric": "test_loss", "below": 0.001}
    spec = parse_spec(table, "tiny.toml")
    larger = with_overrides(spec, n_trials=2 * n)
    run_sweep(spec, tmp_path / "grown", workers=2)
    (grown,) = run_sweep(larger, tmp_path / "grown", workers=1)
    (at_once,) = run_sweep(larger, tmp_path / "at_once", workers=2)
    same = searched(grown) == searched(at_once)
    assert len(searched(grown)) == 4 * n  # asked and finished
    tally(f"search of {n} trials extended to {2 * n} by {sampler}: another one than {2 * n} at once", 1, not same)
    assert same


@pytest.mark.faults
@pytest.mark.takes(40.0)
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_is_killed_while_it_grows_is_the_one_that_it_would_have_been(
    server: ForkServer, tmp_path: Path, sampler: str, tally: Tally
) -> None:
    rng, n_killed, n = random.Random(sampler), 0, many(100)
    table = small_table()
    table["search"] |= {"sampler": sampler, "n_trials": n, "n_startup_trials": min(n // 2, 10)}
    table["goal"] = {"metric": "test_loss", "below": 0.001}
    spec = parse_spec(table, "tiny.toml")
    larger = with_overrides(spec, n_trials=2 * n)
    folder = tmp_path / "grown"
    run_sweep(spec, folder / "results", workers=2)
    begin = time.monotonic()
    (at_once,) = run_sweep(larger, tmp_path / "at_once", workers=1)
    whole_s = time.monotonic() - begin
    extension = ("extend", "tiny", "--trials", f"+{n}", "--tracking-uri", "none")
    resumption = ("resume", "tiny", "--tracking-uri", "none")
    for _ in range(many(10)):
        has_grown = load_spec(folder / "results" / "tiny" / "spec.toml") == larger
        process = server.start(folder, *(resumption if has_grown else extension), with_report=False)
        n_killed += server.kill_after(process, rng.uniform(0.0, 0.2) * whole_s, "driver")
        server.wait(process)
    (grown,) = run_sweep(larger, folder / "results", workers=2)
    found = [str(finding) for finding in audit_sweep(folder / "results" / "tiny", None).findings]
    found += [] if searched(grown) == searched(at_once) else ["another search"]
    tally(f"`kill -9` of a search of {n} trials that is extended to {2 * n}, by {sampler}", n_killed, len(found))
    assert found == []
    assert n_killed > 0


def test_the_comparison_sees_a_trial_that_differs(tmp_path: Path) -> None:
    (study,) = run_sweep(small_spec(), tmp_path, workers=1)
    before = searched(study)
    study.records["search"] = [dataclasses.replace(study.trials[0], value=0.0), *study.trials[1:]]
    assert searched(study) != before
