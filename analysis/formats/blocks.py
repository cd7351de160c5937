"""What a section hands to the report: plain blocks that know no output format, drawings not drawn yet."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from analysis.formats.trial_rows import Workbench
from analysis.records.study import Study
from analysis.statistics.homework import WORDS, dataset_title
from analysis.statistics.intervals import Interval
from analysis.words import ENGLISH, say, speaking, translated

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Link:
    """A Playground address; only such addresses become links, anything else stays text."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no number here."""

    reason: str


Cell = str | int | float | Interval | Link | Missing


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """One column of a table.

    Parameters
    ----------
    key : str
        Name in the CSV file.
    title : str
        Heading for the reader.
    kind : str
        ``"text"``, ``"number"`` or ``"interval"``; an interval becomes four columns of the CSV file (estimate, ends,
        n).
    """

    key: str
    title: str
    kind: Literal["text", "number", "interval"] = "number"


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table for the reader, and the CSV file of the same numbers.

    Parameters
    ----------
    name : str
        File name without its ending.
    caption : str
        What the table shows, with n and what varies.
    columns : tuple of Column
    rows : tuple of tuple of Cell
        The first cell of a row is its heading.
    """

    name: str
    caption: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing to be made, its finding in words, and the numbers behind it.

    Parameters
    ----------
    name : str
        File name without its ending.
    caption : str
        What is drawn, with n and what varies.
    alt : str
        What the picture tells, for whoever cannot see it.
    draw : callable
        Makes the figure, a new one at each call; called under the report's style.
    data : Table
        The numbers drawn; written as a CSV file only.
    raster : bool
        Whether pixels (PNG) suit it better than lines (SVG).
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    data: ReportTable
    raster: bool = False


@dataclass(frozen=True, slots=True)
class Animation:
    """A picture that moves; the fields that `Picture` has too mean the same.

    Parameters
    ----------
    frames : callable
        Yields the figure once for every frame, changed in between; iterated once, under the report's style.
    frame_ms, last_ms : int
        How long a frame and the last one stay.
    """

    name: str
    caption: str
    alt: str
    frames: Callable[[], Iterator[Figure]]
    data: ReportTable
    frame_ms: int = 120
    last_ms: int = 2500


@dataclass(frozen=True, slots=True)
class Stills:
    """Frames side by side for the page and for print, with all of them as a GIF file beside it.

    Parameters
    ----------
    picture : Picture
        Some of the frames, with the numbers of all of them.
    frames : callable
        Makes the frames when called, one (height, width) of palette numbers each; called once.
    palette : sequence of (red, green, blue)
        At most 256 colours, 0 to 255.
    frame_ms, last_ms : int
        How long a frame and the last one stay.
    """

    picture: Picture
    frames: Callable[[], Sequence[npt.NDArray[np.uint8]]]
    palette: Sequence[tuple[int, int, int]]
    frame_ms: int = 500
    last_ms: int = 2500


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph. `role` is ``"plain"``, ``"missing"`` (why something is not shown) or ``"finding"``."""

    text: str
    role: str = "plain"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section, usually a dataset's name."""

    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of a card: its name, its value or why there is none, and what the name means."""

    title: str
    value: Cell
    meaning: str


@dataclass(frozen=True, slots=True)
class Card:
    """The answer for one dataset, the same wherever it is shown.

    Parameters
    ----------
    dataset : str
        Its name in the report.
    verdict : str
        ``"certified"``, ``"not certified"``, or why there is no certificate.
    basis : str
        Goal and number of draws behind the figures.
    setting : str or Missing
        The whole setting, as it can be typed in again.
    facts : tuple of Fact
        Figures in reading order.
    beyond : str
        In range against out of range, with the reason, as one sentence.
    picture : Picture or Missing
        Small.
    command : str or Missing
        Trains the setting again and compares every bit.
    link : Link or Missing
        Opens the Playground page.
    why : tuple of str
        One sentence a hyperparameter that mattered among a search's trials.
    next_steps : tuple of str
        What is left to be tried.
    changes : tuple of str
        What one change of the setting does, the changes that matter most first; empty where that was not tried.
    changes_short : str
        The same in one sentence.
    """

    dataset: str
    verdict: str
    basis: str
    setting: str | Missing
    facts: tuple[Fact, ...]
    beyond: str
    picture: Picture | Missing
    command: str | Missing
    link: Link | Missing
    why: tuple[str, ...]
    next_steps: tuple[str, ...]
    changes: tuple[str, ...] = ()
    changes_short: str = ""

    @property
    def why_word(self) -> str:
        """What `why` is: no more than what a search's trials tell, where there was an experiment besides."""
        return "Search trials" if self.changes else "Why"


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards side by side, as many as there is room for."""

    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """A question to the reader, who may mark one of the options: in the browser only, nothing is sent or kept."""

    question: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A section in a list of contents: its key and title, what it asks and what it answers."""

    key: str
    title: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class ContentsList:
    """A list of sections of the same page, each with its question and its answer in one sentence."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that the reader opens after having read `summary`; Markdown shows them below it."""

    summary: str
    blocks: tuple[Paragraph | Heading | ReportTable | Picture, ...]


