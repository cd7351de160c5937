"""Lessons end to end: designs become cells, cells a verdict and a page; same bytes on any number of workers."""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.course.cells import Cells, leaves_again, losses, time_to
from analysis.course.judging import judgments
from analysis.course.text import claims_document
from analysis.formats.markdown import markdown
from analysis.lessons.learning_rate import closed_form_steps
from analysis.lessons.nonlinearity import one_unit_functions, two_layer_functions
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from analysis.report import render, write_course
from engine.network import NetworkConfig, Parameters
from sweeps.commands.lessons import ordered_names
from sweeps.run.kinds import Changes, kind_of, load
from sweeps.run.probes import PROBE_FUNCTIONS, ray_line, saturated
from sweeps.run.recorded import unpack
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.run.trained import Trained
from sweeps.spec.lesson import LessonSpec, lesson_names, parse_lesson
from sweeps.spec.lesson_changes import resized, with_setting
from sweeps.spec.measured import PROBES
from sweeps.store.log import digest
from sweeps.toml import SpecError
from sweeps.tracking.run_contents import parent_content, record_content

LESSONS = lesson_names()
DIGITS = ("dataset=digits", "data.n_train=60", "data.n_test=40")
"""Where Fashion-MNIST stands by default: no test waits for a large file."""
FEWER = {
    "activations": (*DIGITS, "training.learning_rate=0.1"),
    "dropout": DIGITS,
    "early_stopping": DIGITS,
    "from_scratch": ("data.n_train=200", "network.hidden_layer_sizes=[[16]]", "work.size=[64, 65]"),
    "fashion_textbook": DIGITS,
    "hidden_units": (*DIGITS, "training.learning_rate=0.04"),
    "joint_search": (
        *DIGITS,
        'work.sampler=["random", "tpe"]',
        "work.n_draws=2",
        "work.n_startup=1",
        "n_replicas=2",
        "epochs=2",
    ),
    "linear_classifier": (*DIGITS, "training.learning_rate=0.03"),
    "loss_functions": ("training.learning_rate=0.1",),
    "perceptron": ("network.hidden_layer_sizes=[8, 8]",),
    "nonparametric": ("data.train_share=0.1", "work.n_units=16"),
    "beyond_range": ("training.regularizer=none", "data.stretch=3.0"),
    "features": ("data.noise=[0.2, 0.8]",),
    "lucky_search": ("training.regularization_rate=[0.0, 0.01]",),
    "split": ('dataset=["xor", "spiral"]',),
}
"""Levels of the lessons that have hundreds of cells."""
LEFT_OUT = {"loss_functions": ("fashion",)}
"""Designs on a large file beside others on digits: the way of a lesson without its data (`sweeps.run.at_hand`)."""


def lesson(name: str) -> LessonSpec:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    return spec


def tiny(name: str) -> LessonSpec:
    """Return the lesson with few replicas and short training: what is tried is the way, not the answer."""
    spec = lesson(name)
    left = tuple(design for design in spec.designs if design.name not in LEFT_OUT.get(name, ()))
    spec = dataclasses.replace(spec, designs=left)
    for assignment in ("n_replicas=4", "epochs=3", *FEWER.get(name, ())):
        spec = with_setting(spec, assignment)
    return spec


SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
NEEDS = {"house_prices_questions": SHARED / "ames"}
"""Lessons that have no other data than files which are fetched."""
PACKAGES = {"from_scratch": "torch"}
"""Lessons that time what is no part of the installation."""


