"""Machine code is kept only under a digest of every file that it is made of."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

from engine.compiling.cache import ENGINE, FOLDERS
from engine.compiling.sources import digest_of_sources
from engine.playground import compiled

FILES = [
    path
    for path in sorted(ENGINE.rglob("*.py"))
    if path.parent.name != "compiling" and re.search(r"\bouter\(|@outer\b", path.read_text())
]


def test_any_edit_changes_the_digest(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")
    second.write_text("2")
    before = digest_of_sources([first, second])
    assert before == digest_of_sources([second, first]) >= 0
    second.write_text("3")
    assert digest_of_sources([first, second]) != before
    assert digest_of_sources([first]) != digest_of_sources([])


def test_the_digest_is_of_how_to_compile_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of_sources([])
    (tmp_path / "decorators.py").write_text("")
    monkeypatch.setattr("engine.compiling.sources.HERE", tmp_path)
    assert digest_of_sources([]) != before


def test_some_files_have_functions_that_python_calls() -> None:
    assert {path.parent for path in FILES} == set(FOLDERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_what_python_calls_is_made_by_an_entry_that_closes_over_the_digest(path: Path) -> None:
    text = path.read_text()
    entries = re.findall(r"^def (\w+_entry|_entry)\(sources: int\)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"\bouter\(|@outer\b", text)) == text.count("if sources < 0")
    assert sorted(re.findall(r"^\w+ = (\w+)\(SOURCES\)$", text, re.MULTILINE)) == sorted(entries)


def test_the_streams_digest_has_every_file_that_they_are_compiled_from() -> None:
    files = {
        Path(one.py_func.__code__.co_filename)
        for one in vars(compiled).values()
        if hasattr(one, "py_func") and isinstance(one.py_func, types.FunctionType)
    }
    assert digest_of_sources(files) == compiled.SOURCES
    assert len(files) == 2
