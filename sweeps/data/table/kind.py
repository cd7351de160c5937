"""Tables as a kind of data."""

from __future__ import annotations

from pathlib import Path

from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.source import Source
from sweeps.data.table.settings import TableData, parse_table_data
from sweeps.toml import SpecError


def _open(asked: Asked, data: TableData, folder: Path | None) -> Source:
    from sweeps.data.table.source import TableSource  # pandas and scikit-learn take a second: only for those who use it

    return TableSource(asked, data, folder)


def _check(data: TableData, asked: Asked, where: str) -> None:
    for stage, n in (("search", asked.n_search), ("finalists", asked.n_finalist)):
        if n % data.n_folds:
            raise SpecError(
                f"{where}: {stage}: n_replicas: {n} are not folds times seeds; give a multiple of {data.n_folds}"
            )


KIND = Kind(
    name="table",
    settings=TableData,
    parse=parse_table_data,
    open=_open,
    check=_check,
    test_set="the rows set aside before anything looked at them, looked at once",
    out_of_range="one end of the rows, held out from all training",
    floor="not known; simple models stand beside it",
    goal_in_words=True,
    has_ablation=False,
)
