"""What gives the target away, and what is rare, goes with a sweep: into its spec, its record, verdict and report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_tables import class_frame, regression_frame, table_spec

from analysis.records.events import Verdict
from analysis.records.reading import read_sweep
from analysis.records.table import read_table_record
from analysis.report import write_report
from sweeps.commands.main import main
from sweeps.commands.running import Exporter, print_answers
from sweeps.data.table.settings import TableData
from sweeps.run.study import run_sweep
from sweeps.spec import from_table
from sweeps.spec.sweep import load_spec
from sweeps.store.log import digest

SAID = (
    "price = tax + net, exactly: nothing will be certified; if these columns are known when you predict, give "
    "--allow-leak"
)


def taxed(n: int = 83) -> pd.DataFrame:
    frame = regression_frame(n)
    part = np.random.default_rng(9).uniform(0.1, 0.3, n) * frame["price"]
    return frame.assign(tax=part, net=frame["price"] - part)


def coded() -> pd.DataFrame:
    return class_frame().assign(code=lambda f: f["kind"].map({"low": 3, "middle": 1, "high": 2}))


def cut() -> pd.DataFrame:
    frame = regression_frame()
    return frame.assign(price=np.where(frame["price"] > 300.0, "dear", "cheap"), asked=frame["price"])


def verdict_of(frame: pd.DataFrame, target: str, folder: Path, **changes: Any) -> Verdict:
    folder.mkdir()
    frame.to_csv(folder / "some.csv", index=False)
    (study,) = run_sweep(table_spec(folder / "some.csv", target, **changes), folder, workers=1)
    assert study.verdict is not None
    return study.verdict


@pytest.mark.parametrize(
    ("leaked", "honest", "target", "goal"),
    [
        (taxed(), regression_frame(), "price", "rmse < 500"),
        (coded(), class_frame(), "kind", "accuracy > 0.04"),
        (cut(), cut().drop(columns="asked"), "price", "accuracy > 0.04"),
    ],
)
def test_a_leaked_table_is_certified_only_when_asked_and_an_honest_one_as_ever(
    tmp_path: Path, leaked: pd.DataFrame, honest: pd.DataFrame, target: str, goal: str
) -> None:
    withheld = verdict_of(leaked, target, tmp_path / "leaked", goal={"words": goal})
    assert not withheld.certified
    assert withheld.text.startswith(f"Not certified: {target} ")
    assert "; if these columns are known when you predict, give --allow-leak and another --name. " in withheld.text
    looked = "this sweep's first look at these rows; 0.04 of 0.05 is spent"
    assert withheld.text.endswith(f"; scored all the same ({looked}).")
    allowed = verdict_of(leaked, target, tmp_path / "allowed", goal={"words": goal}, allow_leak=True)
    assert allowed.certified
    assert verdict_of(honest, target, tmp_path / "honest", goal={"words": goal}).certified


def test_the_command_says_it_before_the_search_and_first_in_answer_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taxed().to_csv(tmp_path / "shop.csv", index=False)
    (tmp_path / "shop.toml").write_text(
        f'name = "shop"\n[dataset]\nfile = "{tmp_path / "shop.csv"}"\ntarget = "price"\nn_folds = 3\n'
        "[search]\nn_trials = 1\nn_replicas = 3\nlag = 1\nn_startup_trials = 1\n[epochs]\nmax_epochs = 2\n"
        "[finalists]\nn = 1\nn_replicas = 3\n[certificates]\nn_replicas = 2\n"
    )
    options = ["--results", str(tmp_path), "--tracking-uri", "none", "--workers", "1"]
    assert main(["run", str(tmp_path / "shop.toml"), *options]) == 0
    output = capsys.readouterr()
    assert output.err.splitlines()[0] == f"shop: {SAID}"
    assert output.out.splitlines()[0] == f"shop: {SAID}"
    assert "\nshop: Not certified: price = tax + net, exactly; " in output.out
    assert f"Warning: {SAID.replace('>', '&gt;')}." in write_report([tmp_path / "shop"]).read_text()
    assert main(["run", str(tmp_path / "shop.toml"), *options, "--allow-leak"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"python -m sweeps: {tmp_path / 'shop'}: this sweep was begun without --allow-leak; give another --name, too, "
        "for instance shop-2"
    )
    assert main(["run", str(tmp_path / "shop.toml"), *options, "--allow-leak", "--name", "known"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "known: price = tax + net, exactly: columns that are known when you predict, as --allow-leak says"
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    print_answers(tmp_path / "shop", Exporter(tmp_path / "shop", None), "")
    on_one_screen = capsys.readouterr().out
    assert on_one_screen.splitlines()[0] == "shop: 1 warning, above, before the search"
    assert SAID not in on_one_screen


def test_what_was_found_goes_with_the_spec_and_is_not_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taxed().to_csv(tmp_path / "shop.csv", index=False)
    spec = table_spec(tmp_path / "shop.csv", "price")
    (first,) = run_sweep(spec, tmp_path / "one", workers=1)
    run_sweep(spec, tmp_path / "two", workers=2)
    assert digest(tmp_path / "one/shop") == digest(tmp_path / "two/shop")
    log = tmp_path / "two/shop/shop/log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    (tmp_path / "two/shop/shop/table.json").unlink()
    monkeypatch.setattr(from_table, "find_leaks", None)
    again = load_spec(tmp_path / "two/shop/spec.toml")
    assert again == spec
    (resumed,) = run_sweep(again, tmp_path / "two", workers=1)
    assert resumed.verdict == first.verdict
    assert digest(tmp_path / "one/shop") == digest(tmp_path / "two/shop")
    assert read_table_record(tmp_path / "two/shop/shop/table.json").warnings == (SAID,)


def test_an_unbalanced_sweep_runs_to_its_verdict_and_claims_nothing_of_three_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 2))
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "sick": ["no"] * 285 + ["yes"] * 15})
    frame.loc[285:, "a"] += 2.5
    frame.to_csv(tmp_path / "some.csv", index=False)
    (study,) = run_sweep(table_spec(tmp_path / "some.csv", "sick"), tmp_path, workers=1)
    assert study.header.metric == "1 - average_precision"
    assert all(np.isfinite(trial.value) for trial in study.trials)
    assert study.winner is not None
    assert study.winner.ensemble is not None
    assert study.winner.ensemble["method"] == "a class has 3 test rows; a bound needs 20"
    assert study.verdict is not None
    assert not study.verdict.certified
    assert study.verdict.text.endswith(
        "to beat the best baseline in average_precision is not shown at level 0.04: a class has 3 test rows; a bound "
        "needs 20."
    )
    (again,) = read_sweep(tmp_path / "some")
    assert again.verdict == study.verdict


def test_copied_rows_do_not_make_a_column_give_the_target_away(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "price"])
    pd.concat([frame] * 3).to_csv(tmp_path / "t.csv", index=False)
    assert table_spec(tmp_path / "t.csv", "price").datasets[0].data.leaks == ()  # type: ignore[union-attr]


def test_what_nearly_gives_the_target_is_said_with_the_way_out_and_withholds_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    area = rng.uniform(40.0, 200.0, 120)
    frame = pd.DataFrame({"living area": area, "rooms": rng.integers(1, 6, 120)})
    frame.assign(price=2800.0 * area + 10_000.0 * rng.normal(size=120)).to_csv(tmp_path / "t.csv", index=False)
    data = table_spec(tmp_path / "t.csv", "price").datasets[0].data
    assert isinstance(data, TableData)
    assert (data.leaks, data.withheld) == ((), "")
    assert data.said_first[0].startswith("price nearly follows from 'living area' alone: an error of 0.0")
    assert data.said_first[0].endswith(
        ": what is not known when you predict has to be left out (--role 'living area=text')"
    )
