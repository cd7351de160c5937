"""The graphs' numbers, the graph against finite differences, and the engine against the graph."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.lessons.backprop import (
    PENALTY,
    gates,
    hidden_layer_graph,
    sigmoid_graph,
    simple_graph,
    step_of_the_sigmoid_graph,
    true_statements,
)
from engine.methods.initializers import initialize
from engine.network import NetworkConfig
from engine.scalar_graph import Node, network_gradients
from engine.splits import Split
from sweeps.run.textbook_probes import graph_gap, half_batches
from sweeps.run.trained import Trained


def test_the_simple_graph() -> None:
    graph = simple_graph()
    assert graph.result.value == -12.0
    assert [graph.gradient(name) for name in "xyz"] == [-4.0, -4.0, 3.0]


def test_the_sigmoid_graph_comes_to_0_1966() -> None:
    graph = sigmoid_graph()
    assert graph.result.value == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-15)
    assert round(graph.gradient("w2"), 4) == 0.1966
    assert round(graph.gradient("w2"), 1) == 0.2
    found = {name: round(node.gradient, 4) for name, node in graph.leaves.items()}
    assert found == {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.1966}
    before, after = step_of_the_sigmoid_graph()
    squared = sum(graph.gradient(name) ** 2 for name in ("w0", "w1", "w2"))
    assert after - before == pytest.approx(-0.1 * squared, rel=0.1)  # first order
    assert all(true_statements().values())


def test_add_gates_pass_and_multiply_gates_swap() -> None:
    a, b = Node(3.0), Node(-4.0)
    (a * b).times(2.0).backward()
    assert (a.gradient, b.gradient) == (-8.0, 6.0)
    add, multiply = gates()
    assert (add == 0).all()
    assert multiply.max() < 1e-15


def test_ways_add_up_and_a_maximum_sends_the_gradient_one_way() -> None:
    a, b = Node(3.0), Node(5.0)
    (a * a + a).backward()
    assert a.gradient == 7.0
    a.maximum(b).backward()
    assert (a.gradient, b.gradient) == (0.0, 1.0)


def test_the_hidden_layer_graph_is_the_derivative_of_its_objective() -> None:
    graph = hidden_layer_graph()
    values = {name: node.value for name, node in graph.leaves.items()}

    def objective(v: dict[str, float]) -> float:
        first = max(v["x1"] * v["u11"] + v["x2"] * v["u12"] + v["b1"], 0.0)
        second = max(v["x1"] * v["u21"] + v["x2"] * v["u22"] + v["b2"], 0.0)
        error = first * v["v1"] + second * v["v2"] + v["c"] - 1.0
        squares = sum(v[name] ** 2 for name in ("u11", "u12", "u21", "u22", "v1", "v2"))
        return 0.5 * error**2 + PENALTY / 2 * squares

    assert graph.result.value == pytest.approx(objective(values), rel=1e-14)
    for name, value in values.items():
        up, down = (objective(values | {name: value + h}) for h in (1e-6, -1e-6))
        assert graph.gradient(name) == pytest.approx((up - down) / 2e-6, abs=1e-8), name
    assert graph.gradient("u21") == pytest.approx(PENALTY * values["u21"])  # the unit is off: only the branch


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 3)])
def test_the_engine_s_leaf_gradients_are_the_graph_s_and_half_batches_make_a_whole(
    activation: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    network = NetworkConfig(2, shape, activation=activation, initializer="pytorch")
    start = initialize(network, [np.random.default_rng(r) for r in range(4)])
    X = rng.normal(size=(4, 30, 2))
    split = Split(X, np.sign(X[..., :1]))
    draws = SimpleNamespace(train=split, initialize=lambda _: start, training_seeds=np.arange(4, dtype=np.uint64))
    one = Trained(network, "half_squared_error", start, draws)  # type: ignore[arg-type]
    gap = graph_gap(one)
    assert gap[:2].max() < 1e-12
    assert np.isnan(gap[2:]).all()
    assert half_batches(one).max() < 1e-12


def test_an_activation_without_a_form_in_the_graph_is_refused() -> None:
    network = NetworkConfig(1, (1,), activation="gelu")
    one = [np.ones((1, 1)), np.ones((1, 1))]
    message = r"network\.activation: 'gelu' has no form in the graph; use linear, relu, sigmoid or tanh"
    with pytest.raises(ValueError, match=f"^{message}$"):
        network_gradients(network, one, [np.zeros(1), np.zeros(1)], np.ones((1, 1)), np.ones((1, 1)), 0.0)
