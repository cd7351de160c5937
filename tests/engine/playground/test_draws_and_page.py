"""The Playground page: seeded draws, first weights and the address, against the real page's code."""

import contextlib
import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from engine.playground.draws import FEATURES, PageDraws, count_training_points, draw
from engine.playground.page import (
    PAGE,
    PageState,
    format_number,
    page_url,
    parse_hash,
    parse_number,
    random_seed,
    serialise,
)
from engine.playground.page_settings import PageSettings, page_state_of, settings_of
from engine.training import train

PLAYGROUND = Path(__file__).parents[2] / "playground"
VECTORS = [json.loads(path.read_text()) for path in sorted((PLAYGROUND / "vectors").glob("v*.json"))]
EXAMPLES = json.loads((PLAYGROUND / "state_examples.json").read_text())
RANDOM = "<random, 5 decimals>"
FIELDS = {
    "learningRate": "learning_rate", "regularizationRate": "regularization_rate", "showTestData": "show_test_data",
    "noise": "noise", "batchSize": "batch_size", "discretize": "discretize", "tutorial": "tutorial",
    "percTrainData": "perc_train_data", "activation": "activation", "regularization": "regularization",
    "problem": "problem", "initZero": "init_zero", "hideText": "hide_text", "collectStats": "collect_stats",
    "networkShape": "network_shape", "x": "x", "y": "y", "xTimesY": "x_times_y", "xSquared": "x_squared",
    "ySquared": "y_squared", "cosX": "cos_x", "sinX": "sin_x", "cosY": "cos_y", "sinY": "sin_y",
    "dataset": "dataset", "regDataset": "reg_dataset", "seed": "seed",
}  # fmt: skip


def by_name(vector: dict[str, Any]) -> str:
    return str(vector["name"])[:3]


@functools.cache
def drawn(url_hash: str) -> tuple[PageSettings, PageDraws]:
    """Return what an address trains on, for its own seed."""
    settings = settings_of(parse_hash(url_hash))
    assert settings.seed is not None
    return settings, draw(settings.dataset, settings.noise, settings.train_share, [settings.seed], settings.features)


def decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(decoded, value))
    return {"__NaN__": math.nan, "__undefined__": "undefined", RANDOM: None}.get(value, value)


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_a_seed_gives_the_pages_points_order_and_split(vector: dict[str, Any]) -> None:
    draws = drawn(vector["url_hash"])[1]
    for points, split, name in (
        (draws.train_points, draws.train, "train"),
        (draws.test_points, draws.test, "test"),
    ):
        recorded = np.array(vector[name])
        # The page's sin, cos and log are another library's: one unit in the last place of a number below 8.
        np.testing.assert_allclose(points[0], recorded[:, :2], rtol=0, atol=8.9e-16)
        np.testing.assert_allclose(split.y[0, :, 0], recorded[:, 2], rtol=0, atol=8.9e-16)
    inputs = np.array(vector["first_train_inputs"])
    np.testing.assert_allclose(draws.train.X[0, :3], inputs, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_a_seed_gives_the_pages_first_weights_bit_for_bit(vector: dict[str, Any]) -> None:
    settings, draws = drawn(vector["url_hash"])
    parameters = draws.initial_parameters(settings.network.layer_sizes, settings.init_zero)
    for W, b, layer in zip(parameters.weights, parameters.biases, vector["snapshots"][0]["layers"], strict=True):
        np.testing.assert_array_equal(W[0].T, layer["W"])
        np.testing.assert_array_equal(b[0], layer["b"])


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_an_address_alone_gives_the_pages_losses(vector: dict[str, Any]) -> None:
    settings, draws = drawn(vector["url_hash"])
    recorded = [snapshot for snapshot in vector["snapshots"] if snapshot["epoch"] <= 20]
    result = train(
        settings.network,
        settings.training,
        draws.train,
        draws.initial_parameters(settings.network.layer_sizes, settings.init_zero),
        np.zeros(1, np.uint64),
        look_at=[snapshot["epoch"] for snapshot in recorded],
        evaluate_on={"train": draws.train, "test": draws.test},
        road="numpy",
    )
    for split in ("train", "test"):
        expected = [snapshot[f"{split}_loss"] for snapshot in recorded]
        np.testing.assert_allclose(result.losses[split][:, 0], expected, rtol=0, atol=1e-9)


def test_wider_networks_take_their_weights_from_the_same_stream() -> None:
    draws = draw("xor", 0.2, 0.7, ["a", "b"])
    narrow, wide = draws.initial_parameters((2, 3, 1)), draws.initial_parameters((2, 300, 1))
    np.testing.assert_array_equal(narrow.weights[0], wide.weights[0][:, :, :3])
    assert np.unique(wide.weights[0]).size == 1200


def test_each_seed_draws_its_own_data_in_any_company() -> None:
    together, alone = draw("gauss", 0.3, 0.5, ["p", "q"]), draw("gauss", 0.3, 0.5, ["q"])
    np.testing.assert_array_equal(together.train.X[1], alone.train.X[0])
    assert (together.train.X[0] != together.train.X[1]).all()


def test_features_come_in_the_pages_order() -> None:
    draws = draw("circle", 0.0, 0.5, ["a"], list(FEATURES)[::-1])
    assert draws.features == tuple(FEATURES)
    x, y = draws.train_points[0].T
    np.testing.assert_array_equal(draws.train.X[0].T, [x, y, x * x, y * y, x * y, np.sin(x), np.sin(y)])


def test_training_points_are_counted_as_on_the_page() -> None:
    for n in (500, 1200):
        for percent in range(1, 100):
            assert count_training_points(n, percent / 100) == n * percent // 100


@pytest.mark.parametrize("example", [e for e in EXAMPLES if "parsed" in e], ids=lambda example: str(example["name"]))
def test_an_address_is_read_and_written_as_the_page_does(example: dict[str, Any]) -> None:
    state = parse_hash(example["hash"])
    for name, field in FIELDS.items():
        if name in example["parsed"]:
            np.testing.assert_equal(getattr(state, field), decoded(example["parsed"][name]), err_msg=name)
    assert len(state.network_shape) == example["parsed"]["numHiddenLayers"]
    assert [name for name, flag in state.hidden if flag] == example["hidden_props"]
    written = serialise(dataclasses.replace(state, seed=state.seed or RANDOM))
    assert written == example["reserialized"]
    for text in (f"#{example['hash']}", f"{PAGE}#{example['hash']}"):
        np.testing.assert_equal(dataclasses.asdict(parse_hash(text)), dataclasses.asdict(state))


def test_all_22_examples_are_looked_at() -> None:
    assert len(EXAMPLES) == 22
    assert [e["hash"] for e in EXAMPLES if "parsed" not in e] == ["networkShape&seed=1"]


REFUSED = {
    "networkShape&seed=1": "URL: networkShape without '=' stops the page with an error; "
    "write networkShape=4,2 or, for no hidden layer, networkShape=",
    "spiral": "URL: 'spiral' is not a Playground address; give https://playground.tensorflow.org/#name=value&name=value",
    "networkShape=4,": "URL: networkShape=4,0: hidden layer 2 has 0 units, so nothing can pass; "
    "give whole numbers from 1 separated by plain commas",
    "networkShape=4%2C2": "URL: networkShape=NaN: hidden layer 1 has NaN units, so nothing can pass; "
    "give whole numbers from 1 separated by plain commas",
    "batchSize=500": "URL: batchSize=500 is more than the 250 training points, so the page never updates a weight; "
    "give at most 250",
    "batchSize=2.5": "URL: batchSize=2.5 is not a whole number from 1; give 1 to 30",
    "x=false&y=false": "URL: no input is on, so no network can train; add x=true and y=true, and no x_hide or y_hide",
    "x_hide=true&y_hide=true": "URL: no input is on, so no network can train; "
    "add x=true and y=true, and no x_hide or y_hide",
    "noise=abc": "URL: noise=NaN makes every label meaningless; give 0 to 50 in steps of 5",
    "learningRate=fast": "URL: learningRate=NaN trains nothing; give a positive number like 0.03",
    "learningRate=0": "URL: learningRate=0 trains nothing; give a positive number like 0.03",
    "regularizationRate=abc": "URL: regularizationRate=NaN is not a number of use; give 0 or more",
    "regularization=L1&regularizationRate=-1": "URL: regularizationRate=-1 is negative; give 0 or more",
    "percTrainData=-5": "URL: percTrainData=-5 leaves no training or no test point; give 10 to 90 in steps of 10",
    "percTrainData=100": "URL: percTrainData=100 leaves no training or no test point; give 10 to 90 in steps of 10",
    "activation=toString": "URL: activation=undefined; one of relu, tanh, sigmoid, linear",
}


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_cannot_train_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        settings_of(parse_hash(text))
    assert str(error.value) == REFUSED[text]


def test_noise_beyond_the_sliders_is_clamped_as_the_page_does() -> None:
    noises = [settings_of(parse_hash(f"noise={n}")).noise for n in (60, 80, 81, -3)]
    assert noises == [0.6, 0.8, 0.5, 0.0]


def test_numbers_are_read_as_javascript_reads_them() -> None:
    read = {"1e1": 10, ".3": 0.3, "5.": 5, "0x10": 16, "0b11": 3, "0o17": 15, " 7 ": 7, "": 0, "-Infinity": -math.inf}
    assert {text: parse_number(text) for text in read} == read
    assert all(math.isnan(parse_number(text)) for text in ("abc", "1_0", "-0x10", "inf", "nan", "1e", "1,2", "٣"))


def test_numbers_are_written_as_javascript_writes_them() -> None:
    written = {
        0.00001: "0.00001", 1e-6: "0.000001", 1e-7: "1e-7", 1.5e-9: "1.5e-9", 0.1: "0.1", 30.0: "30", -2.5: "-2.5",
        1e20: "100000000000000000000", 1e21: "1e+21", 1.25e25: "1.25e+25", -0.0: "0", math.inf: "Infinity",
        123.456: "123.456", 100.0: "100", 0.30000000000000004: "0.30000000000000004",
    }  # fmt: skip
    assert {value: format_number(value) for value in written} == written


@given(st.floats(allow_nan=False))
def test_a_written_number_reads_back_the_same(value: float) -> None:
    assert parse_number(format_number(value)) == value


@given(st.text(alphabet="xynoisebatchSzSeed=&,#%._0123456789 ", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        settings_of(parse_hash(text))


PAGE_TRAINING = TrainingConfig(learning_rate=0.03, batch_size=10, partial_batch="carry", order="fixed")


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_a_setting_finds_its_way_back_to_the_page(vector: dict[str, Any]) -> None:
    settings = settings_of(parse_hash(vector["url_hash"]))
    state = page_state_of(
        settings.network,
        settings.training,
        settings.dataset,
        settings.noise,
        settings.train_share,
        settings.seed,
        settings.features,
    )
    on_the_menus = 100 * settings.train_share % 10 == 0
    assert (state is not None) == on_the_menus
    if state is not None:
        assert page_url(state).startswith(f"{PAGE}#activation=")
        assert settings_of(parse_hash(page_url(state))) == settings


def test_a_batch_that_divides_the_data_needs_no_carrying() -> None:
    training = dataclasses.replace(PAGE_TRAINING, partial_batch="keep")
    place = ("xor", 0.2, 0.7, "1")
    assert page_state_of(NetworkConfig(2), training, *place) is not None
    assert page_state_of(NetworkConfig(2), dataclasses.replace(training, batch_size=30), *place) is None


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam"},
        {"learning_rate": 0.02},
        {"batch_size": 31},
        {"order": "shuffled"},
        {"regularizer": "l1_subgradient"},
        {"regularization_rate": 0.02},
        {"weight_decay": 0.1},
        {"dropout": (0.5,)},
        {"schedule": "cosine"},
        {"loss": "mse"},
        {"max_norm": 2.0},
    ],
    ids=str,
)
def test_the_page_has_no_button_for_another_training(change: dict[str, Any]) -> None:
    training = dataclasses.replace(PAGE_TRAINING, **change)
    assert page_state_of(NetworkConfig(2), training, "xor", 0.2, 0.7, "1") is None


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "leaky_relu"},
        {"hidden_layer_sizes": (9,)},
        {"hidden_layer_sizes": (2,) * 7},
        {"output_activation": "linear"},
        {"initializer": "he_normal"},
        {"n_outputs": 2},
        {"n_inputs": 3},
    ],
    ids=str,
)
def test_the_page_has_no_button_for_another_network(change: dict[str, Any]) -> None:
    network = dataclasses.replace(NetworkConfig(2), **change)
    assert page_state_of(network, PAGE_TRAINING, "xor", 0.2, 0.7, "1") is None


