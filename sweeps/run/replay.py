"""Run a recorded setting again and compare, bit for bit."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from analysis.records.events import Stage
from analysis.records.lines import canonical_json
from analysis.records.reading import read_study
from analysis.records.study import Record, TrialRecord, without_timing
from sweeps.run.kinds import kind_of, load
from sweeps.run.plan import Piece, Plan, Timing
from sweeps.run.setting import Setting
from sweeps.run.versions import versions
from sweeps.store.log import LOG_NAME, SPEC_NAME
from sweeps.toml import SpecError


@dataclass(frozen=True, slots=True)
class Replay:
    """A setting trained again: its record then and now, the fields in which they differ, timing apart, what changed.

    `changed` names each version that is not the one it was recorded with: only without any must bits be equal.
    """

    recorded: Record
    rerun: Record
    differences: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Digest of a trial's curves and weights, or of all that a network's record holds, timing apart; of now."""
        if isinstance(self.rerun, TrialRecord):
            return self.rerun.sha256
        return hashlib.sha256(canonical_json(without_timing(self.rerun)).encode()).hexdigest()


def replay(folder: Path, dataset: str, number: int, stage: Stage | None = None) -> Replay:
    """Run a recorded setting again and compare, bit for bit.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    dataset : str
        Name of the study's dataset.
    number : int
        The setting's number within its stage.
    stage : str or None
        See `analysis.records.study.TrialRecord`; None means the first: what was searched or listed.

    Raises
    ------
    SpecError
        If there is no such sweep, dataset or trial.
    RecordError
        If the log is damaged.
    """
    if not (folder / SPEC_NAME).is_file():
        raise SpecError(f"{folder}: no {SPEC_NAME} in it; name a folder that `sweeps run` has written")
    spec = load(folder / SPEC_NAME)
    plan = kind_of(spec).plan(spec, folder, dataset)
    path = folder / dataset / LOG_NAME
    if not path.is_file():
        raise SpecError(f"{path}: not there yet; run the sweep first")
    study = read_study(path)
    stage = plan.first if stage is None else stage
    records = study.of_stage(stage)
    recorded = next((record for record in records if record.number == number), None)
    if recorded is None:
        numbers = f"0 to {records[-1].number}" if records else "none"
        raise SpecError(f"{folder.name}/{dataset}: no {stage} trial {number}; recorded: {numbers}")
    rerun = run_setting(plan, plan.setting_of(study, recorded))
    then, now = without_timing(recorded), without_timing(rerun)
    # Through JSON, as the recorded one has come.
    differences = tuple(key for key in then if canonical_json(then[key]) != canonical_json(now[key]))
    current = versions()
    known = study.header.versions
    changed = tuple(
        f"{key} {known.get(key)} then, {current.get(key)} now"
        for key in sorted({*known, *current})
        if known.get(key) != current.get(key)
    )
    return Replay(recorded, rerun, differences, changed)


def run_setting(plan: Plan, setting: Setting) -> Record:
    """Train one setting, all its pieces in turn, and return its record."""
    nobody = threading.Event()
    outcomes = [plan.train((Piece(setting, i),), nobody)[0] for i in range(setting.n_chunks)]
    return plan.record(setting, outcomes, Timing())
