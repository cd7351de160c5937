"""Every point of a space is a setting that can be trained, and holds only what exists there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_spec

from sweeps.samplers import Sampler, startup_point
from sweeps.space import DEPTH, SIZES, all_parts, apply, as_params, from_unit, walk
from sweeps.spec import load_spec

SPEC = load_spec("homework")
KEYS = [part.key for part in all_parts(SPEC.space)]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(KEYS), max_size=len(KEYS)))
def test_every_point_is_within_its_bounds_and_conditions(units: list[float]) -> None:
    u = dict(zip(KEYS, units, strict=True))
    params, point = walk(SPEC.space, lambda part: from_unit(part, u[part.key]))
    network, training = apply(SPEC, params, 2, 1)
    assert 1 <= len(network.hidden_layer_sizes) <= 6
    assert all(1 <= size <= 8 for size in network.hidden_layer_sizes)
    assert sum(key.startswith(f"{SIZES}.") for key in params) == params[DEPTH]
    assert 1 <= training.batch_size <= 30
    assert 1e-3 <= training.learning_rate <= 1
    assert ("training.regularization_rate" in params) == (training.regularizer != "none")
    assert params.keys() == point.keys()


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(KEYS), max_size=len(KEYS)))
def test_params_come_back_from_the_configurations(units: list[float]) -> None:
    u = dict(zip(KEYS, units, strict=True))
    params, _ = walk(SPEC.space, lambda part: from_unit(part, u[part.key]))
    keys = tuple({SIZES if key.startswith(SIZES) else key for key in params})
    assert as_params(*apply(SPEC, params, 2, 1), keys) == params


def test_startup_points_fill_every_dimension_evenly() -> None:
    points = [startup_point(SPEC.space, 1, "xor", number) for number in range(16)]
    for key in KEYS:  # 16 points of a scrambled Sobol sequence: one in each sixteenth
        assert sorted(int(16 * point[key]) for point in points) == list(range(16)), key


def test_startup_points_differ_between_datasets_and_seeds() -> None:
    points = [startup_point(SPEC.space, seed, dataset, 0) for seed in (1, 2) for dataset in ("xor", "circle")]
    assert len({tuple(point.values()) for point in points}) == 4


def test_a_sampler_rebuilt_from_the_log_proposes_the_same() -> None:
    spec = tiny_spec()
    values = [0.5, 0.3, 0.1, 0.2, 0.4, None, 0.25, 0.15]
    first, asked = Sampler(spec, "xor"), []
    for number, value in enumerate(values):
        asked.append(first.ask(number))
        first.tell(number, value)
    again = Sampler(spec, "xor")
    for number, value in enumerate(values[:-1]):
        again.add(number, asked[number][1])
        again.tell(number, value)
    assert again.ask(7) == asked[7]
