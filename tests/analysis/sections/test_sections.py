"""The numbers behind the report's sections, each against the same computation written another way."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import record_builders as build
from PIL import Image

from analysis.formats.blocks import Missing, Paragraph, Picture, Stills, file_names, labels, number_text, printable
from analysis.formats.pages import Pages, add_gif
from analysis.records.reading import read_study
from analysis.records.study import STAGES
from analysis.sections.certainty import excess, first_passage, flattery
from analysis.sections.choices import choice_rates, choices_block, two_columns
from analysis.sections.distance import (
    N_DEFINITION_POINTS,
    N_POINTS,
    SEED_POINTS,
    STRETCHES,
    definition_cells,
    definition_losses,
    distance_bins,
    stretch_losses,
)
from analysis.sections.distance import finding as distance_finding
from analysis.sections.models import WinnerModel, winner_model
from analysis.sections.network import unit_outputs, unit_titles
from analysis.sections.provenance import STAGE_USE, look_rows, replay_text
from analysis.sections.ranges import finding
from analysis.sections.registry import SECTIONS
from analysis.sections.surface import frame_images, frame_palette, surface, titled
from analysis.sections.trials import thinned, trial_points
from analysis.statistics.homework import range_rows
from analysis.statistics.intervals import clopper_pearson
from analysis.statistics.ranges import RANGES, Box
from engine.model_files import save_model
from engine.network import NetworkConfig, Parameters
from engine.playground.registry import DATASETS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> WinnerModel:
    found = winner_model(build.study_with_networks(tmp_path_factory.mktemp("sweep")))
    assert isinstance(found, WinnerModel)
    return found


# --- blocks ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (0.07231, "0.0723"),
        (0.0015, "0.00150"),
        (12.345, "12.3"),
        (0.999, "0.999"),
        (0.00012345, "0.000123"),
        (-0.0306, "-0.0306"),
        (123456.7, "1.23e+05"),
        (math.inf, "not finite"),
    ],
)
def test_numbers_are_written_with_three_significant_digits(value: float, text: str) -> None:
    assert number_text(value) == text


def test_labels_name_the_sweep_only_where_there_are_several() -> None:
    one, other = build.finished_study("xor", n_trials=1), build.finished_study("xor", n_trials=1, sweep="second")
    assert labels([one]) == ["XOR"]
    assert labels([one, other]) == ["homework/XOR", "second/XOR"]
    assert labels([one, one]) == ["XOR (1)", "XOR (2)"]


def test_sweeps_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    studies = []
    for folder in ("a/homework", "b/homework", "b/deep"):
        study = build.finished_study("xor", n_trials=1, n_certificate=8, sweep=folder.partition("/")[2])
        studies.append(read_study(build.write_study(study, tmp_path / folder)))
    assert labels(studies) == ["a/homework/XOR", "b/homework/XOR", "deep/XOR"]
    assert labels(studies[:1]) == ["XOR"]


def test_file_names_are_safe_and_none_comes_twice() -> None:
    assert file_names("a", ["XOR", "two blobs", "../../x", "螺旋", "x"]) == [
        "a-xor",
        "a-two-blobs",
        "a-x-3",
        "a-study-4",
        "a-x-5",
    ]


def test_direction_overrides_and_controls_are_replaced() -> None:
    assert printable("a\u202eb\x00c\nd") == "a�b�c�d"


def test_the_registry_builds_sections_under_their_own_keys() -> None:
    assert [build_section([]).key for build_section in SECTIONS.values()] == list(SECTIONS)


# --- trials ---


def test_best_so_far_passes_over_diverged_and_failed_trials(rng: np.random.Generator) -> None:
    trials = [
        build.record(rng, number=0, value=0.3),
        dataclasses.replace(build.diverged(rng, 1), value=0.01),
        build.failed(rng, 2),
        build.record(rng, number=3, value=0.2),
        build.record(rng, number=4, value=0.25),
    ]
    assert [point.best for point in trial_points(trials)] == [0.3, 0.3, 0.3, 0.2, 0.2]
    assert [point.kind == "failed" for point in trial_points(trials)] == [False, False, True, False, False]


def test_thinning_keeps_ends_and_every_new_best(rng: np.random.Generator) -> None:
    plain = build.record(rng)
    values = rng.random(5000)
    points = trial_points([dataclasses.replace(plain, number=i, value=float(v)) for i, v in enumerate(values)])
    kept = thinned(points, 100)
    bests = {i for i in range(5000) if values[i] == values[: i + 1].min()}
    assert bests | {0, 4999} <= {point.number for point in kept}
    assert len(kept) <= 100 + len(bests)


# --- choices ---


def test_rates_of_a_category_count_its_own_trials(rng: np.random.Generator) -> None:
    plain = build.record(rng)
    made = [("tanh", True), ("tanh", False), ("relu", True), ("tanh", True)]
    trials = [dataclasses.replace(plain, params={"a": choice}, candidate=passed) for choice, passed in made]
    assert [(rate.choice, rate.rate) for rate in choice_rates(trials)] == [
        ("relu", clopper_pearson(1, 1)),
        ("tanh", clopper_pearson(2, 3)),
    ]


def test_bins_of_a_number_share_out_all_trials_where_it_was_active(rng: np.random.Generator) -> None:
    plain = build.record(rng)
    trials = [
        dataclasses.replace(
            plain, params={"rate": float(v), **({"momentum": 0.1 * (i % 2)} if i % 3 else {})}, candidate=v < 0.5
        )
        for i, v in enumerate(rng.random(200))
    ]
    rates = choice_rates(trials)
    by_rate = [rate.rate for rate in rates if rate.param == "rate"]
    assert len(by_rate) == 4
    assert sum(rate.n for rate in by_rate) == 200
    assert sum(round((rate.estimate or 0) * rate.n) for rate in by_rate) == sum(trial.candidate for trial in trials)
    assert sum(rate.rate.n for rate in rates if rate.param == "momentum") == sum(i % 3 > 0 for i in range(200))


def test_rare_choices_are_counted_together(rng: np.random.Generator) -> None:
    plain = build.record(rng)
    names = ["a"] * 9 + [f"rare {i}" for i in range(20)]
    rates = choice_rates([dataclasses.replace(plain, params={"kind": name}) for name in names])
    assert rates[-1].choice == "16 others"
    assert sum(rate.rate.n for rate in rates) == len(names)


def test_a_hyperparameter_of_one_value_is_left_out(rng: np.random.Generator) -> None:
    assert choice_rates([build.record(rng, params={"a": 1}), build.record(rng, params={"a": 1})]) == []


def test_the_picture_of_choices_holds_every_choice_once(rng: np.random.Generator) -> None:
    rates = choice_rates([build.record(rng, number=i) for i in range(40)])
    assert [line for column in two_columns(rates) for line in column if not isinstance(line, str)] == rates


def test_without_candidates_there_is_a_sentence(rng: np.random.Generator) -> None:
    study = build.finished_study(n_trials=1)
    study.records["search"] = [build.record(rng, number=i, mean=0.5) for i in range(8)]
    block = choices_block(study, "XOR", "choices-xor")
    assert isinstance(block, Paragraph)
    assert "none of 8 trials became a candidate" in block.text


# --- certainty ---


def test_first_passage_counts_draws_that_rose_again(rng: np.random.Generator) -> None:
    record = build.record(
        rng,
        n_replicas=4,
        first_passage=[3, 5, 50, None],
        train_loss=[0.05, 0.05, 0.2, 0.2],
        test_loss=[0.05, 0.15, 0.05, 0.2],
    )
    passage = first_passage(record, 0.1)
    assert (passage.n, passage.n_reached, passage.median, passage.n_back_above) == (4, 3, 5.0, 2)


def test_excess_is_paired_by_draw(rng: np.random.Generator) -> None:
    record = build.record(rng, n_replicas=50)
    floors = (np.array(record.test_loss) - 0.01).tolist()
    study = build.finished_study(n_trials=1)
    interval = excess(study, dataclasses.replace(record, floor_test_loss=floors))
    assert interval.estimate == pytest.approx(0.01)
    assert interval.low == pytest.approx(0.01, abs=0.01)
    assert interval.high == pytest.approx(0.01 + 2.97 / 50 * 2, abs=0.02)  # what 50 draws cannot exclude at the bound


def test_flattery_does_not_count_easy_draws(rng: np.random.Generator) -> None:
    study = build.finished_study(n_trials=1)
    easy = build.record(rng, number=0, mean=0.05, floor=None)
    hard = build.record(rng, stage="certificate", mean=0.09, floor=None, n_replicas=200, source=0)
    study.records["search"] = [dataclasses.replace(easy, floor_test_loss=[0.03] * 16)]
    hard = dataclasses.replace(hard, floor_test_loss=[0.07] * 200)
    interval = flattery(study, hard)
    expected = np.mean(hard.test_loss) - 0.07 - (np.mean(easy.test_loss) - 0.03)
    assert interval.estimate == pytest.approx(expected)
    assert interval.low < 0 < interval.high


# --- ranges ---


@pytest.mark.parametrize(("loss", "words"), [(0.9, "worse there than"), (0.1, "still better there than")])
def test_the_finding_compares_with_the_constant_predictor(rng: np.random.Generator, loss: float, words: str) -> None:
    study = build.finished_study(n_trials=1)
    out = (loss + 0.01 * rng.standard_normal(50)).tolist()
    study.records["certificate"] = [
        build.record(rng, stage="certificate", n_replicas=50, out_of_range_loss=out, constant_out_of_range_loss=0.5)
    ]
    assert words in finding(range_rows([study])[0])


# --- provenance ---


def test_every_stage_says_what_its_looks_decide() -> None:
    assert set(STAGE_USE) == set(STAGES)


def test_a_certificate_is_looked_at_once(rng: np.random.Generator) -> None:
    rows = {row[1]: row[4] for row in look_rows(build.finished_study(n_trials=3, n_certificate=8), "XOR")}
    assert rows["certificate"] == 1
    assert rows["search"] == 3 * len(build.EPOCH_GRID)


def test_the_replay_command_names_the_search_trial() -> None:
    study = build.finished_study(n_trials=5, n_certificate=8)
    assert f"python -m sweeps replay homework/xor {study.winner.source} " in replay_text(study, "XOR")


# --- networks ---


def test_a_damaged_file_becomes_a_sentence(tmp_path: Path) -> None:
    study = build.study_with_networks(tmp_path)
    (study.path.parent / "models" / "certificate-0.npz").write_bytes(b"PK")
    found = winner_model(study)
    assert isinstance(found, Missing)
    assert found.reason.startswith("not shown: models/certificate-0.npz is altered")


def test_the_winner_comes_with_the_data_it_was_trained_on(model: WinnerModel) -> None:
    assert model.draws.seeds == tuple(model.record.seeds)
    assert model.draws.train_points.shape == (12, 350, 2)


def test_loss_in_range_is_that_of_the_test_points_in_the_box(model: WinnerModel) -> None:
    box = Box.fit(model.draws.train_points)
    expected = []
    for r in range(12):
        points, y = model.draws.test_points[r], model.draws.test.y[r, :, 0]
        inside = ((points >= box.low[r]) & (points <= box.high[r])).all(axis=1)
        expected.append((0.5 * (np.tanh(points.sum(axis=1)) - y) ** 2)[inside].mean())
    assert distance_bins(model)[0].loss.estimate == pytest.approx(np.mean(expected))


def test_loss_beyond_is_that_of_fresh_points_at_that_distance(model: WinnerModel) -> None:
    one = next(found for found in distance_bins(model) if found.low == 1.0)
    points, y = DATASETS["gauss"].beyond(np.random.default_rng(SEED_POINTS), N_POINTS, 0.2, 3.0)
    losses = 0.5 * (np.tanh(points.sum(axis=1)) - y) ** 2
    means = []
    for X in model.draws.train_points:
        out = np.maximum(X.min(axis=0) - points, 0) + np.maximum(points - X.max(axis=0), 0)
        distance = np.linalg.norm(out / X.std(axis=0), axis=1)
        means.append(losses[(distance > 1.0) & (distance <= 1.5)].mean())
    assert one.loss.estimate == pytest.approx(np.mean(means))
    assert one.loss.n == 12


def test_every_stretch_factor_is_measured_with_the_datasets_own_rule(model: WinnerModel) -> None:
    found = stretch_losses(model)
    assert [one.factor for one in found] == list(STRETCHES)
    one = found[STRETCHES.index(2.0)]
    points, y = DATASETS["gauss"].beyond(np.random.default_rng(SEED_POINTS), N_POINTS, 0.2, 2.0)
    losses = 0.5 * (np.tanh(points.sum(axis=1)) - y) ** 2
    means, n_outside = [], 0
    for X in model.draws.train_points:
        outside = ((points < X.min(axis=0)) | (points > X.max(axis=0))).any(axis=1)
        means.append(losses[outside].mean())
        n_outside += int(outside.sum())
    assert one.loss.estimate == pytest.approx(np.mean(means))
    assert (one.loss.n, one.n_points) == (12, n_outside)


def test_the_datasets_own_factor_is_always_among_them(model: WinnerModel) -> None:
    assert 2.5 in [one.factor for one in stretch_losses(dataclasses.replace(model, stretch=2.5))]


def test_every_definition_of_the_range_puts_the_same_points_on_its_own_sides(model: WinnerModel) -> None:
    found = {one.name: one for one in definition_losses(model) if not isinstance(one, Missing)}
    assert list(found) == list(RANGES)
    total = 12 * (model.draws.test_points.shape[1] + N_DEFINITION_POINTS)
    assert {one.n_in_range + one.n_out_of_range for one in found.values()} == {total}
    assert found["hull"].n_in_range < found["box"].n_in_range  # the hull lies inside the box
    beyond, y = DATASETS["gauss"].beyond(np.random.default_rng(SEED_POINTS), N_POINTS, 0.2, 3.0)
    points, labels = beyond[:N_DEFINITION_POINTS], y[:N_DEFINITION_POINTS]
    means = []
    for r, X in enumerate(model.draws.train_points):
        where = np.concatenate([model.draws.test_points[r], points])
        said = np.concatenate([model.draws.test.y[r, :, 0], labels])
        outside = ((where < X.min(axis=0)) | (where > X.max(axis=0))).any(axis=1)
        means.append((0.5 * (np.tanh(where.sum(axis=1)) - said) ** 2)[outside].mean())
    assert found["box"].out_of_range.estimate == pytest.approx(np.mean(means))


def test_a_meaningless_definition_says_so_in_its_row(model: WinnerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.statistics.ranges.MAX_HULL_FEATURES", 1)
    reason = definition_losses(model)[list(RANGES).index("hull")]
    assert isinstance(reason, Missing)
    assert reason.reason.startswith("not shown: the convex hull of 350 points in 2 dimensions")
    assert definition_cells(reason, "x") == ("x", reason, "", "", "", "", "")


def test_the_finding_says_where_the_constant_predictor_wins(model: WinnerModel) -> None:
    bins = distance_bins(model)
    assert distance_finding(bins).endswith("everywhere below the constant predictor's.")
    zero = dataclasses.replace(bins[3].constant, estimate=0.0)
    losing = [
        *bins[:3],
        dataclasses.replace(bins[3], constant=zero, loss=dataclasses.replace(zero, estimate=1.0)),
        bins[4],
    ]
    assert distance_finding(losing).endswith(f"above the constant predictor's {bins[3].low:g} spreads beyond.")


def test_the_surface_lies_the_right_way_up(model: WinnerModel) -> None:
    found = surface(dataclasses.replace(model, parameters=tilted(model)), 6.0, n=3)
    expected = [[math.tanh(0.1 * x + 0.2 * y) for x in (-6, 0, 6)] for y in (-6, 0, 6)]
    np.testing.assert_allclose(found.prediction, expected)


def tilted(model: WinnerModel):
    return dataclasses.replace(model.parameters, weights=[np.tile(np.array([[[0.1], [0.2]]]), (12, 1, 1))])


def test_agreement_and_correctness_are_shares_of_the_plane(model: WinnerModel) -> None:
    found = surface(model, 6.0)
    assert found.agreement == pytest.approx(1.0, abs=0.02)  # all networks alike: apart from the line of zeros
    assert found.correct == 1.0  # the blobs' best predictor has the same sign everywhere


def test_units_are_named_by_layer_and_place() -> None:
    names = unit_titles(NetworkConfig(2, (2, 1)), ("x", "xTimesY"))
    assert names == [["X1", "X1X2"], ["1.1", "1.2"], ["2.1"], ["output"]]


def test_pictures_of_networks_are_drawn(tmp_path: Path) -> None:
    study = build.study_with_networks(tmp_path)
    for key, n_pictures in {"distance": 2, "surface": 2, "network": 1}.items():
        blocks = [block.picture if isinstance(block, Stills) else block for block in SECTIONS[key]([study]).blocks]
        pictures = [block for block in blocks if isinstance(block, Picture)]
        assert len(pictures) == n_pictures
        assert pictures[0].draw().axes


def test_an_animation_has_every_epoch_and_is_small(tmp_path: Path) -> None:
    study = build.study_with_networks(tmp_path)
    animation = next(block for block in SECTIONS["surface"]([study]).blocks if isinstance(block, Stills))
    pages = Pages()
    name = add_gif(pages, animation)
    assert len(pages.files[name]) < 2_000_000
    gif = Image.open(io.BytesIO(pages.files[name]))
    assert (gif.format, gif.n_frames) == ("GIF", 9)
    rows = animation.picture.data.rows
    assert {row[0] for row in rows} == {0, *build.EPOCH_GRID[:8]}
    _, x, y, prediction = rows[-1]
    assert prediction == pytest.approx(math.tanh(x + y))
    first = next(row for row in rows if row[0] == 0)
    assert first[3] == 0.0


def test_a_frame_stands_as_the_page_does_and_holds_only_colours_of_its_palette(model: WinnerModel) -> None:
    n = 24
    sign = np.zeros((n, n), bool)
    grid = np.zeros((1, n, n))
    grid[0, -1] = 1.0  # the highest row
    (image,) = frame_images(model, grid, sign)
    assert image[-1, 0] == 252
    shown = titled(image, 7)
    assert (shown[16] == 252).all()  # below the title comes the highest row
    assert set(np.unique(shown[:16])) == {254, 255}
    assert len(frame_palette()) == 256


@pytest.mark.parametrize("damage", ["missing", "altered", "other network"])
def test_frames_that_cannot_be_used_become_a_sentence(tmp_path: Path, damage: str) -> None:
    study = build.study_with_networks(tmp_path)
    path = study.path.parent / "models" / "certificate-0.frames.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "altered":
        path.write_bytes(b"PK")
    else:
        network = NetworkConfig(n_inputs=2, hidden_layer_sizes=(), output_activation="linear")
        save_model(path.parent, "certificate-0.frames", network, build.plane_networks(1), {"epochs": [0]})
    texts = [block.text for block in SECTIONS["surface"]([study]).blocks if isinstance(block, Paragraph)]
    assert any(text.startswith("two blobs: by epoch not shown: ") for text in texts)


@pytest.mark.parametrize(
    ("activation", "slope"), [("tanh", None), ("relu", None), ("leaky_relu", 0.3), ("prelu", None)]
)
def test_hidden_units_lead_to_the_networks_own_answer(
    model: WinnerModel, rng: np.random.Generator, activation: str, slope: float | None
) -> None:
    sizes = (2, 4, 3, 1)
    weights = [rng.normal(size=(1, a, b)) for a, b in itertools.pairwise(sizes)]
    biases = [rng.normal(size=(1, b)) for b in sizes[1:]]
    slopes = rng.uniform(0.1, 0.5, (1, 2)) if activation == "prelu" else None
    network = NetworkConfig(2, (4, 3), activation=activation, activation_slope=slope, output_activation="tanh")
    one = dataclasses.replace(model, network=network, parameters=Parameters(weights, biases, slopes))
    points = rng.normal(size=(20, 2))
    first, last = unit_outputs(one, points)
    assert (first.shape, last.shape) == ((20, 4), (20, 3))
    answer = np.tanh(last @ weights[-1][0] + biases[-1][0])[:, 0]
    np.testing.assert_allclose(answer, one.predict(points[None])[0], atol=1e-12)
    if activation == "tanh":
        np.testing.assert_allclose(first, np.tanh(points @ weights[0][0] + biases[0][0]), atol=1e-12)
