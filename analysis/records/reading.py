"""The one reader of a study's log, which takes a line only where it belongs.

That is: one header, lines of this study in an unbroken chain, fields of their types, trials asked in order and once,
records of trials that were asked, with the params that were asked for, and a verdict over all of them, sealed with the
digest that they give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.records.events import AskedLine, Chapter, Extension, LookLine, Stage, Verdict
from analysis.records.fields import build
from analysis.records.lesson import LESSON, CellRecord, lesson_settings
from analysis.records.lines import RESTORE, Chain, Line, RecordError, read_lines, short
from analysis.records.polynomial import POLYNOMIAL, NetworkRecord, polynomial_settings
from analysis.records.study import (
    CELL,
    LISTED,
    NETWORK,
    STAGES,
    Record,
    Study,
    StudyHeader,
    TrialRecord,
    canonical_lines,
    digest_of,
    study_name,
)

EARLIER_NAME = "runs.jsonl"
"""What polynomial studies left before they had a log."""
REOPENING_KINDS = frozenset({"extension", "chapter"})
"""Kinds of lines that may follow a verdict; another verdict has to come after them."""
LINE_TYPES: Mapping[str, type] = MappingProxyType(
    {
        "study": StudyHeader,
        "asked": AskedLine,
        "finished": TrialRecord,
        "verdict": Verdict,
        "look": LookLine,
        "extension": Extension,
        "chapter": Chapter,
    }
    | dict.fromkeys(STAGES[1:], TrialRecord)
    | {NETWORK: NetworkRecord, CELL: CellRecord}
)
"""What each kind of line holds."""
DATA_OF: Mapping[str, Callable[[Mapping[str, Any]], object]] = MappingProxyType(
    {POLYNOMIAL: polynomial_settings, LESSON: lesson_settings}
)
"""What reads the header's data of studies that train a list, by their kind."""


Item = StudyHeader | AskedLine | Record | Verdict | LookLine | Extension | Chapter
"""What a line holds."""


