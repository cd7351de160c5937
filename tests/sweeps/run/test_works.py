"""Works and probes of the textbook's lessons, on planted truth: what they must find is known."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from analysis.lessons.early_stopping import patience_less_still, patience_stop, still_stop
from analysis.lessons.from_scratch import is_loaded, undecided
from analysis.lessons.joint_search import trials_to
from analysis.lessons.width import descends_twice, double_descent
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Sample, judge
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import with_label_noise
from sweeps.data.asked import Asked as SourceAsked
from sweeps.data.fever import FeverData, FeverSource
from sweeps.data.images import ImageData, ImageSource
from sweeps.run.dropout_probes import bishop_gap, masks_error, masks_tell, pixel_rise, unit_correlation
from sweeps.run.kinds import load
from sweeps.run.learning_probes import clean_fitted, garg_leading, told_fitted, wrong_fitted
from sweeps.run.textbook_probes import template_match
from sweeps.run.trained import Trained
from sweeps.run.works.fitting import fit, gaussian_kernel, kernel_ridge, neighbours, tangent_features
from sweeps.run.works.folds import cross_validate
from sweeps.run.works.found import Asked
from sweeps.run.works.registry import WORK_FUNCTIONS
from sweeps.run.works.searching import search_spec
from sweeps.search.evolution import EvolutionSampler
from sweeps.spec.lesson import LessonSpec, parse_lesson
from sweeps.spec.lesson_changes import resized, with_setting
from sweeps.spec.works import WORKS, FitWork, FoldsWork, SearchWork, parse_work
from sweeps.toml import SpecError

R, N = 3, 40
KEYS = np.arange(R, dtype=np.uint64) + np.uint64(5)


def draws_of(X: np.ndarray, y: np.ndarray, network: NetworkConfig) -> SimpleNamespace:
    split = Split(X, y)
    return SimpleNamespace(
        train=split, test=split, in_range=split, out_of_range=split, seeds=("a", "b", "c"), training_seeds=KEYS,
        initialize=lambda other: initialize(other, [np.random.default_rng(k) for k in range(R)]),
    )  # fmt: skip


def classes(n: int = N, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return points whose first k inputs say the class, and the classes."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, k, (R, n, 1)).astype(np.float64)
    return np.eye(k)[y[..., 0].astype(int)] + 0.01 * rng.normal(size=(R, n, k)), y


def knows_all(k: int = 4) -> tuple[NetworkConfig, Parameters]:
    network = NetworkConfig(k, (), k, output_activation="linear")
    return network, Parameters([np.repeat(np.eye(k)[None], R, axis=0)], [np.zeros((R, k))])


def test_a_network_that_knows_the_truth_fits_clean_labels_and_no_wrong_one() -> None:
    X, y = classes()
    network, parameters = knows_all()
    training = TrainingConfig(loss="softmax_cross_entropy", label_noise=0.3)
    trained = Trained(network, training.loss, parameters, draws_of(X, y, network), training)  # type: ignore[arg-type]
    assert clean_fitted(trained).tolist() == [1.0] * R
    assert wrong_fitted(trained).tolist() == [0.0] * R
    same = (with_label_noise(Split(X, y), network, training, KEYS).y == y).mean(axis=(1, 2))
    np.testing.assert_array_equal(told_fitted(trained), same)
    # Random labels are right one time in k: error 1 - 1/k on them, 0 on the clean ones: the bound is about 0.
    many_X, many_y = classes(4000)
    many = dataclasses.replace(trained, draws=draws_of(many_X, many_y, network))
    np.testing.assert_allclose(garg_leading(many), 0.0, atol=0.15)
    assert template_match(trained).tolist() == [1.0] * R
    swapped = Parameters([parameters.weights[0][:, ::-1]], parameters.biases)
    assert template_match(dataclasses.replace(trained, parameters=swapped)).tolist() == [0.0] * R


def test_input_noise_is_an_l2_penalty_on_a_linear_network_to_1e_3_and_not_on_another() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(R, 20, 2))
    y = X @ np.array([[1.0], [-2.0]]) + 0.1 * rng.normal(size=(R, 20, 1))
    for sizes, is_equal in (((), True), ((4,), False)):
        network = NetworkConfig(2, sizes, 1, "tanh", "linear", "xavier_normal")
        draws = draws_of(X, y, network)
        gap = bishop_gap(Trained(network, "half_squared_error", draws.initialize(network), draws))  # type: ignore[arg-type]
        assert ((gap < 1e-3) == is_equal).all()


def test_masks_of_a_network_that_is_sure_agree_and_units_that_are_copies_are_alike() -> None:
    X, y = classes(k=2)
    network = NetworkConfig(2, (6,), 2, "relu", "linear")
    weights = [
        np.repeat(np.tile(np.eye(2), 3)[None], R, axis=0),
        np.repeat(np.tile(np.eye(2), (3, 1))[None], R, axis=0),
    ]
    parameters = Parameters(weights, [np.zeros((R, 6)), np.zeros((R, 2))])
    training = TrainingConfig(loss="softmax_cross_entropy", dropout=(0.2,))
    trained = Trained(network, training.loss, parameters, draws_of(X, y, network), training)  # type: ignore[arg-type]
    assert masks_error(trained).tolist() == [0.0] * R
    assert np.isnan(masks_tell(trained)).all()  # nothing is wrong: nothing to tell apart
    assert (unit_correlation(trained) > 0.9).all()  # three copies of each, and the two kinds are opposites
    assert np.isnan(masks_error(dataclasses.replace(trained, training=TrainingConfig()))).all()
    assert (pixel_rise(trained) >= 0).all()


def asked_of(network: NetworkConfig, X: np.ndarray, y: np.ndarray, looks: tuple[int, ...] = (5,)) -> Asked:
    training = TrainingConfig(learning_rate=0.05, batch_size=8, dtype="float64")
    return Asked("circle", network, training, draws_of(X, y, network), looks, threading.Event())  # type: ignore[arg-type]


def test_neighbours_and_kernels_are_scikit_learns() -> None:
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.neighbors import KNeighborsRegressor

    rng = np.random.default_rng(1)
    X, Z, y = rng.normal(size=(60, 2)), rng.normal(size=(25, 2)), rng.choice([-1.0, 1.0], 60)
    for distance, metric in (("euclidean", "euclidean"), ("manhattan", "manhattan")):
        theirs = KNeighborsRegressor(7, metric=metric).fit(X, y).predict(Z)
        np.testing.assert_allclose(neighbours(X, y, Z, 7, distance), theirs)
    kernels = [gaussian_kernel(one, X, 0.8) for one in (X, Z)]
    theirs = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * 0.8**2)).fit(X, y - y.mean()).predict(Z)
    np.testing.assert_allclose(kernel_ridge(kernels, y, 0.1)[1], theirs + y.mean(), rtol=1e-8, atol=1e-9)


def test_the_networks_own_kernel_is_made_of_its_gradients() -> None:
    network = NetworkConfig(2, (5,), 1, "tanh", "linear", "xavier_normal")
    first = initialize(network, [np.random.default_rng(0)])
    Z = np.random.default_rng(1).normal(size=(4, 2))

    def output(p: Parameters) -> np.ndarray:
        return (np.tanh(Z @ p.weights[0][0] + p.biases[0][0]) @ p.weights[1][0] + p.biases[1][0])[:, 0]

    columns = []
    for array in (first.weights[0], first.biases[0], first.weights[1], first.biases[1]):
        for place in np.ndindex(*array.shape):
            kept, h = array[place], 1e-6
            array[place] = kept + h
            up = output(first)
            array[place] = kept - h
            columns.append((up - output(first)) / (2 * h))
            array[place] = kept
    np.testing.assert_allclose(tangent_features(network, first, Z), np.stack(columns, axis=1), atol=1e-8)


def test_a_model_that_fits_every_point_has_no_training_error() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.uniform(-3, 3, (R, N, 2)), rng.choice([-1.0, 1.0], (R, N, 1))
    found = fit(FitWork("neighbours", k=1), asked_of(NetworkConfig(2, (4,), 1, "tanh", "linear"), X, y))
    assert found.measured["wrong_train"].tolist() == [0.0] * R
    assert found.measured["squared_train"].tolist() == [0.0] * R


def test_folds_of_copies_say_the_same_and_a_mean_of_models_is_no_worse_than_its_models() -> None:
    rng = np.random.default_rng(4)
    X = np.tile(rng.normal(size=(R, 8, 2)), (1, 5, 1))
    y = X @ np.array([[1.0], [0.5]])
    network = NetworkConfig(2, (), 1, output_activation="linear", initializer="xavier_normal")
    found = cross_validate(FoldsWork(5), asked_of(network, X, y, (400,))).measured
    for name in ("fold", "folds", "whole", "one", "together"):
        np.testing.assert_allclose(found[name], 0.0, atol=1e-6)
    assert (found["constant"] > 0.1).all()
    noisy = cross_validate(FoldsWork(4), asked_of(network, X, y + rng.normal(size=y.shape), (30,))).measured
    assert (noisy["together"] <= noisy["one"] + 1e-12).all()  # Jensen


def record(losses: dict[str, list[list[float | None]]], looks: list[int]) -> CellRecord:
    n = len(next(iter(losses.values()))[0])
    return CellRecord(
        "a/lesson", 0, {"design": "d"}, {}, {}, ["s"] * n, looks, losses, [None] * n, {}, {}, {}, 0, "", "", None
    )


def test_stops_are_where_the_courses_say() -> None:
    course = [[5.0, 5.0], [4.0, 6.0], [4.5, 7.0], [4.6, 8.0], [4.7, 1.0], [3.0, 0.5]]
    cell = record({"validation_loss": course, "told": [[1.0, 1.0], [0.5, 1.0], [0.5, 0.9]]}, [1, 2, 3, 4, 5, 6])  # type: ignore[arg-type]
    best, ended = patience_stop(cell)
    assert best.tolist() == [1, 0]  # the low end is never seen: patience ran out before
    assert ended.tolist() == [4, 3]
    assert still_stop(dataclasses.replace(cell, looks=[1, 2, 3])).tolist() == [2, 1]
    told: list[list[float | None]] = [[9.0, 9.0], [8.0, 9.0], [8.0, 8.0], [8.0, 7.0], [7.0, 6.0], [6.0, 5.0]]
    held: list[list[float | None]] = [[0.9, 0.3], [0.1, 0.25], [0.4, 0.2], [0.5, 0.5], [0.6, 0.6], [0.7, 0.7]]
    both = record({"validation_loss": course, "told": told, "held_error": held}, [1, 2, 3, 4, 5, 6])  # type: ignore[dict-item]
    assert still_stop(both).tolist() == [2, 1]
    assert patience_less_still(both) == pytest.approx([0.1 - 0.4, 0.3 - 0.25])
    found = record({"grade": [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]}, [1, 5, 10])
    assert trials_to(found).tolist() == [5.0, np.inf]


@pytest.mark.parametrize("truth", ["double descent", "none"])
def test_double_descent_is_found_where_it_is_planted_and_not_elsewhere(truth: str) -> None:
    """Of 400 studies each at most 5 % come to a wrong verdict (more than 8 % of 400 would say that more do)."""
    rng = np.random.default_rng(7)
    curve = np.array([0.3, 0.2, 0.6, 0.4, 0.1]) if truth == "double descent" else np.array([0.5, 0.4, 0.3, 0.25, 0.2])
    wrong = 0
    for _ in range(400):
        rows = [
            (width, record({"in_range": [(level + 0.05 * rng.normal(size=24)).tolist()]}, [1]))
            for width, level in zip((1, 4, 16, 64, 256), curve, strict=True)
        ]
        shares = double_descent(rows, lambda cell: np.array(cell.losses["in_range"][-1], np.float64))  # type: ignore[arg-type]
        word = judge(Claim("", "c", "m", "above", 0.5, (Sample("", "share", shares),))).word
        wrong += word == ("does not hold" if truth == "double descent" else "holds")
    assert wrong <= 32


def test_wrong_patients_are_those_that_the_rule_cannot_know() -> None:
    asked = SourceAsked("fever", 1, "", "test_loss", 0.1, "half_squared_error", "float64", 8, 2, 2, 0, 0.05)
    draws = FeverSource(asked, FeverData(4000, 0.2, "temperature")).draws(tuple(f"fever{k}" for k in range(8)))
    ill = np.abs(draws.test.X) > 1.0
    told_wrong = (ill != (draws.test.y > 0)).mean()
    assert told_wrong == pytest.approx(0.1, abs=0.01)
    assert ill.mean() == pytest.approx(2 * norm.sf(1.0 / 1.5), abs=0.01)
    assert draws.floors is not None
    assert draws.floors["test"].mean() == pytest.approx(0.5 * (1 - 0.8**2), abs=0.01)


def test_inverted_images_are_their_own_negatives_and_plain_ones_stay() -> None:
    asked = SourceAsked("digits", 1, "", "test_loss", 0.1, "softmax_cross_entropy", "float64", 2, 2, 2, 0, 0.05)
    plain, half = (
        ImageSource(asked, ImageData(200, 100, inverted=share)).draws(("draw1", "draw2")) for share in (0.0, 0.5)
    )
    same = (plain.train.X == half.train.X).all(axis=2)
    turned = (plain.train.X == 1 - half.train.X).all(axis=2)
    assert (same ^ turned).all()
    assert turned.mean() == pytest.approx(0.5, abs=0.08)
    np.testing.assert_array_equal(plain.train.y, half.train.y)


def test_every_work_has_a_function() -> None:
    assert set(WORKS.values()) == set(WORK_FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("fit", {"model": "forest"}, "here: work: model: unknown 'forest'; known: neighbours, kernel_ridge, "
                                     "network_kernel, network"),
        ("folds", {"k": 1}, "here: work: k: 1 is outside 2 to 100"),
        ("folds", {}, "here: work: k is missing"),
    ],
)  # fmt: skip
def test_a_work_that_will_not_do_is_refused_in_one_line(name: str, table: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_work(name, table, "here")
    assert str(caught.value) == message


def lesson(name: str) -> LessonSpec:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    return spec


def test_a_full_run_has_the_whole_data_and_another_dataset_goes_where_it_is_known() -> None:
    full = resized(lesson("hidden_units"), "full")
    assert full.designs[0].data["n_train"] == 50_000
    other = with_setting(lesson("dropout"), "dataset=digits")
    assert [design.cross["dataset"] for design in other.designs] == [["digits"], ["reg-plane"]]


def test_settings_of_a_work_want_a_work() -> None:
    table = lesson("nonparametric").as_table()
    del table["designs"][0]["work"]
    with pytest.raises(SpecError) as caught:
        parse_lesson(table, "x.toml")
    assert "are settings of a work; name it with work = NAME" in str(caught.value)


def test_a_course_that_falls_rises_and_falls_is_told_from_one_that_only_falls_or_rises() -> None:
    rng = np.random.default_rng(8)
    for middle, share in (([0.5, 0.2, 0.6, 0.3], 1.0), ([0.5, 0.4, 0.3, 0.2], 0.0), ([0.2, 0.3, 0.4, 0.5], 0.0)):
        course = np.array(middle)[:, None] + 0.01 * rng.normal(size=(4, 30))
        assert descends_twice(course).tolist() == [share] * 15


@pytest.mark.parametrize(("dataset", "epochs"), [("spiral", 30), ("digits", 4)])
def test_a_search_of_a_lesson_names_no_setting_first_and_ends_where_it_is_told(dataset: str, epochs: int) -> None:
    """Settings that were found before would be every sampler's first trials."""
    assert load("homework").search.first  # type: ignore[union-attr]
    spec = search_spec(SearchWork("tpe", 3, 2, epochs, 0.2), dataset, 7, 12, (60, 40))
    assert spec.search.first == ()
    assert (spec.search.n_trials, spec.search.n_replicas, spec.search.n_startup_trials) == (12, 3, 2)
    assert (spec.epochs.max_epochs, spec.epochs.grid[-1], spec.goal.below) == (epochs, epochs, 0.2)
    assert [one.name for one in spec.datasets] == [dataset]


