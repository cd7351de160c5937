"""submission.csv: every test row once, in order, finite, or no file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tiny_tables import table_spec

from sweeps.data.table.submission import write_submission
from sweeps.data.table.table import TableError
from sweeps.run.study import run_sweep
from sweeps.store.log import SUBMISSION_NAME


@pytest.fixture
def path(tmp_path):
    return tmp_path / SUBMISSION_NAME


def test_rows_stay_in_order_and_numbers_keep_every_digit(path):
    ids, predictions = [1463, 1461, 1462], np.array([0.1 + 0.2, 1e5, 123456.789012345])
    write_submission(path, "Id", ids, "SalePrice", predictions)
    header, *lines = path.read_text().splitlines()
    assert header == "Id,SalePrice"
    assert [int(line.partition(",")[0]) for line in lines] == ids
    assert [float(line.partition(",")[2]) for line in lines] == predictions.tolist()


def test_names_with_commas_and_quotes_are_read_back(path):
    write_submission(path, "code", ["a,b", 'c"d'], "kind", np.array(["yes, sir", 'no"'], dtype=object))
    assert pd.read_csv(path).to_numpy().tolist() == [["a,b", "yes, sir"], ['c"d', 'no"']]


@pytest.mark.parametrize(
    ("ids", "predictions", "message"),
    [
        ([1, 2], [1.0], "1 predictions for 2 rows; expected one each"),
        (
            [1, 2, 1],
            [1.0, 2.0, 3.0],
            "'Id' of test row 3 is the same as in row 1; expected one of its own in every row",
        ),
        ([1, None], [1.0, 2.0], "'Id' of test row 2 is missing; expected one of its own in every row"),
        ([1.0, float("nan")], [1.0, 2.0], "'Id' of test row 2 is missing; expected one of its own in every row"),
        ([7, 8], [1.0, np.inf], "the prediction for Id 8 is inf; not written"),
        ([7, 8], [np.nan, 1.0], "the prediction for Id 7 is nan; not written"),
    ],
)
def test_anything_else_is_refused_and_nothing_written(path, ids, predictions, message):
    with pytest.raises(TableError) as caught:
        write_submission(path, "Id", ids, "SalePrice", np.array(predictions))
    assert str(caught.value) == f"{path}: {message}"
    assert not path.exists()


def test_a_sweep_predicts_test_rows_whose_targets_it_does_not_have_in_their_order(houses, tmp_path):
    frame = pd.read_csv(houses)
    rows, test = frame.iloc[:60], frame.iloc[60:].drop(columns="price")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    found = {}
    for name, file in (("forth", test), ("back", test.iloc[::-1])):
        file.to_csv(tmp_path / f"{name}.csv", index=False)
        epochs = {"max_epochs": 30}
        spec = table_spec(tmp_path / "rows.csv", "price", test_file=str(tmp_path / f"{name}.csv"), epochs=epochs)
        (study,) = run_sweep(spec, tmp_path / name, workers=1)
        assert study.verdict.text.startswith("Not certified: no test row has a known target")
        found[name] = pd.read_csv(study.path.parent / SUBMISSION_NAME)
    assert found["forth"]["key"].tolist() == test["key"].tolist()
    pd.testing.assert_frame_equal(found["forth"], found["back"].iloc[::-1].reset_index(drop=True))
    correlation = np.corrcoef(found["forth"]["price"], frame["price"].iloc[60:])[0, 1]
    assert correlation > 0.9
