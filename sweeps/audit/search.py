"""The study rebuilt: every trial asked once more, from the spec and the values told before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analysis.records.events import AskedLine
from analysis.records.lines import canonical_json, short
from analysis.records.reading import read_log, read_study
from analysis.records.study import TrialRecord
from sweeps.audit.finding import Finding
from sweeps.run.chapters import sampler_of, specs_of_chapters, starts_of_chapters
from sweeps.run.kinds import load
from sweeps.run.versions import versions
from sweeps.search.samplers import Sampler
from sweeps.spec.sweep import SweepSpec
from sweeps.store.log import LOG_NAME, SPEC_NAME


def check_search(folder: Path) -> Iterator[Finding]:
    """Yield of each study the first trial that the sampler would not choose: nothing of what follows it can be right.

    A log that somebody has written anew as a whole, with every digest in order, is found by this alone. Nothing is
    said of a log of other versions, whose sampler may choose otherwise.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``; its records are in order.
    """
    spec = load(folder / SPEC_NAME)
    for path in sorted(folder.glob(f"*/{LOG_NAME}")):
        study = read_study(path)
        # A polynomial study's list of networks is fixed, and its reader knows it.
        if study.header.versions == versions() and isinstance(spec, SweepSpec):
            yield from _check_study(path, spec)


def _check_study(path: Path, spec: SweepSpec) -> Iterator[Finding]:
    reader = read_log(path)
    study = reader.study
    assert study is not None, "or it would not have been read"
    starts = [*starts_of_chapters(study), len(reader.chosen)]
    finished = {record.number: record for record in study.trials}
    for i, chapter_spec in enumerate(specs_of_chapters(spec, study)):
        asked = [reader.chosen[number] for number in range(starts[i], starts[i + 1])]
        if asked and (waiting := [number for number in range(starts[i]) if number not in finished]):
            text = f"trial {starts[i]} was asked before trial {waiting[0]}, of an earlier chapter, was told"
            yield Finding("I8", f"{path}: {text}; expected all of those first")
            return
        if not asked:
            continue
        found = _wrong_choice(path, chapter_spec, sampler_of(chapter_spec, study, i), asked, finished)
        if found is not None:
            yield found
            return


def _wrong_choice(
    path: Path, spec: SweepSpec, sampler: Sampler, chapter: Sequence[AskedLine], finished: Mapping[int, TrialRecord]
) -> Finding | None:
    """Return what is wrong with the first wrong choice of a chapter; None where there is none."""
    n_told = chapter[0].number
    for asked in chapter:
        while n_told < asked.number - spec.search.lag + 1:
            record = finished.get(n_told)
            if record is None:
                text = f"trial {asked.number} was asked before trial {n_told} was told"
                return Finding("I8", f"{path}: {text}; expected the order of the spec's lag")
            sampler.tell(n_told, None if record.state == "failed" else record.value)
            n_told += 1
        params, point = sampler.ask(asked.number)
        for name, there, again in (("params", asked.params, params), ("point", asked.point, point)):
            if canonical_json(there) != canonical_json(again):
                wrong = next((key for key in again if there.get(key) != again[key]), next(iter(there), ""))
                text = f"{name}.{wrong} {short(there.get(wrong))}; expected {short(again.get(wrong))}"
                return Finding("I12", f"{path}: trial {asked.number}: {text}, which the sampler chooses")
    return None
