"""The documents say what the program does."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from sweeps.commands.main import build_parser
from sweeps.data.polynomial import parse_polynomial_spec
from sweeps.spec.from_table import build_spec

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_in_the_docs_is_the_built_in_sweep():
    text = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert example[1] == (ROOT / "sweeps" / "specs" / "homework.toml").read_text(encoding="utf-8")


def test_the_polynomial_study_in_the_docs_is_accepted():
    text = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    example = next(one for one in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if one.startswith("kind"))
    spec = parse_polynomial_spec(tomllib.loads(example), "cubic.toml")
    settings = spec.settings
    assert (spec.name, settings.n_hidden, len(settings.recipes)) == ("cubic", 3, 2)


def test_the_table_spec_in_the_docs_is_accepted(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    example = tomllib.loads(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    lines = [f"{1000 + 37 * i % 71},{10 + 3 * i},{i % 4}" for i in range(60)]
    (tmp_path / "my.csv").write_text("\n".join(["price,area,zip", *lines]) + "\n")
    spec = build_spec(example, "docs")
    assert (spec.name, spec.search.n_trials, spec.goal.words) == ("prices", 100, "rmse < 20000")


def commands_of_the_readme() -> list[str]:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tables.md"))
    return re.findall(r"python -m sweeps ([a-z][^`\n]*)", text)


@pytest.mark.parametrize("command", commands_of_the_readme())
def test_every_command_of_the_readme_is_understood(command):
    parser, _ = build_parser()
    assert callable(parser.parse_args(shlex.split(command.split("  #")[0])).call)


def rooms() -> dict[str, str]:
    """Return what each folder with code says of itself."""
    found = {}
    for package in ("sweeps", "analysis", "engine"):
        for path in (ROOT / package).rglob("__init__.py"):
            found[f"{path.parent.relative_to(ROOT).as_posix()}/"] = path.read_text("utf-8").strip().strip('"')
    return found


def test_the_map_of_the_rooms_is_the_folder_listing():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    listed = re.findall(r"^\| `((?:sweeps|analysis|engine)/[a-z_/]*)` \| (.*) \|$", text, re.MULTILINE)
    assert sorted(listed) == sorted(rooms().items())


@pytest.mark.parametrize("room", rooms())
def test_a_room_says_in_plain_words_what_belongs_there(room: str):
    """What is in it, and for all but the kinds of rooms that speak for themselves what is not."""
    words = rooms()[room]
    assert "\n" not in words
    assert words.endswith(".")
    assert len(words) <= 130
