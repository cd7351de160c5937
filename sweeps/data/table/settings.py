"""What a spec says about a table: its file, its target, who trains on which rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sweeps.data.table.folds import ENDS, FOLDS
from sweeps.data.table.numerals import THOUSANDS
from sweeps.data.table.told import EACH, ROLES, TARGET_TRANSFORMS, VALUE, Told, same_form
from sweeps.toml import SpecError, SpecTable, shown

AUTO = "auto"
ALLOW_LEAK = "if these columns are known when you predict, give --allow-leak"
NO_END = "none"
NONE = "none"
"""Instead of a column: rows are not divided by any, and nothing is looked for."""
ROW_ORDER = "row order"
"""Instead of a column of times: the order of the rows in the file."""
TOGETHER, APART, NEARLY = "together", "apart", "nearly"
PREPROCESSINGS: Mapping[str, str] = MappingProxyType(
    {
        "standard": "fitted on the training rows of each fold",
        "textbook": "fitted on all rows together, test rows included: its scores leak",
    }
)
"""What columns become, and from which rows that is learnt."""


@dataclass(frozen=True, slots=True)
class TableData:
    """A table and what is asked of it.

    Parameters
    ----------
    file : str
        Its path, as it was named.
    target : str
        Column to predict.
    test_file : str
        A file of test rows; empty: `test_share` of the rows is set aside.
    task : str
        ``"regression"``, ``"classification"``, or ``"auto"``: by the rule of `sweeps.data.table.columns.find_target`.
    target_transform : str
        Key of `sweeps.data.table.told.TARGET_TRANSFORMS`, or ``"auto"``: standardized for regression.
    encoding, separator, decimal, thousands : str
        How the text is written; empty means the rules of `sweeps.data.table.reading`.
    date_format : str
        How dates are written, where it is not ISO 8601 and the rules of `sweeps.data.table.dates` do not tell.
    text_columns, missing : tuple of str
        Columns kept as text; further words for a missing cell.
    header, units_row : bool
        Whether the file has a line of names, and a row of units below it.
    comment : str
        What lines begin with that are left out.
    skip_rows : int
        Lines above the header that are left out.
    roles : tuple of (column, role)
        Roles settled by the user.
    folds : str
        Key of `sweeps.data.table.folds.FOLDS`, or ``"auto"``: stratified for classification, else plain.
    n_folds : int
        How many.
    group_column, time_column : str
        What grouped and time-ordered folds go by; ``"none"``: nothing, whatever the rows show. A time column of
        ``"row order"``, where no column is called so, is the order in the file.
    equal_rows : str
        ``"together"``: never on both sides of a division, ``"nearly"``: nor are rows that are equal but for a jitter
        (`sweeps.data.table.near_copies`), ``"apart"``: divided like others, or ``"auto"``: together where that can be
        (`sweeps.data.table.units.find_equal_rows`), nearly where it matters.
    found : tuple of str
        What was found out about rows that depend on each other, and what follows: said first.
    suspected : str
        The dependence that the division does not heed; then nothing is certified. Empty: none.
    scope : str
        What new rows scores hold for, where that has to be said: ``"another row of a known shop"``.
    stretch : int
        Over how many rows, in the order of time, rows remain alike; 0 where that was not looked at.
    test_share : float
        Share set aside before anything looks at the rows; 0 sets nothing aside.
    end_rule : str
        Which end of the rows is held out as out of range: a rule of `sweeps.data.table.folds.ENDS`, ``"value"``:
        the rows with `end_value` in `end_feature`, ``"each"``: each value of `end_feature` in turn, or ``"none"``.
    end_share : float
        Largest share of the rows held out there.
    end_feature : str
        Whose end it is; empty: the feature that goes most with the target.
    preprocessing : str
        Key of `PREPROCESSINGS`.
    n_search_rows : int
        Rows that the folds divide, drawn from all there are; certificates train on all. 0 means all.
    sha256, test_sha256 : str
        Digests of the files that the numbers come from; empty until the files have been read.
    allow_leak : bool
        Whether columns that give the target away are known when predictions are made.
    leaks : tuple of str
        What gives the target away: found once (`sweeps.data.table.leaks`), never given.
    findings : tuple of str
        What else has to be said before anything is searched; found, never given.
    """

    file: str
    target: str
    test_file: str = ""
    task: str = AUTO
    target_transform: str = AUTO
    encoding: str = ""
    separator: str = ""
    decimal: str = ""
    thousands: str = ""
    date_format: str = ""
    text_columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    header: bool = True
    units_row: bool = False
    comment: str = ""
    skip_rows: int = 0
    roles: tuple[tuple[str, str], ...] = ()
    folds: str = AUTO
    n_folds: int = 5
    group_column: str = ""
    time_column: str = ""
    equal_rows: str = AUTO
    found: tuple[str, ...] = ()
    suspected: str = ""
    scope: str = ""
    stretch: int = 0
    test_share: float = 0.2
    end_rule: str = "farthest"
    end_share: float = 0.1
    end_feature: str = ""
    end_value: str = ""
    preprocessing: str = "standard"
    n_search_rows: int = 0
    sha256: str = ""
    test_sha256: str = ""
    allow_leak: bool = False
    leaks: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def groups_by(self) -> str:
        """Column whose groups stay whole, or empty."""
        return "" if self.group_column == NONE else self.group_column

    @property
    def ordered_by(self) -> str:
        """Column that the rows are ordered by, or empty."""
        return "" if self.time_column == NONE else self.time_column

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that `parse_table_data` reads."""
        table = {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}
        return {**table, "roles": dict(self.roles)}

    @property
    def told(self) -> Told:
        """How the file is written, as far as that was said."""
        return Told(**{one.name: getattr(self, one.name) for one in dataclasses.fields(Told)})

    def without_folders(self) -> TableData:
        """Return the same with the files' bare names: where they lie is no part of what is asked."""
        return dataclasses.replace(self, file=Path(self.file).name, test_file=Path(self.test_file).name)

    def of_rows(self) -> TableData:
        """Return the same without what decides nothing about how the rows are read and divided."""
        same = dataclasses.replace(self, allow_leak=False, leaks=(), findings=())
        return dataclasses.replace(same, found=(), suspected="", scope="", stretch=0)

    @property
    def withheld(self) -> str:
        """Why no certificate is given, or an empty text."""
        return "" if self.allow_leak or not self.leaks else self.leaks[0]

    @property
    def said_first(self) -> tuple[str, ...]:
        """What has to be said before any figure, one sentence each."""
        if not self.leaks:
            return (*self.found, *self.findings)
        *leaks, last = self.leaks
        reading = "columns that are known when you predict, as --allow-leak says"
        if not self.allow_leak:
            reading = f"nothing will be certified; {ALLOW_LEAK}"
        return (*self.found, *leaks, f"{last}: {reading}", *self.findings)