@pytest.mark.parametrize(("noise", "share"), [(0.22, 0.7), (0.55, 0.7), (0.2, 0.75), (0.2, 1.0), (0.2, 0.001)])
def test_the_page_has_no_slider_for_other_data(noise: float, share: float) -> None:
    assert page_state_of(NetworkConfig(2), PAGE_TRAINING, "xor", noise, share, "1") is None


def test_made_up_seeds_look_like_the_pages() -> None:
    seed = random_seed(np.random.default_rng(0))
    assert len(seed) == 7
    assert parse_hash(f"seed={seed}").seed == seed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spirl", 0.2, 0.7, ["a"]), "dataset: unknown 'spirl'; did you mean 'spiral'?"),
        (("xor", 20, 0.7, ["a"]), "noise: 20 is not a fraction from 0 to 0.8; the page's 20 is 0.2"),
        (("xor", 0.2, 1.0, ["a"]), "train_share: 1.0 leaves no training or no test point; "
                                   "give a fraction from 0.1 to 0.9"),
        (("xor", 0.2, 0.7, ["a"], ("x", "ySquare")), "features: unknown 'ySquare'; did you mean 'ySquared'?"),
    ],
)  # fmt: skip
def test_a_draw_that_is_none_is_refused_in_one_line(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        draw(*arguments)
    assert str(error.value) == message


def test_the_default_state_is_the_pages() -> None:
    assert parse_hash("") == PageState()
    assert parse_hash(PAGE) == PageState()
