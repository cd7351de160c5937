"""Whoever has only the database and its artifacts gets the same records, or is told which artifact has changed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import record_builders as build
from tiny import tiny_spec

from analysis.records.lines import RecordError
from analysis.records.reading import read_sweep
from sweeps.commands.main import main
from sweeps.run.study import run_sweep
from sweeps.store.log import SweepHeldError, SweepLock, digest
from sweeps.tracking.database import sqlite_uri
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a small sweep, write it to MLflow, and return the folder that has both."""
    folder = tmp_path_factory.mktemp("origin")
    run_sweep(tiny_spec(), folder / "results", workers=2)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    return folder


@pytest.fixture
def sent(origin: Path, tmp_path: Path) -> Path:
    """Return a folder with database and artifacts only, as a colleague gets them by mail."""
    for name in ("mlflow.db", "mlartifacts"):
        copy = shutil.copytree if (origin / name).is_dir() else shutil.copy
        copy(origin / name, tmp_path / name)
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    names = ("lock", "tracking.lock")
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in names
    }


def artifact(sent: Path, name: str) -> Path:
    return next(path for path in sorted(sent.glob(f"mlartifacts/tiny/*/artifacts/{name}")))


def refuse(sent: Path, kind: type[Exception] = TrackingError, **options: str) -> str:
    """Import with the sender's own files out of reach, expect an error, and return its message."""
    with pytest.raises(kind) as caught:
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported", artifacts=sent / "mlartifacts", **options)
    assert files_of(sent / "imported") == {}
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_file_of_the_sweep_comes_back_byte_for_byte(origin: Path, sent: Path) -> None:
    before = (sent / "mlflow.db").read_bytes()
    (imported,) = import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported", artifacts=sent / "mlartifacts")
    expected = files_of(origin / "results" / "tiny")
    assert files_of(sent / "imported" / "tiny") == expected
    assert digest(sent / "imported" / "tiny") == digest(origin / "results" / "tiny")
    assert imported.n_new == len(expected)
    assert imported.n_model_files == sum("certificate-" in name for name in expected) > 0
    assert (sent / "mlflow.db").read_bytes() == before


def test_the_command_leads_to_the_same_report(
    origin: Path, sent: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sent)
    assert main(["import", "tiny", "--results", "imported"]) == 0
    assert capsys.readouterr().out.startswith("imported/tiny: 2 logs of ")
    pages = []
    for results in (sent / "imported", origin / "results"):
        assert main(["report", "tiny", "--results", str(results), "--out", str(sent / "report")]) == 0
        pages.append(files_of(sent / "report"))
    assert pages[0] == pages[1]
    assert "index.html" in pages[0]


def test_a_moved_folder_is_found_beside_the_database(origin: Path, sent: Path) -> None:
    with sqlite3.connect(sent / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, '/gone')", (origin.as_posix(),))
    connection.close()
    import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")
    assert digest(sent / "imported" / "tiny") == digest(origin / "results" / "tiny")


def test_a_second_import_writes_nothing_and_a_lost_file_comes_back(sent: Path) -> None:
    def again() -> int:
        return import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")[0].n_new

    again()
    lost = sent / "imported" / "tiny" / "xor" / "log.jsonl"
    content = lost.read_bytes()
    assert again() == 0
    lost.unlink()
    assert again() == 1
    assert lost.read_bytes() == content


def test_what_is_there_and_differs_is_never_replaced(sent: Path) -> None:
    folder = sent / "imported" / "tiny"
    (folder / "xor").mkdir(parents=True)
    (folder / "xor" / "log.jsonl").write_text("mine\n")
    with pytest.raises(TrackingError) as caught:
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")
    assert str(caught.value) == (
        f"{folder}/xor/log.jsonl: differs from MLflow's; nothing written, use another --results"
    )
    assert files_of(sent / "imported") == {"tiny/xor/log.jsonl": b"mine\n"}


def test_a_folder_with_a_driver_at_work_is_left_alone(sent: Path) -> None:
    (sent / "imported" / "tiny").mkdir(parents=True)
    with SweepLock(sent / "imported" / "tiny"), pytest.raises(SweepHeldError):
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")


