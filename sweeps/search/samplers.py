"""Which trial to try next: one of Optuna's samplers after a Sobol sequence, or a list of points or a whole grid.

What a spec names as first settings comes before any of them.

Every proposal is a function of the spec, the trial's number and the values told before it.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from analysis.records.events import Scalar
from analysis.records.lines import canonical_json
from sweeps.search.space import all_parts, from_unit, grid, walk
from sweeps.spec.dimensions import Dimension
from sweeps.spec.placing import placed
from sweeps.spec.samplers import OPTUNA
from sweeps.spec.sweep import SweepSpec
from sweeps.store.seeds import text_seed
from sweeps.toml import SpecError

if TYPE_CHECKING:
    import optuna

STREAM_STARTUP = 11
STREAM_RANDOM = 16
RELATIVE = "tpe:relative_params"
"""Where Optuna keeps the joint proposal of a trial that runs."""
UNUSED = "unused."
"""What a point's keys begin with for values that were proposed and that the setting has no use for."""

Proposal = tuple[dict[str, Scalar], dict[str, Scalar]]
"""Params and point, see `sweeps.search.space.walk`."""


@dataclass(frozen=True, slots=True)
class ToldTrial:
    """A trial that an earlier chapter of a study tried, and that the present space has.

    Parameters
    ----------
    number : int
        The trial's.
    params, point : dict
        In the present space, see `sweeps.search.space.walk`.
    value : float or None
        None where it failed.
    """

    number: int
    params: dict[str, Scalar]
    point: dict[str, Scalar]
    value: float | None


class Sampler(Protocol):
    """What a study asks and tells, in the order of trial numbers."""

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Enter a trial that was chosen before (one read back from the log) as running."""

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value; None means that it failed."""


def startup_point(space: tuple[Dimension, ...], seed: int, dataset: str, number: int) -> dict[str, float]:
    """Return the `number`-th point of the scrambled Sobol sequence of a study.

    Every dimension that can exist anywhere has its own coordinate, sizes of layers that a trial does not have
    included, so that the points fill each part of a conditional space evenly.

    Parameters
    ----------
    space : tuple of Dimension
        The sweep's space.
    seed : int
        Sweep seed.
    dataset : str
        Name of the study's dataset.
    number : int
        Trial number: the point's index in the sequence.

    Returns
    -------
    dict of str to float
        Coordinate by key, 0 <= u < 1.
    """
    from scipy.stats import qmc  # half a second to import: only for whoever asks a sampler

    keys = [part.key for part in all_parts(space)]
    rng = np.random.default_rng([seed, STREAM_STARTUP, text_seed(dataset)])
    sequence = qmc.Sobol(len(keys), scramble=True, seed=rng)
    if number:
        sequence.fast_forward(number)
    return dict(zip(keys, map(float, sequence.random(1)[0]), strict=True))


class ListSampler:
    """Trials that follow from their number alone.

    Parameters
    ----------
    propose : callable
        ``propose(number)`` is the trial.
    """

    def __init__(self, propose: Callable[[int], Proposal]) -> None:
        self._propose = propose

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        return self._propose(number)

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Take no note: nothing told changes anything."""

    def tell(self, number: int, value: float | None) -> None:
        """Take no note: nothing told changes anything."""


class FirstSampler:
    """Settings that a spec names, then another sampler, to which they are told.

    Parameters
    ----------
    first : sequence of (params, point)
        The settings.
    start : int
        Number of the trial that the first of them is.
    then : Sampler
        Who chooses afterwards.
    """

    def __init__(self, first: Sequence[Proposal], start: int, then: Sampler) -> None:
        self._first = first
        self._start = start
        self._then = then

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        i = number - self._start
        if i >= len(self._first):
            return self._then.ask(number)
        params, point = self._first[i]
        self.add(number, point)
        return params, point

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Enter a trial that was chosen before."""
        self._then.add(number, point)

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value."""
        self._then.tell(number, value)


@dataclass(slots=True)
class _Entered:
    """A trial that the sampler knows: where it lies, its value once that is told, its number in Optuna's study."""

    point: Mapping[str, Scalar]
    value: float | None = None
    index: int = -1


