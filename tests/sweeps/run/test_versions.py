"""The code digest covers every module that a trial reaches."""

from __future__ import annotations

import shutil
from pathlib import Path

import grimp
import pytest

from sweeps.run.versions import code_digest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("sweeps", "analysis", "engine")


def modules_a_trial_reaches() -> list[Path]:
    graph = grimp.build_graph(*PACKAGES)
    names = {"sweeps.run.study"} | graph.find_upstream_modules("sweeps.run.study")
    paths = [ROOT / name.replace(".", "/") for name in sorted(names)]
    return [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_an_edit_of_any_module_that_a_trial_reaches_changes_the_digest(tree: Path) -> None:
    before = code_digest(tree)
    assert before == code_digest()
    missed = []
    for path in modules_a_trial_reaches():
        copy = tree / path.relative_to(ROOT)
        text = copy.read_bytes()
        copy.write_bytes(text + b"\n# edited\n")
        if code_digest(tree) == before and path.name != "__init__.py":
            missed.append(path.relative_to(ROOT).as_posix())
        copy.write_bytes(text)
    assert missed == []


@pytest.mark.parametrize("name", ["sweeps/commands/printing.py", "sweeps/tracking/ui.py", "analysis/report.py"])
def test_an_edit_of_what_only_shows_numbers_changes_nothing(tree: Path, name: str) -> None:
    before = code_digest(tree)
    (tree / name).write_text((tree / name).read_text("utf-8") + "\n# edited\n", "utf-8")
    assert code_digest(tree) == before


def test_a_module_added_to_a_folder_is_covered_without_a_second_list(tree: Path) -> None:
    before = code_digest(tree)
    added = tree / "sweeps" / "data" / "new_kind.py"
    added.write_text('"""New."""\n', "utf-8")
    assert code_digest(tree) != before
    added.unlink()  # the tree is shared, and tests come in any order