def need_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS:
        if not NEEDS[name].is_dir():
            pytest.skip(f"{NEEDS[name]} is missing")
        monkeypatch.setenv("SWEEPS_DATA", str(SHARED))
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Study]:
    """Return what runs a tiny lesson, once for all tests."""
    results = tmp_path_factory.mktemp("results")

    @functools.cache
    def run(name: str) -> Study:
        (study,) = run_sweep(tiny(name), results, workers=1)
        return study

    return run


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_run_judged_and_shown(
    name: str, ran: Callable[[str], Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_data(name, monkeypatch)
    spec, study = tiny(name), ran(name)
    assert [cell.reason for cell in study.cells if cell.reason is not None] == []
    found = judgments(study)
    assert found
    assert study.verdict is not None
    assert study.verdict.claims == {one.label: one.verdict for one in found if not one.claim.timed}
    assert len({one.label for one in found}) == len(found)  # no two claims of one name
    assert study.path is not None
    assert read_sweep(study.path.parent.parent) == [study]
    page = render([study]).files["index.html"].decode()
    assert all(design.name in page for design in spec.designs)
    assert "Guess first" in page
    assert "<details" in page
    assert "<script" not in page


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_written_and_read_back(name: str) -> None:
    spec = resized(lesson(name), "quick")
    kind = kind_of(spec)
    assert parse_lesson(kind.as_table(spec), "spec.toml") == spec
    assert kind.parse(tomllib.loads(kind.as_toml(spec)), "spec.toml") == spec


def test_workers_and_cuts_leave_no_trace_and_a_cell_can_be_replayed(tmp_path: Path) -> None:
    spec = with_setting(tiny("nonlinearity"), "network.hidden_layer_sizes=[[], [2]]")
    run_sweep(spec, tmp_path / "one", workers=1)
    run_sweep(spec, tmp_path / "two", workers=2, timeout=0.2)
    run_sweep(spec, tmp_path / "two", workers=2)
    assert digest(tmp_path / "one" / spec.name) == digest(tmp_path / "two" / spec.name)
    assert replay(tmp_path / "one" / spec.name, "lesson", 3).differences == ()


def test_gradient_descent_on_the_bowl_is_the_closed_form_and_diverges_above_its_rate(
    ran: Callable[[str], Study],
) -> None:
    bowl = Cells(ran("learning_rate"))
    rates = bowl.levels("bowl", "training.learning_rate")
    assert rates == [0.03, 0.06, 0.1, 0.3, 0.8, 1.2, 2.1, 2.6, 3.5]
    for cell in bowl.of("bowl"):
        rate = float(str(cell.params["training.learning_rate"]))
        t = np.array(cell.looks)
        assert losses(cell, "train")[:, 0] == pytest.approx(0.5 * (1 - rate) ** (2 * t), rel=2e-5, abs=1e-300)
        assert (losses(cell, "train")[-1] > 0.5).all() == (rate > 2.0)
        assert math.isinf(closed_form_steps(rate, 1.0)) == (rate > 2.0)
    assert closed_form_steps(2.0, 1.0) == math.inf  # it stays where it is, on the other side
    assert closed_form_steps(1.0, 1.0) == 1


def test_fourteen_of_sixteen_functions_take_one_unit_and_all_take_two_layers() -> None:
    one = one_unit_functions()
    assert len(one) == 14
    assert {(False, True, True, False), (True, False, False, True)}.isdisjoint(one)
    assert len(two_layer_functions()) == 16


def test_times_are_censored_and_leaving_is_seen() -> None:
    spec = tiny("nonlinearity")
    record = _cell(spec, [[0.5, 0.05, 0.5], [0.05, 0.2, 0.5], [0.01, 0.05, 0.5]])
    assert time_to(record, 0.1).tolist() == [2.0, 1.0, math.inf]
    assert leaves_again(record, 0.1).tolist()[:2] == [0.0, 1.0]
    assert math.isnan(leaves_again(record, 0.1)[2])


def _cell(spec: LessonSpec, rows: list[list[float | None]]):
    from analysis.records.lesson import CellRecord

    return CellRecord(
        "a/lesson", 0, {"design": spec.designs[0].name}, {}, {}, ["1", "2", "3"], [1, 2, 3],
        {"train": rows, "test": rows}, [None] * 3, {}, {}, {}, 0, "", "", None,
    )  # fmt: skip


def test_every_probe_is_known_to_specs_and_has_a_function() -> None:
    assert tuple(PROBE_FUNCTIONS) == PROBES


def _trained(network: NetworkConfig, parameters: Parameters, X: np.ndarray) -> Trained:
    from types import SimpleNamespace

    draws = SimpleNamespace(train=SimpleNamespace(X=X, y=X[..., :1]))
    return Trained(network, "half_squared_error", parameters, draws)  # type: ignore[arg-type]


def test_a_relu_unit_is_a_line_beyond_the_box_and_a_large_tanh_unit_is_saturated_there() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3, 50, 2))
    weights = [rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 4, 1))]
    biases = [np.zeros((3, 4)), np.zeros((3, 1))]  # all bends in the middle: exactly linear along rays
    X[:, 0], X[:, 1] = -1.0, 1.0  # the box is centred on the bends
    relu = NetworkConfig(2, (4,), activation="relu")
    assert ray_line(_trained(relu, Parameters(weights, biases), X)) == pytest.approx(1.0, abs=1e-12)
    steep = Parameters([1e6 * weights[0], weights[1]], biases)
    tanh = NetworkConfig(2, (4,), activation="tanh")
    assert saturated(_trained(tanh, steep, X)) == pytest.approx(1.0)
    assert np.isnan(ray_line(_trained(tanh, steep, X))).all()  # flat: there is no line to miss
    assert saturated(_trained(tanh, Parameters([1e-6 * weights[0], weights[1]], biases), X)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "learning_rat=1",
            "--set learning_rat: unknown setting 'learning_rat'; did you mean 'training.learning_rate'?",
        ),
        ("rate=1", "--set rate: unknown setting 'rate'; did you mean 'training.learning_rate'?"),
        ("training.learning_rate=-3", "--set: training.learning_rate: -3 must be above 0"),
        ("training.learning_rate=[]", "--set: training.learning_rate: [] must be a list of levels, at least one"),
        ("training.optimizer=adm", "--set: training.optimizer: unknown 'adm'; did you mean 'adam'?"),
        ("data.noise=3", "--set: designs sets: data: noise: 3 must be at least 0 and at most 0.8"),
        ("n_replicas=0", "--set: n_replicas: 0 is outside 1 to 10000"),
        ("epochs=many", '--set: epochs: "many" must be a whole number'),
        (
            "training.learning_rate",
            '--set "training.learning_rate": write KEY=VALUE, as in --set training.learning_rate=VALUE',
        ),
    ],
)
def test_a_setting_that_will_not_do_is_refused_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_setting(lesson("learning_rate"), assignment)
    assert str(caught.value) == message


