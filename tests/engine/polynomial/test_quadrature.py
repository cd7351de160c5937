"""A Gauss rule stands in for the rows, and full-batch Adam on it is the written-out one."""

import dataclasses
import math
import re

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits

from engine.methods.activations import ACTIVATIONS
from engine.polynomial.quadrature import (
    UNITS,
    FullBatchHistory,
    GaussRule,
    gauss_rule,
    hidden_outputs,
    loss_and_gradient,
    n_hidden,
    predict,
    train_full_batch,
)
from engine.polynomial.rows import draw_rows

FloatArray = npt.NDArray[np.float64]
ALL = np.ones((1, 7), np.bool_)


def rows(n: int = 10_000, noise: float = 0.0, n_replicas: int = 1) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n_replicas, n))
    return x, 1 + 2 * x + 3 * x**2 + noise * rng.normal(size=x.shape)


def rule_of_all(x: FloatArray, y: FloatArray) -> GaussRule:
    """Return the rows themselves as a rule."""
    return GaussRule(x, np.full(x.shape, 1 / x.shape[1]), y, np.zeros(len(x)))


def random_parameters(n_replicas: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 1.4, (n_replicas, 7))


def stepwise(
    rule: GaussRule,
    parameters: FloatArray,
    rate: float,
    n_steps: int,
    epsilon: float = 1e-7,
    activation: str = "sigmoid",
) -> list[FloatArray]:
    """Parameters before each step of full-batch Adam, written out."""
    p, m, v = parameters.copy(), np.zeros_like(parameters), np.zeros_like(parameters)
    path = [p.copy()]
    for t in range(1, n_steps + 1):
        g = loss_and_gradient(p, rule, activation)[1]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)
        path.append(p.copy())
    return path


@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
def test_loss_and_gradient_on_64_nodes_are_those_of_10_000_rows(noise):
    x, y = rows(noise=noise)
    parameters = random_parameters(20)
    rule, every_row = gauss_rule(x, y), rule_of_all(x, y)
    for p in parameters:
        loss, gradient = loss_and_gradient(p[None], rule)
        expected, expected_gradient = loss_and_gradient(p[None], every_row)
        assert loss == pytest.approx(expected, rel=1e-10)
        assert gradient == pytest.approx(expected_gradient, rel=1e-10, abs=1e-10)


def test_a_thousand_steps_on_the_rule_are_a_thousand_steps_on_all_rows():
    x, y = rows(2000)
    parameters = random_parameters(1)
    on_rule = stepwise(gauss_rule(x, y), parameters, 0.03, 1000)[-1]
    on_rows = stepwise(rule_of_all(x, y), parameters, 0.03, 1000)[-1]
    assert on_rule == pytest.approx(on_rows, rel=1e-9)


def test_the_rule_integrates_every_polynomial_below_twice_its_nodes():
    x, y = rows(500)
    rule = gauss_rule(x, y, n_nodes=6)
    for degree in range(12):
        assert float((rule.weights[0] * rule.nodes[0] ** degree).sum()) == pytest.approx(
            float((x[0] ** degree).mean()), rel=1e-11, abs=1e-11
        )
    assert float((rule.weights[0] * rule.nodes[0] ** 12).sum()) != pytest.approx(float((x[0] ** 12).mean()), rel=1e-6)


def test_what_no_polynomial_explains_is_the_residual():
    x, y = rows(noise=1.0)
    rule = gauss_rule(x, y, n_nodes=8)
    fitted = np.polynomial.Polynomial.fit(x[0], y[0], 7)
    assert rule.residual[0] == pytest.approx(float(np.mean((y[0] - fitted(x[0])) ** 2)), rel=1e-10)
    assert rule.targets[0] == pytest.approx(fitted(rule.nodes[0]), rel=1e-9)


@pytest.mark.parametrize("activation", UNITS)
def test_the_gradient_is_the_difference_quotient(activation):
    x, y = rows(300)
    rule = gauss_rule(x, y, 32)
    p = random_parameters(1)
    gradient = loss_and_gradient(p, rule, activation)[1][0]
    for i in range(7):
        step = np.zeros_like(p)
        step[0, i] = 1e-5
        up, down = (loss_and_gradient(p + sign * step, rule, activation)[0] for sign in (1, -1))
        quotient = (up - down) / 2e-5
        assert gradient[i] == pytest.approx(float(quotient[0]), rel=1e-6)


