"""Independent searches of a whole space by one sampler each: what is found after how many trials."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time

import numpy as np

from analysis.records.study import TrialRecord
from engine.evaluation import mean_losses
from engine.training import train
from sweeps.data.images import NAMES, ImageData
from sweeps.data.kinds import KINDS
from sweeps.data.source import Source
from sweeps.run.setting import Setting
from sweeps.run.trial import Cancelled, run_trial
from sweeps.run.works.found import Asked, FloatArray, Found
from sweeps.search.evolution import EvolutionSampler
from sweeps.search.samplers import ListSampler, Proposal, Sampler, make_sampler
from sweeps.search.space import all_parts, apply, from_unit, walk
from sweeps.spec.sections import PruningSpec
from sweeps.spec.sweep import DatasetSpec, SweepSpec, load_spec
from sweeps.spec.works import CMAES, SearchWork
from sweeps.store.seeds import text_seed

LEVELS = (1 / 6, 1 / 2, 5 / 6)
"""Of a grid, as fractions of each dimension."""
STREAM_GRID, N_FRESH = 26, 32
INPUT_NOISES = (0.0, 0.05, 0.15, 0.3, 0.6)
"""Of the full run that comes with the package; the main job's own menu follows what is found to suit it best."""
SMALL_IMAGES = {"network.hidden_layer_sizes": (8.0, 64.0), "training.batch_size": (8.0, 64.0)}
"""Bounds in the images' space: its own are those of networks that are given 10 000 images."""


def search_spec(work: SearchWork, dataset: str, seed: int, n_trials: int, n_points: tuple[int, int]) -> SweepSpec:
    """Return the main job, or the search on Fashion-MNIST, cut down to one dataset and one sampler.

    No setting is named first: those that the main job names were found before, and would be every sampler's.
    `n_points` are the images that a replica trains on and is tested with.
    """
    whole = _images(dataset, n_points) if dataset in NAMES else _playground(dataset)
    epochs = tuple(epoch for epoch in whole.epochs.grid if epoch < work.max_epochs)
    sampler = "sobol" if work.sampler in ("grid", CMAES) else work.sampler
    return dataclasses.replace(
        whole,
        seed=seed,
        goal=dataclasses.replace(whole.goal, below=work.below),
        search=dataclasses.replace(
            whole.search, sampler=sampler, n_trials=n_trials, n_replicas=work.n_draws, n_startup_trials=work.n_startup,
            lag=1, until="budget", first=(),
        ),
        epochs=dataclasses.replace(
            whole.epochs, max_epochs=work.max_epochs, grid=(*epochs, work.max_epochs), stop_from=work.max_epochs
        ),
    )  # fmt: skip


def _playground(dataset: str) -> SweepSpec:
    whole = load_spec("homework")
    found = whole.dataset(dataset)
    data = dataclasses.replace(found.data, n_beyond=10)  # type: ignore[type-var]  # nothing beyond the range is asked
    space = tuple(
        dataclasses.replace(one, choices=INPUT_NOISES) if one.key == "training.input_noise" else one
        for one in whole.space
    )
    return dataclasses.replace(whole, space=space, datasets=(dataclasses.replace(found, data=data),))


def _images(dataset: str, n_points: tuple[int, int]) -> SweepSpec:
    whole = load_spec("fashion_mnist")
    space = tuple(
        dataclasses.replace(one, low=SMALL_IMAGES[one.key][0], high=SMALL_IMAGES[one.key][1])
        if one.key in SMALL_IMAGES
        else one
        for one in whole.space
    )
    data = ImageData(n_train=n_points[0], n_test=n_points[1])
    epochs = dataclasses.replace(whole.epochs, grid=(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100))
    return dataclasses.replace(
        whole, space=space, epochs=epochs, pruning=PruningSpec(), datasets=(DatasetSpec(dataset, "images", data),)
    )


def grid_sampler(spec: SweepSpec) -> Sampler:
    """Return a grid of three levels a dimension in random order: what a budget that ends within it gets to see."""
    keys = [part.key for part in all_parts(spec.space)]
    rng = np.random.default_rng([spec.seed, STREAM_GRID])
    n = len(LEVELS) ** len(keys)
    places = rng.choice(n, size=min(n, 10_000), replace=False)

    def propose(number: int) -> Proposal:
        digits = np.unravel_index(int(places[number]), (len(LEVELS),) * len(keys))
        units = {key: LEVELS[int(i)] for key, i in zip(keys, digits, strict=True)}
        return walk(spec.space, lambda part: from_unit(part, units[part.key]))

    return ListSampler(propose)


