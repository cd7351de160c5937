"""Independent searches of the main job's space by one sampler each: what is found after how many trials."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time

import numpy as np

from engine.evaluation import mean_losses
from engine.training import train
from sweeps.data.playground import PlaygroundSource
from sweeps.run.setting import Setting
from sweeps.run.trial import Cancelled, run_trial
from sweeps.run.works.found import Asked, Found
from sweeps.search.samplers import ListSampler, Proposal, Sampler, make_sampler
from sweeps.search.space import all_parts, apply, from_unit, walk
from sweeps.spec.sweep import SweepSpec, load_spec
from sweeps.spec.works import SearchWork
from sweeps.store.seeds import text_seed

GRID = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
"""Epochs at which trials are looked at: the main job's, its first twelfth."""
LEVELS = (1 / 6, 1 / 2, 5 / 6)
"""Of a grid, as fractions of each dimension."""
STREAM_GRID, N_FRESH = 26, 64


def search_spec(work: SearchWork, dataset: str, seed: int, n_trials: int) -> SweepSpec:
    """Return the main job cut down to one dataset, with one sampler."""
    whole = load_spec("homework")
    sampler = "sobol" if work.sampler == "grid" else work.sampler
    return dataclasses.replace(
        whole,
        seed=seed,
        search=dataclasses.replace(
            whole.search, sampler=sampler, n_trials=n_trials, n_replicas=work.n_draws, n_startup_trials=work.n_startup,
            lag=1, until="budget",
        ),
        epochs=dataclasses.replace(whole.epochs, max_epochs=GRID[-1], grid=GRID, stop_from=GRID[-1]),
        datasets=(whole.dataset(dataset),),
    )  # fmt: skip


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


def search(work: SearchWork, asked: Asked) -> Found:
    """Return what R independent searches find; see `SearchWork`.

    Each has draws and a seed of its own. The course holds, after so many trials, the lowest mean test loss found and
    whether any trial was a candidate of the product's rule: 95 % upper bounds of mean training and test loss below the
    goal. The winner is then trained on fresh draws, at its own epoch.
    """
    R = len(asked.draws.seeds)
    best, grade = np.full((len(asked.looks), R), np.nan), np.zeros((len(asked.looks), R))
    fresh, promised, seconds = np.full(R, np.nan), np.full(R, np.nan), []
    for r, seed in enumerate(asked.draws.seeds):
        spec = search_spec(work, asked.dataset, text_seed("search", seed) % 2**31, asked.looks[-1])
        source = PlaygroundSource(spec.asked(spec.datasets[0]), spec.datasets[0].data)  # type: ignore[arg-type]
        sampler = grid_sampler(spec) if work.sampler == "grid" else make_sampler(spec, asked.dataset)
        lowest, found, winner, asking = math.inf, False, None, 0.0
        for k in range(asked.looks[-1]):
            if asked.cancel.is_set():
                raise Cancelled
            start = time.monotonic()
            params, _ = sampler.ask(k)
            asking += time.monotonic() - start
            setting = Setting("search", k, None, dict(params), source.search_seeds(), GRID, stops_early=True)
            record = run_trial(spec, source, "search", setting)
            failed = record.state == "failed"
            sampler.tell(k, None if failed else record.value)
            if not failed and record.value < lowest:
                lowest, winner = record.value, record
            found |= record.candidate
            for i in (i for i, look in enumerate(asked.looks) if look == k + 1):
                best[i, r], grade[i, r] = lowest, found
        seconds.append(asking / asked.looks[-1])
        if winner is not None:
            promised[r] = winner.value
            fresh[r] = _fresh_loss(spec, source, dict(winner.params), winner.epochs)
    return Found({"fresh": fresh, "promised": promised}, {"best": best, "grade": grade}, asked.looks, seconds)


def _fresh_loss(spec: SweepSpec, source: PlaygroundSource, params: dict[str, object], epochs: int) -> float:
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
    found = mean_losses(network, state.parameters, draws.test, training.loss)
    cap = float(draws.constant["test"].mean()) * 10.0
    return float(np.where(found < cap, found, cap).mean())
