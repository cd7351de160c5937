"""Named datasets: the sklearn ones and the perceptron's everywhere, the large ones where a copy is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from engine.names import cut
from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.preprocessing import fit_textbook
from sweeps.data.table.published import named
from sweeps.data.table.published.fetching import FetchError
from sweeps.data.table.published.named import FASHION, FASHION_CLASSES, HOUSE_TRAIN, NAMED_SETS, load_fashion_images

SHARED = Path(__file__).resolve().parents[6] / "shared" / "data"
SMALL = {
    "diabetes": (442, 10, "regression"),
    "breast_cancer": (569, 30, "classification"),
    "digits": (1797, 64, "classification"),
    "wine": (178, 13, "classification"),
    "iris": (150, 4, "classification"),
    "perceptron": (200, 1, "regression"),
}


@pytest.fixture
def shared(monkeypatch):
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}: the full data sets are not at hand")
    monkeypatch.setenv("SWEEPS_DATA", str(SHARED))


@pytest.mark.parametrize("name", SMALL)
def test_small_set_has_its_shape_and_task(name):
    n_rows, n_features, task = SMALL[name]
    one = NAMED_SETS[name]
    table = one.load().rows
    assert (table.n_rows, table.n_columns) == (n_rows, n_features + 1)
    assert find_target(table.frame, one.target).task == task
    columns = find_columns(table.frame, one.target)
    assert len(columns) == n_features
    assert [c.name for c in columns if not c.used] == (
        ["pixel_0_0", "pixel_4_0", "pixel_4_7"] if name == "digits" else []  # never any ink there
    )


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_bundled_values_and_classes_are_scikit_learns(name):
    loaded = getattr(datasets, f"load_{name}")()
    table = NAMED_SETS[name].load().rows
    target = find_target(table.frame, NAMED_SETS[name].target)
    np.testing.assert_array_equal(table.frame.iloc[:, :-1].to_numpy(), loaded.data)
    names = [target.classes[int(k)] for k in target.values]
    assert names == [str(loaded.target_names[k]) for k in loaded.target]


def test_same_table_same_digest():
    assert NAMED_SETS["iris"].load().rows.sha256 == NAMED_SETS["iris"].load().rows.sha256
    assert NAMED_SETS["iris"].load().rows.sha256 != NAMED_SETS["wine"].load().rows.sha256


def test_perceptron_is_our_own_file_and_made_by_the_rule_it_states():
    path = Path(named.__file__).parent / "rows" / "perceptron.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == (
        "b3b30213b5d808f768f323515968b90ec794a7ffc033869abedb53f70abd2659"
    )
    frame = NAMED_SETS["perceptron"].load().rows.frame
    noise = frame["y"] - np.sin(1.5 * frame["x"]) - 0.3 * frame["x"]
    assert abs(float(noise.mean())) < 3 * 0.1 / np.sqrt(200)
    assert 0.085 < float(noise.std()) < 0.115
    assert frame["x"].between(-3, 3).all()


def test_a_folder_without_the_files_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("SWEEPS_DATA", str(tmp_path))
    for name, file in (("house_prices", HOUSE_TRAIN), ("fashion_mnist", FASHION[0])):
        with pytest.raises(FetchError) as caught:
            NAMED_SETS[name].load()
        told = f"{tmp_path / file.path}: No such file or directory; expected {file.path} below SWEEPS_DATA"
        assert str(caught.value) == cut(f"{told} (unset it to fetch {file.url})")


def test_house_prices_give_the_textbooks_330_columns(shared):
    data = NAMED_SETS["house_prices"].load()
    assert (data.rows.n_rows, data.rows.n_columns) == (1460, 81)
    assert (data.test.n_rows, data.test.n_columns) == (1459, 80)
    features = pd.concat([data.rows.frame.drop(columns=["Id", "SalePrice"]), data.test.frame.drop(columns="Id")])
    inputs = fit_textbook(features).transform(features)
    assert inputs.shape == (2919, 330)
    assert np.isfinite(inputs).all()
    # What pandas makes of the same files by the textbook's own recipe, column by column.
    raw = pd.concat([pd.read_csv(SHARED / "ames" / f"kaggle_house_pred_{part}.csv") for part in ("train", "test")])
    raw = raw.drop(columns=["Id", "SalePrice"])
    numeric = raw.select_dtypes("number").columns
    raw[numeric] = raw[numeric].apply(lambda column: (column - column.mean()) / column.std()).fillna(0)
    expected = pd.get_dummies(raw, dummy_na=True).astype(float)
    np.testing.assert_allclose(inputs, expected.to_numpy(), atol=1e-9)


def test_fashion_mnist_is_the_published_one(shared):
    data = load_fashion_images()
    assert data.images.shape == (60000, 28, 28)
    assert data.test_images.shape == (10000, 28, 28)
    assert np.bincount(data.labels).tolist() == [6000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    pixels = np.bincount(data.images.reshape(-1), minlength=256) @ np.stack([np.arange(256), np.arange(256) ** 2], 1)
    mean, square = pixels / data.images.size / np.array([255, 255**2])
    assert mean == pytest.approx(0.286041, abs=1e-6)
    assert np.sqrt(square - mean**2) == pytest.approx(0.353024, abs=1e-6)


@pytest.mark.slow
def test_fashion_mnist_as_a_table(shared):
    data = NAMED_SETS["fashion_mnist"].load()
    assert (data.rows.n_rows, data.test.n_rows, data.rows.n_columns) == (60000, 10000, 785)
    assert find_target(data.test.frame, "kind").classes == tuple(sorted(FASHION_CLASSES))
