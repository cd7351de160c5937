"""The full run of ``joint_search`` comes with the package: unpacked, judged, and shown as what it is."""

from __future__ import annotations

import gzip
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from analysis.course.cells import Cells, losses
from analysis.course.judging import judgments
from analysis.lessons.joint_search import NAMES, SAMPLER, searched, trials_to
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from sweeps.__main__ import main
from sweeps.commands import lessons, running
from sweeps.run.kinds import load
from sweeps.run.recorded import unpack
from sweeps.spec.lesson import LessonSpec, designs_as_data, resized

RECORD = resources.files("sweeps").joinpath("specs", "recorded", "joint_search.jsonl.gz")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = unpack("joint_search", tmp_path_factory.mktemp("results"))
    assert folder is not None
    (found,) = read_sweep(folder)  # which checks every line against the one before it
    return found


def test_the_record_is_small_and_names_no_machine() -> None:
    packed = RECORD.read_bytes()
    assert len(packed) < 1_000_000
    text = gzip.decompress(packed).decode()
    assert re.findall(r'"[^"]*(?:/|\\\\)(?:home|root|tmp|work|Users)(?:/|\\\\)[^"]*"', text) == []
    assert set(re.findall(r'"worker":"([^"]*)"', text)) == {"worker_0"}


SHIPPED = sorted(
    one.name.removesuffix(".jsonl.gz") for one in resources.files("sweeps").joinpath("specs", "recorded").iterdir()
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_record_is_of_the_full_run_that_the_package_asks_for(name: str, tmp_path: Path) -> None:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    full = resized(spec, "full")
    folder = unpack(name, tmp_path)
    assert folder is not None
    (study,) = read_sweep(folder)
    assert study.header.data["designs"] == designs_as_data(full.designs)
    assert study.header.data["size"] == "full"
    assert [cell.params for cell in study.cells] == full.cells()
    assert [cell.reason for cell in study.cells if cell.reason is not None] == []
    assert {len(cell.seeds) for cell in study.cells} == {design.n_replicas for design in full.designs}


def test_its_claims_are_judged_from_its_cells(study: Study) -> None:
    cells = Cells(study)
    found = {one.label: one for one in judgments(study)}
    assert len(found) == 16
    # By hand: in how many of the paired searches TPE has a trial of certified grade at an earlier look.
    shares = []
    for dataset in ("gauss", "xor", "circle", "spiral", "fashion_mnist"):
        tpe, random = (
            trials_to(next(iter(searched(cells, {"dataset": dataset, SAMPLER: name})))) for name in ("tpe", "random")
        )
        shares.append(np.mean((tpe < random) + 0.5 * (tpe == random)))
    one = found["32. TPE finds a trial of certified grade after fewer trials than random"]
    assert one.claim.over_all is not None
    assert np.mean(one.claim.over_all.x) == pytest.approx(np.mean(shares))
    for cell in study.cells:
        grade = losses(cell, "grade")
        assert (np.diff(grade, axis=0) >= 0).all()  # what is found stays found
    assert {str(cell.params[SAMPLER]) for cell in study.cells} <= set(NAMES)


def test_the_course_shows_the_record_and_does_not_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drive(spec: LessonSpec, *_: object) -> int:
        raise AssertionError(f"{spec.name} is run")

    monkeypatch.setattr(lessons, "ordered_names", lambda: ["joint_search"])
    monkeypatch.setattr(running, "drive", drive)
    assert (
        main(["course", "--results", str(tmp_path), "--tracking-uri", "none", "--claims", str(tmp_path / "c.md")]) == 0
    )
    page = (tmp_path / "course" / "report" / "index.html").read_text(encoding="utf-8")
    said = "Recorded, not run here: its full run of 30 cells took 0.94 hours of workers"
    assert page.count(said) == 1
    assert (tmp_path / "c.md").read_text(encoding="utf-8").count(said) == 1
    assert "CMA-ES" in page
    assert "lesson joint_search: recorded; `python -m sweeps run joint_search` runs it" in capsys.readouterr().err
