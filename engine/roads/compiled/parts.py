"""Some of the replicas of a state, of parameters or of a split, as views: what is written there is written here."""

from __future__ import annotations

from engine.network import FloatArray, Parameters
from engine.splits import Split
from engine.state import TrainingState


def part_of_parameters(parameters: Parameters, first: int, last: int) -> Parameters:
    """Return replicas first, ..., last - 1."""
    return Parameters(
        [W[first:last] for W in parameters.weights],
        [b[first:last] for b in parameters.biases],
        None if parameters.slopes is None else parameters.slopes[first:last],
    )


def part_of_split(split: Split, first: int, last: int) -> Split:
    """Return the points of replicas first, ..., last - 1; arrays that all replicas share stay shared."""

    def part(array: FloatArray) -> FloatArray:
        return array if len(array) == 1 else array[first:last]

    return Split(part(split.X), part(split.y), None if split.weight is None else part(split.weight))


def part_of_state(state: TrainingState, first: int, last: int) -> TrainingState:
    """Return where replicas first, ..., last - 1 stand; the counts of epochs and updates are copies."""
    return TrainingState(
        parameters=part_of_parameters(state.parameters, first, last),
        moments=tuple(part_of_parameters(moment, first, last) for moment in state.moments),
        pending=part_of_parameters(state.pending, first, last),
        n_pending=state.n_pending,
        dead=[dead[first:last] for dead in state.dead],
        epoch=state.epoch,
        n_updates=state.n_updates,
        seeds=state.seeds[first:last],
        diverged_at=state.diverged_at[first:last],
    )
