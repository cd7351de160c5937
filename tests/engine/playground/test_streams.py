"""The page's stream of random numbers, drawn by Python and by compiled code, against recorded and second ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.playground import choice, draws, gauss, seedrandom, spiral
from engine.playground.draws import draw
from engine.playground.registry import DATASETS
from engine.playground.seedrandom import SeedStreams
from engine.playground.steps import accept_pairs

ROOT = Path(__file__).parents[3]
REFERENCE = {
    row["seed"]: row["first8"]
    for row in json.loads((ROOT / "tests" / "playground" / "prng_reference.json").read_text())["values"]
}
WAYS = {"by Python": False, "compiled": True}
ODD_SEEDS = [
    "",
    "\0",
    "0.5",
    "a" * 255,
    "a" * 256,
    "a" * 257,
    "ab" * 400,
    "\u1234" * 300,
    "\U0001f600",  # two UTF-16 units
    "\U0001f600" * 200,
    "\ud800",  # half of such a pair, which a page's address may hold
    "x\udfff" * 150,
]


def set_way(patch: pytest.MonkeyPatch, compiled: bool) -> None:
    for module in (draws, gauss, seedrandom, spiral):
        patch.setattr(module, "runs_compiled", lambda _=0: compiled)


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    set_way(monkeypatch, request.param)
    return bool(request.param)


def both_ways() -> Iterator[str]:
    """Draw by Python, then by compiled code."""
    for name, compiled in WAYS.items():
        with pytest.MonkeyPatch.context() as patch:
            set_way(patch, compiled)
            yield name


class ScalarStream:
    """A second writing of the generator, after seedrandom's JavaScript, one byte at a time."""

    def __init__(self, seed: str) -> None:
        key, smear = [0] * 256, 0
        units = memoryview(seed.encode("utf-16-le", "surrogatepass")).cast("H")
        for k, unit in enumerate(units):
            smear ^= key[k & 255] * 19
            key[k & 255] = (smear + unit) & 255
        key = key[: min(256, len(units))] or [0]
        self.s, self.i, self.j = list(range(256)), 0, 0
        j = 0
        for i in range(256):
            j = (j + key[i % len(key)] + self.s[i]) & 255
            self.s[i], self.s[j] = self.s[j], self.s[i]
        for _ in range(256):
            self.byte()

    def byte(self) -> int:
        self.i = (self.i + 1) & 255
        self.j = (self.j + self.s[self.i]) & 255
        self.s[self.i], self.s[self.j] = self.s[self.j], self.s[self.i]
        return self.s[(self.s[self.i] + self.s[self.j]) & 255]

    def random(self) -> float:
        n, d, x = 0, 1 << 48, 0
        for _ in range(6):
            n = n * 256 + self.byte()
        while n < 1 << 52:
            n, d, x = (n + x) * 256, d * 256, self.byte()
        while n >= 1 << 53:
            n, d, x = n // 2, d // 2, x >> 1
        return (n + x) / d


@pytest.mark.usefixtures("way")
def test_the_first_doubles_equal_the_pages_bit_for_bit() -> None:
    np.testing.assert_array_equal(SeedStreams(list(REFERENCE)).random(8), list(REFERENCE.values()))


@pytest.mark.usefixtures("way")
def test_doubles_that_take_more_bytes_equal_a_scalar_generators() -> None:
    # One double in 4 096 takes nine bytes: 8 000 of them are sure to hold some, at the ends of portions too.
    streams, scalars = SeedStreams(["a", "0.5"]), [ScalarStream("a"), ScalarStream("0.5")]
    for n in (1, 7, 2000, 3, 2000):
        np.testing.assert_array_equal(streams.random(n), [[s.random() for _ in range(n)] for s in scalars])


@pytest.mark.usefixtures("way")
def test_any_text_is_a_seed() -> None:
    streams, scalars = SeedStreams(ODD_SEEDS), [ScalarStream(seed) for seed in ODD_SEEDS]
    np.testing.assert_array_equal(streams.random(50), [[s.random() for _ in range(50)] for s in scalars])


