"""Small inputs that people bring run, or are refused, as the documents say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sweeps.commands.csv_options import is_table, table_spec
from sweeps.commands.main import build_parser, main
from sweeps.commands.options import InputError
from sweeps.data.table.table import TableError
from sweeps.spec.sweep import load_spec
from sweeps.toml import SpecError

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "cases"


def rows_of_the_document() -> list[tuple[str, str, str]]:
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    table = text.partition("## Files that people bring")[2].partition("Public teaching tables")[0]
    found = re.findall(r"^\| `([^`|]+)` \| (?:`([^|]*)` )?\| (.*) \|$", table, re.MULTILINE)
    return [(file, options, said) for file, options, said in found]


ROWS = rows_of_the_document()


@pytest.mark.parametrize(("file", "options", "said"), ROWS, ids=[f"{file} {options}" for file, options, _ in ROWS])
def test_a_case_is_read_or_refused_as_the_document_says(
    file: str, options: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES)
    arguments = build_parser()[0].parse_args(["run", file, *shlex.split(options)])
    try:
        spec = table_spec(arguments) if is_table(arguments) else load_spec(file)
    except (InputError, SpecError, TableError) as error:
        output, refused = str(error), True
    else:
        output, refused = capsys.readouterr().err, False
        assert spec.datasets
    assert refused == said.startswith("refused")
    quoted = re.findall(r"`([^`]+)`", said.partition(":")[2])
    assert not [one for one in quoted if one not in output]
    assert quoted or not refused


def test_every_case_is_in_the_document() -> None:
    assert {file for file, _, _ in ROWS} == {path.name for path in CASES.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "options"), [(file, options) for file, options, said in ROWS if not said.startswith("refused")]
)
def test_a_case_that_is_read_runs_to_its_report(file: str, options: str, tmp_path: Path) -> None:
    few = ["--trials", "2"] if file.endswith(".toml") else ["--trials", "2", "--replicas", "5"]
    to = ["--results", str(tmp_path), "--tracking-uri", "none"]
    assert main(["run", str(CASES / file), *shlex.split(options), *few, *to]) == 0
    assert len(list(tmp_path.rglob("index.html"))) >= 1