def test_what_a_killed_import_left_is_no_sweep_and_goes_with_the_next_one(
    sent: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sent)
    dead, held = (sent / "imported" / f".tiny.{number}.import" for number in (7, 8))
    for draft in (dead, held):
        build.write_study(build.finished_study(n_trials=2, n_certificate=4), draft)
        (draft / "lock").write_text("process 7 on host since 2026-01-01\n")
    assert main(["list", "--results", "imported"]) == 0
    assert capsys.readouterr().out.endswith("imported: nothing has been run yet\n")
    assert main(["sync", "--results", "imported"]) == 2
    with SweepLock(held):
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")
        assert sorted(path.name for path in (sent / "imported").iterdir()) == [held.name, "tiny"]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("log/00000001.jsonl", RecordError), ("spec.toml", TrackingError), ("certificate-0.npz", TrackingError)],
)
def test_a_flipped_bit_names_the_artifact(sent: Path, name: str, kind: type[Exception]) -> None:
    path = artifact(sent, name)
    flip(path, path.stat().st_size // 2)
    message = refuse(sent, kind)
    assert f"artifact {name}: " in message
    assert path.parents[2 if "/" in name else 1].name in message  # the run


def test_a_line_with_a_new_checksum_of_its_own_is_still_found(sent: Path) -> None:
    path = artifact(sent, "log/00000001.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    head, _, data = lines[1].partition(b',"data":')
    data = data.replace(b'"number":0', b'"number":9').removesuffix(b"}\n")
    sha256 = hashlib.sha256(data).hexdigest().encode()
    lines[1] = b'{"sha256":"' + sha256 + head[head.index(b'","kind"') :] + b',"data":' + data + b"}\n"
    path.write_bytes(b"".join(lines))
    assert "artifacts in log/: altered (as a whole)" in refuse(sent)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "altered (torn, or too long); restore it"),
        (lambda path: path.write_bytes(b""), "altered (torn, or too long); restore it"),
        (lambda path: path.unlink(), "; restore it"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "leads out of"),
    ],
)
def test_a_damaged_piece_of_a_log_names_the_artifact(
    sent: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(artifact(sent, "log/00000001.jsonl"))
    found = refuse(sent)
    assert "artifact log/00000001.jsonl: " in found
    assert message in found


@pytest.mark.parametrize("name", ["../../../canary", "/etc/passwd", "a\\..\\b", "certificate-0/../x.npz", "", "x\n"])
def test_a_file_name_that_leads_elsewhere_is_refused(sent: Path, name: str) -> None:
    table = json.dumps({name: hashlib.sha256(b"").hexdigest()})
    with sqlite3.connect(sent / "mlflow.db") as connection:
        connection.execute("UPDATE tags SET value = ? WHERE key = 'sweep.files'", (table,))
    connection.close()
    assert f"artifact {name!r}: no name that a sweep's file has; not imported" in refuse(sent)


@pytest.mark.parametrize("key", ["sweep", "dataset"])
@pytest.mark.parametrize("name", ["../up", "a/b", ".", ".."])
def test_a_sweep_or_dataset_name_that_leads_elsewhere_is_refused(sent: Path, key: str, name: str) -> None:
    with sqlite3.connect(sent / "mlflow.db") as connection:
        connection.execute("UPDATE tags SET value = ? WHERE key = ?", (name, key))
    connection.close()
    assert f"{name!r} cannot be the name of a {key}" in refuse(sent)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/x", "s3://bucket/x", "file://host/x"])
def test_a_database_cannot_send_us_to_an_address(sent: Path, uri: str) -> None:
    with sqlite3.connect(sent / "mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = ?", (uri,))
    connection.close()
    with pytest.raises(TrackingError, match="its artifacts are at "):
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported")


def test_two_sweeps_of_one_name_are_told_apart_by_id(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    for seed in (1, 2):
        study = build.finished_study(n_trials=2, n_certificate=20, seed=seed)
        study.header = build.header(n_trials=2, seed=seed)
        build.write_study(study, tmp_path / str(seed) / "homework")
        sync(tmp_path / str(seed), uri)
    with pytest.raises(
        TrackingError, match=r"2 sweeps named homework fit; choose one with --id: \w{12} \(seed"
    ) as caught:
        import_sweeps(uri, tmp_path / "imported")
    two = str(caught.value).partition(" (seed 2)")[0][-12:]
    import_sweeps(uri, tmp_path / "imported", identity=two)
    assert digest(tmp_path / "imported" / "homework") == digest(tmp_path / "2" / "homework")
    with pytest.raises(TrackingError, match="no sweep 'homewrk' with its log; there is homework"):
        import_sweeps(uri, tmp_path / "other", sweep="homewrk")


def test_a_sweep_still_at_work_is_imported_as_far_as_it_was_sent(tmp_path: Path) -> None:
    results, uri = tmp_path / "results", sqlite_uri(tmp_path / "mlflow.db")
    path = build.write_study(build.finished_study(n_trials=3, n_certificate=20), results / "homework")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    sync(results, uri)
    path.write_bytes(b"".join(lines))
    import_sweeps(uri, tmp_path / "early")
    assert (tmp_path / "early" / "homework" / "xor" / "log.jsonl").read_bytes() == b"".join(lines[:4])
    sync(results, uri)  # a second piece
    import_sweeps(uri, tmp_path / "late")
    assert (tmp_path / "late" / "homework" / "xor" / "log.jsonl").read_bytes() == b"".join(lines)
    assert len(list((tmp_path / "mlartifacts").glob("*/*/artifacts/log/*"))) == 2


def test_a_log_that_is_not_the_one_sent_is_sent_anew(tmp_path: Path) -> None:
    results, uri = tmp_path / "results", sqlite_uri(tmp_path / "mlflow.db")
    study = build.finished_study(n_trials=3, n_certificate=20)
    path = build.write_study(study, results / "homework")
    content = path.read_bytes()
    path.write_bytes(b"".join(content.splitlines(keepends=True)[:4]))
    sync(results, uri)
    path.write_bytes(content.replace(b'"duration_s":1.5', b'"duration_s":2.5'))  # as another machine's run of it
    path.unlink()
    study.records["search"] = [build.dataclasses.replace(r, duration_s=9.0) for r in study.trials]
    build.write_study(study, results / "homework")
    sync(results, uri)
    import_sweeps(uri, tmp_path / "imported")
    assert (tmp_path / "imported" / "homework" / "xor" / "log.jsonl").read_bytes() == path.read_bytes()


def test_what_a_table_study_keeps_beside_its_log_comes_back_as_it_is_now(tmp_path: Path) -> None:
    results, uri = tmp_path / "results", sqlite_uri(tmp_path / "mlflow.db")
    path = build.write_study(build.finished_study(n_trials=2, n_certificate=20), results / "homework")
    for content in ("before the baselines", "with the scores"):
        path.with_name("table.json").write_text(content)
        path.with_name("submission.csv").write_text(content)
        sync(results, uri)
    import_sweeps(uri, tmp_path / "imported")
    assert files_of(tmp_path / "imported") == {
        "homework/xor/log.jsonl": path.read_bytes(),
        "homework/xor/submission.csv": b"with the scores",
        "homework/xor/table.json": b"with the scores",
    }


@pytest.mark.parametrize("name", ["-rf 50%41 ?#&=+'\"é한\u202e\n", "x" * 255])
def test_any_folder_can_hold_results_database_and_artifacts(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    build.write_study(build.finished_study(n_trials=2, n_certificate=20), folder / "results" / "homework")
    for way in (Path(name), tmp_path / "link", tmp_path / name / ".." / name):
        place = str(way) if way.is_absolute() else f"./{way}"
        uri = f"sqlite:///{quote(place)}/m.db"
        assert main(["sync", "--results", f"{place}/results", "--tracking-uri", uri]) == 3  # no spec beside the log
    # The second and third way lead to the same file: nothing was left to write.
    told = capsys.readouterr()
    assert sum(line.startswith("python -m sweeps: I6 ") for line in told.err.splitlines()) == 3
    first, *others = told.out.splitlines()
    assert first.startswith("6 runs written, 0 were there")
    assert {line[: len("0 runs written, 6 were there")] for line in others} == {"0 runs written, 6 were there"}
    assert main(["import", "--tracking-uri", f"sqlite:///./{quote(name)}/m.db", "--results", f"./{name}/imported"]) == 3
    assert digest(folder / "imported" / "homework") == digest(folder / "results" / "homework")


def test_a_file_that_is_no_mlflow_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with pytest.raises(TrackingError, match="no such file"):
        import_sweeps(sqlite_uri(path), tmp_path / "imported")
    assert not path.exists()
    sqlite3.connect(path).executescript("CREATE TABLE notes (text)").connection.close()
    before = path.read_bytes()
    with pytest.raises(TrackingError, match="not a database of MLflow's"):
        import_sweeps(sqlite_uri(path), tmp_path / "imported")
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(TrackingError, match="cannot be read"):
        import_sweeps(sqlite_uri(path), tmp_path / "imported")
    assert before
    assert not (tmp_path / "imported").exists()


def test_a_log_that_is_not_the_one_its_anchor_names_is_refused(origin: Path, sent: Path) -> None:
    digests = {study.header.dataset: study.digest for study in read_sweep(origin / "results" / "tiny")}
    with sqlite3.connect(sent / "mlflow.db") as connection:
        tags = dict(connection.execute("SELECT value, run_uuid FROM tags WHERE key = 'sweep.digest'"))
        connection.execute("UPDATE tags SET value = ? WHERE key = 'sweep.digest'", ("0" * 64,))
    connection.close()
    assert sorted(tags) == sorted(digests.values())
    message = refuse(sent)
    name = "gauss" if f"run {tags[digests['gauss']]} says" in message else "xor"
    assert re.search(
        rf"tiny\.\d+\.import/{name}/log\.jsonl: sealed as {digests[name][:12]}; expected 000000000000, as run "
        rf"{tags[digests[name]]} says; restore it from a copy, or from MLflow with `import`$",
        message,
    )
