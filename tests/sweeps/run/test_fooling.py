"""Ways to try a certificate again until it passes: each is another look, or no new information, and is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_table
from tiny_tables import table_spec

from analysis.records.reading import read_study
from analysis.records.study import Study
from analysis.statistics.looks import looks_of_others
from sweeps.commands.main import main
from sweeps.commands.neighbours import neighbour_sentences
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, load_spec, parse_spec
from sweeps.spec.writing import as_table, as_toml, with_overrides

GOAL = {"words": "rmse < 0.01"}
SHARED = (
    "a goal that is not reached is found reached with a chance of at most {}; what was changed in the knowledge of "
)
SHARED += "another's result there is not certified"


def one_set(**changes: Any) -> SweepSpec:
    table = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["search"] |= {"n_trials": 4, "n_startup_trials": 2}
    table["goal"]["below"] = 0.001
    table["page"]["n_finalists"] = 1
    return parse_spec({**table, **changes}, "tiny.toml")


def study_in(results: Path, sweep: str, dataset: str = "gauss") -> Study:
    return read_study(results / sweep / dataset / "log.jsonl")


def certified_on(study: Study, number: int) -> set[str]:
    return {seed for record in study.records_of("certificate", number) for seed in record.seeds}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results with one sweep that is not certified."""
    results = tmp_path_factory.mktemp("looked")
    run_sweep(one_set(), results, workers=1)
    return results


def test_another_name_for_the_same_rows_counts_the_look_of_the_first(houses: Path, tmp_path: Path) -> None:
    for name, n_trials in (("first", 3), ("second", 4)):
        spec = with_overrides(table_spec(houses, "price", goal=GOAL), name=name, n_trials=n_trials)
        studies = run_sweep(spec, tmp_path, workers=1)
        assert studies[0].verdict is not None
        assert "(this sweep's first look at these rows; 0.04 of 0.05 is spent)" in studies[0].verdict.text
    (told,) = neighbour_sentences(tmp_path / "second", studies)
    dataset = studies[0].header.dataset
    assert told == f"{dataset}: first looked at the same test rows, too: over all these looks {SHARED.format(0.08)}"


def test_a_data_set_that_is_called_otherwise_has_the_same_test_rows(houses: Path, tmp_path: Path) -> None:
    other = tmp_path / "renamed.csv"
    shutil.copy(houses, other)
    for i, file in enumerate((houses, other)):
        spec = with_overrides(table_spec(file, "price", goal=GOAL), name=f"sweep{i}", n_trials=3 + i)
        studies = run_sweep(spec, tmp_path, workers=1)
    assert [
        other.header.sweep for other, _ in looks_of_others(studies[0], [read_study(p) for p in logs(tmp_path)])
    ] == ["sweep0"]


def logs(results: Path) -> list[Path]:
    return sorted(path for path in results.glob("*/*/log.jsonl") if "sweep1" not in str(path))


def test_a_file_of_test_rows_is_the_same_under_any_seed(houses: Path, tmp_path: Path) -> None:
    test_file = tmp_path / "test.csv"
    lines = houses.read_text().splitlines()
    test_file.write_text("\n".join([lines[0], *lines[-20:]]) + "\n")
    (tmp_path / "train.csv").write_text("\n".join(lines[:-20]) + "\n")
    for name, seed in (("a", 1), ("b", 2)):
        spec = table_spec(tmp_path / "train.csv", "price", goal=GOAL, test_file=str(test_file))
        studies = run_sweep(with_overrides(spec, name=name, seed=seed), tmp_path / "results", workers=1)
    assert len(neighbour_sentences(tmp_path / "results" / "b", studies)) == 1
    apart = run_sweep(
        with_overrides(table_spec(houses, "price", goal=GOAL), name="c", seed=9), tmp_path / "results", workers=1
    )
    assert neighbour_sentences(tmp_path / "results" / "c", apart) == []


def test_a_copy_of_a_sweep_is_no_other_look(looked: Path, tmp_path: Path) -> None:
    run_sweep(one_set(), tmp_path, workers=1)
    again = run_sweep(with_overrides(one_set(), name="again"), tmp_path, workers=1)
    assert certified_on(again[0], 1) == certified_on(study_in(looked, "tiny"), 1)
    assert neighbour_sentences(tmp_path / "again", again) == []  # same question, same draws, same answer


def test_a_copied_folder_that_goes_on_has_fresh_draws(looked: Path, tmp_path: Path) -> None:
    shutil.copytree(looked / "tiny", tmp_path / "tiny")
    (study,) = run_sweep(with_overrides(one_set(), n_trials=6), tmp_path, workers=1)
    assert study.look_number == 2
    assert not certified_on(study, 2) & certified_on(study, 1)
    assert study.verdict is not None
    assert "(look 2 at fresh draws; over all 2 at most 0.1)" in study.verdict.text


def test_a_budget_that_is_changed_in_the_folders_own_spec_is_another_look(looked: Path, tmp_path: Path) -> None:
    shutil.copytree(looked / "tiny", tmp_path / "tiny")
    (tmp_path / "tiny" / "spec.toml").write_text(as_toml(with_overrides(one_set(), n_trials=6)))
    (study,) = run_sweep(load_spec(tmp_path / "tiny" / "spec.toml"), tmp_path, workers=1)  # what `resume` does
    assert (study.look_number, len(study.trials)) == (2, 6)
    assert not certified_on(study, 2) & certified_on(study, 1)