@settings(max_examples=25, deadline=None)  # the first example may wait for the compiler
@given(st.lists(st.text(st.characters(), max_size=300), min_size=1, max_size=4), st.data())
@example(["", "a" * 300], None)
def test_a_stream_depends_on_its_own_seed_alone(seeds: list[str], data: st.DataObject | None) -> None:
    k = data.draw(st.integers(0, len(seeds) - 1)) if data else 1
    stream = ScalarStream(seeds[k])
    expected = [stream.random() for _ in range(20)]
    for name in both_ways():
        np.testing.assert_array_equal(SeedStreams(seeds).random(20)[k], expected, err_msg=name)
        np.testing.assert_array_equal(SeedStreams([seeds[k]]).random(20)[0], expected, err_msg=name)


@pytest.mark.usefixtures("way")
def test_many_streams_equal_scalar_generators() -> None:
    seeds = [f"0.{k:05d}" for k in range(150)]
    scalars = [ScalarStream(seed) for seed in seeds]
    np.testing.assert_array_equal(SeedStreams(seeds).random(30), [[s.random() for _ in range(30)] for s in scalars])


@pytest.mark.usefixtures("way")
def test_streams_may_go_on_at_their_own_pace() -> None:
    streams, whole = SeedStreams(["a", "b", "c"]), SeedStreams(["a", "b", "c"]).random(600)
    streams.peek(300)
    used = np.array([0, 10, 299])
    streams.skip(used)
    np.testing.assert_array_equal(streams.random(300), [row[k : k + 300] for row, k in zip(whole, used, strict=True)])


@pytest.mark.usefixtures("way")
def test_a_fork_leaves_the_stream_where_it_is() -> None:
    streams, whole = SeedStreams(["a", "b"]), SeedStreams(["a", "b"]).random(900)
    streams.random(100)
    np.testing.assert_array_equal(streams.fork().random(800), whole[:, 100:])
    np.testing.assert_array_equal(streams.random(800), whole[:, 100:])


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^seeds: empty; give at least one seed string$"):
        SeedStreams([])


@pytest.mark.usefixtures("way")
def test_a_long_seed_is_smeared_over_the_key() -> None:
    # Beyond 256 characters seedrandom folds the rest in; before, the key is the text itself.
    first, second, third = SeedStreams(["a" * 256, "a" * 256 + "b", "a"]).random(4)
    assert (first != second).any()
    np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("noise", [0.0, 0.2, 0.8])
def test_draws_are_the_same_bytes_both_ways(dataset: str, noise: float) -> None:
    found = []
    for _ in both_ways():
        page = draw(dataset, noise, 0.7, [f"0.{k}" for k in range(12)])
        parameters = page.initial_parameters((2, 40, 40, 1))  # more weights than are drawn ahead
        truth = DATASETS[dataset].conditional_mean(page.test_points, noise)
        found.append([page.train.X, page.train.y, page.test.X, page.test.y, truth, *parameters.weights])
    for by_python, compiled in zip(*found, strict=True):
        assert by_python.tobytes() == compiled.tobytes()


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.05, 0.2, 0.5, 0.8, 2.0])
def test_the_spirals_counts_are_the_same_both_ways(noise: float) -> None:
    # The plane to beyond the arms' ends, the middle, the centers themselves, and places that jitter just reaches.
    axis = np.linspace(-9, 9, 151)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    arms = spiral.centers(1.5).reshape(-1, 2)
    rng = np.random.default_rng(3)
    jittered, _ = spiral.beyond(rng, 5000, noise, 3.0)
    corners = arms + noise * rng.choice([-1.0, 1.0], arms.shape)
    far = rng.uniform(-500, 500, (300, 2))  # where neighbours on an arm are far apart
    points = np.concatenate([grid, arms, jittered, corners, np.zeros((1, 2)), far])
    by_python, compiled = (spiral.conditional_mean(points, noise) for _ in both_ways())
    assert by_python.tobytes() == compiled.tobytes()
    assert set(np.sign(compiled)) == {-1.0, 0.0, 1.0}
    alone = [spiral.conditional_mean(point[None], noise)[0] for point in jittered[:50]]
    np.testing.assert_array_equal(alone, compiled[len(grid) + len(arms) :][:50])


def test_points_of_no_number_have_no_mean_label(monkeypatch: pytest.MonkeyPatch) -> None:
    set_way(monkeypatch, compiled=True)
    assert spiral.conditional_mean(np.empty((3, 0, 2)), 0.2).shape == (3, 0)


