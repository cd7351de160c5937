"""One thing that is not as it must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Rule = Literal["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"]
RULES: Mapping[Rule, str] = MappingProxyType(
    {
        "I1": "what was written stays written: a log is whole, and the one that MLflow and the report name",
        "I2": "no trial of a finished study is left without its record",
        "I3": "no run in MLflow is left running",
        "I4": "records and runs are one to one",
        "I5": "a record's state and its run's status agree",
        "I6": "a number is the same in log, models and MLflow",
        "I7": "the budget of trials was kept",
        "I8": "trials are numbered 0 to n - 1, each once",
        "I9": "the database is sound",
        "I10": "no temporary file or dead lock is left",
        "I11": "what failed says why",
        "I12": "verdict and report are what the records give",
    }
)
"""What holds of a sweep, whatever happened to it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold.

    Parameters
    ----------
    rule : str
        Key of `RULES`.
    text : str
        One line: where, what is there, what was expected, what would do.
    """

    rule: Rule
    text: str

    def __str__(self) -> str:  # noqa: D105
        return " ".join(f"{self.rule} {self.text}".split())  # one line, whatever a path or a value holds