class ToldSampler:
    """Optuna's study of one dataset, in memory, after start-up points from a Sobol sequence.

    A fresh sampler is made for each ask, seeded by sweep seed, dataset and trial number, so that a proposal
    depends on nothing but the spec and the values told before it.

    From `sweeps.spec.samplers.OptunaSampler.bounded_from` trials on the study is made anew every half a window, so that
    an ask costs no more however long the search is.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : str
        The study's dataset.
    start : int
        Number of the first trial that it chooses.
    n_first : int
        Trials from there on that the spec names: start-up points come after them.
    told : sequence of Told
        Trials of earlier chapters; they count as start-up points.
    """

    def __init__(
        self, spec: SweepSpec, dataset: str, start: int = 0, n_first: int = 0, told: Sequence[ToldTrial] = ()
    ) -> None:
        import optuna

        chosen = OPTUNA[spec.search.sampler]
        if chosen.needs and importlib.util.find_spec(chosen.needs) is None:
            raise SpecError(
                f"{spec.name}: search: sampler: {spec.search.sampler} needs the package {chosen.needs}; install it, or "
                "use tpe"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce every study on stderr
        self._spec = spec
        self._dataset = dataset
        self._kind = chosen
        self._distributions = {part.key: _distribution(part) for part in all_parts(spec.space)}
        self._n_startup = spec.search.n_startup_trials - len(told)
        self._sampler_from = start + n_first + max(self._n_startup, 0)
        self._n_named = n_first if start == 0 else 0
        self._next, self._n_begun = start, len(told)
        self._entered: dict[int, _Entered] = {}
        self._study: optuna.Study | None = None  # made when it is asked: going on with a long search only enters
        for trial in told:
            if trial.value is not None:  # no sampler sees those that failed
                self._entered[trial.number] = _Entered(trial.point, trial.value)
        self._forget()

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        import optuna

        space = self._spec.space
        if number < self._sampler_from:
            params, point = _sobol_proposal(self._spec, self._dataset, number - self._n_named)
            self.add(number, point)
            return params, point
        self._begin(number)
        seed = text_seed(self._spec.seed, self._dataset, number) % 2**32
        study = self._study = self._made_study() if self._study is None else self._study
        with warnings.catch_warnings():  # what Optuna calls experimental is pinned by the version in each log
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = getattr(optuna.samplers, self._kind.kind)(**self._kind.options, seed=seed)
        with one_torch_thread(self._kind.needs):
            trial = study.ask()
            params, point = walk(space, lambda part: _suggest(trial, part))
        point |= _unused(study, point)
        self._entered[number] = _Entered(point, index=trial.number)
        return params, point

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Enter a trial that was chosen elsewhere (a start-up point, or one read back from the log) as running."""
        self._begin(number)
        self._entered[number] = _Entered(point)
        if self._study is not None:
            self._enter(self._study, self._entered[number])

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value; None means that it failed."""
        import optuna

        entered = self._entered[number]
        entered.value = value
        if value is None:
            del self._entered[number]
        if self._study is not None and value is None:
            self._study.tell(entered.index, state=optuna.trial.TrialState.FAIL)
        elif self._study is not None:
            self._study.tell(entered.index, value)

    def _begin(self, number: int) -> None:
        """Count a trial that begins; make sure that it is the next one."""
        if number != self._next:
            raise AssertionError(f"trial {number} was asked out of order, as {self._next}")
        self._next += 1
        if self._n_begun % (self._kind.window // 2) == 0:
            self._forget()
        self._n_begun += 1

    def _made_study(self) -> optuna.Study:
        import optuna

        study = optuna.create_study(direction="minimize")
        for entered in self._entered.values():
            self._enter(study, entered)
        return study

    def _enter(self, study: optuna.Study, entered: _Entered) -> None:
        import optuna

        entered.index = len(study.get_trials(deepcopy=False))
        values = {key: value for key, value in entered.point.items() if not key.startswith(UNUSED)}
        unused = {key.removeprefix(UNUSED): value for key, value in entered.point.items() if key not in values}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING if entered.value is None else optuna.trial.TrialState.COMPLETE,
                value=entered.value,
                params=values,
                distributions={key: self._distributions[key] for key in values},
                system_attrs={f"{RELATIVE}:0": json.dumps(unused)} if unused else None,
            )
        )

    def _forget(self) -> None:
        """Once there are many trials, keep the best of them, the last, and those under way.

        The best of all are among the best that were kept before and those told since.
        """
        if self._n_begun < self._kind.bounded_from:
            return
        half = self._kind.window // 2
        values = {number: one.value for number, one in self._entered.items() if one.value is not None}
        best = sorted(values, key=lambda number: (values[number], number))[:half]
        kept = {*best, *sorted(values)[-half:], *(self._entered.keys() - values.keys())}
        self._entered = {number: self._entered[number] for number in sorted(kept)}
        self._study = None


