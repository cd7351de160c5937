"""One given setting, trained and measured as a sweep would: what the row really gives."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.records.study import Scalar, Study
from sweeps.run.setting import Setting
from sweeps.run.trial import run_trial
from sweeps.run.trials import study_header
from sweeps.search.space import apply
from sweeps.spec.sweep import SweepSpec, load_spec, open_source, parse_spec
from sweeps.spec.writing import as_table, with_overrides


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

    Raises
    ------
    SpecError
        If a value will not do.
    """
    spec = _spec_of(dataset, epochs, noise, train_share, n_replicas, seed)
    spec = with_overrides(spec, goal=goal)
    chosen = spec.datasets[0]
    source = open_source(spec, chosen)
    setting = Setting("search", 0, None, dict(params), source.search_seeds(), spec.epochs.grid, epochs)
    apply(spec, params, source.n_inputs, source.n_outputs)
    study = Study(study_header(spec, chosen, 0, source))
    study.trials.append(run_trial(spec, source, f"{spec.name}/{dataset}", setting))
    return study


def _spec_of(dataset: str, epochs: int, noise: float, train_share: float, n_replicas: int, seed: int) -> SweepSpec:
    """Return the homework's spec with one dataset and a grid of epochs that ends at `epochs`."""
    homework = load_spec("homework")
    table = as_table(homework)
    homework.dataset(dataset)
    table["name"] = "train"
    table["seed"] = seed
    table["search"]["n_replicas"] = n_replicas
    earlier = [epoch for epoch in homework.epochs.grid if epoch < epochs]
    table["epochs"] |= {"max_epochs": epochs, "grid": [*earlier, epochs], "stop_from": epochs}
    table["datasets"] = [one for one in table["datasets"] if one["name"] == dataset]
    table["datasets"][0] |= {"noise": noise, "train_share": train_share}
    return parse_spec(table, "train")
