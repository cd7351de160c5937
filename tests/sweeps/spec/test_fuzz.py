"""Whatever is typed or written into a spec is done or refused in one line: no traceback, nothing executed."""

from __future__ import annotations

import copy
import random
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tally import many
from tiny_tables import regression_frame

from sweeps.commands.main import main
from sweeps.data.table.table import TableError
from sweeps.spec.builtin import builtin_specs
from sweeps.spec.from_table import build_spec
from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.toml import SpecError

Tally = Callable[[str, float, float], None]

NAMES = (
    "", " ", ".", "..", "../up", "/", "/etc/passwd", "a\0b", "a\nb", "x" * 300, "🙂", "\u202eevil",
    "'; DROP TABLE runs; --", "<script>alert(1)</script>", "--", "-", "-1", "homework/xor", "homework//",
    "=", "%41", "~", "$(touch canary)",
    "`touch canary`", "{}", "[1]", "nan", "inf", "1e400", "9" * 30, "0x10", "1,2", "None",
    "!!python/object/apply:os.system ['touch canary']",
)  # fmt: skip


def nested(depth: int, kind: type) -> Any:
    """Return lists or tables inside each other."""
    value: Any = kind()
    for _ in range(depth):
        value = {"a": value} if kind is dict else [value]
    return value


VALUES: tuple[Any, ...] = (
    *NAMES, -1, 0, 1, 2**63, 10**400, -0.0, 1e-320, float("nan"), float("inf"), True, [], [[]], {}, {"low": 1}, [None],
    {"choice": []}, {"low": 3, "high": 1}, {"low": 0, "high": 1, "log": True}, {"choice": ["a", "a"]}, [1, "a", 2.0],
    {"low": 1, "high": float("nan")}, {"when": {}}, {"by": "training.optimizer", "ranges": {}},
    [[1]], [{}], {"choice": [[1]]}, {"choice": [{}]}, {"low": 1, "high": 10**400}, {"choice": ["x" * 10_000]},
    nested(60, list), nested(60, dict),
)  # fmt: skip
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("--trials", "--goal", "--until", "--replicas", "--seed", "--results", "--workers", "--timeout"),
    "resume": ("--results", "--workers", "--timeout"),
    "report": ("--out", "--results"),
    "list": ("--results",),
    "show": ("--results",),
    "digest": ("--results",),
    "sync": ("--results", "--tracking-uri"),
    "import": ("--id", "--artifacts", "--results", "--tracking-uri"),
    "ui": ("--host",),
    "replay": ("--results", "--stage"),
}


def places(table: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a table."""
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        yield (*way, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*way, key))


def mutate(table: dict[str, Any], rng: random.Random) -> None:
    """Replace, remove, rename or add one value somewhere in a table."""
    *way, key = rng.choice(list(places(table)))
    inner: Any = table
    for step in way:
        inner = inner[step]
    kind = rng.randrange(4)
    if kind == 0 or isinstance(inner, list):
        inner[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 1:
        del inner[key]
    elif kind == 2:
        inner[rng.choice(NAMES)] = inner.pop(key)
    else:
        inner[rng.choice(NAMES)] = copy.deepcopy(rng.choice(VALUES))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table_of_a_file(folder: Path) -> dict[str, Any]:
    """Return a spec of a table that says something in every section."""
    regression_frame().to_csv(folder / "houses.csv", index=False)
    dataset: dict[str, Any] = {"kind": "table", "file": "houses.csv", "target": "price", "roles": {"key": "identifier"}}
    dataset |= {"missing": ["-"], "n_folds": 3, "test_share": 0.2}
    sections = {"epochs": {"max_epochs": 5, "grid": [1, 5]}, "network": {"activation": "relu"}}
    space = {"training": {"learning_rate": {"low": 0.1, "high": 1.0}}}
    return {"name": "h", "seed": 1, "goal": "rmse < 20", "dataset": dataset, "space": space, **sections}


def is_refused_well(error: ValueError) -> bool:
    return str(error).startswith("fuzz.toml: ") and len(str(error)) <= 300


def check_table(table: dict[str, Any]) -> bool:
    """Parse; return whether it was refused as it should be; what was not must survive being written and read."""
    try:
        spec = parse_spec(table, "fuzz.toml")
    except SpecError as error:
        return is_refused_well(error)  # names with a line's end in them are folded where it is printed
    return parse_spec(tomllib.loads(as_toml(spec)), "fuzz.toml") == spec


@pytest.mark.parametrize("name", builtin_specs())
def test_a_mutated_spec_is_refused_in_one_line_or_means_what_it_says(name: str) -> None:
    rng = random.Random(name)
    table = tomllib.loads(resources.files("sweeps").joinpath("specs", f"{name}.toml").read_text(encoding="utf-8"))
    for i in range(200):
        mutant = copy.deepcopy(table)
        for _ in range(rng.randint(1, 3)):
            mutate(mutant, rng)
        assert check_table(mutant), (i, mutant)


def test_a_spec_file_of_any_bytes_is_refused_in_one_line_or_read(tmp_path: Path) -> None:
    rng = random.Random(0)
    content = resources.files("sweeps").joinpath("specs", "homework.toml").read_bytes()
    path = tmp_path / "fuzz.toml"
    pieces = [
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"[[",
        b'"""',
        b"= ",
        b"\r",
        b"1e999",
        b"[a.b.c]\n" * 50,
        b"[" * 2000,
    ]
    n_refused = 0
    for _ in range(150):
        at = rng.randrange(len(content))
        path.write_bytes(content[:at] + rng.choice(pieces) + content[at + rng.randrange(20) :])
        try:
            load_spec(path)
        except SpecError as error:
            n_refused += "\n" not in str(error)
    assert n_refused > 100


