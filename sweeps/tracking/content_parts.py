"""What a kind of study says of its own in MLflow: params, metrics and texts in the form and the limits of MLflow."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.records.events import Scalar

# MLflow's own limits; longer texts it cuts without an error.
LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DIGEST = 36
MetricPoint = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class OfStudy:
    """What is a kind's own in the parent run of a study.

    Parameters
    ----------
    note : str
        What its runs mean, for whoever looks at MLflow alone.
    params : dict of str to str
    metrics : list of (key, value, step)
    texts : dict of str to str
        Artifacts beside ``study.json`` and ``verdict.json``.
    answer : str
        What was found, as Markdown, once there is a verdict; empty: the verdict's own words.
    tags : dict of str to str
        What may change while the study goes on.
    """

    note: str
    params: dict[str, str]
    metrics: list[MetricPoint]
    texts: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfRecord:
    """What is a kind's own in the run of a record.

    Parameters
    ----------
    name : str
        What MLflow's list calls it.
    tags, params : dict of str to str
    metrics : list of (key, value, step)
    keeps_record : bool
        Whether the whole record is an artifact.
    seeds : sequence of str
        What fixes the data behind it.
    is_slim : bool
        Whether it is one of very many: its run then has only what tells it from the others, and no dataset.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[MetricPoint]
    keeps_record: bool
    seeds: Sequence[str]
    is_slim: bool = False


def finite_points(values: Mapping[str, float | None], step: int) -> list[MetricPoint]:
    """Return those of the values that MLflow can show, as metrics at a step."""
    return [
        (legal_key(key), float(value), step)
        for key, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def legal_key(name: str) -> str:
    """Return `name` in the characters that MLflow takes, distinct names staying distinct."""
    legal = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)
    if legal == name and len(name) <= LONGEST_KEY:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{legal[: LONGEST_KEY - 9]}_{mark}"


def short_text(value: Scalar, limit: int) -> str:
    """Return `value` as text, or a digest of it where MLflow would cut it."""
    text = str(value)
    return (
        text if len(text) <= limit else f"sha256:{hashlib.sha256(text.encode()).hexdigest()} ({len(text)} characters)"
    )
