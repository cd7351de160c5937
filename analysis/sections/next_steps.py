"""What a card says is left to be tried."""

from __future__ import annotations

import re

from analysis.formats.blocks import number_text, param_title, printable
from analysis.records.events import Scalar
from analysis.records.study import Study
from analysis.sections.ablation import better_changes
from analysis.statistics.ablation import ablation
from analysis.statistics.convergence import AHEAD, LEVEL, SHARING, convergence
from analysis.statistics.homework import HomeworkRow, exact_text
from analysis.statistics.selection import LEAST_TRIALS_FOR_IMPORTANCE as ENOUGH
from analysis.statistics.why import Edge, edges, importance_is_weak, n_comparable
from analysis.words import say, translated

MOST_BETTER = 3
MOST_EDGES = 2


def next_sentences(study: Study, winner: HomeworkRow) -> tuple[str, ...]:
    """Return what is left to be tried."""
    sentences = [*convergence_sentences(study)]
    left = study.budget.n_trials - len(study.trials)
    if study.verdict is not None and study.verdict.stopped == "reached" and left > 0:
        sentences.append(
            say(
                "{left} trial was not needed; with --until budget the search goes on."
                if left == 1
                else "{left} trials were not needed; with --until budget the search goes on.",
                left=left,
            )
        )
    for better in better_changes(study)[:MOST_BETTER]:
        sentences.append(
            say("{change} is shown to be better from here: a search around it may win more.", change=better)
        )
    sentences += [edge_sentence(study, edge) for edge in edges(study, winner.record)[:MOST_EDGES]]
    if importance_is_weak(study) and ablation(study, winner.record) is None:
        n = n_comparable(study)
        sentences.append(
            say(
                "Which hyperparameters matter most is not told: {n} comparable trials; it takes {enough}.",
                n=n,
                enough=ENOUGH,
            )
        )
    return tuple(sentences)


def convergence_sentences(study: Study) -> tuple[str, ...]:
    """Return what another 50 trials would gain at most, of a finished search; nothing where too few trials tell."""
    tells = study.verdict is not None and study.first == "search" and study.header.data.get("kind") not in SHARING
    found = convergence(study.eligible()) if tells else None
    if found is None:
        return ()
    ended = study.verdict is not None and study.verdict.stopped == "converged"
    n, gain, metric = AHEAD, number_text(found.gain), translated(study.header.metric.replace("_", " "))
    # Its spec has asked for less, or the trials that were still under way say more.
    if ended and not found.is_converged:
        text = say(
            "The search ended as asked: another {n} trials would gain at most {gain} of {metric} ({level:.0%}).",
            n=n, gain=gain, metric=metric, level=LEVEL,
        )  # fmt: skip
    else:
        text = say(
            "The search has converged: another {n} trials would gain at most {gain} of {metric} ({level:.0%})."
            if found.is_converged
            else "Not converged: another {n} trials may gain up to {gain} of {metric} ({level:.0%}).",
            n=n, gain=gain, metric=metric, level=LEVEL,
        )  # fmt: skip
    return (text,)


def edge_sentence(study: Study, edge: Edge) -> str:
    """Return that nothing was tried beyond a winner's value, and how to go on where the space ends there."""
    param, value = card_title(edge.param), value_text(edge.value)
    if edge.limit is None:
        return say(
            "{param}: {value} is the lowest of {n} trials; lower values are untried."
            if edge.side == "lowest"
            else "{param}: {value} is the highest of {n} trials; higher values are untried.",
            param=param,
            value=value,
            n=edge.n,
        )
    return say(
        "{param}: {value} is the lowest of {n} trials, and the space ends at {limit}. With a lower end in FILE, "
        "`{command}` goes on."
        if edge.side == "lowest"
        else "{param}: {value} is the highest of {n} trials, and the space ends at {limit}. With a higher end in FILE, "
        "`{command}` goes on.",
        param=param,
        value=value,
        n=edge.n,
        limit=value_text(edge.limit),
        command=f"python -m sweeps extend {printable(study.header.sweep)} --space FILE",
    )


def card_title(param: str) -> str:
    """Return a hyperparameter's name at the start of a sentence: ``"Units of layer 2"``, ``"Learning rate"``."""
    layer = re.fullmatch(r"network\.hidden_layer(?:_sizes)?[._](\d+)", param)
    title = say("units of hidden layer {layer}", layer=layer[1]) if layer else param_title(param).removeprefix("n ")
    return title[:1].upper() + title[1:]


def value_text(value: Scalar) -> str:
    """Return a hyperparameter's value for a reader."""
    return number_text(value) if isinstance(value, float) else printable(exact_text(value))