def test_a_goal_that_is_changed_in_the_folders_own_spec_is_refused(
    looked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(looked / "tiny", tmp_path / "tiny")
    (tmp_path / "tiny" / "spec.toml").write_text(as_toml(with_overrides(one_set(), goal="test_loss < 0.9")))
    assert main(["resume", "tiny", "--results", str(tmp_path), "--tracking-uri", "none"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert certified_on(study_in(tmp_path, "tiny"), 1) == certified_on(study_in(looked, "tiny"), 1)


def test_asking_again_without_more_trials_is_no_other_look(looked: Path, tmp_path: Path) -> None:
    shutil.copytree(looked / "tiny", tmp_path / "tiny")
    before = study_in(tmp_path, "tiny")
    for until in ("budget", None):
        (study,) = run_sweep(with_overrides(one_set(), until=until), tmp_path, workers=1)
        assert study.look_number == 1
        assert study.verdict == before.verdict


def test_until_budget_after_until_reached_is_another_look(tmp_path: Path) -> None:
    table = one_set().search
    easy = parse_spec(
        {**tiny_table(), "datasets": tiny_table()["datasets"][:1], "goal": {"metric": "test_loss", "below": 0.45}}, "t"
    )
    assert table.until == "budget"
    (first,) = run_sweep(with_overrides(easy, until="reached", n_trials=9), tmp_path, workers=1)
    assert len(first.trials) < 9
    (second,) = run_sweep(with_overrides(easy, until="budget", n_trials=9), tmp_path, workers=1)
    assert (len(second.trials), second.look_number) == (9, 2)
    assert not certified_on(second, 2) & certified_on(second, 1)


def test_the_order_of_a_specs_keys_is_no_other_question_but_where_it_makes_another_search(
    looked: Path, tmp_path: Path
) -> None:
    def turned(value: Any) -> Any:
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    table = as_table(one_set())
    same = parse_spec(
        turned({key: value for key, value in table.items() if key != "space"}) | {"space": table["space"]}, "t"
    )
    (study,) = run_sweep(same, tmp_path / "same", workers=1)
    first = study_in(looked, "tiny")
    assert certified_on(study, 1) == certified_on(first, 1)
    (other,) = run_sweep(parse_spec(turned(table), "t"), tmp_path / "other", workers=1)
    assert [trial.params for trial in other.trials] != [trial.params for trial in first.trials]
    assert certified_on(other, 1) != certified_on(first, 1)


def test_sweeps_of_one_block_count_each_others_looks(tmp_path: Path) -> None:
    for name, output in (("one", "tanh"), ("two", "linear")):
        network = {**tiny_table()["network"], "output_activation": output}
        studies = run_sweep(one_set(name=name, draws="block", network=network), tmp_path, workers=1)
    (told,) = neighbour_sentences(tmp_path / "two", studies)
    assert told.startswith("gauss: one looked at the same draws, too: over all these looks a goal that is not reached")
    alone = run_sweep(one_set(name="three", draws="other", network=network), tmp_path, workers=1)
    assert neighbour_sentences(tmp_path / "three", alone) == []


def test_a_block_of_draws_can_be_named_on_the_command_line_and_beside_a_dataset_table(
    houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(as_toml(one_set()))
    command = ["run", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "results"), "--tracking-uri", "none"]
    run_sweep(with_overrides(one_set(), name="other", draws="block"), tmp_path / "results", workers=1)
    assert main([*command, "--name", "again", "--draws", "block", "--trials", "5"]) == 0
    assert {look.draws for look in study_in(tmp_path / "results", "again").looks} == {"shared:block"}
    assert "gauss: other looked at the same draws, too: over all these looks" in capsys.readouterr().out
    given = tmp_path / "houses.toml"
    given.write_text(f'name = "houses"\ndraws = "block"\n\n[dataset]\nfile = "{houses}"\ntarget = "price"\n')
    from sweeps.commands.csv_options import table_spec as asked
    from sweeps.commands.main import build_parser

    assert asked(build_parser()[0].parse_args(["run", str(given)])).draws == "block"
    assert asked(build_parser()[0].parse_args(["run", str(given), "--draws", "mine"])).draws == "mine"
    capsys.readouterr()
    assert main(["run", str(given), "--draws", "no block"]) == 2
    assert capsys.readouterr().err == "python -m sweeps: houses.toml: draws: 'no block' must be a name as a sweep's\n"


@pytest.mark.parametrize("option", ["--draws", "--name"])
def test_a_study_of_a_list_has_no_block_of_draws_and_no_other_name(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "split", option, "block", "--results", str(tmp_path / "r"), "--tracking-uri", "none"]) == 2
    why = {
        "--draws": "only for sweeps, whose winners are measured on fresh draws",
        "--name": "only sweeps have another name; --results puts it in another folder",
    }
    assert capsys.readouterr().err == f"python -m sweeps: {option} block: {why[option]}\n"