def _sampler(work: SearchWork, spec: SweepSpec, dataset: str) -> Sampler:
    if work.sampler == "grid":
        return grid_sampler(spec)
    return EvolutionSampler(spec, dataset) if work.sampler == CMAES else make_sampler(spec, dataset)


@dataclasses.dataclass(slots=True)
class _Search:
    """One search: the lowest mean test loss and whether a candidate was found, after each number of trials."""

    lowest: list[float] = dataclasses.field(default_factory=list)
    found: list[bool] = dataclasses.field(default_factory=list)
    winner: TrialRecord | None = None
    asking_s: float = 0.0


def search(work: SearchWork, asked: Asked) -> Found:
    """Return what R independent searches find; see `SearchWork`.

    Each has draws and a seed of its own. The course holds, after so many trials, the lowest mean test loss found and
    whether any trial was a candidate of the product's rule: 95 % upper bounds of mean training and test loss below the
    goal. The winner is then trained on fresh draws, at its own epoch.
    """
    R = len(asked.draws.seeds)
    best, grade = np.full((len(asked.looks), R), np.nan), np.zeros((len(asked.looks), R))
    fresh, promised, seconds = np.full(R, np.nan), np.full(R, np.nan), []
    n_points = (asked.draws.train.X.shape[1], asked.draws.test.X.shape[1])
    for r, seed in enumerate(asked.draws.seeds):
        spec = search_spec(work, asked.dataset, text_seed("search", seed) % 2**31, asked.looks[-1], n_points)
        (dataset,) = spec.datasets
        source = KINDS[dataset.kind].open(spec.asked(dataset), dataset.data, None)
        one = _searched(spec, source, _sampler(work, spec, asked.dataset), asked)
        at = np.array(asked.looks) - 1
        best[:, r], grade[:, r] = np.array(one.lowest)[at], np.array(one.found)[at]
        seconds.append(one.asking_s / asked.looks[-1])
        if one.winner is not None:
            promised[r] = one.winner.value
            fresh[r] = _fresh_loss(spec, source, dict(one.winner.params), one.winner.epochs)
    return Found({"fresh": fresh, "promised": promised}, {"best": best, "grade": grade}, asked.looks, seconds)


def _searched(spec: SweepSpec, source: Source, sampler: Sampler, asked: Asked) -> _Search:
    one, lowest, seeds = _Search(), math.inf, source.search_seeds()
    for k in range(asked.looks[-1]):
        if asked.cancel.is_set():
            raise Cancelled
        start = time.monotonic()
        params, _ = sampler.ask(k)
        one.asking_s += time.monotonic() - start
        setting = Setting("search", k, None, dict(params), seeds, spec.epochs.grid, stops_early=True)
        record = run_trial(spec, source, "search", setting)
        failed = record.state == "failed"
        start = time.monotonic()
        sampler.tell(k, None if failed else record.value)
        one.asking_s += time.monotonic() - start
        if not failed and record.value < lowest:
            lowest, one.winner = record.value, record
        one.lowest.append(lowest if math.isfinite(lowest) else math.nan)
        one.found.append(record.candidate or (bool(one.found) and one.found[-1]))
    return one


def _fresh_loss(spec: SweepSpec, source: Source, params: dict[str, object], epochs: int) -> float:
    """Return the mean test loss of a setting on draws that its search has not seen; capped as a trial's."""
    others: list[str] = []
    for repeat in itertools.count(1):
        others += source.search_seeds(repeat)
        if len(others) >= N_FRESH:
            break
    draws = source.draws(tuple(others[:N_FRESH]))
    network, training = apply(spec, params, source.n_inputs, source.n_outputs)  # type: ignore[arg-type]
    first = draws.initialize(network)
    state = train(network, training, draws.train, first, draws.training_seeds, look_at=[epochs], evaluate_on={}).state
    found: FloatArray = mean_losses(network, state.parameters, draws.test, training.loss)
    cap = float(draws.constant["test"].mean()) * 10.0
    return float(np.where(found < cap, found, cap).mean())
