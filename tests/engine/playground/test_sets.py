"""The generated datasets against numbers recorded from the real page's code."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate

import engine.playground
from engine.playground import corner_integrals, gauss, spiral
from engine.playground.registry import DATASETS
from engine.playground.seedrandom import SeedStreams

PLAYGROUND = Path(__file__).parents[2] / "playground"
STATISTICS = {
    (row["dataset"], row["noise"]): row for row in json.loads((PLAYGROUND / "generator_stats.json").read_text())["sets"]
}
N_DRAWS = 32  # of 500 or 1200 points
Z = 4.5  # about 600 statistics are compared


@functools.cache
def drawn(name: str, noise: float) -> tuple[np.ndarray, np.ndarray]:
    dataset = DATASETS[name]
    return dataset.generate(SeedStreams([f"draw {i}" for i in range(N_DRAWS)]), dataset.n_samples, noise)


def flatten(statistics: dict[str, Any], points: np.ndarray, size: float) -> list[tuple[str, float, float]]:
    """Return (name, z of a statistic) pairs of a recorded group of points against drawn ones."""
    found = []
    x, y = points.T
    for name, values in (("x", x), ("y", y), ("r", np.hypot(x, y))):
        recorded = statistics[name]
        error = recorded["sd"] * np.sqrt(1 / len(values) + 1 / size)
        found.append((f"{name} mean", (values.mean() - recorded["mean"]) / error, 0))
        for q, value in recorded["quantiles"].items():
            below = (values <= value).mean()
            found.append((f"{name} {q}", (below - float(q)) / np.sqrt(float(q) * (1 - float(q)) / len(values)), 0))
    return found


@pytest.mark.parametrize(("name", "noise"), STATISTICS)
def test_points_and_labels_are_distributed_like_the_pages(name: str, noise: float) -> None:
    recorded = STATISTICS[name, noise]
    dataset = DATASETS[name]
    points, labels = drawn(name, noise)
    points, labels = points.reshape(-1, 2), labels.reshape(-1)
    # The recorded statistics hold 200 000 points, at least six times as many as are drawn here.
    groups = [("all", np.ones(len(labels), bool))]
    if dataset.problem == "classification":
        groups += [("label_plus", labels > 0), ("label_minus", labels < 0)]
        share, n = recorded["fraction_label_plus"], len(labels)
        assert abs((labels > 0).mean() - share) <= Z * np.sqrt(share * (1 - share) * (1 / n + 1 / 200_000))
    else:
        q = recorded["label"]["quantiles"]
        assert abs(labels.mean() - recorded["label"]["mean"]) <= Z * recorded["label"]["sd"] / np.sqrt(len(labels))
        assert labels.std() == pytest.approx(recorded["label"]["sd"], rel=0.02)
        zero = recorded["label_zero_fraction"]
        assert abs((labels == 0).mean() - zero) <= Z * np.sqrt(zero * (1 - zero) / len(labels))
        np.testing.assert_allclose(np.quantile(labels, [float(k) for k in q]), list(q.values()), atol=0.03)
    for group, chosen in groups:
        for statistic, z, _ in flatten(recorded[group], points[chosen], recorded[group]["n"]):
            assert abs(z) <= Z, f"{group} {statistic}: z = {z:.1f}"


@pytest.mark.parametrize(("name", "noise"), [key for key in STATISTICS if "hist" in STATISTICS[key]])
def test_the_joint_histogram_of_each_class_is_the_pages(name: str, noise: float) -> None:
    recorded = STATISTICS[name, noise]["hist"]
    points, labels = drawn(name, noise)
    edges = np.linspace(-6, 6, 13)
    for label, key in ((1, "plus"), (-1, "minus")):
        x, y = points[labels == label].T
        counts = np.histogram2d(x, y, [edges, edges])[0]
        expected = np.array(recorded[key]) * (labels.size / 200_000)
        likely = expected > 5
        assert (np.abs(counts - expected)[likely] <= 5 * np.sqrt(expected * (1 + labels.size / 200_000))[likely]).all()
        assert counts[np.array(recorded[key]) == 0].sum() <= 5


@pytest.mark.parametrize("name", DATASETS)
def test_the_same_seed_gives_the_same_points_in_any_company(name: str) -> None:
    dataset = DATASETS[name]
    points, labels = dataset.generate(SeedStreams(["p", "q", "r"]), 60, 0.3)
    alone, label = dataset.generate(SeedStreams(["q"]), 60, 0.3)
    assert points.shape == (3, 60, 2)
    assert labels.shape == (3, 60)
    assert points.dtype == labels.dtype == np.float64
    np.testing.assert_array_equal(points[1], alone[0])
    np.testing.assert_array_equal(labels[1], label[0])


def test_noise_never_moves_the_points_of_a_set_that_looks_labels_up() -> None:
    for name in ("xor", "circle", "reg-plane", "reg-gauss"):
        quiet, loud = (DATASETS[name].generate(SeedStreams(["s"]), 100, noise)[0] for noise in (0.0, 0.5))
        np.testing.assert_array_equal(quiet, loud)


def test_every_generator_file_is_registered() -> None:
    folder = Path(engine.playground.__path__[0])
    files = {path.stem for path in folder.glob("*.py") if "def beyond(" in path.read_text()}
    assert files == {name.replace("-", "_") for name in DATASETS}


@pytest.mark.parametrize("stretch", [1.0, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("name", DATASETS)
def test_labels_average_to_the_conditional_mean_in_and_beyond_the_range(
    name: str, noise: float, stretch: float
) -> None:
    """In every cell of the plane, and in every band of the conditional mean, the residuals average to nothing."""
    dataset = DATASETS[name]
    rng = np.random.default_rng([5, int(noise * 10), int(stretch)])
    points, labels = dataset.beyond(rng, 60_000, noise, stretch)
    mean = dataset.conditional_mean(points, noise)
    residual = labels - mean
    # The variance of labels of +1 and -1 is known, also where one of them is too rare to be drawn.
    variance = 1 - mean**2 if dataset.problem == "classification" else residual**2
    half_width = np.abs(points).max() * (1 + 1e-9)
    cell = np.floor((points / half_width + 1) * 6).astype(int) @ [12, 1]
    band = np.unique(np.floor(mean * 10), return_inverse=True)[1]
    for group in (cell, band):
        bound = 5 * np.sqrt(np.bincount(group, variance)) + 2
        assert (np.abs(np.bincount(group, residual)) <= bound).all()
    if noise == 0 and name not in ("gauss", "spiral"):
        np.testing.assert_allclose(residual, 0, atol=1e-12)


@pytest.mark.parametrize("name", DATASETS)
def test_stretched_points_go_beyond_and_unstretched_points_do_not(name: str) -> None:
    dataset = DATASETS[name]
    inside = dataset.generate(SeedStreams([str(i) for i in range(20)]), dataset.n_samples, 0.2)[0].reshape(-1, 2)
    near, far = (dataset.beyond(np.random.default_rng(1), 5000, 0.2, stretch)[0] for stretch in (1.0, 3.0))
    np.testing.assert_allclose(near.std(axis=0), inside.std(axis=0), rtol=0.05)
    assert np.abs(far).max() > 2.2 * np.abs(inside).max()


@pytest.mark.parametrize("name", ["xor", "circle", "spiral"])
@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_the_conditional_mean_is_that_of_the_pages_own_labels(name: str, noise: float) -> None:
    dataset = DATASETS[name]
    points, labels = dataset.generate(SeedStreams([f"m{i}" for i in range(60)]), 500, noise)
    mean = dataset.conditional_mean(points, noise)
    band = np.floor((mean + 1) * 9.999).astype(int).reshape(-1)
    bound = 5 * np.sqrt(np.bincount(band, (1 - mean**2).reshape(-1))) + 2
    assert (np.abs(np.bincount(band, (labels - mean).reshape(-1))) <= bound).all()


def test_no_point_that_both_arms_reach_feels_the_arms_continuation() -> None:
    """So the continued spiral's conditional mean is exact within the range as well."""
    noise = 0.5
    axis = np.linspace(-6, 6, 121)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    covered = [(np.abs(grid - arm).max(axis=-1) <= noise) for arm in spiral.centers(1.4)]
    both = covered[0][:, : spiral.N_CENTERS].any(axis=1) & covered[1][:, : spiral.N_CENTERS].any(axis=1)
    assert both.sum() > 20
    assert not covered[0][both, spiral.N_CENTERS :].any()
    assert not covered[1][both, spiral.N_CENTERS :].any()