class StudyReader:
    """Reads a study's log line by line, and takes no line that does not belong where it stands.

    Parameters
    ----------
    path : Path
        The log; named in messages, and its folder is the dataset's.

    Attributes
    ----------
    study : Study or None
        What the lines so far say; None before the first. Records stand in the order of the lines.
    chosen : dict of int to Asked
        The asked lines by trial number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.study: Study | None = None
        self.chosen: dict[int, AskedLine] = {}
        self._numbers: dict[Stage, set[int]] = {stage: set() for stage in (*STAGES, *LISTED.values())}
        self._first: Stage = "search"
        self._n_lines = 0
        self._chain = Chain("")

    def take(self, line: Line) -> Item:
        """Take in the next line and return what it holds.

        Raises
        ------
        RecordError
            If it does not belong there; the message names file and line.
        """
        self._n_lines += 1
        where = f"{self._path}: line {self._n_lines}"
        kind = LINE_TYPES.get(line.kind)
        if kind is None:
            raise RecordError(f"{where}: kind: {short(line.kind)}; expected one of {', '.join(LINE_TYPES)}; {RESTORE}")
        try:
            item: Item = build(kind, line.data, line.kind)
            self._place(line, item, where)
        except ValueError as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(f"{where}: {error}; {RESTORE}") from None
        return item

    def _place(self, line: Line, item: Item, where: str) -> None:
        if self.study is None:
            if not isinstance(item, StudyHeader):
                raise ValueError(f"a {line.kind!r} line; expected the study's header")
            self.study = self._begin(item)
        self._chain.take(line, where)
        if isinstance(item, StudyHeader):
            if self._n_lines > 1:
                raise ValueError("a second header; expected none")
            return
        study = self.study
        if study.verdict is not None and line.kind not in REOPENING_KINDS:
            raise ValueError(f"a {line.kind!r} line behind the verdict; expected none")
        if isinstance(item, AskedLine):
            self._ask(study, item)
        elif isinstance(item, TrialRecord | NetworkRecord | CellRecord):
            self._record(study, line.kind, item)
        elif isinstance(item, LookLine):
            self._look(study, item)
        elif isinstance(item, Chapter):
            self._open(study, item)
        elif isinstance(item, Extension):
            study.extend(item)
        else:
            self._end(study, item, line)

    def _begin(self, header: StudyHeader) -> Study:
        folder = self._path.absolute().parent.name
        if header.dataset != folder:
            raise ValueError(f"study.dataset: {short(header.dataset)}; expected {folder}, the name of the log's folder")
        self._chain.study = study_name(header)
        study = Study(header, path=self._path, chain=self._chain)
        check = DATA_OF.get(str(header.data.get("kind", "")))
        if check is not None:
            check(header.data)
        self._first = study.first
        return study

    def _ask(self, study: Study, asked: AskedLine) -> None:
        if asked.number != len(self.chosen):
            raise ValueError(f"asked.number: {asked.number}; expected {len(self.chosen)}: trials are asked in order")
        if asked.source is not None and not 0 <= asked.source < asked.number:
            raise ValueError(f"asked.source: {asked.source}; expected an earlier trial of {asked.number}")
        self.chosen[asked.number] = asked
        study.asked[asked.number] = asked.params

    def _record(self, study: Study, kind: str, record: Record) -> None:
        name, stage = study_name(study.header), record.stage
        if record.study != name:
            raise ValueError(f"{kind}.study: {short(record.study)}; expected {name}")
        if kind != ("finished" if stage == "search" else stage):
            raise ValueError(f"{kind}.stage: {stage!r}; expected that of a {kind!r} line")
        if record.number in self._numbers[stage]:
            raise ValueError(f"{kind}.number: {record.number} is there already; expected each once")
        listed = self._first in LISTED.values()
        if (stage in LISTED.values() or listed) and stage != self._first:
            raise ValueError(f"a {kind!r} line; expected {self._first} records in a study of {study.header.dataset}")
        if stage == self._first:
            asked = self.chosen.get(record.number)
            if asked is None:
                raise ValueError(f"{kind}.number: {record.number}; expected a trial that was asked")
            if record.params != asked.params or record.source != asked.source:
                raise ValueError(f"{kind}.params: not those that trial {record.number} was asked with")
        elif record.number < 0 or (record.source is not None and record.source not in self._numbers["search"]):
            raise ValueError(f"{kind}.source: {record.source}; expected a finished trial")
        self._numbers[stage].add(record.number)
        if isinstance(record, NetworkRecord):
            study.networks.append(record)
        elif isinstance(record, CellRecord):
            study.cells.append(record)
        else:
            study.records[stage].append(record)

    def _look(self, study: Study, look: LookLine) -> None:
        n_there, first, number = len(self._numbers[look.stage]), study.first_of_look(look.stage), study.look_number
        # Earlier versions took another look where an extension had brought no trial, and counted records.
        numbers = (number, number + 1) if study.is_extended_in_vain else (number,)
        is_free = look.first == first or (look.first == n_there and look.first not in self._numbers[look.stage])
        if look.number not in numbers or not is_free or study.look_of(look.stage, look.number) is not None:
            raise ValueError(
                f"look.number: {look.number} of {look.stage}s from {look.first}; expected look {number}, "
                f"from {first}, once"
            )
        study.looks.append(look)

    def _open(self, study: Study, chapter: Chapter) -> None:
        if self._first != "search":
            raise ValueError("a 'chapter' line; expected none in a study of a list")
        if chapter.first != len(self.chosen):
            raise ValueError(f"chapter.first: {chapter.first}; expected {len(self.chosen)}, the trials asked before it")
        kept = chapter.kept
        if kept != sorted(set(kept)) or (kept and not (kept[0] >= 0 and kept[-1] < chapter.first)):
            raise ValueError(f"chapter.kept: not numbers of trials below {chapter.first}, each once and in order")
        study.extend(chapter)

    def _end(self, study: Study, verdict: Verdict, line: Line) -> None:
        if missing := sorted(self.chosen.keys() - self._numbers[self._first]):
            raise ValueError(f"a verdict without the record of trial {missing[0]}; expected all that were asked")
        for stage in STAGES[1:]:
            numbers, look = self._numbers[stage], study.look_of(stage)
            looked = any(one.stage == stage for one in study.looks)
            # A look that an extension came upon never ended; the one that the verdict rests on did.
            expected = set(
                range(look.first, look.first + look.n_records) if look else () if looked else range(len(numbers))
            )
            if gap := sorted(expected - numbers):
                raise ValueError(f"a verdict without {stage} {gap[0]}; expected all before the last")
        for stage, number in (("certificate", verdict.winner), ("page_certificate", verdict.page_winner)):
            if number is not None and number not in self._numbers[stage]:
                raise ValueError(f"verdict.winner: {number}; expected the number of a {stage}")
        study.verdict = verdict
        sort_records(study)
        if self._chain.is_chained:
            found = digest_of(canonical_lines(study))
            if line.canonical != found:
                raise ValueError(f"sealed as {short(line.canonical)}; expected {short(found)}, which its lines give")


def sort_records(study: Study) -> None:
    """Put a study's records in the order of their numbers."""
    for records in study.records.values():
        records.sort(key=lambda record: record.number)
    study.networks.sort(key=lambda network: network.number)
    study.cells.sort(key=lambda cell: cell.number)


