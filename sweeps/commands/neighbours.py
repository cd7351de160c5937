"""Other sweeps below the same results folder that looked at what a sweep's certificates rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.records.lines import RecordError
from analysis.records.reading import read_study
from analysis.records.study import Study
from analysis.statistics.looks import others_text


def neighbour_sentences(folder: Path, studies: Sequence[Study]) -> list[str]:
    """Return one sentence for each study of a sweep whose draws or test rows another sweep beside it has had.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    studies : sequence of Study
        Of that sweep.
    """
    kinds = {str(study.header.data.get("kind")) for study in studies if any(look.level for look in study.looks)}
    if not kinds:
        return []
    others = [
        study
        for path in sorted(folder.resolve().parent.glob("*/*/log.jsonl"))
        if path.parents[1] != folder.resolve() and (study := _study(path, kinds)) is not None
    ]
    return [told for study in studies if (told := others_text(study, others)) is not None]


def _study(path: Path, kinds: set[str]) -> Study | None:
    """Return a study of one of these kinds of data; a log that cannot be read is for its own sweep to tell."""
    try:
        with path.open("rb") as file:
            first = file.readline().replace(b" ", b"")
        if not any(f'"kind":"{kind}"'.encode() in first for kind in kinds):
            return None
        return read_study(path)
    except (OSError, RecordError):
        return None
