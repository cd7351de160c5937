"""A polynomial study is read strictly, runs the same on any number of workers, and goes on where it stopped."""

import base64
import dataclasses
import re
import shutil
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_builders as build
from PIL import Image

from analysis.formats.csv_files import read_csv
from analysis.polynomial.claims import claims
from analysis.polynomial.question import Question
from analysis.records.lines import RecordError
from analysis.records.reading import read_study
from analysis.records.study import Study, canonical_lines
from analysis.report import write_report
from engine.polynomial.rows import polynomial
from sweeps.commands.main import main
from sweeps.data.polynomial import ARMS, PolynomialSpec, parse_polynomial_spec
from sweeps.run.kinds import load
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.spec.builtin import POLYNOMIALS, builtin_specs
from sweeps.store.log import StudyLog, digest
from sweeps.toml import SpecError

LOG = "polynomial/log.jsonl"
TOML = resources.files("sweeps").joinpath("specs", "polynomials", "quadratic.toml").read_text(encoding="utf-8")


def table(**changes: Any) -> dict[str, Any]:
    small = tomllib.loads(TOML) | {"name": "tiny", "n_rows": 200, "n_nodes": 20, "n_seeds": 2}
    for recipe in small["recipes"]:
        recipe["n_steps"] //= 5000
    return small | changes


def spec(**changes: Any) -> PolynomialSpec:
    return parse_polynomial_spec(table(**changes), "tiny.toml")


def run(asked: PolynomialSpec, results: Path, workers: int = 1) -> str:
    run_sweep(asked, results, workers=workers)
    return digest(results / asked.name)


def read(folder: Path) -> Study:
    return read_study(folder / LOG)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    run(spec(), results)
    return results / "tiny"


def test_the_built_in_study_has_the_published_recipes_first():
    assert builtin_specs(POLYNOMIALS) == ("quadratic", "quadratic_drops", "quadratic_second_order")
    quadratic = load("quadratic")
    assert isinstance(quadratic, PolynomialSpec)
    header = quadratic.settings
    assert [header.coefficients, header.n_rows, header.stretch, header.n_seeds] == [[1.0, 2.0, 3.0], 10_000, 3.0, 20]
    own = header.recipes[:2]
    assert [r["arm"] for r in own] == ["constrained", "unconstrained"]
    assert [r["n_steps"] for r in own] == [5_000_000, 1_000_000]
    assert [float(r["learning_rate"]) for r in own] == pytest.approx([0.01 * 10**0.5, 0.1 * 10**0.5], rel=1e-15)
    assert {1_000_000, 5_000_000} <= set(header.checkpoints)


def test_several_studies_share_a_report_and_a_table(finished: Path, tmp_path: Path):
    other = tmp_path / "other"
    run(spec(name="other", noise_sd=0.1), tmp_path)
    page = write_report([finished, other], tmp_path / "report")
    text = page.read_text("utf-8")
    rows = read_csv(page.parent / "data" / "polynomials.csv")
    assert {row["study"] for row in rows} == {"tiny", "other"}
    own = [read_csv(page.parent / "data" / f"study-{name}-errors.csv") for name in ("tiny", "other")]
    assert [{k: v for k, v in row.items() if k != "study"} for row in rows] == [row for part in own for row in part]
    assert own[0] != own[1]
    assert "Polynomial study: tiny: " in text
    assert "Polynomial study: other: " in text
    for link in re.findall(r'href="((?:data|pictures)/[^"]+)"', text):
        assert (page.parent / link).is_file(), link
    ids = re.findall(r'<section id="([^"]+)"', text)
    assert len(ids) == len({*ids})


def test_a_sweep_and_a_study_share_a_report(finished: Path, tmp_path: Path):
    build.write_study(build.finished_study(n_trials=3, n_certificate=8), tmp_path / "homework")
    page = write_report([finished, tmp_path / "homework"], tmp_path / "report")
    ids = re.findall(r'<section id="([^"]+)"', page.read_text("utf-8"))
    assert ids[0] == "cards"
    assert "study-tiny-claims" in ids
    assert (page.parent / "data" / "homework.csv").is_file()


