"""A sweep goes on in another space: what lies in it is kept and told, and nothing that was killed changes the end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_table

from analysis.records.lineage import lineage
from analysis.records.reading import read_study
from analysis.records.study import Study
from sweeps.audit.audit import audit_sweep
from sweeps.audit.records import check_study
from sweeps.run.chapters import chapter_of, specs_of_chapters, within
from sweeps.run.lineage import N_FIRST, extended, with_first_of
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.search.samplers import make_sampler
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_toml, with_overrides
from sweeps.store.log import BEFORE_NAME, digest
from sweeps.toml import SpecError, read_toml
from sweeps.tracking.run_contents import parent_content


def one_set(**changes: Any) -> SweepSpec:
    """Return a tiny sweep of one dataset; `changes` are keys of the whole or of its sections."""
    table = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["search"] |= {"n_trials": 6}
    for key, content in changes.items():
        table[key] = {**table[key], **content} if isinstance(content, dict) else content
    return parse_spec(table, "tiny.toml")


def other_space(**changes: Any) -> SweepSpec:
    """Return the tiny sweep with other entries in its space, by field, and ten trials."""
    space = tiny_table()["space"]
    for field, entry in changes.items():
        space["training" if field in space["training"] or field == "momentum" else "network"][field] = entry
    return one_set(space=space, search={"n_trials": 10})


SPEC = one_set()
OTHER = other_space(
    activation={"choice": ["tanh", "sigmoid"]},  # two of three choices are gone, one is new
    momentum={"low": 0.0, "high": 0.9},  # searched anew: what it was before, by default, lies in it
)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("grown")
    run_sweep(SPEC, results, workers=1)
    run_sweep(OTHER, results, workers=2, may_reopen=True)
    return results / "tiny"


@pytest.fixture
def study(grown: Path) -> Study:
    return read_study(grown / "gauss" / "log.jsonl")


def test_trials_that_lie_in_the_other_space_are_kept_and_no_others(study: Study) -> None:
    (chapter,) = study.chapters
    kept = [trial.number for trial in study.trials[:6] if trial.params["network.activation"] == "tanh"]
    assert (chapter.first, chapter.kept) == (6, kept)
    assert 0 < len(kept) < 6
    later = study.trials[6:]
    assert len(later) == 4
    assert {trial.params["network.activation"] for trial in later} <= {"tanh", "sigmoid"}
    assert all("training.momentum" in trial.params for trial in later)
    chosen = {record.source for record in study.records_of("finalist", 2)}
    assert chosen <= {*kept, 6, 7, 8, 9}
    assert study.look_number == 2


def test_a_kept_trial_is_told_in_the_words_of_the_new_space() -> None:
    params = make_sampler(SPEC, "gauss").ask(0)[0] | {"network.activation": "tanh"}
    proposal = within(OTHER, params)
    assert proposal is not None
    assert proposal[0] == params | {"training.momentum": 0.9}
    assert within(OTHER, params | {"network.activation": "relu"}) is None
    no_longer = other_space(momentum={"low": 0.0, "high": 0.5})
    assert within(no_longer, params) is None  # what it was trained with is not searched there
    assert within(SPEC, params | {"training.momentum": 0.3}) is None  # trained with what the space cannot say


def test_a_kept_trial_changes_what_is_proposed(study: Study) -> None:
    """The sampler knows the trials before: without them it would choose otherwise."""
    apart = make_sampler(OTHER, "gauss", 6)
    there = [study.asked[number] for number in range(6, 9)]
    assert [apart.ask(number)[0] for number in range(6, 9)] != there


def test_looks_of_a_chapter_have_other_draws(study: Study) -> None:
    for stage in ("finalist", "certificate"):
        one, two = (
            {seed for record in study.records_of(stage, number) for seed in record.seeds}  # type: ignore[arg-type]
            for number in (1, 2)
        )
        assert one
        assert two
        assert not one & two


def test_the_audit_accepts_it_and_finds_a_trial_kept_against_the_space(grown: Path, study: Study) -> None:
    assert audit_sweep(grown, None).findings == []
    (chapter,) = study.chapters
    dropped = next(number for number in range(6) if number not in chapter.kept)
    study.chapters[0] = dataclasses.replace(chapter, kept=sorted([*chapter.kept, dropped]))
    told = [str(finding) for finding in check_study(study, OTHER) if "chapter" in str(finding)]
    assert told == [f"I12 {study.path}: chapter from trial 6: keeps trial {dropped}; expected the other, by its space"]


def test_killed_anywhere_it_ends_in_the_same_digest(grown: Path, tmp_path: Path) -> None:
    whole = digest(grown)
    lines = (grown / "gauss" / "log.jsonl").read_bytes().splitlines(keepends=True)
    begins = next(i for i, line in enumerate(lines) if b'"kind":"chapter"' in line)
    folder = tmp_path / "tiny"
    log = folder / "gauss" / "log.jsonl"
    log.parent.mkdir(parents=True)
    for n in [begins, begins + 1, *range(begins + 3, len(lines), 12)]:
        log.write_bytes(b"".join(lines[:n]))
        (folder / "spec.toml").write_text(as_toml(OTHER))
        (folder / BEFORE_NAME).write_text(as_toml(SPEC))  # as a killed driver leaves it before the log has its line
        run_sweep(OTHER, tmp_path, workers=2)  # a resumption: nobody says again that the space may change
        assert digest(folder) == whole, n
        assert not (folder / BEFORE_NAME).exists()
    log.write_bytes(b"".join(lines[:begins]))  # killed once the old spec was put aside, before the new one was there
    (folder / "spec.toml").write_text(as_toml(SPEC))
    (folder / BEFORE_NAME).write_text(as_toml(SPEC))
    run_sweep(OTHER, tmp_path, workers=1, may_reopen=True)
    assert digest(folder) == whole


@pytest.mark.slow
def test_a_chapter_may_follow_an_unfinished_one(tmp_path: Path, grown: Path) -> None:
    """What was asked is trained first, whatever the workers; three chapters in all."""
    lines = (grown / "gauss" / "log.jsonl").read_bytes().splitlines(keepends=True)
    n_asked = next(i for i, line in enumerate(lines) if b'"kind":"asked"' in line and b'"number":5' in line) + 1
    digests = set()
    for workers in (1, 2):
        folder = tmp_path / str(workers) / "tiny"
        (folder / "gauss").mkdir(parents=True)
        (folder / "spec.toml").write_text(as_toml(SPEC))
        (folder / "gauss" / "log.jsonl").write_bytes(b"".join(lines[:n_asked]))  # trials 0 to 5 asked, not all finished
        run_sweep(OTHER, folder.parent, workers=workers, may_reopen=True)
        third = with_overrides(other_space(activation={"choice": ["sigmoid", "relu"]}), n_trials=13)
        (study,) = run_sweep(third, folder.parent, workers=workers, may_reopen=True)
        assert [chapter.first for chapter in study.chapters] == [6, 10]
        assert audit_sweep(folder, None).findings == []
        assert [spec.sha256 for spec in specs_of_chapters(third, study)] == [SPEC.sha256, OTHER.sha256, third.sha256]
        digests.add(digest(folder))
    assert len(digests) == 1


def test_trials_of_every_chapter_are_replayed(grown: Path, study: Study) -> None:
    for number in (0, 9):
        assert replay(grown, "gauss", number).differences == ()
    assert replay(grown, "gauss", study.records["certificate"][-1].number, "certificate").differences == ()


def test_a_certificate_outside_the_space_is_no_answer_to_it(study: Study) -> None:
    first = study.records_of("certificate", 1)
    assert [study.stands(record) for record in first] == [record.source in study.chapters[0].kept for record in first]
    assert study.winner is None or study.stands(study.winner)


def test_the_lineage_is_told(study: Study) -> None:
    assert lineage(study) == [
        f"6 trials, until budget, spec {SPEC.sha256[:12]}",
        f"another space from trial 6 ({len(study.chapters[0].kept)} of 6 earlier trials lie in it): 10 trials, until "
        f"budget, spec {OTHER.sha256[:12]}",
    ]
    assert parent_content(study, "me").tags["sweep.lineage"] == "; ".join(lineage(study))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": "abc"}, "--trials: 'abc' is not a number of trials; write +100 for a hundred more, or 300 for all"),
        ({}, "tiny: nothing changes; give --trials +N, --until budget, --space FILE or --set KEY=VALUE"),
        (
            {"settings": ["goal.below=0.2"]},
            "tiny: goal.below: 0.1 there, 0.2 here; an extension changes the space, first settings, and a budget that "
            "grows: run another sweep with --from tiny",
        ),
        (
            {"trials": "3"},
            "tiny: search.n_trials: 6 there, 3 here; an extension changes the space, first settings, and a budget that "
            "grows: run another sweep with --from tiny",
        ),
        ({"settings": ["goal"]}, '--set "goal": write KEY=VALUE, as space.training.learning_rate.high=1.0'),
        ({"settings": ["seed.a=1"]}, '--set "seed.a=1": seed is no table of the spec'),
        (
            {"settings": ["space.training.learning_rate.low=5"]},
            "tiny: space: training.learning_rate: low 5 is above high 1",
        ),
    ],
)
def test_what_an_extension_cannot_do_is_told_in_a_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as told:
        extended(SPEC, 6, **{"trials": None, "space": None, "settings": [], **given})
    assert str(told.value) == message


def test_an_extension_takes_values_by_their_place_and_as_many_trials_again(tmp_path: Path) -> None:
    new = extended(SPEC, 6, trials=None, space=None, settings=["space.training.learning_rate.high=2.0"])
    assert next(d for d in new.space if d.key == "training.learning_rate").high == 2.0
    assert new.search.n_trials == 12
    assert extended(SPEC, 6, trials="+4", space=None, settings=[]).search.n_trials == 10
    path = tmp_path / "space.toml"
    path.write_text(as_toml(with_overrides(OTHER, goal="test_loss < 0.3")))
    with pytest.raises(SpecError) as told:
        extended(SPEC, 6, trials=None, space=path, settings=[])
    assert str(told.value) == (
        "space.toml: goal.below: 0.1 there, 0.3 here; give a file with [space] alone, or run another sweep with --from"
    )
    path.write_text(as_toml(OTHER))
    assert extended(SPEC, 6, trials="10", space=path, settings=[]) == OTHER


def test_a_chapter_without_a_trial_is_refused_before_anything_is_written(study: Study, tmp_path: Path) -> None:
    run_sweep(SPEC, tmp_path, workers=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.toml")}
    with pytest.raises(SpecError) as told:
        run_sweep(with_overrides(OTHER, n_trials=6), tmp_path, workers=1, may_reopen=True)
    assert str(told.value) == ("tiny: search: n_trials: 6; gauss has asked 6 trials already: give --trials above that")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.toml")} == before
    with pytest.raises(SpecError, match="holds another sweep"):
        run_sweep(OTHER, tmp_path, workers=1)
    assert chapter_of(SPEC, OTHER, read_study(tmp_path / "tiny" / "gauss" / "log.jsonl")) == study.chapters[0]


FIRST = {
    "network": {"activation": "relu", "hidden_layer_sizes": [4, 4]},
    "training": {"batch_size": 10, "learning_rate": 0.05, "regularizer": "none"},
}
AS_PARAMS = {
    "network.activation": "relu",
    "network.n_hidden_layers": 2,
    "network.hidden_layer_sizes.1": 4,
    "network.hidden_layer_sizes.2": 4,
    "training.batch_size": 10,
    "training.learning_rate": 0.05,
    "training.regularizer": "none",
}


@pytest.mark.parametrize("sampler", ["tpe", "tpe_grouped", "sobol", "random"])
def test_first_settings_are_asked_before_the_sampler(sampler: str) -> None:
    plain = one_set(search={"sampler": sampler})
    spec = one_set(search={"sampler": sampler, "first": [FIRST]})
    first, without = make_sampler(spec, "gauss"), make_sampler(plain, "gauss")
    assert first.ask(0)[0] == AS_PARAMS
    if sampler != "random":  # which draws by number
        assert first.ask(1) == without.ask(0)
    assert parse_spec(tiny_table() | {"search": dict(tiny_table()["search"])}, "t").digested()["search"].keys() == (
        one_set().digested()["search"].keys()
    )
    assert "first" not in plain.digested()["search"]
    assert spec.sha256 != plain.sha256


def test_first_settings_of_a_grid_are_not_asked_twice() -> None:
    space = {
        "network": {"activation": {"choice": ["tanh", "relu"]}, "n_hidden_layers": {"choice": [1]},
                    "hidden_layer_sizes": {"low": 2, "high": 3}},
        "training": {"learning_rate": {"choice": [0.1, 0.3]}},
    }  # fmt: skip
    table = tiny_table() | {"space": space}
    setting = {"network": {"activation": "relu", "hidden_layer_sizes": [2]}, "training": {"learning_rate": 0.3}}
    table["search"] |= {"sampler": "grid", "first": [setting]}
    del table["search"]["n_trials"]
    spec = parse_spec(table, "grid.toml")
    sampler = make_sampler(spec, "gauss")
    asked = [sampler.ask(number)[0] for number in range(8)]
    assert asked[0]["training.learning_rate"] == 0.3
    assert len({tuple(params.items()) for params in asked}) == 8


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {**FIRST, "training": {**FIRST["training"], "learning_rate": 3.0}},
            "tiny.toml: search: first[0]: training.learning_rate: 3 is outside 0.003 to 1",
        ),
        ({"training": FIRST["training"]}, "tiny.toml: search: first[0]: network.activation is missing"),
        (
            {**FIRST, "training": {**FIRST["training"], "regularization_rate": 0.001}},
            "tiny.toml: search: first[0]: training.regularization_rate is not searched there; name what the space has",
        ),
        ({"network": 3}, "tiny.toml: search: first[0]: network: write for instance training.learning_rate = 0.1"),
        (3, "tiny.toml: search: first[0]: must be a table, not 3"),
    ],
)
def test_a_first_setting_outside_the_space_is_refused(setting: Any, message: str) -> None:
    with pytest.raises(SpecError) as told:
        one_set(search={"first": [setting]})
    assert str(told.value) == message


def test_another_sweep_starts_with_the_best_settings_of_an_earlier_one(
    grown: Path, study: Study, tmp_path: Path
) -> None:
    spec = with_first_of(one_set(name="second"), grown)
    assert spec.origin == f"tiny@{digest(grown)[:12]}"
    assert parse_spec_again(spec) == spec
    (second,) = run_sweep(spec, tmp_path, workers=2)
    best = sorted(study.eligible(), key=lambda trial: trial.value)
    wanted = [trial.params for trial in best if trial.params["network.activation"] != "sigmoid"][:N_FIRST]
    assert len(wanted) == len(spec.search.first) > 1
    asked = [second.asked[i] for i in range(len(wanted))]
    assert asked == [{k: v for k, v in params.items() if k != "training.momentum"} for params in wanted]
    assert second.header.origin == spec.origin
    assert parent_content(second, "me").tags["sweep.from"] == spec.origin
    assert lineage(second)[0] == f"best settings of {spec.origin} first"
    assert audit_sweep(tmp_path / "second", None).findings == []
    chosen_on = {seed for trial in study.trials for seed in trial.seeds}
    assert not chosen_on & {seed for record in second.records["certificate"] for seed in record.seeds}


def parse_spec_again(spec: SweepSpec) -> SweepSpec:
    return parse_spec(read_toml(as_toml(spec).encode(), "again"), "again")


def test_a_sweep_without_a_setting_in_the_space_is_no_start(grown: Path) -> None:
    space = tiny_table()["space"]
    space["training"]["learning_rate"] = {"low": 5.0, "high": 6.0}
    with pytest.raises(SpecError) as told:
        with_first_of(one_set(name="second", space=space), grown)
    assert str(told.value) == "--from tiny: none of its 10 trials lies in the space of second; leave it out"
    with pytest.raises(SpecError) as told:
        with_first_of(one_set(name="second"), grown, "spiral")
    assert str(told.value) == "--from tiny/spiral: no such study; there is gauss"
    with pytest.raises(SpecError) as told:
        with_first_of(one_set(name="second", seed=8), grown)
    assert str(told.value) == (
        "--from tiny: its seed is 3, not 8; give --seed 3, so that nothing it was chosen on is certified on"
    )