def read_log(path: Path) -> StudyReader:
    """Read the log of one study; see `read_study`."""
    reader = StudyReader(path)
    for line in read_lines(path):
        reader.take(line)
    if reader.study is None:
        raise RecordError(f"{path}: empty; run the sweep again")
    sort_records(reader.study)
    return reader


def read_study(path: Path) -> Study:
    """Read the log of one study.

    Parameters
    ----------
    path : Path
        ``<results>/<sweep>/<dataset>/log.jsonl``.

    Returns
    -------
    Study
        Records sorted by number within each stage.

    Raises
    ------
    RecordError
        If a line is damaged or does not belong where it stands; the message names file and line.
    """
    study = read_log(path).study
    assert study is not None
    return study


def check_version(folder: Path) -> None:
    """Refuse the folder of a polynomial study whose records an earlier version wrote.

    Raises
    ------
    RecordError
        If it is one.
    """
    path = folder / EARLIER_NAME
    if path.is_file():
        raise RecordError(f"{path}: the records of an earlier version, which cannot go on here; use another --results")


def read_sweep(folder: Path) -> list[Study]:
    """Read every study below ``results/<sweep>/``, in the order the sweep names its datasets.

    Raises
    ------
    RecordError
        If there is no log below `folder`, one is damaged, or they are of several sweeps.
    """
    check_version(folder)
    paths = sorted(folder.glob("*/log.jsonl"))
    if not paths:
        raise RecordError(f"{folder}: no <dataset>/log.jsonl below it; name a folder that `sweeps run` has written")
    studies = sorted((read_study(path) for path in paths), key=lambda study: study.header.position)
    check_one_sweep(studies)
    return studies


def check_one_sweep(studies: Sequence[Study]) -> None:
    """Refuse studies of one folder that are of several sweeps.

    Raises
    ------
    RecordError
        If some are; the message names the log of the first that differs from the first study.
    """
    if not studies:
        return
    first = studies[0].header
    for study in studies[1:]:
        for key in ("sweep", "seed", "spec_sha256"):
            here, there = getattr(study.header, key), getattr(first, key)
            if here != there:
                raise RecordError(
                    f"{study.path}: line 1: study.{key}: {short(here)}; expected {short(there)}, as in"
                    f" {first.dataset}'s log: of another sweep; {RESTORE}"
                )


def anchor_difference(study: Study, canonical: str, where: str) -> str | None:
    """Return in one sentence that a log is not the one sealed with a digest that stands outside it, or None.

    Parameters
    ----------
    study : Study
        As read.
    canonical : str
        What stands outside.
    where : str
        What the message calls that place.
    """
    seals = study.chain.seals if study.chain is not None else []
    if canonical in (*seals, study.digest):  # an earlier seal, where another look has been taken since
        return None
    found = study.digest
    state = "sealed" if study.verdict is not None else "unfinished, and"
    return f"{study.path}: {state} as {short(found)}; expected {short(canonical)}, as {where} says; {RESTORE}"
