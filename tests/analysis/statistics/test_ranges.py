"""In range and out of range: one definition, by hand-worked numbers and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import Delaunay

from analysis.statistics.ranges import RANGES, Box, Hull, Neighborhood, why_meaningless

SQUARE = np.array([[[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]])  # spreads 1 and 2
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
training = hnp.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(
    lambda shape: hnp.arrays(float, shape, elements=numbers)
)


@given(training)
def test_every_training_point_is_in_the_box_at_distance_0(X: np.ndarray) -> None:
    box = Box.fit(X)
    assert box.contains(X).all()
    assert (box.distance(X) == 0).all()


@given(training, st.data())
def test_a_point_is_in_the_box_exactly_if_its_distance_is_0(X: np.ndarray, data: st.DataObject) -> None:
    points = data.draw(hnp.arrays(float, (X.shape[0], 3, X.shape[2]), elements=st.integers(-1000, 1000).map(float)))
    box = Box.fit(X)
    np.testing.assert_array_equal(box.contains(points), box.distance(points) == 0)


def test_distance_beyond_the_box_is_in_spreads_of_each_feature() -> None:
    points = np.array([[[1.0, 1.0], [3.0, 1.0], [1.0, 6.0], [-3.0, 12.0], [2.0, 4.0], [2.5, 5.0]]])
    box = Box.fit(SQUARE)
    np.testing.assert_allclose(box.distance(points), [[0, 1, 1, 5, 0, np.sqrt(0.5)]])
    np.testing.assert_array_equal(box.contains(points), [[True, False, False, False, True, False]])


def test_each_replica_has_its_own_box() -> None:
    box = Box.fit(np.array([[[0.0], [1.0]], [[5.0], [7.0]]]))
    np.testing.assert_array_equal(box.contains(np.array([[[0.5], [6.0]]])), [[True, False], [False, True]])


def test_a_constant_feature_counts_in_its_own_units() -> None:
    box = Box.fit(np.array([[[1.0, 0.0], [1.0, 2.0]]]))
    np.testing.assert_allclose(box.distance(np.array([[[4.0, 1.0]]])), [[3.0]])


@given(st.floats(0.1, 100), st.integers(0, 5))
def test_units_of_measurement_do_not_matter(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, points = rng.normal(size=(2, 30, 2)), 3 * rng.normal(size=(2, 20, 2))
    for definition in RANGES.values():
        np.testing.assert_allclose(
            definition.fit(X).distance(points), definition.fit(X * scale).distance(points * scale), atol=1e-8
        )


def test_the_hull_contains_what_a_triangulation_contains() -> None:
    rng = np.random.default_rng(2)
    for d in (2, 3):
        X, points = rng.normal(size=(1, 40, d)), 2 * rng.normal(size=(1, 500, d))
        inside = Delaunay(X[0]).find_simplex(points[0]) >= 0
        np.testing.assert_array_equal(Hull.fit(X).contains(points)[0], inside)
        assert Hull.fit(X).contains(X).all()


def test_the_hull_lies_within_the_box() -> None:
    rng = np.random.default_rng(3)
    X, points = rng.normal(size=(2, 40, 2)), 2 * rng.normal(size=(2, 500, 2))
    hull, box = Hull.fit(X), Box.fit(X)
    assert (box.contains(points) | ~hull.contains(points)).all()
    assert hull.contains(points).sum() < box.contains(points).sum()
    one = Hull.fit(X[..., :1])
    np.testing.assert_allclose(one.distance(points[..., :1]), Box.fit(X[..., :1]).distance(points[..., :1]), atol=1e-9)


def test_distance_beside_a_facet_of_the_hull_is_exact() -> None:
    np.testing.assert_allclose(Hull.fit(SQUARE).distance(np.array([[[5.0, 1.0], [1.0, 8.0]]])), [[3.0, 2.0]])


def test_a_hole_in_the_data_is_out_of_range_of_the_neighbors_only() -> None:
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[None]
    middle = np.zeros((1, 1, 2))
    assert Box.fit(ring).contains(middle).all()
    assert Hull.fit(ring).contains(middle).all()
    assert not Neighborhood.fit(ring).contains(middle).any()


def test_the_stated_share_of_training_points_is_within_reach_of_the_others() -> None:
    X = np.random.default_rng(4).normal(size=(1, 400, 2))
    found = Neighborhood.fit(X, k=3, quantile=0.9)
    pair = np.linalg.norm((X[0, :, None] - X[0, None]) / X[0].std(axis=0), axis=-1)
    third = np.sort(pair, axis=1)[:, 3]
    assert found.reach[0] == pytest.approx(np.quantile(third, 0.9))
    far = np.array([[[50.0, 0.0]]])
    expected = np.sort(np.linalg.norm((far[0] - X[0]) / X[0].std(axis=0), axis=1))[2] - found.reach[0]
    assert found.distance(far)[0, 0] == pytest.approx(expected)


def test_definitions_say_where_they_mean_nothing() -> None:
    assert why_meaningless("box", 5, 500) is None
    assert why_meaningless("hull", 100, 2) is None
    for name, d, word in (("hull", 10, "hull"), ("neighborhood", 100, "equally far")):
        sentence = why_meaningless(name, 1000, d)
        assert sentence is not None
        assert sentence.startswith("not shown: ")
        assert word in sentence


@pytest.mark.parametrize(
    ("name", "X", "message"),
    [
        ("box", np.zeros((1, 0, 2)), r"^X: shape \(1, 0, 2\); give training inputs as"),
        ("box", np.full((1, 3, 2), np.nan), "^X: contains NaN or infinity; remove or impute"),
        ("hull", np.zeros((1, 30, 9)), "^X: not shown: the convex hull of 30 points in 9 dimensions"),
        ("hull", np.ones((1, 30, 2)), "^X: the 30 points lie in a plane of fewer than 2 dimensions"),
        ("neighborhood", np.zeros((1, 5, 2)), "^k: 5; give a neighbor from 1 to 4"),
    ],
)
def test_data_without_a_range_are_refused(name: str, X: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RANGES[name].fit(X)
