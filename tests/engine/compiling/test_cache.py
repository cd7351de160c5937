"""Compiled code is kept where it can be, and its place is ours alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from engine.compiling.cache import CachePlace, choose_cache


@pytest.fixture
def no_place(tmp_path: Path) -> Path:
    """Return a path in which nobody, not even root, can make a folder: it is a file."""
    path = tmp_path / "file"
    path.touch()
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder / f"rangesweep-{os.getuid()}"


def test_code_is_kept_beside_the_source_where_that_can_be_written(tmp_path: Path) -> None:
    assert choose_cache([tmp_path], {"HOME": str(tmp_path)}) == CachePlace(None, beside_source=True)


def test_the_users_own_choice_comes_first(tmp_path: Path, no_place: Path) -> None:
    assert choose_cache([tmp_path], {"NUMBA_CACHE_DIR": str(tmp_path / "c")}) == CachePlace(tmp_path / "c")
    place = choose_cache([tmp_path], {"NUMBA_CACHE_DIR": str(no_place / "c")})
    note = f"NUMBA_CACHE_DIR={no_place}/c cannot be written; kept beside the source"
    assert place == CachePlace(None, beside_source=True, note=note)


def test_a_read_only_installation_is_compiled_into_the_users_cache(tmp_path: Path, no_place: Path) -> None:
    assert choose_cache([no_place], {"HOME": str(tmp_path)}) == CachePlace(tmp_path / ".cache" / "rangesweep")
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(no_place)}
    assert choose_cache([no_place], environment) == CachePlace(tmp_path / "rangesweep")


def test_all_code_is_kept_in_one_place_unless_all_of_it_may_be_beside_its_source(
    tmp_path: Path, no_place: Path
) -> None:
    assert choose_cache([tmp_path, tmp_path / "b"], {}) == CachePlace(None, beside_source=True)
    for folders in ([tmp_path, no_place], [no_place, tmp_path]):
        place = choose_cache(folders, {"HOME": str(tmp_path)})
        assert place == CachePlace(tmp_path / ".cache" / "rangesweep")


@pytest.mark.parametrize("home", ["", "~", "relative", "/nonexistent"])
def test_without_a_home_code_is_kept_in_a_private_folder(
    temporary: Path, no_place: Path, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = choose_cache([no_place], {"HOME": home})
    note = "neither the installation nor a home can be written; compiled code is kept in"
    assert place == CachePlace(temporary, note=f"{note} {temporary} (set NUMBA_CACHE_DIR for another)")
    assert temporary.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "temporary"]


def test_a_folder_that_others_may_write_or_a_link_is_not_taken(temporary: Path, no_place: Path, tmp_path: Path) -> None:
    nowhere = CachePlace(
        None,
        note="neither the installation nor a home can be written; every start compiles anew: set NUMBA_CACHE_DIR to a"
        " folder that can be written",
    )
    temporary.mkdir()
    temporary.chmod(0o777)
    assert choose_cache([no_place], {}) == nowhere
    assert not nowhere.is_kept
    temporary.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    temporary.symlink_to(tmp_path / "elsewhere")
    assert choose_cache([no_place], {}) == nowhere


def test_no_temporary_folder_means_no_cache(no_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(no_place))
    assert not choose_cache([no_place], {}).is_kept
