"""A database and artifacts made to attack: nothing is read or written elsewhere, nothing hangs or runs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from small import small_spec
from tally import many

from engine.names import InputMessageError
from sweeps.run.study import run_sweep
from sweeps.store.log import digest
from sweeps.tracking.database import fold_write_ahead, sqlite_uri
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    run_sweep(small_spec(), folder / "results", workers=1)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    fold_write_ahead(sqlite_uri(folder / "mlflow.db"))
    return folder


@pytest.fixture
def sent(origin: Path, tmp_path: Path) -> Path:
    """Return a folder with database and artifacts only, beside a file that is not to be touched."""
    return copied(origin, tmp_path / "sent")


def copied(origin: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(origin / "mlflow.db", folder / "mlflow.db")
    shutil.copytree(origin / "mlartifacts", folder / "mlartifacts")
    folder.with_name("secret").write_text("secret")
    return folder


def artifact(sent: Path, name: str) -> Path:
    return sorted(sent.glob(f"mlartifacts/tiny/*/artifacts/{name}"))[0]


def refuse(sent: Path) -> str:
    with pytest.raises(TrackingError) as caught:
        import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported", artifacts=sent / "mlartifacts")
    assert not list((sent / "imported").iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


LOG = "log/00000001.jsonl"


def linked_file(sent: Path) -> None:
    path = artifact(sent, LOG)
    path.unlink()
    path.symlink_to(sent.with_name("secret"))


def linked_folder(sent: Path) -> None:
    path = artifact(sent, "log")
    shutil.move(path, sent.with_name("log"))
    path.symlink_to(sent.with_name("log"))


def pipe(sent: Path) -> None:
    path = artifact(sent, LOG)
    path.unlink()
    os.mkfifo(path)


def endless_device(sent: Path) -> None:
    path = artifact(sent, LOG)
    path.unlink()
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root can make a device")


def folder_for_a_file(sent: Path) -> None:
    path = artifact(sent, LOG)
    path.unlink()
    path.mkdir()


def endless_file(sent: Path) -> None:
    os.truncate(artifact(sent, LOG), 2**40)  # a terabyte that takes no room


ATTACKS = {
    linked_file: "leads out of ",
    linked_folder: "leads out of ",
    pipe: "not in ",
    endless_device: "not in ",
    folder_for_a_file: "not in ",
    endless_file: "1099511627776 bytes, no file of a sweep; not read",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_artifact_that_is_none_is_neither_read_nor_waited_for(sent: Path, attack: Callable[[Path], None]) -> None:
    attack(sent)
    message = refuse(sent)
    assert f"artifact {LOG}: " in message
    assert ATTACKS[attack] in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sweep.files", "[" * 100_000, " is not what `sweeps sync` writes; not imported"),
        ("sweep.files", '{"spec.toml": ["a"]}', "altered (its SHA-256 does not match); restore it"),
        ("sweep.files", '{"../secret": ""}', "artifact '../secret': no name that a sweep's file has; not imported"),
        ("log.lines", "9" * 5000, "altered (as a whole); restore them"),
        ("log.lines", "999999999999", ": not in "),
        ("log.lines", "-1", "altered (as a whole); restore them"),
        ("sweep.study", "' OR 1=1 --", "not of what the run's tags say; not imported"),
    ],
)
def test_a_tag_that_is_an_attack_is_one_line(sent: Path, key: str, value: str, message: str) -> None:
    with sqlite3.connect(sent / "mlflow.db") as connection:
        connection.execute("UPDATE tags SET value = ? WHERE key = ?", (value, key))
    connection.close()
    assert message in refuse(sent)


def test_a_model_that_unpacks_elsewhere_is_kept_as_the_bytes_it_is(sent: Path) -> None:
    """As its digest says it must be; what a model may hold is for who loads it to refuse."""
    import zipfile

    path = artifact(sent, "certificate-0.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../../../canary", "x")
        archive.writestr("/tmp/canary", "x")
    with sqlite3.connect(sent / "mlflow.db") as connection:
        (text,) = connection.execute(
            "SELECT value FROM tags WHERE key = 'sweep.files' AND value LIKE '%certificate-0.npz%' AND value NOT LIKE"
            " '%page_%'"
        ).fetchone()
        table = json.loads(text) | {"certificate-0.npz": hashlib.sha256(path.read_bytes()).hexdigest()}
        connection.execute("UPDATE tags SET value = ? WHERE value = ?", (json.dumps(table), text))
    connection.close()
    import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported", artifacts=sent / "mlartifacts")
    from engine.model_files import ModelFileError, load_model

    with pytest.raises(ModelFileError):
        load_model(sent / "imported" / "tiny" / "gauss" / "models" / "certificate-0.npz")
    assert not list(sent.parent.rglob("canary"))
    assert not Path("/tmp/canary").exists()


VALUES = (
    "",
    "../x",
    "/etc/passwd",
    "x" * 9000,
    "0",
    "-1",
    "9" * 400,
    "[]",
    "{}",
    "[" * 9000,
    "\x00",
    "NaN",
    "tiny",
    "\n",
)


def mutated(sent: Path, rng: random.Random) -> None:
    """Change one to three tags, addresses or bytes of artifacts."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(4)
        with sqlite3.connect(sent / "mlflow.db") as connection:
            if kind == 0:
                rows = connection.execute("SELECT rowid FROM tags").fetchall()
                connection.execute("UPDATE tags SET value = ? WHERE rowid = ?", (rng.choice(VALUES), *rng.choice(rows)))
            elif kind == 1:
                keys = connection.execute("SELECT DISTINCT key FROM tags").fetchall()
                connection.execute("UPDATE tags SET value = ? WHERE key = ?", (rng.choice(VALUES), *rng.choice(keys)))
            elif kind == 2:
                connection.execute("PRAGMA ignore_check_constraints = ON")
                column = rng.choice(("artifact_uri", "status", "name", "lifecycle_stage"))
                connection.execute(f"UPDATE runs SET {column} = ?", (rng.choice(VALUES),))
        connection.close()
        if kind == 3:
            path = rng.choice(sorted(path for path in sent.glob("mlartifacts/tiny/*/artifacts/**/*") if path.is_file()))
            content = bytearray(path.read_bytes())
            at = rng.randrange(len(content))
            content[at : at + rng.randrange(40)] = rng.randbytes(rng.randrange(40))
            path.write_bytes(content)


