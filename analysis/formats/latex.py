"""Tables as LaTeX."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Cell,
    Link,
    Missing,
    ReportTable,
    number_text,
    printable,
)
from analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    pass
from analysis.formats.cells import interval_text

# What LaTeX takes for a command in text. Braces keep what follows from being swallowed, and "[" and "*" from becoming
# an argument of the line break before them.
LATEX_SIGNS: dict[str, str] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # a letter's accent in some languages
    **{sign: "\\" + sign for sign in "#$%&_{}"},
    **{sign: "{" + sign + "}" for sign in "[]*"},
    "\u2013": "--",
    "\u2014": "---",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u00b0": r"$^{\circ}$",
    "\u00b2": "$^{2}$",
    "\u00b3": "$^{3}$",
    "\u2026": r"\ldots{}",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
}
LATEX_LIGATURES = re.compile(r"(?<=[-'`,?!])(?=[-'`,])")


def latex(text: str) -> str:
    r"""Return `text` so that LaTeX, any engine without a package, sets it as it is.

    What plain pdfLaTeX has no letter for is written as its code point, ``U+87BA``: a table must not stop a document.
    """
    plain = unicodedata.normalize("NFC", printable(text))
    # Signs that would melt into one ("--", "?`") are kept apart; the group is empty, so nothing else changes.
    parts = LATEX_LIGATURES.split(plain)
    return "{}".join(
        "".join(LATEX_SIGNS.get(sign) or (sign if latin(sign) else f"U+{ord(sign):04X}") for sign in part)
        for part in parts
    )


def latin(sign: str) -> bool:
    """Return whether LaTeX's standard fonts have a letter or sign: ASCII, and the accented letters of Latin-1."""
    return sign.isascii() or (
        "\u00c0" <= sign <= "\u00ff" and sign.isalpha() and sign not in "\u00d0\u00de\u00f0\u00fe"
    )


def latex_cell(cell: Cell) -> str:
    """Return a cell as LaTeX."""
    if isinstance(cell, Missing):
        return rf"\emph{{{latex(cell.reason)}}}"
    if isinstance(cell, Interval):
        return " ".join(latex_number(part) for part in interval_text(cell))
    if isinstance(cell, Link):
        return latex(cell.url)
    return latex(cell) if isinstance(cell, str) else latex_number(number_text(cell))


def latex_number(text: str) -> str:
    """Return text made of numbers as LaTeX, its minus signs as long as they should be."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", latex(text))


def latex_table(table: ReportTable) -> str:
    r"""Return a table as a LaTeX float that needs no package: ``\input{homework.tex}``.

    Its label is ``tab:`` and the file's name.
    """
    alignment = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    rows = [[latex(column.title) for column in table.columns]]
    rows += [[latex_cell(cell) for cell in row] for row in table.rows]
    head, *body = [" & ".join(row) + r" \\" for row in rows]
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        *(r"\hline", head, r"\hline", *body, r"\hline"),
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