def test_looks_are_spread_over_the_decades_and_include_every_length():
    looks = spec().settings.checkpoints
    assert looks[0] == 1
    assert looks[-1] == 1000
    assert 200 in looks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "polynomal"}, "tiny.toml: kind: unknown 'polynomal'; did you mean 'polynomial'?"),
        ({"n_seed": 3}, "tiny.toml: unknown 'n_seed'; did you mean 'n_seeds'?"),
        (
            {"coefficients": [1.0, 0.0]},
            "tiny.toml: coefficients: [1.0, 0.0] must be those of a polynomial of degree 1 to 9, the constant first",
        ),
        ({"coefficients": ["1"]}, "tiny.toml: coefficients: '1' must be a number from -1e+06 to 1e+06"),
        ({"thresholds": [float("nan")]}, "tiny.toml: thresholds: nan must be a number from -1e+06 to 1e+06"),
        ({"stretch": 0}, "tiny.toml: stretch: 0 must be above 0 and at most 1000"),
        (
            {"n_nodes": 300},
            "tiny.toml: n_nodes: 300 must be at least 7, the numbers of a network, and at most 200, the rows",
        ),
        ({"recipes": table()["recipes"][:2] * 2}, "tiny.toml: recipes 3: the same as recipes 1; leave one out"),
        (
            {
                "recipes": [
                    {"arm": arm, "learning_rate": r, "n_steps": 5} for arm, r in zip(ARMS, (0.1, 0.10001), strict=True)
                ]
            },
            "tiny.toml: recipes 2: learning_rate: 0.10001 and 0.1, of recipes 1, are the same to three digits; a "
            "report could not tell them apart",
        ),
        (
            {"recipes": table()["recipes"][:1]},
            "tiny.toml: recipes: give at least one for each arm, constrained and unconstrained",
        ),
        (
            {"recipes": [{"arm": "constraind", "learning_rate": 0.1, "n_steps": 5}]},
            "tiny.toml: recipes 1: arm: unknown 'constraind'; did you mean 'constrained'?",
        ),
        (
            {"name": "a/b"},
            "tiny.toml: name: 'a/b' must be 1 to 64 letters, digits, '_', '.', '-', letter or digit first",
        ),
    ],
)
def test_a_bad_spec_is_one_line_with_place_and_value(changes, message):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        spec(**changes)


def test_two_workers_and_an_interruption_give_the_same_networks(finished, tmp_path):
    reference = digest(finished)
    assert run(spec(), tmp_path / "two", workers=2) == reference
    lines = (finished / LOG).read_bytes().splitlines(keepends=True)
    for n in (4, 12):  # within what is asked, and after three networks
        torn = tmp_path / f"torn {n}" / "tiny"
        (torn / LOG).parent.mkdir(parents=True)
        (torn / LOG).write_bytes(b"".join(lines[:n]) + lines[n][:100])
        assert run(spec(), torn.parent) == reference


def test_a_folder_of_another_study_is_refused_with_what_differs(finished):
    before = (finished / LOG).read_bytes()
    message = (
        f"{finished}: holds another sweep (n_seeds: 2 there, 3 here; noise_sd: 0.0 there, 0.5 here); use another "
        "--results or name"
    )
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        run(spec(n_seeds=3, noise_sd=0.5), finished.parent)
    assert (finished / LOG).read_bytes() == before


def test_the_written_spec_is_the_spec_that_was_run(finished):
    assert load(finished / "spec.toml") == spec()


def test_a_damaged_line_is_named(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "damaged")
    path = tmp_path / "damaged" / LOG
    lines = path.read_bytes().splitlines(keepends=True)
    lines[10] = lines[10].replace(b"0.1", b"0.2", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match=r"line 11: altered"):
        read_study(path)


def test_any_network_is_trained_again_bit_for_bit(finished, tmp_path):
    for number in (0, 7):
        assert replay(finished, "polynomial", number).differences == ()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "spec.toml").write_bytes((finished / "spec.toml").read_bytes())
    study = read(finished)
    network = study.networks[3]
    log = StudyLog(tmp_path / "tiny" / LOG, study.header)
    for number in range(4):
        log.asked(number, study.asked[number], {}, None)
    log.record(dataclasses.replace(network, valley_loss=[*network.valley_loss[:-1], 0.5]))
    log.close()
    assert replay(tmp_path / "tiny", "polynomial", 3).differences == ("valley_loss",)
    with pytest.raises(SpecError, match=r"^tiny/polynomial: no network trial 8; recorded: 0 to 7$"):
        replay(finished, "polynomial", 8)


def test_a_timeout_leaves_a_prefix_that_a_resume_completes(finished, tmp_path):
    (cut,) = run_sweep(spec(), tmp_path, workers=1, timeout=0.01)
    assert cut.verdict is None
    assert len(cut.networks) < 8
    assert set(canonical_lines(cut)) <= set(canonical_lines(read(finished)))
    assert run(spec(), tmp_path) == digest(finished)


