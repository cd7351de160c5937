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
from analysis.course.text import claims_document
from analysis.lessons.joint_search import NAMES, SAMPLER, searched, trials_to
from analysis.polynomial.fits import range_errors
from analysis.polynomial.source_claims import judged_study
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from engine.polynomial.rows import QUADRATIC, draw_rows
from sweeps.__main__ import main
from sweeps.commands import lessons, running
from sweeps.data.polynomial import PolynomialSpec
from sweeps.run.kinds import load
from sweeps.run.recorded import unpack
from sweeps.spec.lesson import LessonSpec, designs_as_data
from sweeps.spec.lesson_changes import resized

RECORDED = resources.files("sweeps").joinpath("specs", "recorded")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = unpack("joint_search", tmp_path_factory.mktemp("results"))
    assert folder is not None
    (found,) = read_sweep(folder)  # which checks every line against the one before it
    return found


@pytest.mark.parametrize("name", ["fashion_textbook", "joint_search"])
def test_a_record_is_small_and_names_no_machine(name: str) -> None:
    packed = RECORDED.joinpath(f"{name}.jsonl.gz").read_bytes()
    assert len(packed) < 1_000_000
    text = gzip.decompress(packed).decode()
    assert re.findall(r'"[^"]*(?:/|\\\\)(?:home|root|tmp|work|Users)(?:/|\\\\)[^"]*"', text) == []
    assert set(re.findall(r'"worker":"([^"]*)"', text)) == {"worker_0"}


SHIPPED = sorted(
    name for one in RECORDED.iterdir() if isinstance(load(name := one.name.removesuffix(".jsonl.gz")), LessonSpec)
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

    monkeypatch.setattr(lessons, "OLDER", ())  # its pictures take long: below
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


@pytest.fixture(scope="module")
def quadratic(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = unpack("quadratic", tmp_path_factory.mktemp("results"))
    assert folder is not None
    (found,) = read_sweep(folder)
    return found


def test_the_polynomial_record_is_small_names_no_machine_and_is_of_the_study_that_the_package_asks_for(
    quadratic: Study,
) -> None:
    packed = resources.files("sweeps").joinpath("specs", "recorded", "quadratic.jsonl.gz").read_bytes()
    assert len(packed) < 1_000_000
    text = gzip.decompress(packed).decode()
    assert re.findall(r'"[^"]*(?:/|\\\\)(?:home|root|tmp|work|Users)(?:/|\\\\)[^"]*"', text) == []
    spec = load("quadratic")
    assert isinstance(spec, PolynomialSpec)
    assert quadratic.header.spec_sha256 == spec.sha256
    assert len(quadratic.networks) == quadratic.header.n_trials == 80
    assert quadratic.verdict is None  # whoever shows it judges it


def test_its_claims_are_those_of_the_article(quadratic: Study) -> None:
    one = judged_study(quadratic, ["quadratic"])
    found = [(judgment.claim.number, judgment.word) for judgment in one.judgments]
    assert found == [
        ("26", "does not hold"),
        ("29", "holds"),
        ("29", "holds"),
        ("30", "holds"),
        ("30", "does not hold"),
        ("30", "not decided"),
        ("30", "holds"),
        ("30", "holds"),
    ]
    note = "Recorded, not run here: its 80 networks took 7.3 minutes elsewhere, and came with the package."
    assert one.note.startswith(note)
    assert judged_study(quadratic).note == ""
    assert note in claims_document([], [], others=[one])


def test_its_networks_have_the_losses_that_the_record_says(quadratic: Study) -> None:
    for record in quadratic.networks[::16]:
        rows = draw_rows([record.seed], QUADRATIC, 10_000, 0.0, 3.0)
        errors = range_errors(np.array(record.parameters[-1])[None], rows)
        assert errors.training[0] == pytest.approx(record.loss[-1], rel=1e-6)


@pytest.mark.slow
def test_the_course_shows_the_polynomial_record_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "ordered_names", list)
    main(["course", "--results", str(tmp_path), "--tracking-uri", "none", "--claims", str(tmp_path / "c.md")])
    page = (tmp_path / "course" / "report" / "index.html").read_text(encoding="utf-8")
    claims = (tmp_path / "c.md").read_text(encoding="utf-8")
    said = "Recorded, not run here: its 80 networks took 7.3 minutes elsewhere"
    assert (page.count(said), claims.count(said)) == (1, 1)
    assert "run quadratic: It has not been run here" not in page
    assert "| 30 | The article&#x27;s printed weights" in claims or "| 30 | The article's printed weights" in claims