def test_the_network_is_two_sigmoids_and_a_linear_output():
    p = np.array([[0.5, -2.0, 0.1, 0.2, 3.0, -4.0, 0.7]])
    x = np.array([[1.5]])
    units = [1 / (1 + math.exp(-(0.5 * 1.5 + 0.1))), 1 / (1 + math.exp(-(-2.0 * 1.5 + 0.2)))]
    assert hidden_outputs(p, x)[0, :, 0] == pytest.approx(units, rel=1e-15)
    assert predict(p, x)[0, 0] == pytest.approx(3 * units[0] - 4 * units[1] + 0.7, rel=1e-15)


@pytest.mark.parametrize("activation", UNITS)
def test_a_network_is_its_units_and_a_linear_output(activation):
    p = np.array([[0.5, -2.0, 0.1, 0.2, 3.0, -4.0, 0.7]])
    z = np.array([[0.5 * 1.5 + 0.1, -2.0 * 1.5 + 0.2]])
    units = ACTIVATIONS[activation].function(z, 0.0)[0]
    assert predict(p, np.array([[1.5]]), activation)[0, 0] == pytest.approx(
        3 * units[0] - 4 * units[1] + 0.7, rel=1e-15
    )
    assert UNITS[activation].code == ACTIVATIONS[activation].code


@pytest.mark.parametrize("activation", UNITS)
def test_the_compiled_loop_takes_the_steps_written_out(activation):
    x, y = rows(400, n_replicas=3)
    rule, parameters = gauss_rule(x, y, 32), random_parameters(3)
    every = ALL.repeat(3, axis=0)
    history = train_full_batch(rule, parameters, every, np.full(3, 0.1), [1, 3, 500], activation=activation)
    path = stepwise(rule, parameters, 0.1, 500, activation=activation)
    rel = 1e-5 if activation == "tanh" else 1e-9  # where tanh is flat, Adam's steps magnify the last bit
    for i, step in enumerate([1, 3, 500]):
        assert history.parameters[i] == pytest.approx(path[step], rel=rel)
    losses = np.array([loss_and_gradient(p, rule, activation)[0] for p in path])
    assert history.loss == pytest.approx(losses[[1, 3, 500]], rel=10 * rel)
    assert history.lowest[2] == pytest.approx(losses[3:500].min(axis=0), rel=10 * rel)
    assert history.highest[2] == pytest.approx(losses[3:500].max(axis=0), rel=10 * rel)


def test_first_passages_are_where_the_loss_is_first_below():
    x, y = rows(400, n_replicas=2)
    rule, parameters = gauss_rule(x, y, 32), random_parameters(2)
    path = stepwise(rule, parameters, 0.1, 400)
    losses = np.array([loss_and_gradient(p, rule)[0] for p in path[:-1]])
    thresholds = [20.0, 10.0, 1e-9]
    history = train_full_batch(rule, parameters, ALL.repeat(2, axis=0), np.full(2, 0.1), [123, 400], thresholds)
    for k, threshold in enumerate(thresholds):
        for r in range(2):
            below = np.flatnonzero(losses[:, r] <= threshold)
            step = int(below[0]) if len(below) else -1
            assert history.passage_step[k, r] == step
            if step >= 0:
                assert history.passage_parameters[k, r] == pytest.approx(path[step][r], rel=1e-9)
            else:
                assert np.isnan(history.passage_parameters[k, r]).all()
    assert (history.passage_step[:2] >= 0).any()


