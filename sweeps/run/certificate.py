"""After the search: finalists on fresh draws, certificates on draws nothing has seen, settings for the page, verdict.

Every function here depends on the study's records only, so that a resumed sweep goes on exactly where it stopped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from analysis.records.events import LookLine, Scalar, Stage, Verdict
from analysis.records.lines import canonical_json
from analysis.records.study import Study, StudyHeader, TrialRecord, most_measured
from analysis.statistics.bounded import certificate_bound, draws_needed, loss_bound
from analysis.statistics.intervals import upper_bound
from analysis.statistics.looks import extended_in_vain_text, looks_text, no_winner_text
from engine.playground.page import ACTIVATIONS as PAGE_ACTIVATIONS
from engine.playground.page import LEARNING_RATES, REGULARIZATION_RATES
from sweeps.data.source import Source
from sweeps.run.looks import CLAIMED, seeds_of
from sweeps.run.setting import Setting, looks_of, search_setting
from sweeps.search.space import apply
from sweeps.spec.dimensions import LENGTH
from sweeps.spec.sweep import SweepSpec

LOOKS_BEYOND = 2
"""Grid epochs behind a trial's own that its finalist may choose, too."""
PAGE_LEVEL_TESTS = 1
CONFIDENCE = 0.95
SURELY = 0.99
"""Confidence with which one leaves a race: a race has several rounds, and a good setting lost costs more than draws."""
WEAKEST_PENALTY = 3e-4
"""Page settings leave out a penalty weaker than this: the weakest on the page's menu is three times as strong."""

THE_PAGES_OWN: Mapping[str, Scalar] = MappingProxyType(
    {
        "network.initializer": "playground",
        "training.order": "fixed",
        "training.schedule": "constant",
        "training.input_noise": 0.0,
    }
)
"""What the page has no menu for, and has."""

MAIN_STAGES: tuple[Stage, ...] = ("finalist", "certificate")
PAGE_STAGES: tuple[Stage, ...] = ("page_search", "page_finalist", "page_certificate")


def stage_settings(spec: SweepSpec, source: Source, study: Study, stage: Stage, look: LookLine | None) -> list[Setting]:
    """Return what a stage after the search trains; the stages before it must be complete.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    source : Source
        The study's dataset.
    study : Study
        What has been recorded.
    stage : str
        One of `MAIN_STAGES` or `PAGE_STAGES`.
    look : Look or None
        The look at fresh draws that the stage takes; None for ``"page_search"``, which takes the search's.
    """
    if look is None:
        return _page_search(spec, source, study)
    seeds = seeds_of(source, study, stage, look.number, look.draws)
    chosen = _CHOSEN[stage](spec, source, study)
    return [_looked_at(spec, source, look, seeds, i, record) for i, record in enumerate(chosen)]


