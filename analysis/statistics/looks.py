"""What looks at fresh draws and at test rows cost, in numbers and in words, and why a study has no winner."""

from __future__ import annotations

from analysis.records.events import LookLine, Stage
from analysis.records.study import Study


def looks_taken(study: Study, stage: Stage = "certificate") -> list[LookLine]:
    """Return the looks of a stage that are on record, in order."""
    return sorted((look for look in study.looks if look.stage == stage), key=lambda look: look.number)


def level_of_all(looks: list[LookLine]) -> float:
    """Return the most that the chance of a false certificate can be over all these looks: the sum of their levels."""
    return min(sum(look.level * look.n_records for look in looks), 1.0)


def looks_text(study: Study, level: float, *, is_finite: bool) -> str:
    """Return what a verdict has to add to its level: which look it was, and what holds over all of them.

    Parameters
    ----------
    study : Study
        With its looks.
    level : float
        Of the spec's certificates.
    is_finite : bool
        Whether all looks are at the same test rows, which share `level`.
    """
    n = len(looks_taken(study))
    if is_finite:
        spent = sum(look.level * look.n_records for look in looks_taken(study))
        told = "the first look" if n <= 1 else f"look {n}"
        return f" ({told} at these rows; {spent:.2g} of {level:.2g} is spent)" if n else ""
    return f" (look {n} at fresh draws; over all {n} at most {min(n * level, 1.0):.2g})" if n > 1 else ""


def no_winner_text(study: Study, *, asked: bool, stopped: str) -> str:
    """Return why a study has no winner, and what to change.

    Parameters
    ----------
    study : Study
        With all its records.
    asked : bool
        Whether certificates were asked for.
    stopped : str
        Why the search ended.
    """
    trials = study.trials
    diverged = [trial for trial in trials if trial.state == "diverged"]
    if diverged and not any(trial.state == "complete" for trial in trials):
        rates = [float(trial.training["learning_rate"]) for trial in diverged]
        tried = f"{min(rates):.2g}" if min(rates) == max(rates) else f"{min(rates):.2g} to {max(rates):.2g}"
        rest = len(trials) - len(diverged)
        others = f", the other {rest} failed" if rest else ""
        return (
            f"No winner: {len(diverged)} of {len(trials)} trials diverged (at least half of their networks have no "
            f"finite loss){others}. Search learning rates below {min(rates):.2g} (tried: {tried}), or first weights "
            "that are smaller."
        )
    if not asked:
        return "No certificate was asked for: the best trial was chosen by the very figures shown for it."
    certificates = study.records["certificate"]
    if stopped == "all_failed" or not any(trial.state != "failed" for trial in trials):
        why = "every trial failed"
    elif any(record.state == "diverged" for record in certificates):
        why = "the networks of every certificate diverged"
    else:
        why = "no trial could be certified"
    return f"Nothing certified: {why}; look at the trials' reasons, or widen the space."
