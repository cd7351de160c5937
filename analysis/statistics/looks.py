"""What looks at fresh draws and at test rows cost, in numbers and in words, and why a study has no winner."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.records.events import LookLine, Stage
from analysis.records.study import Study
from analysis.records.table import is_table

OF_ROWS = ("table", "fashion_mnist")
"""Kinds of data that certify on test rows or images, which are the same under another name and, some, another seed."""
_ROWS = ("sha256", "test_sha256", "test_share")
"""What decides which rows of a table its test rows are, beside the seed."""


def looks_taken(study: Study, stage: Stage = "certificate") -> list[LookLine]:
    """Return the looks of a stage that are on record, in order."""
    return sorted((look for look in study.looks if look.stage == stage), key=lambda look: look.number)


def level_of_all(looks: list[LookLine]) -> float:
    """Return the most that the chance of a false certificate can be over all these looks: the sum of their levels."""
    return min(sum(look.level * look.n_records for look in looks), 1.0)


def same_draws(study: Study, look: LookLine, other: Study, theirs: LookLine) -> bool:
    """Return whether two studies' looks share what they look at: seeds of draws, or test rows.

    Test rows are the same whatever the sweeps and their data sets are called: those of one file divided by one seed,
    or of one file of test rows by any. The test images of Fashion-MNIST are the same for all.
    """
    a, b = study.header, other.header
    if look.stage != theirs.stage or a.data.get("kind") != b.data.get("kind"):
        return False
    if is_table(study):
        same_rows = all(a.data.get(key) == b.data.get(key) for key in _ROWS)
        whole_file = bool(a.data.get("test_sha256")) and a.data.get("test_sha256") == b.data.get("test_sha256")
        return "certificate" in look.stage and (whole_file or (same_rows and a.seed == b.seed))
    if a.data.get("kind") == "fashion_mnist" and "certificate" in look.stage:
        return True
    return a.dataset == b.dataset and a.seed == b.seed and (look.draws, look.number) == (theirs.draws, theirs.number)


def looks_of_others(study: Study, others: Sequence[Study]) -> list[tuple[Study, LookLine]]:
    """Return the looks of other studies at what this one's claims rest on.

    A study with the very same looks (a copy, or the same question under another name, whose draws and answer are the
    same) has learnt nothing that this one has not, and is left out.
    """
    mine = [look for look in study.looks if look.level]
    return [
        (other, theirs)
        for other in others
        if not _is_same_question(study, other)
        for theirs in other.looks
        if theirs.level and any(same_draws(study, look, other, theirs) for look in mine)
    ]


def _is_same_question(study: Study, other: Study) -> bool:
    return [trial.params for trial in study.trials] == [trial.params for trial in other.trials] and [
        (record.seeds, record.test_loss) for record in study.records["certificate"]
    ] == [(record.seeds, record.test_loss) for record in other.records["certificate"]]


def others_text(study: Study, others: Sequence[Study]) -> str | None:
    """Return which other sweeps looked at the same draws or rows, and what then holds over all; None where none did."""
    found = looks_of_others(study, others)
    if not found:
        return None
    names = list(dict.fromkeys(other.header.sweep for other, _ in found))
    total = level_of_all([look for look in study.looks if look.level] + [look for _, look in found])
    what = "test rows" if is_table(study) else "draws"
    return (
        f"{study.header.dataset}: {', '.join(names)} looked at the same {what}, too: over all these looks a goal that "
        f"is not reached is found reached with a chance of at most {total:.2g}; what was changed in the knowledge of "
        "another's result there is not certified"
    )


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
        told = "this sweep's first look" if n <= 1 else f"this sweep's look {n}"
        return f" ({told} at these rows; {spent:.2g} of {level:.2g} is spent)" if n else ""
    return f" (look {n} at fresh draws; over all {n} at most {min(n * level, 1.0):.2g})" if n > 1 else ""


def extended_in_vain_text(study: Study, stopped: str) -> str:
    """Return one sentence, behind a space, where the last extension brought neither a trial nor a look; else nothing.

    Parameters
    ----------
    study : Study
        With all its records.
    stopped : str
        Why the search ended.
    """
    if not study.is_extended_in_vain:
        return ""
    why = {
        "reached": "the search has had the candidates that it looks for; --until budget goes on",
        "converged": "the search has converged; --until budget goes on",
        "all_failed": "its last trials all failed",
    }
    reason = why.get(stopped, "all that the budget allows have run")
    return f" The extension brought no trial after {len(study.trials)}, so no other look was taken: {reason}."


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
