"""What is measured on the way: known paths, known functions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.network import NetworkConfig, Parameters
from sweeps.data.asked import Asked
from sweeps.data.kinds import KINDS
from sweeps.data.polynomial_points import HALF_RANGE, POLYNOMIALS
from sweeps.run.path_probes import (
    WeightPath,
    count_pieces,
    crossings,
    gradient_norm,
    path_epochs,
    pieces_beyond,
    pieces_inside,
    solution,
)
from sweeps.run.trained import Trained
from sweeps.toml import SpecTable


def source(name: str = "degree-2", noise: float = 0.0):
    kind = KINDS["polynomial_points"]
    settings = {"n_train": 50, "n_test": 20, "noise": noise, "stretch": 3.0, "n_beyond": 40}
    asked = Asked(name, 1, "", "test_loss", 0.1, "half_squared_error", "float64", 3, 2, 2, 0, 0.05)
    return kind.open(asked, kind.parse(SpecTable(settings, "data")), None)


def bumps(R: int = 3) -> tuple[NetworkConfig, Parameters]:
    """Return relu(x + 1) - 2 relu(x) + relu(x - 1): straight but for -1, 0 and 1."""
    network = NetworkConfig(1, (3,), 1, "relu", "linear")
    weights = [np.ones((R, 1, 3)), np.tile(np.array([1.0, -2.0, 1.0])[None, :, None], (R, 1, 1))]
    return network, Parameters(weights, [np.tile([1.0, 0.0, -1.0], (R, 1)), np.zeros((R, 1))])


def trained(network: NetworkConfig, parameters: Parameters) -> Trained:
    one = source()
    return Trained(network, "half_squared_error", parameters, one.draws(one.search_seeds()))


def test_a_straight_way_has_its_distance_for_its_length_and_never_turns():
    start = Parameters([np.zeros((2, 1, 2))], [np.zeros((2, 2))])
    path = WeightPath(start, target=0.5)
    for t in range(1, 4):
        path.follow(Parameters([np.full((2, 1, 2), float(t))], [np.zeros((2, 2))]), np.array([1.0 - 0.3 * t, 1.0]))
    assert path.measured("displacement") == pytest.approx([3 * np.sqrt(2)] * 2)
    assert path.measured("path_length") == pytest.approx([3 * np.sqrt(2)] * 2)
    assert path.measured("turning") == pytest.approx([0.0, 0.0], abs=1e-5)
    assert path.measured("since_fit")[0] == pytest.approx(np.sqrt(2))  # fits at the second step
    assert np.isnan(path.measured("since_fit")[1])


def test_a_way_to_and_fro_ends_where_it_began_and_turns_by_180_degrees():
    start = Parameters([np.zeros((1, 1, 1))], [np.zeros((1, 1))])
    path = WeightPath(start, target=0.0)
    for x in (1.0, 0.0, 1.0, 0.0):
        path.follow(Parameters([np.full((1, 1, 1), x)], [np.zeros((1, 1))]), np.ones(1))
    found = [path.measured(name)[0] for name in ("displacement", "path_length", "turning")]
    assert found == pytest.approx([0.0, 4.0, 180.0])


def test_a_path_is_followed_at_every_epoch_first_and_a_hundredth_apart_later():
    epochs = path_epochs(5000)
    assert epochs[:100] == list(range(1, 101))
    assert epochs[-1] == 5000
    assert max(b / a for a, b in itertools.pairwise(epochs[100:])) < 1.02
    assert path_epochs(1) == [1]


def test_pieces_are_counted():
    x = np.linspace(-1, 1, 401)
    rows = np.stack([2 * x + 1, np.abs(x), np.abs(np.abs(x) - 0.5), np.zeros_like(x)])
    assert count_pieces(rows, np.full(4, 1e-6)).tolist() == [1, 2, 4, 1]
    assert count_pieces((x**2)[None], np.array([0.01])) >= 5
    assert count_pieces((x**2)[None], np.array([2.0])) == 1


def test_a_relu_network_has_the_pieces_that_its_bends_make():
    one = trained(*bumps())
    assert pieces_inside(one).tolist() == [4.0] * 3
    assert pieces_beyond(one).tolist() == [2.0] * 3
    assert crossings(replace(one, parameters=_lifted(one.parameters, -0.5))).tolist() == [2.0] * 3


def _lifted(parameters: Parameters, by: float) -> Parameters:
    return Parameters(parameters.weights, [parameters.biases[0], parameters.biases[1] + by])


def test_the_gradient_norm_is_that_of_finite_differences():
    network = NetworkConfig(1, (3,), 1, "tanh", "linear")
    one = source(noise=0.3)
    draws = one.draws(one.search_seeds())
    rng = np.random.default_rng(5)
    parameters = Parameters(
        [rng.normal(size=(3, 1, 3)), rng.normal(size=(3, 3, 1))], [rng.normal(size=(3, 3)), rng.normal(size=(3, 1))]
    )

    def loss(arrays: list[np.ndarray]) -> np.ndarray:
        hidden = np.tanh(draws.train.X @ arrays[0] + arrays[2][:, None])
        return 0.5 * ((hidden @ arrays[1] + arrays[3][:, None] - draws.train.y) ** 2).mean(axis=(1, 2))

    arrays = [*parameters.weights, *parameters.biases]
    squares = np.zeros(3)
    for k, array in enumerate(arrays):
        for index in np.ndindex(array.shape[1:]):
            up, down = ([one.copy() for one in arrays] for _ in range(2))
            up[k][(slice(None), *index)] += 1e-5
            down[k][(slice(None), *index)] -= 1e-5
            squares += ((loss(up) - loss(down)) / 2e-5) ** 2
    found = gradient_norm(Trained(network, "half_squared_error", parameters, draws))
    assert found == pytest.approx(np.sqrt(squares), rel=1e-5)


def test_units_in_another_order_or_rescaled_are_the_same_solution():
    network, parameters = bumps()
    weights, biases = [W.copy() for W in parameters.weights], [b.copy() for b in parameters.biases]
    weights[0][1], biases[0][1] = weights[0][1][:, ::-1], biases[0][1][::-1]
    weights[1][1] = weights[1][1][::-1]
    weights[0][1] *= 4.0
    biases[0][1] *= 4.0
    weights[1][1] /= 4.0
    weights[1][2] *= -3.0
    assert solution(trained(network, Parameters(weights, biases))).tolist() == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_a_polynomial_has_mean_0_and_variance_1_over_its_range_and_no_floor_without_noise(name: str):
    x = np.linspace(-HALF_RANGE, HALF_RANGE, 200_001)
    y = np.polynomial.polynomial.polyval(x, POLYNOMIALS[name])
    assert np.polynomial.Polynomial(POLYNOMIALS[name]).degree() == int(name[-1])
    assert (y.mean(), y.var()) == pytest.approx((0.0, 1.0), abs=2e-4)
    one = source(name)
    draws = one.draws(one.search_seeds())
    assert draws.floors is not None
    assert draws.floors["out_of_range"].tolist() == [0.0] * 3
    assert (draws.n_out_of_range > 10).all()