def test_a_grid_that_cannot_be_counted_is_refused_before_it_is_listed() -> None:
    table = tomllib.loads(resources.files("sweeps").joinpath("specs", "homework.toml").read_text(encoding="utf-8"))
    table["search"] = {**table["search"], "sampler": "grid"}
    table["space"] = {
        "network": {"n_hidden_layers": {"choice": [1, 2]}, "hidden_layer_sizes": {"low": 1, "high": 2**63}}
    }
    with pytest.raises(SpecError) as caught:
        parse_spec(table, "fuzz.toml")
    assert str(caught.value) == (
        "fuzz.toml: search: sampler: grid: network.hidden_layer_sizes from 1 to 9.22337e+18 is more than the 100000"
        " settings there may be"
    )


@pytest.mark.parametrize("seed", range(4))
def test_any_command_line_is_done_or_refused_in_one_line(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        command = rng.choice(list(COMMANDS))
        arguments = [command]
        # Always one argument that cannot be right, so that nothing here trains or serves.
        if command == "ui":
            arguments += ["--host", rng.choice(NAMES)]
        elif command in ("run", "replay"):
            arguments += [rng.choice(NAMES)]
        for option in rng.sample(COMMANDS[command], rng.randint(0, len(COMMANDS[command]))):
            arguments += [option, rng.choice((*NAMES, "1", "7", "0.5", "results"))]
        status = main(arguments)
        output = capsys.readouterr()
        assert status in (0, 2), arguments
        assert output.err.count("\n") == (status == 2), (arguments, output.err)
        assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("n", [150, pytest.param(many(5000), marks=pytest.mark.faults)])
def test_a_mutated_spec_of_a_table_is_refused_in_one_line_or_taken(tmp_path: Path, n: int, tally: Tally) -> None:
    rng, table = random.Random(n), table_of_a_file(tmp_path)
    build_spec(table, "fuzz.toml")
    n_refused = n_long = 0
    for _ in range(n):
        mutant = copy.deepcopy(table)
        for _ in range(rng.randint(1, 3)):
            mutate(mutant, rng)
        try:
            build_spec(mutant, "fuzz.toml")
        except TableError as error:  # begins with the file's own name
            n_long += len(str(error)) > 300
            n_refused += 1
        except SpecError as error:
            n_long += not is_refused_well(error)
            n_refused += 1
    tally("mutated specs of a table", n, n_long)
    assert n_long == 0
    assert n_refused > n / 2


@pytest.mark.faults
def test_mutated_specs_give_no_traceback(tally: Tally) -> None:
    rng, failed = random.Random(0), list[tuple[int, Any]]()
    names, n = builtin_specs(), many(5000)
    for i in range(n):
        name = rng.choice(names)
        table = tomllib.loads(resources.files("sweeps").joinpath("specs", f"{name}.toml").read_text(encoding="utf-8"))
        for _ in range(rng.randint(1, 3)):
            mutate(table, rng)
        if not check_table(table):
            failed.append((i, table))
    tally("mutated specs of built-in sweeps", n, len(failed))
    assert failed == []


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a" + ".a" * 5000 + " = 1", "[" + "a." * 40 + "a]"])
def test_a_spec_file_that_nests_too_deeply_is_refused_in_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep.toml").write_text(text)
    assert main(["run", "deep.toml"]) == 2
    message = "deep.toml: tables or lists nest deeper than 16; write them out flat"
    assert capsys.readouterr().err == f"python -m sweeps: {message}\n"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"roles": {"key": [[1]]}}, "dataset: roles: key: [[1]] is none of "),
        ({"roles": {"choice": [[1]]}}, "dataset: roles: choice: [[1]] is none of "),
        ({"file": "a\0b"}, "'a\\x00b': cannot be read: no file's name"),
        ({"n_folds": 16**5000}, "dataset: n_folds: 0x1000000000000"),
    ],
)
def test_what_only_a_table_says_is_checked_as_the_rest(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    given = table_of_a_file(tmp_path)
    given["dataset"] |= table
    with pytest.raises((SpecError, TableError)) as caught:
        build_spec(given, "fuzz.toml")
    assert message in str(caught.value)


def test_a_message_keeps_its_place_and_its_advice_when_it_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "x" * 10_000]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m sweeps: ")
    assert len(error) <= len("python -m sweeps: \n") + 300
    assert main(["run", "--seed", "9" * 9000 + "x"]) == 2
    error = capsys.readouterr().err
    assert error.endswith("is not a whole number; see `python -m sweeps run --help`\n")
    assert len(error) < 400
