"""Studies whose every text is an attack."""

from __future__ import annotations

import dataclasses

import numpy as np
import record_builders as build

from analysis.records.study import Study


def hostile(payload: str, n_trials: int = 3, n_certificate: int = 7) -> Study:
    """Return a study with `payload` in every field a user or an error can fill."""
    study = build.finished_study("xor", n_trials=n_trials, n_certificate=n_certificate)
    rng = np.random.default_rng(5)
    trials = [dataclasses.replace(trial, params={**trial.params, payload: payload}) for trial in study.trials]
    trials += [dataclasses.replace(trials[0], number=n_trials, params={payload: "other"})]
    trials += [build.failed(rng, n_trials + 1, reason=payload)]
    study.records["search"] = trials
    study.header = dataclasses.replace(
        study.header, sweep=payload, dataset=payload, spec_sha256=payload, versions={payload: payload}
    )
    for stage in ("certificate", "page_certificate"):
        study.records[stage] = [
            dataclasses.replace(record, params={payload: payload}, road=payload, playground_url=payload)
            for record in study.records[stage]
        ]
    study.verdict = dataclasses.replace(study.verdict, text=payload, stopped=payload)
    return study
