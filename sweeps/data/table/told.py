"""What a spec may say of a table before any is read. Nothing here knows a cell, and nothing brings pandas along."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Role = Literal["number", "category", "boolean", "date", "text", "identifier", "constant"]

ROLES: MappingProxyType[Role, str] = MappingProxyType(
    {
        "number": "standardized",
        "category": "one column for each value",
        "boolean": "0 or 1",
        "date": "days since 1970-01-01, standardized",
        "text": "left out",
        "identifier": "left out",
        "constant": "left out",
    }
)
"""Roles, and what becomes of a column that has one."""

VALUE, EACH = "value", "each"
"""What an end held out is: one value of a column, or each in turn."""

TARGET_TRANSFORMS = MappingProxyType(
    {
        "none": ("identity", False),
        "standardize": ("identity", True),
        "log": ("log", False),
        "log_standardize": ("log", True),
        "log1p": ("log1p", False),
        "log1p_standardize": ("log1p", True),
    }
)
"""Curve and whether its values are standardized, by name."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a file is written, as far as its reader was told; empty means: find out by the rules of `reading`.

    Parameters
    ----------
    encoding, separator, decimal, thousands : str
        Name of the encoding; marks between cells, before decimals, between thousands. A separator of one blank stands
        for any run of blanks.
    text_columns : tuple of str
        Columns to keep as text though most of their cells are numbers.
    missing : tuple of str
        More words that mean a missing cell; numbers among them mean every cell of that value.
    header : bool
        Whether the first line holds the names; else columns are called 1, 2, 3, ...
    comment : str
        Lines that begin with it are left out.
    skip_rows : int
        Lines before the header that are left out.
    units_row : bool
        Whether the row below the header holds units and is left out.
    """

    encoding: str = ""
    separator: str = ""
    decimal: str = ""
    thousands: str = ""
    text_columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    header: bool = True
    comment: str = ""
    skip_rows: int = 0
    units_row: bool = False


def same_form(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): letters that look equal are equal."""
    return unicodedata.normalize("NFC", name)
