"""The auditor finds nothing where nothing is wrong, and every fault that is planted."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_spec

from analysis.records.events import Verdict
from analysis.records.lines import Chain
from analysis.records.reading import read_study
from analysis.records.values import as_data
from sweeps.audit.audit import Audit
from sweeps.audit.figures import COMPARED, check_report
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.audit.repair import planned, repair
from sweeps.audit.runs import check_runs, database_damage
from sweeps.audit.search import check_search
from sweeps.commands.main import main
from sweeps.run.models import write_sums
from sweeps.run.study import run_sweep
from sweeps.store.log import SweepLock
from sweeps.tracking.database import open_client, sqlite_uri
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")

RESTORE = "restore it from a copy, or from MLflow with `import`"
Items = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a small sweep, write its report and its runs, and return the folder that has it all."""
    folder = tmp_path_factory.mktemp("origin")
    run_sweep(tiny_spec(), folder / "results", workers=2)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    assert main(["report", "tiny", "--results", str(folder / "results")]) == 0
    return folder


@pytest.fixture
def sweep(origin: Path, tmp_path: Path) -> Path:
    """Return a copy of the sweep's folder."""
    shutil.copytree(origin / "results" / "tiny", tmp_path / "results" / "tiny")
    return tmp_path / "results" / "tiny"


def rewritten(path: Path, change: Callable[[Items], object]) -> None:
    """Change a log's lines, and every digest in it: what only its records can tell."""
    items = [(line["kind"], line["data"]) for line in map(json.loads, path.read_text().splitlines())]
    change(items)
    chain = Chain(f"tiny/{path.parent.name}")
    *others, (_, verdict) = items
    lines = [chain.encode(kind, data) for kind, data in others]
    path.write_text("".join(lines))
    study = read_study(path)
    study.verdict = Verdict(**verdict)
    path.write_text("".join([*lines, chain.encode("verdict", as_data(study.verdict), study.digest)]))


def change_record(kind: str, **changes: Any) -> Callable[[Path], None]:
    """Return a fault: other values in the first record of a kind."""

    def plant(folder: Path) -> None:
        def change(items: Items) -> None:
            next(data for found, data in items if found == kind and not data.get("number")).update(changes)

        rewritten(folder / "xor" / "log.jsonl", change)

    return plant


def remove_line(folder: Path) -> None:
    path = folder / "xor" / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]))