@contextmanager
def one_torch_thread(needs: str) -> Iterator[None]:
    """Let PyTorch use one thread where a sampler needs it: with more, sums depend on how many there are.

    On matrices as small as a sampler's they cost time, too: an ask of sixty trials takes six times as long on two.
    """
    if needs != "torch":
        yield
        return
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _unused(study: optuna.Study, point: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return what the last trial's joint proposal holds of values that its setting has no use for.

    As the rate of a regularizer that was not chosen. Optuna keeps them with a trial until its value is told, and takes
    them into account when it proposes the next: whoever enters the trial again must give them back.
    """
    attributes = study.get_trials(deepcopy=False)[-1].system_attrs
    pieces = [attributes[key] for key in sorted(attributes, key=_piece) if key.startswith(f"{RELATIVE}:")]
    joint: dict[str, Scalar] = json.loads("".join(pieces)) if pieces else {}
    return {f"{UNUSED}{key}": value for key, value in joint.items() if key not in point}


def _piece(key: str) -> int:
    """Return which piece of a text a key names: Optuna cuts long ones."""
    number = key.rpartition(":")[2]
    return int(number) if number.isdecimal() else -1


def make_sampler(spec: SweepSpec, dataset: str, start: int = 0, told: Sequence[ToldTrial] = ()) -> Sampler:
    """Return the sampler that a spec names, for the study of one of its datasets.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : str
        The study's dataset.
    start : int
        Number of the first trial that it chooses: 0, or where a chapter of the study begins.
    told : sequence of Told
        What it knows of the chapters before; first settings that are among them are not asked again.
    """
    name = spec.search.sampler
    known = {canonical_json(trial.params) for trial in told}
    named = [placed(spec.space, dict(params), spec.name) for params in spec.search.first]
    first = [proposal for proposal in named if canonical_json(proposal[0]) not in known]
    if name in OPTUNA:
        return FirstSampler(first, start, ToldSampler(spec, dataset, start, len(first), told))
    known |= {canonical_json(params) for params, _ in first}
    return FirstSampler(first, start, _LISTS[name](spec, dataset, start, len(first), known))


def _sobol_proposal(spec: SweepSpec, dataset: str, number: int) -> Proposal:
    units = startup_point(spec.space, spec.seed, dataset, number)
    return walk(spec.space, lambda part: from_unit(part, units[part.key]))


def _random_proposal(spec: SweepSpec, dataset: str, number: int) -> Proposal:
    rng = np.random.default_rng([spec.seed, STREAM_RANDOM, text_seed(dataset), number])
    return walk(spec.space, lambda part: from_unit(part, float(rng.random())))


def _make_sobol(spec: SweepSpec, dataset: str, start: int, n_first: int, known: Set[str]) -> Sampler:  # noqa: ARG001
    n_named = n_first if start == 0 else 0
    return ListSampler(lambda number: _sobol_proposal(spec, dataset, number - n_named))


def _make_random(spec: SweepSpec, dataset: str, start: int, n_first: int, known: Set[str]) -> Sampler:  # noqa: ARG001
    return ListSampler(lambda number: _random_proposal(spec, dataset, number))


def _make_grid(spec: SweepSpec, dataset: str, start: int, n_first: int, known: Set[str]) -> Sampler:  # noqa: ARG001
    points = [proposal for proposal in grid(spec.space) if canonical_json(proposal[0]) not in known]
    return ListSampler(lambda number: points[number - start - n_first])


_LISTS: Mapping[str, Callable[[SweepSpec, str, int, int, Set[str]], Sampler]] = MappingProxyType(
    {"sobol": _make_sobol, "random": _make_random, "grid": _make_grid}
)


def _suggest(trial: optuna.Trial, part: Dimension) -> Scalar:
    if part.kind == "choice":
        return trial.suggest_categorical(part.key, part.choices)
    if part.by:
        return trial.suggest_float(part.key, 0.0, 1.0)
    if part.kind == "int":
        return trial.suggest_int(part.key, int(part.low), int(part.high), log=part.log)
    return trial.suggest_float(part.key, part.low, part.high, log=part.log)


def _distribution(part: Dimension) -> optuna.distributions.BaseDistribution:
    import optuna

    if part.kind == "choice":
        return optuna.distributions.CategoricalDistribution(part.choices)
    if part.by:
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    if part.kind == "int":
        return optuna.distributions.IntDistribution(int(part.low), int(part.high), log=part.log)
    return optuna.distributions.FloatDistribution(part.low, part.high, log=part.log)
