"""Read a Parquet file (extra ``parquet``: pyarrow) into a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from sweeps.data.table.table import Limits, Table, TableError, check_header


def read_parquet(source: str, data: bytes, sha256: str, limits: Limits) -> Table:
    """Return the table in the bytes of a Parquet file; raise TableError where it is damaged, too large or nested."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise TableError(
            f"{source}: Parquet needs pyarrow; pip install 'rangesweep[parquet]', or save as CSV"
        ) from None
    try:
        stored = pq.ParquetFile(pa.BufferReader(data))
        shape = stored.metadata.num_rows, stored.metadata.num_columns
        _check_parquet_size(source, stored.metadata, limits)
        columns = stored.read()
        columns.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TableError(f"{source}: damaged Parquet data ({reason}); expected a whole file") from None
    names, notes = check_header(source, 1, list(columns.column_names), frozenset())
    if "" in names:
        raise TableError(f"{source}: column {names.index('') + 1}: no name; expected one for every column")
    if shape[0] == 0:
        raise TableError(f"{source}: no rows; expected at least one")
    converters = _parquet_kinds(pa)
    series = {}
    for name, column in zip(names, columns.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        convert = next((convert for fits, convert in converters if fits(kind)), None)
        if convert is None:
            raise TableError(
                f"{source}: column {name!r}: of type {column.type}; expected numbers, text, booleans or dates"
            )
        series[name] = _check_parquet_column(source, name, convert(column))
    lines = np.arange(1, shape[0] + 1, dtype=np.int64)
    return Table(pd.DataFrame(series), source, sha256, None, None, None, lines, tuple(notes))


def _check_parquet_size(source: str, metadata: Any, limits: Limits) -> None:
    n_rows, n_columns = metadata.num_rows, metadata.num_columns
    if n_columns > limits.n_columns or n_rows > limits.n_rows or n_rows * n_columns > limits.n_cells:
        raise TableError(
            f"{source}: {n_rows:,} rows of {n_columns:,} columns; up to {limits.n_rows:,} rows, {limits.n_columns:,} "
            f"columns and {limits.n_cells:,} cells are read"
        )
    unpacked = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    if unpacked > limits.n_bytes:
        raise TableError(f"{source}: {unpacked:,} bytes when unpacked; up to {limits.n_bytes:,} are read")


def _parquet_kinds(pa: Any) -> list[tuple[Callable[[Any], bool], Callable[[Any], pd.Series[Any]]]]:
    types = pa.types
    return [
        (types.is_boolean, _parquet_objects),
        (types.is_integer, _parquet_integers),
        (types.is_floating, lambda column: pd.Series(column.to_numpy().astype(np.float64))),
        (types.is_decimal, lambda column: pd.Series(column.cast("float64").to_numpy())),
        (lambda kind: types.is_string(kind) or types.is_large_string(kind), _parquet_objects),
        (lambda kind: types.is_date(kind) or types.is_timestamp(kind), _parquet_times),
        (types.is_null, lambda column: pd.Series(np.full(len(column), np.nan))),
    ]


def _parquet_objects(column: Any) -> pd.Series[Any]:
    values = np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=object)
    return (
        pd.Series(values, dtype=object)
        if column.null_count or isinstance(values[0], str)
        else pd.Series(values.astype(bool))
    )


def _parquet_integers(column: Any) -> pd.Series[Any]:
    return pd.Series(column.to_numpy().astype(np.float64) if column.null_count else column.to_numpy().astype(np.int64))


def _parquet_times(column: Any) -> pd.Series[Any]:
    return pd.Series(pd.to_datetime(column.to_pandas(), utc=True).dt.tz_localize(None))


def _check_parquet_column(source: str, name: str, series: pd.Series[Any]) -> pd.Series[Any]:
    if series.dtype.kind == "f" and np.isinf(series.to_numpy()).any():
        row = int(np.flatnonzero(np.isinf(series.to_numpy()))[0]) + 1
        raise TableError(f"{source}: row {row}, column {name!r}: infinite; expected a finite number, or none")
    if series.dtype.kind == "i" and np.abs(series.to_numpy().astype(np.float64)).max() >= 2.0**53:
        return series.astype(str).astype(object)  # beyond exact doubles: codes, not measurements
    return series