def test_a_study_of_an_earlier_version_is_refused(tmp_path, capsys):
    folder = tmp_path / "quadratic"
    folder.mkdir()
    (folder / "runs.jsonl").write_text("{}\n")
    message = (
        f"python -m sweeps: {folder / 'runs.jsonl'}: the records of an earlier version, which cannot go on here; "
        "use another --results\n"
    )
    for command in (["run", "quadratic"], ["show", "quadratic"], ["digest", "quadratic"], ["report", "quadratic"]):
        untracked = ["--tracking-uri", "none"] if command[0] == "run" else []
        assert main([*command, "--results", str(tmp_path), *untracked]) == 2
        assert capsys.readouterr().err == message
    assert (folder / "runs.jsonl").read_text() == "{}\n"
    assert {path.name for path in folder.iterdir()} == {"lock", "runs.jsonl"}


def test_every_claim_gets_a_verdict_even_where_nothing_converged(finished):
    study = read(finished)
    found = claims(Question(study))
    assert len(found) == 12
    assert all(claim.verdict for claim in found)
    assert study.verdict is not None
    assert study.verdict.claims == {claim.text: claim.verdict for claim in found}
    published = next(c for c in found if "far better out of range" in c.text)
    assert [e.budgets_differ for e in published.evidence][:2] == [True, False]


def test_the_report_has_every_section_and_equal_records_give_equal_bytes(finished, tmp_path):
    first, second = (write_report([finished], tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    text = first.decode()
    for title in (
        "The answer",
        "The claims",
        "Errors in range and out of range",
        "Beside polynomial regression and the article",
        "Polynomials of the units",
        "The loss between",
        "Where the figures come from",
    ):
        assert title in text
    assert read(finished).digest in text
    assert "python -m sweeps replay tiny/polynomial 0" in text


def test_the_animation_has_a_frame_for_every_look_and_is_small(tmp_path):
    asked = spec(converged_below=1000.0, n_seeds=1)
    run(asked, tmp_path)
    header = asked.settings
    page = write_report([tmp_path / "tiny"], tmp_path).read_text()
    path = tmp_path / "pictures" / "animation.gif"
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as animation:
        assert animation.format == "GIF"
        # A look at which nothing visible has changed joins the frame before it.
        assert 1 < animation.n_frames <= len(header.checkpoints)
    assert f"data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}" in page
    curves = read_csv(tmp_path / "data" / "animation.csv")
    x = np.array([float(row["x"]) for row in curves])
    assert [float(row["truth"]) for row in curves] == pytest.approx(polynomial(header.coefficients, x))
    assert sum(key.startswith("constrained, after") for key in curves[0]) == len(header.checkpoints)


def test_an_unfinished_study_judges_nothing(finished, tmp_path, capsys):
    lines = (finished / LOG).read_bytes().splitlines(keepends=True)
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder)
    (folder / LOG).write_bytes(b"".join(lines[:11]))  # the header, what was asked, two networks
    text = write_report([folder]).read_text()
    assert "6 of 8 networks are not trained yet; nothing is judged." in text
    (folder / LOG).write_bytes(b"".join(lines[:9]))
    assert "No network has been trained yet." in write_report([folder]).read_text()
    (folder / LOG).write_bytes(b"".join(lines[:11]))
    assert main(["show", "tiny", "--results", str(tmp_path)]) == 0
    assert "2 of 8 networks trained; nothing is judged before all are" in capsys.readouterr().out
    assert main(["list", "--results", str(tmp_path)]) == 0
    assert "tiny/polynomial: 2 networks, unfinished\n" in capsys.readouterr().out


def test_the_command_runs_a_study_resumes_it_and_lists_it(tmp_path, capsys):
    path = tmp_path / "tiny.toml"
    text = re.sub(r"^(n_rows = )10000", r"\g<1>200", TOML, flags=re.M)
    text = re.sub(r"^(n_nodes = )64", r"\g<1>20", text, flags=re.M)
    text = re.sub(r"^(n_steps = )(\d)000000", r"\g<1>\g<2>00", text, flags=re.M)
    path.write_text(text)
    results = ["--results", str(tmp_path / "results")]
    untracked = [*results, "--tracking-uri", "none"]
    assert main(["run", str(path), "--replicas", "1", *untracked]) == 0
    out = capsys.readouterr().out
    assert "The constrained network is far better out of range." in out
    assert "report: " in out
    assert main(["resume", "quadratic", *untracked]) == 0
    capsys.readouterr()
    assert main(["digest", "quadratic", *results]) == 0
    assert capsys.readouterr().out.strip() == digest(tmp_path / "results" / "quadratic")
    assert main(["show", "quadratic", *results]) == 0
    assert out.startswith(capsys.readouterr().out)
    assert main(["show", "quadratic/polynomial", *results]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "network | arm           | rate   | seed | training error"
    assert main(["show", "quadratic/polynomial", "3", *results]) == 0
    assert capsys.readouterr().out.startswith("quadratic/polynomial 3: constrained, rate 0.316, seed 1\n")
    assert main(["show", "quadratic", "3", *results]) == 2
    assert capsys.readouterr().err == (
        "python -m sweeps: show quadratic 3: name the dataset too, as in quadratic/polynomial\n"
    )
    assert main(["replay", "quadratic/polynomial", "0", *results]) == 0
    assert capsys.readouterr().out.startswith("quadratic/polynomial 0: equal bit for bit (sha256 ")
    assert main(["list", *results]) == 0
    assert "quadratic/polynomial: 4 networks, All 4 networks trained.\n" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "value"), [("--trials", "3"), ("--goal", "test_loss < 1"), ("--seed", "4")])
