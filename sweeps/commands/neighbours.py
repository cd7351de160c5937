"""Other sweeps below the same results folder that looked at what a sweep's certificates rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.records.lines import RecordError, read_lines
from analysis.records.reading import read_study
from analysis.records.study import Study, StudyHeader
from analysis.statistics.looks import OF_ROWS, others_text


def neighbour_sentences(folder: Path, studies: Sequence[Study]) -> list[str]:
    """Return one sentence for each study of a sweep whose draws or test rows another sweep beside it has had.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    studies : sequence of Study
        Of that sweep.
    """
    mine = [study.header for study in studies if any(look.level for look in study.looks)]
    others = [
        study
        for path in sorted(folder.resolve().parent.glob("*/*/log.jsonl"))
        if mine and path.parents[1] != folder.resolve() and (study := _study(path, mine)) is not None
    ]
    return [told for study in studies if (told := others_text(study, others)) is not None]


def _study(path: Path, mine: Sequence[StudyHeader]) -> Study | None:
    """Return a study that may have looked where these did; a log that cannot be read is for its own sweep to tell."""
    try:
        first = next(read_lines(path), None)
        header = {} if first is None else first.data
        data = header.get("data")
        kind = data.get("kind") if isinstance(data, dict) else None
        may_share = any(
            kind == one.data.get("kind")
            and (kind in OF_ROWS or (header.get("dataset"), header.get("seed")) == (one.dataset, one.seed))
            for one in mine
        )
        return read_study(path) if may_share else None
    except (OSError, RecordError):
        return None