def test_a_search_of_a_lesson_has_the_input_noises_of_the_record_that_is_shipped() -> None:
    spec = search_spec(SearchWork("tpe", 3, 2), "xor", 7, 12, (1, 1))
    (noises,) = (one.choices for one in spec.space if one.key == "training.input_noise")
    assert noises == (0.0, 0.05, 0.15, 0.3, 0.6)
    others = [one for one in load("homework").space if one.key != "training.input_noise"]  # type: ignore[union-attr]
    assert [one for one in spec.space if one.key != "training.input_noise"] == others


def test_cma_es_goes_where_losses_are_low_and_the_same_way_each_time() -> None:
    pytest.importorskip("cmaes")
    spec = search_spec(SearchWork("cmaes", 2, 8), "xor", 3, 400, (1, 1))

    def values() -> list[float]:
        sampler, found = EvolutionSampler(spec, "xor"), []
        for k in range(400):
            params, _ = sampler.ask(k)
            value = abs(float(params["training.batch_size"]) - 25) + 20 * (params["network.activation"] != "relu")  # type: ignore[arg-type]
            found.append(value)
            sampler.tell(k, None if k == 50 else value)
        return found

    found = values()
    assert found == values()
    assert np.mean(found[-50:]) < 0.3 * np.mean(found[:50])


def test_a_full_run_has_levels_of_its_own() -> None:
    spec, full = lesson("joint_search"), resized(lesson("joint_search"), "full")
    assert spec.designs[0].cross["work.sampler"] == ["random", "sobol", "grid", "tpe"]
    assert full.designs[0].cross["work.sampler"] == ["random", "sobol", "grid", "tpe", "gp", "cmaes"]
    assert "cross_full" not in full.designs[0].as_table()


@pytest.mark.parametrize("busy", [False, True])
def test_seconds_of_a_busy_machine_decide_nothing(busy: bool) -> None:
    rng = np.random.default_rng(9)
    slow = np.where(rng.random(24) < 0.4, 2.0, 1.0) if busy else np.ones(24)
    cell = dataclasses.replace(record({"a": [[0.0]]}, [1]), seconds=(0.1 * slow).tolist())
    assert is_loaded(SimpleNamespace(all=[cell])) == busy  # type: ignore[arg-type]
    sample = Sample("", "share", np.ones(24))
    one = Claim("", "c", "m", "above", 0.5, (sample,), sample)
    assert judge(one).word == "holds"
    assert judge(undecided(one)).word == "not decided"
