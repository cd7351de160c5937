"""How a table's study ends: what its certificates' one look at the test rows shows."""

from __future__ import annotations

import math
from typing import Any

from analysis.records.events import Verdict
from analysis.records.study import Study, TrialRecord
from analysis.records.table import told_apart
from analysis.statistics.looks import looks_text, no_winner_text
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
    certificates = [
        record for record in study.records["certificate"] if record.state == "complete" and study.stands(record)
    ]
    passed = [record for record in certificates if record.ensemble and record.ensemble["passed"]]
    # Of several looks the last at which a certificate passed, else the last there is.
    rounds = [study.records_of("certificate", number) for number in range(study.look_number, 0, -1)]
    candidates = next(
        (found for look in rounds if (found := [one for one in look if one in (passed or certificates)])), []
    )
    winner = min(candidates, key=_order, default=None)
    judged = winner.ensemble if winner is not None else None
    return Verdict(
        certified=bool(passed),
        winner=None if winner is None else winner.number,
        page_winner=None,
        page_certified=False,
        level=level if judged is None else float(judged["level"]),
        n_certificates=len(study.records_of("certificate")),
        stopped=stopped,
        text=_text(study, level, winner, judged, stopped),
    )


def _order(record: TrialRecord) -> tuple[float, int]:
    judged = record.ensemble
    if not judged or judged["value"] is None:
        return math.inf, record.number  # its value is of the rows it trained on: the finalists' order stands
    return METRICS[judged["metric"]].as_loss(judged["value"]), record.number


def _text(study: Study, level: float, winner: TrialRecord | None, judged: dict[str, Any] | None, stopped: str) -> str:
    if winner is None:
        return no_winner_text(study, asked=True, stopped=stopped)
    if judged is None:
        return "Not certified: no test row has a known target; what the folds say is all there is."
    metric, n = METRICS[judged["metric"]], judged["n_rows"]
    result = (
        f"{metric.title} {_number(judged['value'])} of {len(winner.seeds)} networks together on {n} test rows "
        f"({_best_text(judged)})"
    )
    if judged.get("n_units", n) != n:
        one = {"stretches": "stretch", "groups": "group"} if judged["n_units"] == 1 else {}
        units = " ".join(one.get(word, word) for word in judged["units"].split(" "))
        result = result.replace(f"{n} test rows ", f"{n} test rows, {judged['n_units']} {units} ")
    if judged.get("suspected"):
        return f"Not certified: rows may depend on each other ({judged['suspected']}): {result}{_scored(study, level)}."
    if judged.get("scope"):
        result += f"; for {judged['scope']}"
    at = f"at level {judged['level']:.2g}{looks_text(study, level, is_finite=True)}"
    if judged.get("withheld"):
        return f"Not certified: {judged['withheld']}; {ALLOW_LEAK} and another --name. {result}{_scored(study, level)}."
    if judged.get("method", "").startswith("a class has"):
        return (
            f"Not certified: {result}; to {judged['goal']} is not shown at level {judged['level']:.2g}: "
            f"{judged['method']}."
        )
    if judged["goal"].startswith("beat"):
        against = "; ".join(against_text(judged, name) for name in BASELINES if name in judged["comparisons"])
        if judged["passed"]:
            return f"Certified: {result} reaches the goal, {judged['goal']}, {at}: {against}."
        return f"Not certified: {result}; to {judged['goal']} is not shown {at}: {against}."
    if judged["passed"]:
        return f"Certified: {result} reaches the goal, {judged['goal']}, {at}."
    return f"Not certified: {result}; {judged['goal']} is not shown {at} (it may be {_number(judged['bound'])})."


def _scored(study: Study, level: float) -> str:
    """Return that the test rows have been looked at, though nothing is certified."""
    return f"; scored all the same{looks_text(study, level, is_finite=True)}"


def against_text(judged: dict[str, Any], name: str) -> str:
    """Return whether the networks are better or worse than a baseline, as far as paired rows can tell."""
    one = judged["comparisons"][name]
    title = BASELINES[name].titles[METRICS[judged["metric"]].task]
    return told_apart(title, one["low"], one["high"], one["n_units"])


def _best_text(judged: dict[str, Any]) -> str:
    """Return the best baseline in the folds and, where it is another one, the best on these rows."""
    metric = METRICS[judged["metric"]]

    def told(name: str) -> str:
        return f"{BASELINES[name].titles[metric.task]}: {_number(judged['baselines'][name][metric.name])}"

    if judged["against"] == judged["best_here"]:
        return f"best baseline in the folds and here, {told(judged['against'])}"
    return f"best baseline in the folds, {told(judged['against'])}; here, {told(judged['best_here'])}"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