def test_a_replica_is_the_same_alone_among_others_on_two_threads_and_looked_at_more_often():
    x, y = rows(200, n_replicas=11)
    rule, parameters = gauss_rule(x, y, 16), random_parameters(11)
    rates = np.linspace(0.01, 0.3, 11)
    together = train_full_batch(rule, parameters, ALL.repeat(11, axis=0), rates, [300], [5.0], n_threads=2)
    looked_at = train_full_batch(rule, parameters, ALL.repeat(11, axis=0), rates, [7, 300], [5.0])
    r = 9
    alone = train_full_batch(
        rule.select(slice(r, r + 1)), parameters[r : r + 1], ALL, rates[r : r + 1], [300], [5.0], n_threads=1
    )
    assert together.parameters[0, r].tobytes() == alone.parameters[0, 0].tobytes()
    assert together.parameters[0].tobytes() == looked_at.parameters[1].tobytes()
    assert together.passage_step[0, r] == alone.passage_step[0, 0]
    assert together.passage_parameters.tobytes() == looked_at.passage_parameters.tobytes()


def test_a_frozen_parameter_keeps_its_value():
    x, y = rows(200)
    trainable = ALL.copy()
    trainable[0, 2:4] = False
    parameters = random_parameters(1)
    history = train_full_batch(gauss_rule(x, y, 16), parameters, trainable, np.array([0.1]), [50])
    moved = history.parameters[0] != parameters
    assert moved.tolist() == trainable.tolist()


def test_a_wider_network_trains_too():
    x, y = rows(200)
    rule = gauss_rule(x, y, 16)
    parameters = np.random.default_rng(1).normal(size=(1, 13))
    assert n_hidden(parameters) == 4
    history = train_full_batch(rule, parameters, np.ones((1, 13), np.bool_), np.array([0.03]), [100])
    assert history.parameters[0] == pytest.approx(stepwise(rule, parameters, 0.03, 100)[-1], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoints": [3, 3]}, "checkpoints: [3, 3]; give ascending numbers of updates, at least 1"),
        ({"checkpoints": []}, "checkpoints: []; give ascending numbers of updates, at least 1"),
        ({"thresholds": [1.0, 2.0]}, "thresholds: [1.0, 2.0]; give them descending"),
        (
            {"learning_rate": np.ones(2)},
            "parameters: shape (1, 7) beside trainable (1, 7), rules of 1 replicas and rates (2,); "
            "the first axis of all is the replica",
        ),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    x, y = rows(50)
    arguments = {
        "rule": gauss_rule(x, y, 8),
        "parameters": random_parameters(1),
        "trainable": ALL,
        "learning_rate": np.array([0.1]),
        "checkpoints": [1],
    }
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train_full_batch(**(arguments | change))


@pytest.mark.parametrize(
    ("x", "y", "n_nodes", "message"),
    [
        (np.ones((1, 5)), np.ones((1, 5)), 2, "n_nodes: 2 for 1 distinct inputs; give 1 to 1"),
        (np.ones(5), np.ones(5), 2, "y: shape (5,) beside X of shape (5,); give two arrays (replicas, rows)"),
        (np.full((1, 5), np.nan), np.ones((1, 5)), 2, "X, y: not all values are finite; leave such rows out"),
    ],
)
def test_rows_without_a_rule_are_refused(x, y, n_nodes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        gauss_rule(x, y, n_nodes)


def test_a_vector_that_is_no_network_is_refused():
    with pytest.raises(ValueError, match=r"^parameters: 6 numbers a network; H hidden units have 3 H \+ 1$"):
        predict(np.ones((1, 6)), np.ones((1, 2)))


def test_the_history_holds_arrays_of_the_stated_shapes():
    x, y = rows(50)
    history = train_full_batch(gauss_rule(x, y, 8), random_parameters(1), ALL, np.array([0.1]), [1, 2], [9.0])
    shapes = {field.name: getattr(history, field.name).shape for field in dataclasses.fields(FullBatchHistory)}
    assert shapes == {
        "steps": (2,),
        "parameters": (2, 1, 7),
        "loss": (2, 1),
        "lowest": (2, 1),
        "highest": (2, 1),
        "thresholds": (1,),
        "passage_step": (1, 1),
        "passage_parameters": (1, 1, 7),
    }


def test_the_rule_does_not_depend_on_the_threads_of_blas():
    rows = draw_rows([1])
    digests = set()
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            rule = gauss_rule(rows.X, rows.y)
        digests.add(rule.nodes.tobytes() + rule.weights.tobytes() + rule.targets.tobytes())
    assert len(digests) == 1