def parse_table_data(table: SpecTable) -> TableData:
    """Read the keys of a ``kind = "table"`` dataset; all but `file` and `target` may be left out.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    default = TableData("", "")

    def text(key: str, choices: tuple[str, ...] | None = None) -> str:
        return table.text(key, choices) if key in table else str(getattr(default, key))

    def words(key: str) -> tuple[str, ...]:
        given = table.list(key) if key in table else []
        for word in given:
            if not isinstance(word, str):
                raise SpecError(f"{table.where}: {key}: {shown(word)} must be a string")
        return tuple(given)

    data = TableData(
        file=table.text("file"),
        target=same_form(table.text("target")),
        test_file=text("test_file"),
        task=text("task", (AUTO, "regression", "classification")),
        target_transform=text("target_transform", (AUTO, *TARGET_TRANSFORMS)),
        encoding=text("encoding"),
        separator=text("separator"),
        decimal=text("decimal", ("", ".", ",")),
        thousands=text("thousands", ("", *THOUSANDS)),
        date_format=text("date_format"),
        text_columns=words("text_columns"),
        missing=words("missing"),
        header=table.boolean("header") if "header" in table else True,
        units_row=table.boolean("units_row") if "units_row" in table else False,
        comment=text("comment"),
        skip_rows=table.integer("skip_rows", 0, 10**6) if "skip_rows" in table else 0,
        roles=_roles(table),
        folds=text("folds", (AUTO, *FOLDS)),
        n_folds=table.integer("n_folds", 2, 1000) if "n_folds" in table else default.n_folds,
        group_column=same_form(text("group_column")),
        time_column=same_form(text("time_column")),
        equal_rows=text("equal_rows", (AUTO, TOGETHER, NEARLY, APART)),
        found=words("found"),
        suspected=text("suspected"),
        scope=text("scope"),
        stretch=table.integer("stretch", 0, 10**9) if "stretch" in table else default.stretch,
        test_share=table.number("test_share", 0.0, 0.9) if "test_share" in table else default.test_share,
        end_rule=text("end_rule", (NO_END, *ENDS, VALUE, EACH)),
        end_share=table.number("end_share", 0.0, 0.5, open_low=True) if "end_share" in table else default.end_share,
        end_value=text("end_value"),
        end_feature=same_form(text("end_feature")),
        preprocessing=text("preprocessing", tuple(PREPROCESSINGS)),
        n_search_rows=table.integer("n_search_rows", 0, 10**9) if "n_search_rows" in table else 0,
        sha256=text("sha256"),
        test_sha256=text("test_sha256"),
        allow_leak=table.boolean("allow_leak") if "allow_leak" in table else False,
        leaks=words("leaks"),
        findings=words("findings"),
    )
    _check(data, table.where)
    return data


def _roles(table: SpecTable) -> tuple[tuple[str, str], ...]:
    if "roles" not in table:
        return ()
    roles = table.table("roles")
    names = list(roles.rest().items())
    for name, role in names:
        if not isinstance(role, str) or role not in ROLES:
            raise SpecError(f"{roles.where}: {name}: {shown(role)} is none of {', '.join(ROLES)}")
    return tuple((same_form(name), role) for name, role in names)


def _check(data: TableData, where: str) -> None:
    if not data.file or not data.target:
        raise SpecError(f"{where}: {'target' if data.file else 'file'}: empty; name one")
    for kind, column, key in (
        ("grouped", data.groups_by, "group_column"),
        ("time", data.ordered_by, "time_column"),
    ):
        if column and data.folds == AUTO:
            continue  # the column settles the folds
        if (data.folds == kind) != bool(column):
            raise SpecError(f'{where}: {key}: goes with folds = "{kind}"; give both or none')
    if (data.end_rule in (VALUE, EACH)) > bool(data.end_feature) or (data.end_rule == VALUE) != bool(data.end_value):
        raise SpecError(f'{where}: end_rule: "value" needs end_feature and end_value, "each" end_feature alone')
    if data.end_feature and data.end_rule not in ("top", "bottom", VALUE, EACH):
        raise SpecError(f'{where}: end_feature: goes with end_rule "top" or "bottom", not {shown(data.end_rule)}')
    if data.n_search_rows and data.folds == "contiguous":
        raise SpecError(f"{where}: n_search_rows: rows are drawn at random, which {data.folds} folds forbid; give 0")
    if data.n_search_rows and data.n_search_rows < 10 * data.n_folds:
        raise SpecError(
            f"{where}: n_search_rows: {data.n_search_rows}; give at least {10 * data.n_folds}, or 0 for all"
        )
