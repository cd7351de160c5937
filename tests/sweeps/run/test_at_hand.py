"""Without the files of one dataset a lesson runs with its others, and names what it lacks and how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report import render
from sweeps.__main__ import main
from sweeps.data.table.published.fetching import FetchError
from sweeps.run.at_hand import with_data_at_hand
from sweeps.run.kinds import load
from sweeps.run.study import run_sweep
from sweeps.spec.lesson import LessonSpec, parse_lesson
from sweeps.spec.lesson_changes import with_setting


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("SWEEPS_DATA", str(folder))
    return folder


def small(name: str, *assignments: str) -> LessonSpec:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    for assignment in ("n_replicas=4", "epochs=2", *assignments):
        spec = with_setting(spec, assignment)
    return spec


SMALL = {
    "activations": ("training.learning_rate=0.1", "network.hidden_layer_sizes=[[6]]"),
    "loss_functions": ("training.learning_rate=0.01", "network.hidden_layer_sizes=[[]]"),
    "joint_search": ("n_replicas=2", 'work.sampler=["random"]', "work.n_draws=2", "work.n_startup=1"),
}
LEFT_OUT = {"activations": "images", "loss_functions": "fashion", "joint_search": "images"}


@pytest.mark.parametrize("name", SMALL)
def test_a_lesson_runs_with_its_other_arms_and_names_the_missing_one(
    name: str, tmp_path: Path, nothing_at_hand: Path
) -> None:
    asked = small(name, *SMALL[name])
    spec, missing = with_data_at_hand(asked)
    path = nothing_at_hand / "fashion_mnist" / "train-images-idx3-ubyte.gz"
    assert list(missing) == ["fashion_mnist"]
    why = str(missing["fashion_mnist"])  # long, and so without its middle
    assert why.startswith(f"{path}: No such file or directory; expected "[:100])
    assert why.endswith(
        " below SWEEPS_DATA (unset it to fetch "
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz)"
    )
    assert spec.name == f"{asked.name}_without_fashion_mnist"
    assert [design.name for design in asked.designs if design not in spec.designs] == [LEFT_OUT[name]]
    assert parse_lesson(spec.as_table(), "spec.toml") == spec
    (study,) = run_sweep(spec, tmp_path / "results", workers=1)
    assert len(study.cells) == len(spec.cells()) < len(asked.cells())
    page = render([study]).files["index.html"].decode()
    assert (
        "Not at hand, and left out with all that is said of it: fashion_mnist. "
        f"With a network python -m sweeps run {name} fetches it; without one, put its files into a folder and set "
        "SWEEPS_DATA to that folder."
    ) in page
    assert str(tmp_path) not in page


def test_a_lesson_whose_data_are_at_hand_is_the_lesson_itself() -> None:
    spec = small("width")
    assert with_data_at_hand(spec) == (spec, {})
    assert "left_out" not in spec.as_table()


def test_a_lesson_of_one_dataset_that_is_missing_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small("hidden_units")
    assert with_data_at_hand(spec) == (spec, {})  # nothing would be left: its run says why
    with pytest.raises(FetchError):
        run_sweep(spec, tmp_path, workers=1)
    assert main(["run", "hidden_units", "--results", str(tmp_path), "--tracking-uri", "none"]) == 2
    assert "below SWEEPS_DATA (unset it to fetch http" in capsys.readouterr().err.splitlines()[-1]