def change_spec(folder: Path) -> None:
    path = folder / "spec.toml"
    path.write_text(path.read_text().replace("below = 0.1", "below = 0.2"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap_models(folder: Path) -> None:
    models = folder / "xor" / "models"
    for ending in ("npz", "json"):
        one, two, aside = models / f"certificate-0.{ending}", models / f"page_certificate-0.{ending}", models / "aside"
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
    write_sums(models)


def change_curves(folder: Path) -> None:
    path = folder / "xor" / "models" / "certificate-0.curves.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["test_loss"][0, 0] /= 2
    np.savez(path, allow_pickle=False, **arrays)
    write_sums(path.parent)


def mix_sweeps(folder: Path) -> None:
    def change(items: Items) -> None:
        items[0][1]["seed"] = 4

    rewritten(folder / "xor" / "log.jsonl", change)


def change_verdict(folder: Path) -> None:
    def change(items: Items) -> None:
        items[-1][1]["certified"] = not items[-1][1]["certified"]

    rewritten(folder / "xor" / "log.jsonl", change)


RECORD_FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (
        remove_line,
        "I1 {xor}/log.jsonl: line 6: written as line 7, expected line 6: lines are missing, repeated or moved; ",
    ),
    (lambda folder: (folder / "xor" / "log.jsonl").unlink(), "I1 {xor}/log.jsonl: not there; expected the log of a "),
    (lambda folder: flip(folder / "xor" / "log.jsonl"), "I1 {xor}/log.jsonl: line "),
    (mix_sweeps, "I1 {xor}/log.jsonl: line 1: study.seed: 4; expected 3, as in gauss's log: of another sweep; "),
    (change_spec, "I6 {xor}/log.jsonl: line 1: spec_sha256 "),
    (lambda folder: (folder / "spec.toml").unlink(), "I6 {sweep}/spec.toml: "),
    (lambda folder: (folder / "spec.toml").write_text("x = ["), "I6 {sweep}/spec.toml: "),
    (
        lambda folder: flip(folder / "xor" / "models" / "certificate-0.npz"),
        "I6 {xor}/models/certificate-0.npz: altered ",
    ),
    (lambda folder: (folder / "xor" / "models" / "certificate-0.npz").unlink(), "I6 {xor}/models/certificate-0.npz: "),
    (
        lambda folder: (folder / "xor" / "models" / "certificate-0.curves.npz").unlink(),
        "I6 {xor}/models/certificate-0.curves.npz: No such file or directory; ",
    ),
    (
        lambda folder: flip(folder / "xor" / "models" / "certificate-0.points.npz"),
        "I6 {xor}/models/certificate-0.points.npz: not the file that SHA256SUMS names; ",
    ),
    (swap_models, "I6 {xor}/models/certificate-0.npz: its networks and curves give "),
    (change_curves, "I6 {xor}/models/certificate-0.npz: its networks and curves give "),
    (lambda folder: (folder / "xor" / "models" / "SHA256SUMS").unlink(), "I6 {xor}/models/SHA256SUMS: not there; "),
    (change_record("finished", value=0.01), "I6 {xor}/log.jsonl: search 0: value 0.01; expected "),
    (change_record("finished", test_upper=0.01), "I6 {xor}/log.jsonl: search 0: test_upper 0.01; expected "),
    (
        change_record("finished", candidate=True),
        "I6 {xor}/log.jsonl: search 0: candidate; expected none, by its bounds",
    ),
    (change_record("finished", duration_s=-1.0), "I6 {xor}/log.jsonl: search 0: duration_s -1; expected at least 0"),
    (
        change_record("finished", test_loss=[0.1]),
        "I6 {xor}/log.jsonl: search 0: 1 test losses; expected one of each of 4",
    ),
    (change_record("finished", state="failed"), "I11 {xor}/log.jsonl: search 0: failed without a reason; expected one"),
    (change_record("study", n_trials=10), "I7 {xor}/log.jsonl: ended by its budget after 9 trials; expected 10"),
    (change_record("study", n_trials=8), "I7 {xor}/log.jsonl: 9 trials asked; expected at most 8, the budget"),
    (change_verdict, "I12 {xor}/log.jsonl: verdict.certified "),
    (
        change_record("verdict", text="certified: all is well"),
        "I12 {xor}/log.jsonl: verdict.text 'certified: all is well'",
    ),
]


def test_nothing_is_found_where_nothing_is_wrong(
    origin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(origin)
    assert main(["audit", "tiny"]) == 0
    n_runs = 2 + sum(
        len(records)
        for path in origin.glob("results/tiny/*/log.jsonl")
        for records in read_study(path).records.values()
    )
    assert capsys.readouterr().out == (f"results/tiny: all rules hold (I1 to I12); {n_runs} runs in MLflow compared\n")


@pytest.mark.parametrize(("plant", "expected"), RECORD_FAULTS)
def test_a_fault_in_the_records_is_found(sweep: Path, plant: Callable[[Path], object], expected: str) -> None:
    assert check_records(sweep) == []
    plant(sweep)
    found = [str(finding) for finding in check_records(sweep)]
    beginning = expected.format(xor=sweep / "xor", sweep=sweep)
    assert any(line.startswith(beginning) for line in found), found
    assert not any("\n" in line for line in found)


def test_a_log_written_anew_with_other_trials_is_found_by_asking_again(sweep: Path) -> None:
    path = sweep / "xor" / "log.jsonl"
    assert list(check_search(sweep)) == []

    def change(items: Items) -> None:
        for kind, data in items:
            if kind in ("asked", "finished") and data["number"] == 7:
                data["params"]["training.batch_size"] += 1

    rewritten(path, change)
    (finding,) = check_search(sweep)
    assert str(finding).startswith(f"I12 {path}: trial 7: params.training.batch_size ")
    assert str(finding).endswith(", which the sampler chooses")


def test_what_killed_processes_left_is_found(sweep: Path) -> None:
    assert check_leftovers(sweep) == []
    (sweep / "xor" / ".table.json.7.tmp").write_text("half")
    (sweep / "lock").write_text("process 7 on host since 2026-01-01\n")
    with (sweep / "xor" / "log.jsonl").open("ab") as stream:
        stream.write(b'{"sha256":"00')
    log = sweep / "gauss" / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    assert [str(finding) for finding in check_leftovers(sweep)] == [
        f"I10 {sweep}/xor/.table.json.7.tmp: left by a process that was killed; `audit --repair` or `resume` clears it",
        f"I10 {log}: line ends of another system; `audit --repair` or `resume` puts it right",
        f"I10 {sweep}/xor/log.jsonl: a last line without its end (13 bytes); `audit --repair` or `resume` puts it"
        " right",
        f"I10 {sweep}/lock: names process 7 on host since 2026-01-01, which is gone; `audit --repair` or `resume`"
        " clears it",
    ]
    with SweepLock(sweep):
        assert not any("lock" in str(finding) for finding in check_leftovers(sweep))


def test_a_figure_that_was_changed_is_found_and_written_again(origin: Path, sweep: Path) -> None:
    page, table, logs = (sweep / "report" / name for name in ("index.html", "data/logs.tex", "data/logs.csv"))
    page.write_text(page.read_text().replace("of 2 datasets certified", "of 1 dataset certified"))
    table.unlink()
    logs.write_text(logs.read_text().replace(read_study(sweep / "xor" / "log.jsonl").digest, "0" * 64))
    changed = page.read_bytes()
    findings = list(check_report(sweep))
    assert [str(finding) for finding in findings] == [
        f"I12 {logs}: not what the records give; `report tiny` writes it again",
        f"I12 {table}: not there; `report tiny` writes it",
        f"I12 {page}: not what the records give; `report tiny` writes it again",
    ]
    audit = Audit(findings)
    assert planned(sweep, audit) == [f"write {sweep}/report again"]
    kept = repair(sweep, None, audit)
    assert (kept / "report" / "index.html").read_bytes() == changed
    for path in (page, table, logs):
        assert path.read_bytes() == (origin / "results" / "tiny" / path.relative_to(sweep)).read_bytes()


def test_a_stale_report_is_one_line_and_is_written_again(sweep: Path) -> None:
    changed = sorted((sweep / "report").rglob("*.csv"))[:5]
    for path in changed:
        path.write_text("of another state\n")
    (finding,) = check_report(sweep)
    n_files = sum(path.suffix in COMPARED for path in (sweep / "report").rglob("*"))
    assert str(finding) == (
        f"I12 {sweep}/report/: 5 of its {n_files} files are not what the records give; the sweep has gone on since, or"
        " they were changed: `report tiny` writes them again"
    )
    assert planned(sweep, Audit([finding])) == [f"write {sweep}/report again"]
    repair(sweep, None, Audit([finding]))
    assert list(check_report(sweep)) == []


def test_two_repairs_of_one_second_keep_apart(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.audit.repair.time.strftime", lambda _: "20260101T000000")
    names = [repair(sweep, None, Audit([])).name for _ in range(3)]
    assert names == ["20260101T000000", "20260101T000000-2", "20260101T000000-3"]


@pytest.fixture
def tracked(origin: Path, tmp_path: Path) -> Path:
    """Return a folder with a copy of the sweep, of its database and of its artifacts."""
    for name in ("results", "mlartifacts"):
        shutil.copytree(origin / name, tmp_path / name, ignore=shutil.ignore_patterns("report"))
    shutil.copy(origin / "mlflow.db", tmp_path / "mlflow.db")
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(origin), str(tmp_path)))
    connection.close()
    return tmp_path


def plant_in_runs(folder: Path) -> dict[str, str]:
    """Plant one fault in each of many runs; return the ids of the runs by uid."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        ids = dict(connection.execute("SELECT value, run_uuid FROM tags WHERE key = 'sweep.uid'"))

        def plant(statement: str, number: int) -> None:
            assert connection.execute(statement, (ids[f"tiny/xor:search:{number}"],)).rowcount >= 1

        plant("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", 0)
        plant("UPDATE runs SET status = 'FAILED' WHERE run_uuid = ?", 1)
        plant("UPDATE params SET value = 'cubic' WHERE key = 'network.activation' AND run_uuid = ?", 2)
        plant("UPDATE latest_metrics SET value = 0.001 WHERE key = 'value' AND run_uuid = ?", 3)
        plant("UPDATE metrics SET value = 0.001 WHERE key = 'by_epoch/test_loss' AND step = 1 AND run_uuid = ?", 4)
        plant("UPDATE tags SET value = 'diverged' WHERE key = 'state' AND run_uuid = ?", 5)
        plant("UPDATE tags SET value = 'tiny/xor:search:99' WHERE key = 'sweep.uid' AND run_uuid = ?", 6)
        plant("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", 7)
        connection.execute(
            "UPDATE tags SET value = ? WHERE key = 'sweep.digest' AND run_uuid = ?", ("0" * 64, ids["tiny/xor"])
        )
        connection.execute(
            "UPDATE tags SET value = ? WHERE key = 'log.sha256' AND run_uuid = ?", ("0" * 64, ids["tiny/gauss"])
        )
    connection.close()
    client = open_client(sqlite_uri(folder / "mlflow.db"))
    run = client.get_run(ids["tiny/xor:search:8"])
    again = client.create_run(run.info.experiment_id, tags=dict(run.data.tags))
    client.set_terminated(again.info.run_id)
    ids["again"] = again.info.run_id
    flip(next(folder.glob(f"mlartifacts/tiny/{ids['tiny/xor:certificate:0']}/artifacts/certificate-0.npz")))
    next(folder.glob(f"mlartifacts/tiny/{ids['tiny/xor:page_certificate:0']}/artifacts/page*.curves.npz")).unlink()
    return ids


def test_every_fault_in_mlflow_is_found_and_repaired_from_the_log(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = plant_in_runs(tracked)
    sweep = tracked / "results" / "tiny"
    check = check_runs(sweep, sqlite_uri(tracked / "mlflow.db"))
    found = [str(finding).replace(str(sweep), "S") for finding in check.findings]

    def named(rule: str, uid: str, text: str) -> str:
        return f"{rule} S/xor/log.jsonl: {uid}: run {ids.get(uid, ids['tiny/xor:search:6'])}{text}"

    beginnings = [
        named("I3", "tiny/xor:search:0", " is RUNNING; expected FINISHED; `sync` ends it"),
        named("I5", "tiny/xor:search:1", " is FAILED; expected FINISHED; "),
        named("I6", "tiny/xor:search:2", ": param network.activation 'cubic'; expected '"),
        named("I6", "tiny/xor:search:3", ": metric value 0.001; expected 0."),
        named(
            "I6", "tiny/xor:search:4", ": metric by_epoch/test_loss: 2 points of its history differ; expected the rec"
        ),
        named("I6", "tiny/xor:search:5", ": tag state 'diverged'; expected 'complete'; "),
        "I4 S/xor/log.jsonl: tiny/xor:search:6: no run in MLflow; expected 1; `sync` writes it",
        "I4 S/xor/log.jsonl: tiny/xor:search:8: run ",
        named("I6", "tiny/xor:certificate:0", ": artifact certificate-0.npz is altered; expected "),
        named(
            "I6", "tiny/xor:page_certificate:0", ": artifact page_certificate-0.curves.npz is not there; expected it"
        ),
        f"I4 S/xor/log.jsonl: 'tiny/xor:search:99': run {ids['tiny/xor:search:6']} has no record in the log; expected ",
    ]
    for beginning in beginnings:
        assert sum(line.startswith(beginning) for line in found) == 1, (beginning, found)
    anchors = [line for line in found if line.startswith("I1")]
    assert len(anchors) == 2
    assert anchors[0].startswith("I1 S/gauss/log.jsonl: its first ")
    assert anchors[1].startswith("I1 S/xor/log.jsonl: sealed as ")
    assert len(found) == len(beginnings) + len(anchors) + 1, found  # and the parent, whose digest is a tag like others
    assert check.n_deleted == 1

    # A log that is not the one MLflow names is nothing to repair from; with the anchors as they were, it is.
    monkeypatch.chdir(tracked)
    assert main(["audit", "tiny", "--repair"]) == 3
    assert capsys.readouterr().out.endswith("results/tiny: nothing that the log allows to repair\n")
    with sqlite3.connect(tracked / "mlflow.db") as connection:
        for uid, key, value in anchors_of(sweep):
            connection.execute("UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?", (value, key, ids[uid]))
    connection.close()
    assert main(["audit", "tiny", "--repair"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"repair: delete run {ids['tiny/xor:search:1']} in MLflow: of another status" in lines
    assert "repair: write to MLflow what the log has and it has not" in lines
    assert lines[-1].startswith("results/tiny: all rules hold (I1 to I12); ")
    assert lines[-1].endswith(", 1 deleted by a user left out")
    (kept,) = sweep.glob(".repairs/*/mlflow.db")
    with sqlite3.connect(kept) as connection:  # what was there is there
        (status,) = connection.execute(
            "SELECT status FROM runs WHERE run_uuid = ?", (ids["tiny/xor:search:1"],)
        ).fetchone()
    connection.close()
    assert status == "FAILED"


def anchors_of(sweep: Path) -> list[tuple[str, str, str]]:
    """Return the tags that `plant_in_runs` has changed in parent runs, as they were."""
    gauss, xor = (sweep / name / "log.jsonl" for name in ("gauss", "xor"))
    return [
        ("tiny/gauss", "log.sha256", hashlib.sha256(gauss.read_bytes()).hexdigest()),
        ("tiny/xor", "sweep.digest", read_study(xor).digest),
    ]


def test_a_damaged_database_is_named(tracked: Path) -> None:
    path = tracked / "mlflow.db"
    assert database_damage(path) is None
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    path.write_bytes(content)
    (finding,) = check_runs(tracked / "results" / "tiny", sqlite_uri(path)).findings
    assert str(finding).startswith(f"I9 {path}: ")
    assert str(finding).endswith("; restore it from a copy, or move it away and `sync`")


def test_files_are_repaired_as_far_as_the_log_goes_and_kept(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sweep.parents[1])
    log = sweep / "gauss" / "log.jsonl"
    whole = log.read_bytes()
    torn = whole.replace(b"\n", b"\r\n") + b'{"sha256":"00'
    log.write_bytes(torn)
    (sweep / "xor" / "models" / "SHA256SUMS").unlink()
    (sweep / "xor" / ".table.json.7.tmp").write_text("half")
    (sweep / "lock").write_text("process 7 on host since 2026-01-01\n")
    shutil.rmtree(sweep / "report")
    assert main(["audit", "tiny", "--tracking-uri", "none", "--repair"]) == 0
    place = "results/tiny"
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("repair: ")] == [
        f"repair: delete {place}/xor/.table.json.7.tmp",
        f"repair: mend the end of {place}/gauss/log.jsonl: a last line without its end (13 bytes)",
        f"repair: clear {place}/lock",
        f"repair: write {place}/xor/models/SHA256SUMS",
    ]
    assert out.endswith(f"{place}: all rules hold (I1 to I12); no runs in MLflow to compare\n")
    assert log.read_bytes() == whole
    kept = {
        str(path.relative_to(sweep)).split("/", 2)[2]: path for path in sweep.glob(".repairs/**/*") if path.is_file()
    }
    assert kept["gauss/log.jsonl"].read_bytes() == torn
    assert kept["xor/.table.json.7.tmp"].read_text() == "half"


def test_other_commands_run_the_cheap_part(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tracked)
    model = tracked / "results" / "tiny" / "xor" / "models" / "certificate-0.npz"
    content = model.read_bytes()
    model.unlink()
    expected = (
        "python -m sweeps: I6 results/tiny/xor/models/certificate-0.npz: cannot be read (No such file or directory);"
        " restore it from a copy, or with `import`"
    )
    for command in (["report", "tiny"], ["sync"], ["resume", "tiny", "--tracking-uri", "none"]):
        assert main(command) == 3
        assert expected in capsys.readouterr().err.splitlines()
    assert main(["import", "tiny"]) == 0
    assert model.read_bytes() == content


def test_a_sweep_at_work_is_left_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SweepLock(sweep):
        assert main(["audit", "tiny", "--results", str(sweep.parent), "--tracking-uri", "none"]) == 75
    assert f"{sweep}: held by process " in capsys.readouterr().err
