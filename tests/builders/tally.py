"""What the long suite has tried and how much of it failed, counted by the tests themselves and kept in a document.

``RANGESWEEP_FAULTS=0.1 pytest -m faults`` tries a tenth of everything; ``RANGESWEEP_WRITE_RELIABILITY=1`` writes what
was tried into docs/reliability.md, each row in the place of the one that the same test wrote before.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- tried: written by the tests -->", "<!-- tried: end -->"
HEAD = ("| What | Tried | Failed | Test |", "| :-- | --: | --: | :-- |")
SCALE = float(os.environ.get("RANGESWEEP_FAULTS", "1"))
WHOLE = "the test as a whole"
"""What stands in the row of a test that broke off before it could count."""
IS_WRITTEN = os.environ.get("RANGESWEEP_WRITE_RELIABILITY") == "1"


def many(n: int) -> int:
    """Return how many of `n` are tried: all, or the share that the environment asks for."""
    return max(1, round(n * SCALE))


def parts(n: int, n_parts: int) -> list[int]:
    """Return the sizes of the parts in which `n` are tried, by as many calls of a test as several processes share."""
    return [size for size in (n * (i + 1) // n_parts - n * i // n_parts for i in range(n_parts)) if size]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the document.

    Parameters
    ----------
    what : str
        What was tried.
    tried, failed : str
        How often, and how often it went wrong.
    test : str
        The test's node, which is the row's name, too.
    """

    what: str
    tried: str
    failed: str
    test: str

    @property
    def key(self) -> tuple[str, str]:
        """What makes a row the same one when it is counted again: test and words, whatever the numbers in them."""
        return self.test, re.sub(r"\d[\d ]*", "N ", self.what)

    def __str__(self) -> str:
        return f"| {self.what} | {self.tried} | {self.failed} | `{self.test}` |"


def parsed(line: str) -> Row:
    """Read a row of the document."""
    what, tried, failed, test = (cell.strip() for cell in line.strip().strip("|").split(" | "))
    return Row(what, tried, failed, test.strip("`"))


def rows_of(text: str) -> list[Row]:
    """Return the rows that stand between the document's marks."""
    inside = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    return [parsed(line) for line in inside[len(HEAD) :]]


def summed(rows: list[Row]) -> list[Row]:
    """Return one row for all that are the same but for what was counted, as the cases of one test are."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        there = found.get(row.key)
        cells = [row.tried, row.failed] if there is None else [there.tried, row.tried, there.failed, row.failed]
        if there is None or not all(re.fullmatch(r"[\d ]+", cell) for cell in cells):
            found[row.key] = row
            continue
        n = [int(cell.replace(" ", "")) for cell in cells]
        found[row.key] = Row(there.what, number(n[0] + n[1]), number(n[2] + n[3]), row.test)
    return sorted(found.values(), key=lambda row: row.key)


def with_rows(text: str, new: list[Row]) -> str:
    """Return the document with some rows written anew: in the place of the same ones, else at the end.

    A test that has counted now takes away the row that says it broke off, unless a part of it did so again.
    """
    counted = {row.test for row in new}
    old = [row for row in rows_of(text) if row.what != WHOLE or row.test not in counted]
    rows = {row.key: row for row in old} | {row.key: row for row in new}
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    lines = [BEGIN, "", *HEAD, *map(str, rows.values()), "", END]
    return before + "\n".join(lines) + after


def number(n: float) -> str:
    """Write a count as the documents do: thousands apart."""
    return f"{n:,.0f}".replace(",", " ")