def test_blobs_are_as_wide_as_the_page_says() -> None:
    assert gauss.variance(0.0) == 0.5
    assert gauss.variance(0.5) == 4.0
    assert gauss.variance(0.8) == pytest.approx(6.1)


@pytest.mark.parametrize(
    ("corner", "bump"),
    [
        (corner_integrals.disc, lambda r: float(r < 2)),
        (corner_integrals.cone, lambda r: max(0.0, 1 - r / 2)),
        (corner_integrals.squared_cone, lambda r: max(0.0, 1 - r / 2) ** 2),
    ],
)
def test_corner_integrals_agree_with_quadrature(corner: Any, bump: Any) -> None:
    for a, b in ((0.5, 0.7), (1.8, 1.5), (3.0, 0.4), (0.3, 5.0), (4.0, 4.0), (1.2, 1.6)):
        inner = [
            integrate.quad(lambda y, x=x: bump(np.hypot(x, y)), 0, b, points=[min(b, np.sqrt(max(0, 4 - x * x)))])[0]
            for x in (np.arange(400) + 0.5) / 400 * a
        ]
        expected = np.mean(inner) * a
        got = corner(np.array([a, -a, a]), np.array([b, b, -b]), 2.0)
        np.testing.assert_allclose(got, [expected, -expected, -expected], rtol=2e-4)
    np.testing.assert_array_equal(corner(np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]), 2.0), 0)