def test_options_of_a_sweep_are_refused(option, value, tmp_path, capsys):
    assert main(["run", "quadratic", option, value, "--results", str(tmp_path)]) == 2
    message = f"python -m sweeps: {option}: a polynomial study has none; --replicas is its number of seeds\n"
    assert capsys.readouterr().err == message
    assert not list(tmp_path.iterdir())


def test_a_misspelt_name_is_told_the_nearest(capsys):
    assert main(["run", "quadratik"]) == 2
    assert "unknown sweep 'quadratik'; did you mean 'quadratic'?" in capsys.readouterr().err


def test_a_short_spec_gets_marks_that_follow_the_polynomial():
    recipes = [{"arm": arm, "learning_rate": 0.1, "n_steps": 5} for arm in ARMS]
    short = {"kind": "polynomial", "name": "line", "coefficients": [0.0, 2.0], "noise_sd": 0.5, "recipes": recipes}
    header = parse_polynomial_spec(short, "line.toml").settings
    assert [header.n_rows, header.stretch, header.n_hidden, header.n_seeds, header.n_nodes] == [10_000, 3.0, 2, 20, 64]
    assert header.converged_below == pytest.approx(0.25 + 0.05 * 4)  # 2 x has variance 4
    assert header.equal_error == pytest.approx(0.25 + 0.002 * 4)
    assert header.equal_error in header.thresholds
    assert header.thresholds == sorted(header.thresholds, reverse=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"coefficients": [0.0, 1.0], "noise_sd": 1.0},
        {"coefficients": [1.0, 0.0, -2.0, 0.5], "n_hidden": 5},
        {"coefficients": [0.0] * 9 + [1.0], "n_seeds": 1, "stretch": 1.0},
        {"stretch": 1.02, "converged_below": 1000.0, "equal_error": 30.0},
    ],
)
def test_any_polynomial_is_run_and_reported_to_the_end(changes, tmp_path):
    recipes = [{"arm": arm, "learning_rate": r, "n_steps": 60} for arm in ARMS for r in (0.1, 1000.0)]
    asked = spec(recipes=recipes, valley=[1.0, 0.0], **changes)
    run(asked, tmp_path)
    conditions = [pair.condition for pair in Question(read(tmp_path / "tiny")).pairs()]
    assert len(set(conditions)) == len(conditions)
    text = write_report([tmp_path / "tiny"]).read_text()
    assert "The evidence, claim by claim" in text
    assert "nan" not in re.sub("<[^>]*>", "", text)
    if asked.settings.stretch < 1.1:
        assert "fewer than 10 are not shown" in text


def test_a_network_that_was_not_asked_for_and_another_kind_of_record_are_refused(finished, tmp_path):
    study = read(finished)
    wrong = dataclasses.replace(study.networks[0], learning_rate=0.5)
    trial = build.record(np.random.default_rng(0), study="tiny/polynomial")
    cases = {
        "params": (wrong, "network.params: not those that trial 0 was asked with"),
        "kind": (trial, "a 'finished' line; expected network records in a study of polynomial"),
    }
    for name, (record, message) in cases.items():
        path = tmp_path / name / LOG
        log = StudyLog(path, study.header)
        log.asked(0, study.asked[0], {}, None)
        log.record(record)
        log.close()
        with pytest.raises(RecordError, match=f"^{re.escape(f'{path}: line 3: {message}')}; "):
            read_study(path)


def test_settings_of_another_type_are_refused_where_they_stand(finished, tmp_path):
    header = read(finished).header
    path = tmp_path / LOG
    StudyLog(path, dataclasses.replace(header, data={**header.data, "n_rows": "200"})).close()
    with pytest.raises(RecordError, match=f"^{re.escape(str(path))}: line 1: study.data.n_rows: '200'"):
        read_study(path)