Block = (
    Paragraph | Heading | ReportTable | Picture | Animation | Stills | Cards | Guess | Folded | ContentsList | Workbench
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the report, in reading order of its blocks.

    Parameters
    ----------
    key, title : str
        Its place on the page and its heading.
    blocks : tuple of Block
    group : str
        Question that it helps to answer: sections of one group are folded away together. Empty: never folded.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
    group: str = ""


def labels(studies: Sequence[Study]) -> list[str]:
    """Return what to call each study: its dataset, with the sweep's name before it where there are several sweeps.

    Sweeps of one name in several folders are told apart by those folders, as far up as it takes.
    """
    sweeps = sweep_names(studies)
    several = len(set(sweeps)) > 1
    names = [
        printable(f"{sweep}/{title}" if several else title)
        for sweep, title in zip(sweeps, (dataset_title(study.header.dataset) for study in studies), strict=True)
    ]
    return [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def sweep_names(studies: Sequence[Study]) -> list[str]:
    """Return the name of each study's sweep, with as much of its folder as tells sweeps of one name apart."""
    folders = [None if study.path is None else study.path.parent.parent for study in studies]
    names = [study.header.sweep for study in studies]
    result = []
    for name, folder in zip(names, folders, strict=True):
        others = {other for other, same in zip(folders, names, strict=True) if same == name and other != folder}
        if folder is None or None in others or not others:
            result.append(name)
            continue
        paths = [other.parts for other in others if other is not None]
        depth = next(
            (k for k in range(1, len(folder.parts)) if all(path[-k:] != folder.parts[-k:] for path in paths)), 0
        )
        result.append("/".join(folder.parts[-depth:]) if depth else name)
    return result


def study_files(prefix: str, studies: Sequence[Study]) -> list[str]:
    """Return a file name for each study's picture, the same in every language."""
    with speaking(ENGLISH):
        return file_names(prefix, labels(studies))


def file_names(prefix: str, names: Sequence[str]) -> list[str]:
    """Return a file name for each study's picture: safe on every file system, and none twice."""
    slugs = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] for name in names]
    return [
        f"{prefix}-{slug}" if slug and slugs.count(slug) == 1 else f"{prefix}-{slug or 'study'}-{i + 1}"
        for i, slug in enumerate(slugs)
    ]


def printable(text: str) -> str:
    """Return `text` with characters that no page or picture may hold (controls, direction overrides) replaced."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", "�", str(text)
    )


def param_title(param: str) -> str:
    """Return a spec key as a reader says it: ``"training.learning_rate"`` is the learning rate."""
    name = WORDS.get(param, param.partition(".")[2].replace("_", " ").replace(".", " "))
    return printable(translated(name) or param)


def short(text: str, most: int = 26) -> str:
    """Return a name that fits beside a picture."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def number_text(value: float) -> str:
    """Return a number as a reader wants it: three significant digits, at least three decimals below one."""
    if not math.isfinite(value):
        return say("not finite")
    if value == 0 or float(value).is_integer():
        return f"{value:.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        return f"{value:.3g}"
    return f"{value:.{max(0, min(5, 2 - math.floor(math.log10(abs(value)))))}f}"


def finite(values: Sequence[float | None]) -> list[float]:
    """Return the numbers among `values`."""
    return [value for value in values if value is not None and math.isfinite(value)]


def optional(value: float | None, reason: str) -> float | Missing:
    """Return a number as a cell, or why there is none."""
    return Missing(reason) if value is None else value


def shown(interval: Interval) -> Interval | Missing:
    """Return an interval as a cell, or why there is none."""
    return Missing(interval.reason or say("not measured")) if interval.estimate is None else interval
