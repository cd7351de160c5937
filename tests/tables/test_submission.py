"""submission.csv: every test row once, in order, finite, or no file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sweeps.tables.submission import SUBMISSION_NAME, write_submission
from sweeps.tables.table import TableError


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