def ranked(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the complete records, best first; repetitions of one setting count once, with their mean value.

    Pruned ones, whose training somebody cut short, are there only if there is nothing else.
    """
    values: dict[str, list[float]] = {}
    first: dict[str, TrialRecord] = {}
    complete = [record for record in records if record.state == "complete"]
    for record in [record for record in complete if record.pruned_at is None] or complete:
        key = canonical_json(record.params)
        values.setdefault(key, []).append(record.value)
        first.setdefault(key, record)
    order = sorted(first, key=lambda key: (math.fsum(values[key]) / len(values[key]), first[key].number))
    return [first[key] for key in order]


def passes(header: StudyHeader, record: TrialRecord, goal: float, level: float) -> bool:
    """Return whether the upper bounds of both mean losses, one-sided at 1 - `level`, are below the goal.

    The bounds hold whatever the law of the losses, up to the largest loss there can be (`analysis.statistics.bounded`).

    Where all replicas have the same test rows, the rows have been judged:
    `analysis.records.study.TrialRecord.ensemble`.
    """
    if record.ensemble is not None:
        return record.state == "complete" and bool(record.ensemble["passed"])
    largest = loss_bound(header, record)
    bounds = [certificate_bound(losses, largest, 1 - level) for losses in (record.train_loss, record.test_loss)]
    return record.state == "complete" and max(bounds) < goal


def decided(records: Sequence[TrialRecord], most: int) -> set[int]:
    """Return the numbers of a race's records that need no more draws, after one of its rounds.

    They are those that are surely worse than the best on the same draws, those that have diverged or failed, and of
    many that are alike the worse half: a long search has dozens that no number of draws here could tell apart.

    Parameters
    ----------
    records : sequence of TrialRecord
        All that were still there, on the same draws.
    most : int
        As many always stay, if they are not surely worse.

    References
    ----------
    Z. Karnin, T. Koren, O. Somekh, "Almost optimal exploration in multi-armed bandits", ICML 2013: sequential halving.
    """
    complete = sorted(
        (record for record in records if record.state == "complete"), key=lambda record: (record.value, record.number)
    )
    alike = [record for record in complete if not _shown_worse(record, complete[0], SURELY)]
    stays = alike[: max(most, math.ceil(len(records) / 2))]
    return {record.number for record in records} - {record.number for record in stays}


def winner_of(spec: SweepSpec, study: Study) -> TrialRecord | None:
    """Return the certificate that the verdict will name: the best that passed, else the best; None without any."""
    return _winner(study, "certificate", spec.goal.below, spec.certificates.level)[0]


def verdict_of(spec: SweepSpec, study: Study, stopped: str) -> Verdict:
    """Return how a study ended.

    The winner is the certificate with the lowest mean test loss among those that passed, else among all that did not
    diverge; of several looks the last at which one passed, else the last, counts. An extension that brought no trial
    brings no look: the answer stands, and the text says so.
    """
    if study.header.data["kind"] == "table":
        from sweeps.data.table.verdict import table_verdict  # brings pandas along: only for those who use it

        verdict = table_verdict(spec.certificates.level, study, stopped)
    else:
        verdict = _of_draws(spec, study, stopped)
    return dataclasses.replace(verdict, text=verdict.text + extended_in_vain_text(study, stopped))


def _of_draws(spec: SweepSpec, study: Study, stopped: str) -> Verdict:
    goal = spec.goal.below
    winner, level, certified = _winner(study, "certificate", goal, spec.certificates.level)
    page_winner, _, page_certified = _winner(study, "page_certificate", goal, spec.certificates.level)
    return Verdict(
        certified=certified,
        winner=None if winner is None else winner.number,
        page_winner=None if page_winner is None else page_winner.number,
        page_certified=page_certified,
        level=level,
        n_certificates=len(study.records_of("certificate")),
        stopped=stopped,
        text=_text(spec, study, winner, certified, level, stopped),
    )


def _winner(study: Study, stage: Stage, goal: float, level: float) -> tuple[TrialRecord | None, float, bool]:
    """Return the winner of a stage, the level of its test, and whether it passed."""
    best: TrialRecord | None = None
    for number in range(study.look_number, 0, -1):
        records = study.records_of(stage, number)
        look = study.look_of(stage, number)
        at = look.level if look is not None else level / max(len(records), 1)
        usable = [record for record in records if record.state == "complete" and study.stands(record)]
        passed = [record for record in usable if passes(study.header, record, goal, at)]
        if passed:
            return min(passed, key=lambda record: (record.value, record.number)), at, True
        if best is None and usable:
            best, level = min(usable, key=lambda record: (record.value, record.number)), at
    return best, level, False


def _text(
    spec: SweepSpec, study: Study, winner: TrialRecord | None, certified: bool, level: float, stopped: str
) -> str:
    goal = spec.goal.below
    if winner is None:
        return no_winner_text(study, asked=bool(spec.certificates.n), stopped=stopped)
    n = len(winner.test_loss)
    train = math.fsum(winner.train_loss) / n
    means = f"mean training loss {train:.4f} and mean test loss {winner.value:.4f} over {n} fresh draws"
    looked = looks_text(study, spec.certificates.level, is_finite=winner.ensemble is not None)
    at = f"at level {level:.2g}{looked}"
    if winner.ensemble is not None:
        judged = winner.ensemble
        means = (
            f"{n} networks take a share of {judged['value']:.4f} of {judged['n_rows']} test images for another kind "
            f"(upper bound {judged['bound']:.4f})"
        )
        if certified:
            told = (
                "this sweep had not looked at these images before" if study.look_number == 1 else "counting every look"
            )
            return f"Certified: {means}, below {goal:g} {at}; {told}."
    if certified:
        return f"Certified: {means} are below {goal:g}, {at}."
    not_shown = f"Not certified: {means}; below {goal:g} is not shown {at}. "
    largest = loss_bound(study.header, winner)
    needed = draws_needed(max(winner.value, train), goal, largest, level)
    if winner.ensemble is None and needed is not None and needed > n:
        return not_shown + (
            f"{n} draws cannot show it of losses of up to {largest:.3g}: "
            f"ask for at least {needed} in [certificates] n_replicas of another sweep."
        )
    return (
        f"{not_shown}"
        f"Go on with a larger budget (--trials above {spec.search.n_trials}, --until budget), which looks at fresh "
        "draws, a wider space, or a higher goal."
    )


def _finalists(spec: SweepSpec, source: Source, study: Study) -> list[TrialRecord]:
    """Return the best trials, and of those below the goal the settings that were asked first.

    A search that looks at the same draws again and again finds settings that suit those draws: its best are not
    the best elsewhere, and a good setting given beforehand may stand far down. A race on fresh draws ends most soon.
    """
    trials = ranked(study.eligible())
    hopeful = [trial for trial in trials if trial.value < source.goal] or trials[:1]
    if source.is_finite or not spec.finalists.n:
        return hopeful[: spec.finalists.n]
    n = max(spec.finalists.n, math.ceil(spec.finalists.share * len(trials)))
    begins = study.chapters[-1].first if study.chapters else 0
    given = range(begins, begins + len(spec.search.first))
    return hopeful[:n] + [trial for trial in hopeful[n:] if trial.number in given]


def _certificates(spec: SweepSpec, source: Source, study: Study) -> list[TrialRecord]:
    finalists = ranked(most_measured(study.records_of("finalist")))
    losses = [record.value if source.is_finite else max(record.value, _mean(record.train_loss)) for record in finalists]
    hopeful = [record for record, loss in zip(finalists, losses, strict=True) if loss < source.goal]
    # A finalist shown to be worse than the best on the same draws would only cost time and level.
    rivals = [record for record in hopeful if not _shown_worse(record, hopeful[0], CONFIDENCE)]
    return (rivals or finalists[:1])[: spec.certificates.n]


def _shown_worse(record: TrialRecord, best: TrialRecord, confidence: float) -> bool:
    """Return whether `record` has the higher mean test loss: one-sided, paired over the draws."""
    gains = np.subtract(best.test_loss, record.test_loss)
    return len(gains) > 1 and upper_bound(gains.tolist(), confidence) < 0


def _page_search(spec: SweepSpec, source: Source, study: Study) -> list[Setting]:
    """Return the settings for the page: those of every round, in order, so that what was tried keeps its number."""
    seeds = source.search_seeds()
    settings: dict[str, Setting] = {}
    for n_trials in (*study.rounds, len(study.trials)):
        best = ranked(study.eligible(n_trials))
        sgd = [record for record in best if record.training["optimizer"] == "sgd"]
        for record in [*best[: spec.page.n_best], *sgd[: spec.page.n_sgd]]:
            for params in _snapped(record, spec.page.learning_rates):
                key = canonical_json(params)
                network, training = apply(spec, params, source.n_inputs, source.n_outputs)
                if key not in settings and source.page_url(network, training, seeds[0]) is not None:
                    settings[key] = search_setting(spec, len(settings), params, seeds, stage="page_search")
    return list(settings.values())


def _page_finalists(spec: SweepSpec, source: Source, study: Study) -> list[TrialRecord]:  # noqa: ARG001
    return ranked(study.records["page_search"])[: spec.page.n_finalists]


def _page_certificates(spec: SweepSpec, source: Source, study: Study) -> list[TrialRecord]:  # noqa: ARG001
    return ranked(most_measured(study.records_of("page_finalist")))[:PAGE_LEVEL_TESTS]


_CHOSEN: Mapping[Stage, Callable[[SweepSpec, Source, Study], list[TrialRecord]]] = MappingProxyType(
    {
        "finalist": _finalists,
        "certificate": _certificates,
        "page_finalist": _page_finalists,
        "page_certificate": _page_certificates,
    }
)
"""Whose settings a look is taken at, the best first."""


def _looked_at(
    spec: SweepSpec, source: Source, look: LookLine, seeds: tuple[str, ...], i: int, record: TrialRecord
) -> Setting:
    """Return the i-th setting of a look: that of a record, on the look's draws.

    Finalists are free to choose among the record's epochs and a little later ones; certificates are judged at the epoch
    that the record has chosen.
    """
    grid, epochs = looks_of(spec, record.params), None
    at = grid.index(record.epochs)
    look_at = grid[: at + 1 + LOOKS_BEYOND]
    if look.stage in CLAIMED:
        # What may be drawn anew can be looked at all along; test rows that are all there is, once.
        epochs = record.epochs
        look_at = (epochs,) if source.is_finite else grid[: at + 1]
    repeats = record.number if look.stage == "finalist" else record.source if look.stage == "certificate" else None
    rounds = tuple(look.rounds)
    return Setting(look.stage, look.first + i, repeats, dict(record.params), seeds, look_at, epochs, rounds=rounds)


def _snapped(record: TrialRecord, rates: Sequence[float]) -> list[dict[str, Scalar]]:
    """Return the nearest settings that the page's menus have: SGD, its activations, its rates."""
    params = {key: THE_PAGES_OWN.get(key, value) for key, value in record.params.items() if key != LENGTH}
    if record.network["activation"] not in PAGE_ACTIVATIONS:
        params["network.activation"] = "relu"
    penalty = float(record.training["regularization_rate"])
    params.pop("training.regularization_rate", None)
    if record.training["regularizer"] == "none" or penalty < WEAKEST_PENALTY:
        params["training.regularizer"] = "none"
    else:
        params["training.regularization_rate"] = _nearest(penalty, REGULARIZATION_RATES[1:], 1)[0]
    if record.training["optimizer"] == "sgd":
        rates = _nearest(float(record.training["learning_rate"]), LEARNING_RATES, 2)
    return [params | {"training.optimizer": "sgd", "training.learning_rate": rate} for rate in rates]


def _nearest(value: float, menu: Sequence[float], n: int) -> list[float]:
    return sorted(menu, key=lambda entry: abs(math.log(entry / value)))[:n]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
