"""The textbook's recipes: the published division, what counts as the textbook's own training, claims as planted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.course.cells import Cells
from analysis.lessons.fashion_textbook import claims, is_whole
from analysis.records.lesson import CellRecord
from analysis.records.study import StudyHeader
from analysis.statistics.verdicts import Word, judge
from sweeps.data.asked import Asked
from sweeps.data.images import ImageData, ImageSource
from sweeps.data.table.published.named import FashionImages
from sweeps.run.kinds import load
from sweeps.run.lesson import LessonPlan
from sweeps.spec.lesson import LessonSpec
from sweeps.spec.lesson_changes import resized, with_setting
from sweeps.spec.sweep import parse_spec
from sweeps.toml import SpecError
from tests.builders.tiny import tiny_table

R = 8


def lesson() -> LessonSpec:
    spec = load("fashion_textbook")
    assert isinstance(spec, LessonSpec)
    return spec


@functools.cache
def header_of(size: str) -> tuple[LessonSpec, StudyHeader]:
    spec = resized(lesson(), "full" if size == "full" else "default")
    return spec, LessonPlan(spec, Path()).header


def tiny_images() -> FashionImages:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (50, 2, 3), dtype=np.uint8)
    y = rng.integers(0, 10, 50).astype(np.uint8)
    return FashionImages(X[:30], y[:30], X[30:], y[30:])


def asked(name: str = "fashion_mnist") -> Asked:
    return Asked(name, 1, "", "test_loss", 0.1, "softmax_cross_entropy", "float32", 3, 2, 2, 0, 0.05)


def test_the_published_division_is_the_same_for_all_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.data.table.published.named.load_fashion_images", tiny_images)
    images = tiny_images()
    draws = ImageSource(asked(), ImageData(25, 20, published=True)).draws(("draw1", "draw2", "draw3"))
    assert np.array_equal(draws.train.X[0], (images.images[:25].reshape(25, 6) / 255.0).astype(np.float32))
    assert np.array_equal(draws.test.X[0], (images.test_images.reshape(20, 6) / 255.0).astype(np.float32))
    assert draws.train.y[0, :, 0].tolist() == images.labels[:25].tolist()
    assert draws.test.y[0, :, 0].tolist() == images.test_labels.tolist()
    assert (len(draws.train.X), len(draws.test.X)) == (1, 1)
    for values in (*draws.constant.values(), draws.n_in_range, draws.n_out_of_range, draws.training_seeds):
        assert len(values) == 3
    assert len(set(draws.training_seeds.tolist())) == 3  # first weights and order are each replica's own
    drawn = ImageSource(asked(), ImageData(20, 10)).draws(("draw1", "draw2"))
    assert not np.array_equal(drawn.train.X[0], drawn.train.X[1])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("fashion_mnist", ImageData(20, 21, published=True),
         "fashion_mnist: n_test: 21 is more than the 20 images published to test with; give less"),
        ("fashion_mnist", ImageData(31, 20, published=True),
         "fashion_mnist: n_train + n_test: 51 is more than the 50 images there are; give less"),
        ("digits", ImageData(20, 20, published=True),
         "digits: published: its images have no published division; leave it out"),
    ],
)  # fmt: skip
def test_more_than_was_published_is_refused(
    name: str, data: ImageData, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.data.table.published.named.load_fashion_images", tiny_images)
    with pytest.raises(SpecError) as caught:
        ImageSource(asked(name), data)
    assert str(caught.value) == message


@pytest.mark.parametrize("published", [False, True])
def test_no_search_is_certified_on_test_images_that_it_has_seen(published: bool) -> None:
    table = tiny_table()
    table["training"]["loss"] = "softmax_cross_entropy"
    table["network"]["output_activation"] = "linear"
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    images = {"name": "fashion_mnist", "kind": "images", "n_train": 50, "n_test": 50}
    if not published:
        (dataset,) = parse_spec({**table, "datasets": [images]}, "tiny.toml").datasets
        assert dataset.data.as_table() == {"n_train": 50, "n_test": 50, "inverted": 0.0, "pixel_noise": 0.0}
        return
    with pytest.raises(SpecError) as caught:
        parse_spec({**table, "datasets": [{**images, "published": True}]}, "tiny.toml")
    assert str(caught.value) == (
        "tiny.toml: datasets: fashion_mnist: published: a search's certificates would have the test images that it has "
        'seen; leave it out, or use kind = "fashion_mnist"'
    )


def planted(size: str, effect: Mapping[str, float], seed: int = 0) -> Cells:
    """Return the lesson's cells whose share of wrong images is a sum of the effects, each replica's own, and noise."""
    spec, header = header_of(size)
    rng = np.random.default_rng(seed)
    own, found = rng.normal(0.0, 0.01, R), []
    empty: dict[str, Any] = {"diverged_at": [None] * R, "floors": {}, "constant": {}, "measured": {}, "n_updates": 0}
    for params, (design, settings) in zip(spec.cells(), spec.settings(), strict=True):
        layers = len(settings["network.hidden_layer_sizes"])
        wrong = (
            effect["base"] + own + rng.normal(0.0, 0.001, R)
            + effect["linear"] * (layers == 0) + effect["dropout"] * (layers == 2)
            + effect["uniform"] * (settings["network.initializer"] == "pytorch")
            + effect["drop"] * (settings["training.partial_batch"] == "drop")
        )  # fmt: skip
        rows = [wrong.tolist() for _ in design.looks]
        found.append(
            CellRecord(
                study="f/lesson", number=len(found), params=params, network={"n_inputs": 784}, training={},
                seeds=["s"] * R, looks=list(design.looks), losses={"train": rows, "test": rows, "test_error": rows},
                sha256="", road="", playground_url=None, **empty,
            )
        )  # fmt: skip
    return Cells(SimpleNamespace(header=header, cells=found, path=None))  # type: ignore[arg-type]


HOLDS = {"base": 0.16, "linear": 0.03, "dropout": -0.01, "uniform": -0.005, "drop": -0.005}
FAILS = {"base": 0.30, "linear": -0.03, "dropout": 0.01, "uniform": 0.005, "drop": 0.005}
NOTHING = {"base": 0.15, "linear": 0.0, "dropout": 0.0, "uniform": 0.0, "drop": 0.0}
ACCURACY = "31. 784-256-10 has a validation accuracy of 0.83 to 0.85 after 10 epochs on all images"


def words(cells: Cells) -> dict[str, Word]:
    return {one.label: judge(one).word for one in claims(cells)}


@pytest.mark.parametrize(("effect", "word"), [(HOLDS, "holds"), (FAILS, "does not hold")])
def test_claims_come_out_as_planted(effect: Mapping[str, float], word: Word) -> None:
    found = words(planted("full", effect))
    accuracy = found.pop(ACCURACY)
    assert set(found.values()) == {word}
    assert len(found) == 4
    assert accuracy == ("does not hold" if effect is FAILS else "not decided")  # replicas that differ by 0.01


def test_claims_about_nothing_are_rarely_decided() -> None:
    """Of 24 simulated studies at most 7 may decide a claim by chance: 99.99 % of binomial(24, 0.05)."""
    decided = [word not in ("not decided", "not measured") for seed in range(24)
               for label, word in words(planted("full", NOTHING, seed)).items() if label != ACCURACY]  # fmt: skip
    by_claim = np.reshape(decided, (24, 4)).sum(axis=0)
    assert (by_claim <= 7).all()


def test_the_textbooks_figure_is_judged_on_all_images_in_its_own_batches_alone() -> None:
    full, small = planted("full", HOLDS), planted("default", HOLDS)
    assert is_whole(full)
    assert not is_whole(small)
    assert words(small)[ACCURACY] == "not measured"
    for assignment in ("data.n_train=50000", "training.batch_size=[32]", "epochs=20", "epochs=5"):
        spec = with_setting(resized(lesson(), "full"), assignment)
        header = LessonPlan(spec, Path()).header
        study = SimpleNamespace(header=header, cells=[dataclasses.replace(one, params=params) for one, params in
                                                      zip(full.all, spec.cells(), strict=True)], path=None)  # fmt: skip
        assert not is_whole(Cells(study)), assignment  # type: ignore[arg-type]