@pytest.mark.parametrize("n", [6, pytest.param(many(500), marks=(pytest.mark.faults, pytest.mark.takes(60.0)))])
def test_a_mutated_database_is_refused_in_one_line_or_gives_the_same_records(
    origin: Path, tmp_path: Path, n: int, tally: Tally
) -> None:
    rng, found = random.Random(n), list[str]()
    whole = digest(origin / "results" / "tiny")
    for i in range(n):
        sent = copied(origin, tmp_path / str(i))
        mutated(sent, rng)
        around = {path.name for path in tmp_path.iterdir()}
        try:
            import_sweeps(sqlite_uri(sent / "mlflow.db"), sent / "imported", artifacts=sent / "mlartifacts")
        except InputMessageError as error:
            found += [f"{i}: {error}"] if "\n" in str(error) else []
        except Exception as error:  # any other is what is looked for
            found.append(f"{i}: {type(error).__name__}: {error}")
        else:
            found += [f"{i}: other records"] if digest(sent / "imported" / "tiny") != whole else []
        found += [] if {path.name for path in tmp_path.iterdir()} == around else [f"{i}: wrote elsewhere"]
        shutil.rmtree(sent)
    tally(
        "`import` of a database and artifacts that were altered: a traceback, other records, a file elsewhere",
        n,
        len(found),
    )
    assert found == []
