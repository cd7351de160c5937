"""Train groups of replicas that have more and fewer points, as folds of a table do: side by side, and in step."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.roads import plain
from engine.roads.choice import Road
from engine.roads.compiled.parts import part_of_state
from engine.roads.memory import check_memory
from engine.splits import Split
from engine.state import TrainingState
from engine.training import (
    Look,
    SeedArray,
    TrainResult,
    calls_between,
    check_points,
    checked_looks,
    initial_state,
    open_session,
    road_of,
    with_label_noise,
)

if TYPE_CHECKING:
    from engine.roads.compiled import session


@dataclass(frozen=True, slots=True)
class Group:
    """Replicas with equally many points.

    Parameters
    ----------
    split : Split
        Training points.
    parameters : Parameters
        First weights; not changed.
    seeds : ndarray (R,) of uint64
        Each replica's key of the random stream of training.
    evaluate_on : mapping of str to Split
        What losses are measured on at each look; every group has the same names.
    """

    split: Split
    parameters: Parameters
    seeds: SeedArray
    evaluate_on: Mapping[str, Split] = field(default_factory=dict)


@dataclass(slots=True)
class _Set:
    """Groups of one session.

    Parameters
    ----------
    places : tuple of int
        Which groups.
    spans : list of (int, int)
        First replica and end of each in the session.
    session : CompiledSession, GroupSession or PlainSession
    road : str
    measured : list of ndarray (looks, splits, R)
        Losses so far.
    """

    places: tuple[int, ...]
    spans: list[tuple[int, int]]
    session: session.CompiledSession | session.GroupSession | plain.PlainSession
    road: Road
    measured: list[npt.NDArray[np.float64]]

    def state(self, i: int) -> TrainingState:
        """Return where its i-th group stands, as a view."""
        whole = self.session.read_state()
        return whole if len(self.spans) == 1 else part_of_state(whole, *self.spans[i])


def train_groups(
    network: NetworkConfig,
    training: TrainingConfig,
    groups: Sequence[Group],
    *,
    look_at: Sequence[int],
    on_look: Callable[[Sequence[Look]], bool] | None = None,
    road: Road | None = None,
) -> list[TrainResult]:
    """Train groups of replicas in step: each gives the bytes that `engine.training.train` gives it.

    Groups whose points make equally many mini-batches share vectors on the compiled road where that is cheaper
    (`engine.roads.compiled.sharing`).

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how.
    groups : sequence of Group
        At least one.
    look_at : sequence of int
        Epochs, increasing; 0 is before training.
    on_look : callable (sequence of Look) -> bool, optional
        Called at each epoch with every group's look, in their order; True ends the training there.
    road : str or None
        As for `train`.

    Returns
    -------
    list of TrainResult
        One a group.

    Raises
    ------
    ValueError
        If anything cannot be used; the message names argument, value and what would do.
    """
    looks = checked_looks(look_at, 0)
    groups = _measured_alike(groups)
    for group in groups:
        check_points(network, training, group.split, group.parameters.n_replicas, group.evaluate_on)
    sets = [_open(network, training, groups, *chosen) for chosen in _sets(network, training, groups, road)]
    done = 0
    for steps in calls_between([0, *looks], joined=on_look is None):
        for one in sets:
            one.measured.append(one.session.advance(steps))
        done += len(steps)
        if on_look is not None and on_look(_looks(sets, groups, looks[done - 1])):
            break
    results: dict[int, TrainResult] = {}
    for one in sets:
        table = np.concatenate(one.measured)
        for i, (place, (first, last)) in enumerate(zip(one.places, one.spans, strict=True)):
            names = enumerate(groups[place].evaluate_on)
            losses = {name: np.ascontiguousarray(table[:, k, first:last]) for k, name in names}
            results[place] = TrainResult(tuple(looks[:done]), losses, one.state(i), f"{one.road}-{training.dtype}")
    return [results[place] for place in range(len(groups))]


def _measured_alike(groups: Sequence[Group]) -> list[Group]:
    """Return groups whose splits stand in the order of the first one's; raises ValueError if they are not the same."""
    if not groups:
        raise ValueError("groups: none given; give at least one")
    names = list(groups[0].evaluate_on)
    for i, group in enumerate(groups):
        if group.evaluate_on.keys() != set(names):
            given, first = (", ".join(map(repr, some)) or "nothing" for some in (group.evaluate_on, names))
            raise ValueError(f"groups[{i}].evaluate_on: {given}; give the splits that groups[0] has: {first}")
    return [
        dataclasses.replace(group, evaluate_on={name: group.evaluate_on[name] for name in names}) for group in groups
    ]


def _sets(
    network: NetworkConfig, training: TrainingConfig, groups: Sequence[Group], road: Road | None
) -> list[tuple[tuple[int, ...], Road]]:
    """Return which groups share a session, and its road."""
    roads = [road_of(network, training, group.split, road) for group in groups]
    compiled = [i for i, chosen in enumerate(roads) if chosen == "compiled"]
    sets: list[tuple[tuple[int, ...], Road]] = [((i,), chosen) for i, chosen in enumerate(roads) if chosen == "numpy"]
    if compiled:
        from engine.roads.compiled.sharing import sets_to_share  # Numba takes half a second to import

        sizes = [(groups[i].parameters.n_replicas, groups[i].split.X.shape[1]) for i in compiled]
        sets += [(tuple(compiled[k] for k in places), "compiled") for places in sets_to_share(network, training, sizes)]
    return sets


def _open(
    network: NetworkConfig, training: TrainingConfig, groups: Sequence[Group], places: tuple[int, ...], road: Road
) -> _Set:
    chosen = [groups[i] for i in places]
    n_replicas = [group.parameters.n_replicas for group in chosen]
    check_memory(network, training, sum(n_replicas), max((g.split for g in chosen), key=lambda s: s.X.shape[1]), road)
    states = [initial_state(network, training, group.parameters, group.seeds) for group in chosen]
    points = [
        with_label_noise(group.split, network, training, state.seeds)
        for group, state in zip(chosen, states, strict=True)
    ]
    ends = np.cumsum([0, *n_replicas]).tolist()
    spans = list(itertools.pairwise(ends))
    if len(chosen) == 1:
        others = list(chosen[0].evaluate_on.values())
        return _Set(places, spans, open_session(states[0], network, training, points[0], others, road), road, [])
    from engine.roads.compiled.sharing import joined_session, joined_state

    by_name = [[group.evaluate_on[name] for group in chosen] for name in chosen[0].evaluate_on]
    together = joined_session(joined_state(states), network, training, points, by_name, n_replicas)
    return _Set(places, spans, together, road, [])


def _looks(sets: Sequence[_Set], groups: Sequence[Group], epoch: int) -> list[Look]:
    """Return what each group shows at an epoch."""
    found: dict[int, Look] = {}
    for one in sets:
        for i, (place, (first, last)) in enumerate(zip(one.places, one.spans, strict=True)):
            losses = dict(zip(groups[place].evaluate_on, one.measured[-1][-1][:, first:last], strict=True))
            found[place] = Look(epoch, losses, one.session.diverged_at[first:last], _reader(one, i))
    return [found[place] for place in range(len(groups))]


def _reader(one: _Set, i: int) -> Callable[[], TrainingState]:
    return lambda: one.state(i)
