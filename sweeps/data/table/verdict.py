"""How a table's study ends: what its certificates' one look at the test rows shows."""

from __future__ import annotations

import math
from typing import Any

from analysis.records.study import Study, TrialRecord, Verdict
from sweeps.data.table.baselines import BASELINES
from sweeps.data.table.metrics import METRICS
from sweeps.data.table.settings import ALLOW_LEAK


def table_verdict(level: float, study: Study, stopped: str) -> Verdict:
    """Return the verdict of a table's study.

    Parameters
    ----------
    level : float
        Of the spec's certificates, shared among those there may be.
    study : Study
        With all its records.
    stopped : str
        Why the search ended.

    Returns
    -------
    Verdict
        The winner has the best score on the test rows among the certificates that passed, else among all.
    """
    certificates = [record for record in study.records["certificate"] if record.state != "failed"]
    passed = [record for record in certificates if record.ensemble and record.ensemble["passed"]]
    winner = min(passed or certificates, key=_order, default=None)
    judged = winner.ensemble if winner is not None else None
    return Verdict(
        certified=bool(passed),
        winner=None if winner is None else winner.number,
        page_winner=None,
        page_certified=False,
        level=level if judged is None else float(judged["level"]),
        n_certificates=len(certificates),
        stopped=stopped,
        text=_text(winner, judged, stopped),
    )


def _order(record: TrialRecord) -> tuple[float, int]:
    judged = record.ensemble
    if not judged or judged["value"] is None:
        return math.inf, record.number  # its value is of the rows it trained on: the finalists' order stands
    return METRICS[judged["metric"]].as_loss(judged["value"]), record.number


def _text(winner: TrialRecord | None, judged: dict[str, Any] | None, stopped: str) -> str:
    if winner is None:
        why = "every trial failed" if stopped == "all_failed" else "no trial could be trained on all rows"
        return f"Nothing certified: {why}; look at the trials' reasons, or widen the space."
    if judged is None:
        return "Not certified: no test row has a known target; what the folds say is all there is."
    metric, n = METRICS[judged["metric"]], judged["n_rows"]
    against, theirs = judged["against"], judged["baselines"][judged["against"]][metric.name]
    result = (
        f"{metric.title} {_number(judged['value'])} of {len(winner.seeds)} networks together on {n} test rows, "
        f"looked at once (best baseline, {BASELINES[against].titles[metric.task]}: {_number(theirs)})"
    )
    if judged.get("n_units", n) != n:
        result = result.replace(" test rows,", f" test rows ({judged['n_units']} {judged['units']}),")
    if judged.get("suspected"):
        return f"Not certified: rows may depend on each other ({judged['suspected']}): {result}."
    if judged.get("scope"):
        result += f"; for {judged['scope']}"
    if judged["passed"]:
        return f"Certified: {result} reaches the goal, {judged['goal']}, at level {judged['level']:.2g}."
    if judged.get("withheld"):
        return f"Not certified: {judged['withheld']}; {ALLOW_LEAK} and another --name. {result}."
    if judged["method"].startswith("a class has"):
        return (
            f"Not certified: {result}; to {judged['goal']} is not shown at level {judged['level']:.2g}: "
            f"{judged['method']}."
        )
    if judged["goal"].startswith("beat"):
        better = theirs is not None and judged["value"] is not None and metric.is_better(judged["value"], theirs)
        how = "worse"
        if better:
            how = "better, but by too little for so few rows"
        elif judged["value"] == theirs:
            how = "just as good"
        return f"Not certified: {result}; to {judged['goal']} is not shown at level {judged['level']:.2g}: it is {how}."
    return (
        f"Not certified: {result}; {judged['goal']} is not shown at level {judged['level']:.2g} "
        f"(it may be {_number(judged['bound'])})."
    )


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