@pytest.mark.usefixtures("way")
def test_gauss_goes_on_where_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = DATASETS["gauss"].generate(SeedStreams(["a", "b"]), 100, 0.2)[0]
    peeked: list[int] = []

    class Short(SeedStreams):
        def peek(self, n: int) -> np.ndarray:
            peeked.append(n)
            return super().peek(n if len(peeked) > 1 else 20)

    np.testing.assert_array_equal(DATASETS["gauss"].generate(Short(["a", "b"]), 100, 0.2)[0], expected)
    assert peeked[1:] == [2 * peeked[0]]


@pytest.mark.usefixtures("way")
def test_no_points_are_drawn_of_no_numbers() -> None:
    """And nothing is written beyond an empty array, which compiled code would not notice."""
    streams, whole = SeedStreams(["a", "b"]), SeedStreams(["a", "b"]).random(3)
    points, labels = DATASETS["gauss"].generate(streams, 0, 0.2)
    assert (points.shape, labels.shape) == ((2, 0, 2), (2, 0))
    assert accept_pairs([0.5] * 6, [], []) == 0
    np.testing.assert_array_equal(streams.random(3), whole)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_the_spirals_mean_label_of_what_is_no_point_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match=r"^X: some coordinates are not finite$"):
        spiral.conditional_mean(np.array([[0.0, 1.0], [1.0, odd]]), 0.2)


def test_threads_draw_what_one_draws() -> None:
    def drawn(k: int) -> bytes:
        page = draw("gauss", 0.2, 0.5, [f"{k}.{i}" for i in range(20)])
        return page.train.X.tobytes() + page.initial_parameters((2, 30, 30, 1)).weights[1].tobytes()

    with pytest.MonkeyPatch.context() as patch:
        set_way(patch, compiled=True)
        with ThreadPoolExecutor(8) as threads:
            together = list(threads.map(drawn, range(16)))
    with pytest.MonkeyPatch.context() as patch:
        set_way(patch, compiled=False)
        assert together == [drawn(k) for k in range(16)]


def run_program(program: str, folder: Path, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


DRAW_FEW_THEN_MANY = f"""
import hashlib, os, sys
from engine.playground.draws import draw

def digest(n):
    page = draw("gauss", 0.2, 0.5, [f"0.{{k}}" for k in range(n)])
    return hashlib.sha256(page.train.X.tobytes() + page.test.y.tobytes()).hexdigest()

few = digest(4), "numba" in sys.modules
many = digest({choice.MOST_PLAIN + 1}), "numba" in sys.modules, "engine.playground.compiled" in sys.modules
assert digest(4) == few[0]
child = os.fork()
if child == 0:
    os._exit(0 if digest({choice.MOST_PLAIN + 1}) == many[0] else 1)
assert os.waitpid(child, 0)[1] == 0
print(*few, *many)
"""


@pytest.mark.takes(3.0)
def test_numba_is_imported_for_many_streams_and_for_few_never() -> None:
    """And a forked process draws the same; so does one in which nothing is compiled."""
    few, few_by_numba, many, *with_numba = run_program(DRAW_FEW_THEN_MANY, ROOT).split()
    assert (few_by_numba, with_numba) == ("False", ["True", "True"])
    told = run_program(DRAW_FEW_THEN_MANY, ROOT, NUMBA_DISABLE_JIT="1")
    assert told.split() == [few, "False", many, "True", "False"]


@pytest.mark.takes(6.0)
def test_an_edit_of_a_compiled_file_is_seen_by_the_cache(tmp_path: Path) -> None:
    """In the file of what Python calls, and in the one that it calls in turn."""
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "from engine.playground import compiled, seedrandom\n"
        f"print(*seedrandom.SeedStreams(['a'] * {choice.MOST_PLAIN + 1}).random(3)[0],"
        " sum(compiled.draw_doubles.stats.cache_hits.values()))\n"
    )
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    *expected, n_hits = run_program(program, tmp_path, **cache).split()
    assert n_hits == "0"
    assert run_program(program, tmp_path, **cache).split() == [*expected, "1"]
    steps = tmp_path / "engine" / "playground" / "steps.py"
    steps.write_text(steps.read_text().replace("N_DROPPED = 256", "N_DROPPED = 512"))
    edited = run_program(program, tmp_path, **cache).split()
    stream = ScalarStream("a")
    for _ in range(256):
        stream.byte()
    assert [*map(float, edited)] == [*(stream.random() for _ in range(3)), 0]