def test_an_unknown_lesson_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError) as caught:
        load("lerning_rate")
    assert str(caught.value) == "unknown sweep 'lerning_rate'; did you mean 'learning_rate'? (or name a TOML file)"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("homework", Changes(size="quick"), "--quick: only lessons have sizes; `python -m sweeps lessons` lists them"),
        ("learning_rate", Changes(goal="x"), "--goal: a lesson has none; --set changes its factors and settings"),
    ],
)
def test_options_of_another_kind_of_study_are_refused(name: str, changes: Changes, message: str) -> None:
    spec = load(name)
    with pytest.raises(SpecError) as caught:
        kind_of(spec).change(spec, changes)
    assert str(caught.value) == message


def test_what_the_command_line_changes_has_a_folder_of_its_own_and_is_said() -> None:
    spec = lesson("nonlinearity")
    other = with_setting(resized(spec, "quick"), "training.optimizer=adam")
    assert other.name != with_setting(spec, "training.optimizer=adam").name
    assert other.name.startswith("nonlinearity_quick_set_")
    assert other.changed == ('training.optimizer = "adam"',)
    assert {design.fixed["training.optimizer"] for design in other.designs} == {"adam"}


def test_a_course_is_one_page_with_a_section_a_lesson(tmp_path: Path, ran: Callable[[str], Study]) -> None:
    paths = [ran(name).path for name in ("nonlinearity", "learning_rate")]
    folders = [path.parent.parent for path in paths if path is not None]
    page = write_course(folders, tmp_path / "course", [("quadratic", "takes long")], ["nonlinearity"])
    html = page.read_text(encoding="utf-8")
    assert html.count("Recorded, not run here: ") == 1
    assert unpack("nonlinearity", tmp_path) is None  # it takes seconds: no record comes with the package
    for place in ("contents", "nonlinearity", "learning-rate", "errata", "left-out"):
        assert f'<section id="{place}"' in html
    assert "takes long" in html
    assert set(ordered_names()) == set(LESSONS)


def test_a_lesson_is_one_parent_run_with_its_claims_as_tags(ran: Callable[[str], Study]) -> None:
    study = ran("nonlinearity")
    content = parent_content(study, "somebody")
    assert study.verdict is not None
    assert study.verdict.claims is not None
    tags = [f"{text}: {found}" for text, found in study.verdict.claims.items()]
    assert [value for key, value in sorted(content.tags.items()) if key.startswith("claim.")] == tags
    cell = record_content(study.header, study.cells[0], "somebody")
    assert cell.params["dataset"] == "xor"
    assert {"train_loss_median", "test_loss_median", "n_updates"} <= {name for name, _, _ in cell.metrics}


def test_every_claim_of_the_course_stands_in_its_document(ran: Callable[[str], Study]) -> None:
    text = claims_document([ran("nonlinearity"), ran("learning_rate")], [("quadratic", "takes long")])
    assert text.startswith("# Lessons: what the sources claim, and what the numbers say\n")
    for study in (ran("nonlinearity"), ran("learning_rate")):
        for judgment in judgments(study):
            assert f"| {markdown(judgment.claim.words)} | {markdown(judgment.verdict)} |" in text
    assert "- `quadratic`: takes long" in text
