"""One given setting, trained and measured as a sweep would: what the row really gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from analysis.records.events import Scalar
from analysis.records.study import Study
from engine.playground.draws import count_training_points
from engine.playground.registry import DATASETS
from engine.roads.memory import check_network
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.playground import PlaygroundData, PlaygroundSource
from sweeps.data.source import Draws, Losses
from sweeps.run.certificate import THE_PAGES_OWN
from sweeps.run.setting import Setting
from sweeps.run.trial import check_updates, run_trial
from sweeps.run.trials import study_header
from sweeps.search.space import apply
from sweeps.spec.sweep import SweepSpec, load_spec, parse_spec
from sweeps.spec.writing import as_table, with_overrides
from sweeps.toml import SpecError


def train_setting(
    dataset: str,
    *,
    params: Mapping[str, Scalar],
    epochs: int,
    noise: float,
    train_share: float,
    goal: str,
    n_replicas: int,
    seed: int,
    same_data: bool = False,
    on_checked: Callable[[], None] | None = None,
    on_draws: Callable[[int], None] | None = None,
) -> Study:
    """Train R replicas of one setting and return a study of that one trial.

    Parameters
    ----------
    dataset : str
        One of the homework's datasets.
    params : mapping
        The whole setting, by spec key.
    epochs : int
        Length of training; the losses are those at its end.
    noise, train_share : float
        Fractions.
    goal : str
        For instance ``"test_loss < 0.1"``.
    n_replicas : int
        Replicas, each with its own data, split, order and first weights.
    seed : int
        Fixes them all.
    same_data : bool
        Whether all replicas have the first one's data and split, and differ in their first weights only. Their
        intervals and pass rate are then about that one draw of the data.
    on_checked : callable or None
        Called once everything is checked, before anything is drawn.
    on_draws : callable or None
        Told, before some replicas are trained together, how many they are.

    Raises
    ------
    SpecError
        If a value will not do, or the machine has not the memory for it.
    """
    spec = _spec_of(dataset, epochs, noise, train_share, n_replicas, seed)
    spec = with_overrides(spec, goal=goal)
    chosen = spec.datasets[0]
    if not isinstance(chosen.data, PlaygroundData):
        raise AssertionError(f"{dataset}: the homework has Playground sets only")
    source = GivenSource(spec.asked(chosen), chosen.data, same_data, on_draws)
    setting = Setting("search", 0, None, dict(params), source.search_seeds(), spec.epochs.grid, epochs)
    network, training = apply(spec, params, source.n_inputs, source.n_outputs)
    n_samples = DATASETS[dataset].n_samples
    try:
        check_updates(training, count_training_points(n_samples, train_share))
        check_network(network, training, len(setting.chunk(0)), n_samples)
    except ValueError as error:
        raise SpecError(f"train: {error}") from None
    if on_checked is not None:
        on_checked()
    study = Study(study_header(spec, chosen, 0, source))
    study.trials.append(run_trial(spec, source, f"{spec.name}/{dataset}", setting))
    return study


class GivenSource(PlaygroundSource):
    """A Playground set for one setting, whose replicas may share their data.

    Parameters
    ----------
    asked : Asked
    data : PlaygroundData
        As of `PlaygroundSource`.
    same_data : bool
        Whether every replica has the first one's points, in their order, and first weights of its own.
    on_draws : callable or None
        Told how many replicas are drawn, before they are.
    """

    def __init__(
        self, asked: Asked, data: PlaygroundData, same_data: bool, on_draws: Callable[[int], None] | None
    ) -> None:
        super().__init__(asked, data)
        self._same_data = same_data
        self._on_draws = on_draws

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the draws of these seeds."""
        if self._on_draws is not None:
            self._on_draws(len(seeds))
        own = super().draws(seeds)
        if not self._same_data:
            return own
        first, R = super().draws(self.search_seeds()[:1]), len(seeds)

        def repeated(losses: Losses) -> Losses:
            return {name: np.repeat(values, R) for name, values in losses.items()}

        def shared(one: Split) -> Split:
            weight = None if one.weight is None else np.repeat(one.weight, R, axis=0)
            return Split(np.repeat(one.X, R, axis=0), np.repeat(one.y, R, axis=0), weight)

        return dataclasses.replace(
            own,
            train=shared(first.train),
            test=shared(first.test),
            in_range=shared(first.in_range),
            out_of_range=shared(first.out_of_range),
            n_in_range=np.repeat(first.n_in_range, R),
            n_out_of_range=np.repeat(first.n_out_of_range, R),
            constant=repeated(first.constant),
            floors=None if first.floors is None else repeated(first.floors),
        )


def _spec_of(dataset: str, epochs: int, noise: float, train_share: float, n_replicas: int, seed: int) -> SweepSpec:
    """Return the homework's spec with one dataset and a grid of epochs that ends at `epochs`, as the page trains."""
    homework = load_spec("homework")
    table = as_table(homework)
    homework.dataset(dataset)
    table["name"] = "train"
    table["seed"] = seed
    table["search"]["n_replicas"] = n_replicas
    earlier = [epoch for epoch in homework.epochs.grid if epoch < epochs]
    table["epochs"] |= {"max_epochs": epochs, "grid": [*earlier, epochs], "stop_from": epochs}
    for key, value in THE_PAGES_OWN.items():
        group, field = key.split(".")
        table[group][field] = value
    table["search"].pop("first", None)
    table["space"] = {"training": {"learning_rate": {"low": 1e-9, "high": 1e9, "log": True}}}  # nothing is asked of it
    table["datasets"] = [one for one in table["datasets"] if one["name"] == dataset]
    table["datasets"][0] |= {"noise": noise, "train_share": train_share}
    return parse_spec(table, "train")
