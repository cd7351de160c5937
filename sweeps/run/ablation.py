"""After the certificates: the winner with one hyperparameter changed at a time, on draws of their own.

Which changes there are follows from the space and the winner alone. Names become every other name, up to `MOST_NAMES`;
numbers a factor of 3 more and less, within their bounds; widths half and double, all layers together; depth one layer
more and one fewer. What exists only with another value comes and goes with it (a penalty's rate), and what has its
bounds by another value keeps its place within them (a learning rate, by the optimizer): such a change says what comes
along. All are trained as long as the winner and measured once, at its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.records.events import LookLine, Scalar
from analysis.records.lines import canonical_json
from analysis.records.study import Study, TrialRecord
from analysis.statistics.ablation import ablation_of
from sweeps.data.source import Source
from sweeps.run.chapters import within
from sweeps.run.looks import seeds_of
from sweeps.run.setting import Setting, looks_of
from sweeps.search.space import Choose, apply, from_unit, walk
from sweeps.spec.dimensions import LENGTH, Dimension
from sweeps.spec.placing import DEPTH, SIZES, share
from sweeps.spec.sweep import SweepSpec

MOST_NAMES = 4
"""Other names that one choice becomes."""
FACTOR = 3.0
LEAST_FACTOR = 1.25
"""A bound nearer than this to the winner's number is no change worth training."""
SHARE = 0.25
"""Of a range that is not searched by its logarithm, the step up and down."""

Params = dict[str, Scalar]


def ablation_settings(
    spec: SweepSpec, source: Source, study: Study, winner: TrialRecord | None, look: LookLine
) -> list[Setting]:
    """Return the winner and its changes as they are trained; nothing where the winner has an ablation already.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    source : Source
        The study's dataset.
    study : Study
        All certificates are there.
    winner : TrialRecord or None
        The certificate that speaks for the study.
    look : Look
        Whose draws are taken.
    """
    if winner is None or winner.state != "complete" or ablation_of(study, winner, before=look.number) is not None:
        return []
    if within(spec, winner.params) is None:
        return []  # a chapter's space no longer holds it
    seeds = seeds_of(source, study, "ablation", look.number, look.draws)
    at = winner.epochs
    settings = [Setting("ablation", look.first, winner.source, dict(winner.params), seeds, (at,), at)]
    for i, (key, params) in enumerate(changes(spec, winner), start=look.first + 1):
        at = _epoch(spec, winner, params)
        settings.append(Setting("ablation", i, None, params, seeds, (at,), at, changed=key))
    return settings


def changes(spec: SweepSpec, winner: TrialRecord) -> list[tuple[str, Params]]:
    """Return what is changed and the winner's params with that change, in the order of the space, none twice."""
    there = within(spec, winner.params)
    if there is None:
        return []
    params, point = there
    found: dict[str, tuple[str, Params]] = {}
    for dimension in spec.space:
        if not all(params.get(key) in values for key, values in dimension.when):
            continue
        for forced in _steps(dimension, params):
            changed, _ = walk(spec.space, _choose(spec, params, point, forced, winner.epochs))
            if apply(spec, changed, 1, 1) != apply(spec, params, 1, 1):
                found.setdefault(canonical_json(changed), (dimension.key, changed))
    return list(found.values())


def _epoch(spec: SweepSpec, winner: TrialRecord, params: Params) -> int:
    """Return when a setting is measured: at the winner's epoch, or at its own end where its length is what changes."""
    before, length = winner.params.get(LENGTH), params.get(LENGTH)
    if length is not None and before == winner.epochs:
        return int(length)
    return min(winner.epochs, looks_of(spec, params)[-1])


def _choose(spec: SweepSpec, params: Params, point: Params, forced: Params, epochs: int) -> Choose:
    """Return what keeps the winner's coordinates but for `forced` ones, which are values."""
    layers = [value for key, value in params.items() if key.startswith(f"{SIZES}.")]
    lengths = [int(value or 0) for one in spec.space if one.key == LENGTH for value in one.values]

    def choose(part: Dimension) -> Scalar:
        if part.key in forced:
            value = forced[part.key]
            if not part.by:
                return value
            low, high = _bounds(part, params)
            return share(low, high, float(value or 0.0), is_log=part.log)
        if part.key in point:
            return point[part.key]
        if part.key.startswith(f"{SIZES}."):
            return layers[-1] if layers else part.values[len(part.values) // 2]
        if part.key == LENGTH:
            return min((value for value in lengths if value >= epochs), default=max(lengths))
        return part.choices[0] if part.kind == "choice" else from_unit(part, 0.5)

    return choose


def _bounds(dimension: Dimension, params: Params) -> tuple[float, float]:
    if not dimension.by:
        return dimension.low, dimension.high
    return next((low, high) for value, low, high in dimension.ranges if value == params[dimension.by])


def _steps(dimension: Dimension, params: Params) -> list[Params]:
    """Return the values, by key, that a change of one dimension sets."""
    key = dimension.key
    if key == SIZES:
        return _widths(dimension, params)
    value = params[key]
    if dimension.kind != "choice":
        return [{key: other} for other in _numbers(dimension, params, float(value or 0.0))]
    if all(_is_number(one) for one in dimension.choices):
        return [{key: other} for other in _neighbours(dimension.choices, value)]
    return [{key: other} for other in dimension.choices if other != value][:MOST_NAMES]


def _widths(dimension: Dimension, params: Params) -> list[Params]:
    """Return all hidden layers half and twice as wide, as far as the bounds go."""
    widths = {key: int(value or 0) for key, value in params.items() if key.startswith(f"{SIZES}.")}
    found = []
    for factor in (0.5, 2.0):
        wanted = {key: max(1, round(factor * width)) for key, width in widths.items()}
        found.append(
            {key: min(dimension.values, key=lambda one: (abs(int(one or 0) - w), one)) for key, w in wanted.items()}
        )
    return found


def _neighbours(choices: Sequence[Scalar], value: Scalar) -> list[Scalar]:
    """Return the numbers next to one in a list, and 0, which is often off, where it is there."""
    below = [one for one in choices if _number(one) < _number(value)]
    above = [one for one in choices if _number(one) > _number(value)]
    found = [max(below, key=_number)] if below else []
    found += [one for one in below if one == 0]
    found += [min(above, key=_number)] if above else []
    return list(dict.fromkeys(found))


def _numbers(dimension: Dimension, params: Params, value: float) -> list[Scalar]:
    """Return a number less and more, within the bounds, and 0 where a range begins with it."""
    low, high = _bounds(dimension, params)
    if dimension.key == DEPTH:
        wanted = [value - 1, value + 1]
    elif dimension.log or (dimension.kind == "int" and value > 0):
        wanted = [value / FACTOR, value * FACTOR]
    else:
        wanted = [value - SHARE * (high - low), value + SHARE * (high - low), *([0.0] if low == 0.0 else [])]
    found: list[Scalar] = []
    for one in wanted:
        inside = min(max(one, low), high)
        number = round(inside) if dimension.kind == "int" else min(max(float(f"{inside:.4g}"), low), high)
        if dimension.key == DEPTH:
            far = number != value
        else:
            smaller, larger = sorted((number, value))
            far = larger > smaller and (smaller <= 0 or larger / smaller >= LEAST_FACTOR)
        if far and number not in found:
            found.append(number)
    return found


def _number(value: Scalar) -> float:
    return float(value or 0.0)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
