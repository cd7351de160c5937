"""Synthetic records: studies such as a sweep leaves them, made without training anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from analysis.records.events import AskedLine, LookLine, Stage, Verdict
from analysis.records.lines import Chain
from analysis.records.reading import read_study
from analysis.records.study import Study, StudyHeader, TrialRecord, study_name
from analysis.records.values import as_data
from analysis.sections.registry import SECTIONS
from engine.model_files import save_model
from engine.network import NetworkConfig, Parameters

SHOWN_SECTIONS = [key for key in SECTIONS if key not in ("table", "effects", "ablation")]
"""Sections of a report on searches of Playground sets."""
EPOCH_GRID = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200]
FLOORS = {"gauss": 0.0303, "xor": 0.0723, "circle": 0.0744, "spiral": 0.0144}


def header(sweep: str = "homework", dataset: str = "xor", position: int = 0, **changes: Any) -> StudyHeader:
    """Return a study's header."""
    plain = StudyHeader(
        sweep=sweep,
        dataset=dataset,
        position=position,
        data={"noise": 0.2, "train_share": 0.7, "stretch": 3.0},
        goal=0.1,
        metric="test_loss",
        n_trials=20,
        until="reached",
        n_replicas=16,
        max_epochs=2000,
        seed=0,
        floor=FLOORS.get(dataset),
        spec_sha256="ab12" * 16,
        versions={"rangesweep": "0.1.0", "numpy": "2.3.0", "processor": "x86_64"},
    )
    return dataclasses.replace(plain, **changes)


def record(
    rng: np.random.Generator,
    study: str = "homework/xor",
    stage: Stage = "search",
    number: int = 0,
    n_replicas: int = 16,
    mean: float = 0.09,
    goal: float = 0.1,
    floor: float | None = 0.0723,
    **changes: Any,
) -> TrialRecord:
    """Return a finished trial whose test loss is about `mean`."""
    test = (mean + 0.01 * rng.standard_normal(n_replicas)).clip(0.001)
    train = (mean - 0.004 + 0.01 * rng.standard_normal(n_replicas)).clip(0.001)
    out = (0.3 + 0.05 * rng.standard_normal(n_replicas)).clip(0.001)
    floors = None if floor is None else (floor + 0.01 * rng.standard_normal(n_replicas)).clip(0.001).tolist()
    decay = [mean + 0.4 * float(np.exp(-epoch / 12)) for epoch in EPOCH_GRID]
    curves: dict[str, list[float | None]] = {}
    for name, shift in (("train", -0.004), ("test", 0.0)):
        curves[f"{name}_loss_mean"] = [value + shift for value in decay]
        curves[f"{name}_loss_q10"] = [0.85 * (value + shift) for value in decay]
        curves[f"{name}_loss_q90"] = [1.2 * (value + shift) for value in decay]
    curves["in_range_loss_mean"] = list(decay)
    curves["out_of_range_loss_mean"] = [value + 0.2 for value in decay]
    curves["pass_rate"] = [0.0 if value > goal else 0.7 for value in decay]
    test_upper = float(test.mean() + 1.75 * test.std() / np.sqrt(n_replicas))
    train_upper = float(train.mean() + 1.75 * train.std() / np.sqrt(n_replicas))
    activation = str(rng.choice(["tanh", "relu", "sigmoid"]))
    rate = float(10 ** rng.uniform(-3, 0))
    sizes = [int(size) for size in rng.integers(1, 9, size=int(rng.integers(1, 4)))]
    params: dict[str, Any] = {
        "network.activation": activation,
        "network.n_hidden_layers": len(sizes),
        "training.learning_rate": rate,
        "training.batch_size": int(rng.integers(1, 31)),
        "training.optimizer": str(rng.choice(["sgd", "adam"])),
        **{f"network.hidden_layer_{i + 1}": size for i, size in enumerate(sizes)},
    }
    plain = TrialRecord(
        study=study,
        stage=stage,
        number=number,
        source=None,
        state="complete",
        reason=None,
        params=params,
        network={"n_inputs": 2, "hidden_layer_sizes": sizes, "n_outputs": 1, "activation": activation},
        training={
            "learning_rate": rate,
            "batch_size": params["training.batch_size"],
            "optimizer": params["training.optimizer"],
            "regularizer": "none",
            "regularization_rate": 0.0,
        },
        seeds=[f"0.{stage}.{number}.{r}" for r in range(n_replicas)],
        epochs=100,
        value=float(test.mean()),
        candidate=test_upper < goal and train_upper < goal,
        train_upper=train_upper,
        test_upper=test_upper,
        train_loss=train.tolist(),
        test_loss=test.tolist(),
        in_range_loss=(test + 0.001).tolist(),
        out_of_range_loss=out.tolist(),
        n_in_range=[148] * n_replicas,
        n_out_of_range=[400] * n_replicas,
        constant_loss=0.49,
        constant_in_range_loss=0.49,
        constant_out_of_range_loss=0.5,
        floor_train_loss=floors,
        floor_test_loss=floors,
        floor_in_range_loss=floors,
        floor_out_of_range_loss=None if floor is None else [0.004] * n_replicas,
        epoch_grid=list(EPOCH_GRID),
        curves=curves,
        first_passage=[30 if r % 5 else None for r in range(n_replicas)],
        diverged_at=[None] * n_replicas,
        diverged_cap=2.0,
        sha256="cd34" * 16,
        road="numpy-float64",
        playground_url=None,
        duration_s=1.5,
    )
    return dataclasses.replace(plain, **changes)


def failed(
    rng: np.random.Generator, number: int = 0, study: str = "homework/xor", reason: str = "no memory"
) -> TrialRecord:
    """Return a trial that gave no numbers."""
    return dataclasses.replace(
        record(rng, study, number=number),
        state="failed",
        reason=reason,
        value=2.0,
        candidate=False,
        train_loss=[],
        test_loss=[],
        in_range_loss=[],
        out_of_range_loss=[],
        n_in_range=[],
        n_out_of_range=[],
        floor_train_loss=None,
        floor_test_loss=None,
        floor_in_range_loss=None,
        floor_out_of_range_loss=None,
        epoch_grid=[],
        curves={},
        first_passage=[],
        diverged_at=[],
    )


def diverged(rng: np.random.Generator, number: int = 0, study: str = "homework/xor") -> TrialRecord:
    """Return a trial whose replicas all diverged."""
    plain = record(rng, study, number=number, mean=2.0)
    n = len(plain.test_loss)
    return dataclasses.replace(
        plain,
        state="diverged",
        reason="16 of 16 replicas diverged",
        value=2.0,
        candidate=False,
        train_loss=[2.0] * n,
        test_loss=[2.0] * n,
        in_range_loss=[2.0] * n,
        out_of_range_loss=[2.0] * n,
        train_upper=2.0,
        test_upper=2.0,
        curves={key: [2.0] * len(EPOCH_GRID) for key in plain.curves},
        first_passage=[None] * n,
        diverged_at=[3] * n,
    )


def finished_study(
    dataset: str = "xor",
    position: int = 0,
    n_trials: int = 20,
    n_certificate: int = 200,
    seed: int = 1,
    sweep: str = "homework",
    **changes: Any,
) -> Study:
    """Return a study with search, finalists, certificates for the winner and for the page, and a verdict."""
    rng = np.random.default_rng([seed, position])
    top = header(sweep, dataset, position, n_trials=n_trials, **changes)
    name, floor = f"{sweep}/{dataset}", top.floor
    study = Study(top)
    best = (floor or 0.06) + 0.01
    shared = [f"0.{r:05d}" for r in range(16)]
    for number in range(n_trials):
        if number % 9 == 4:
            study.trials.append(diverged(rng, number, name))
        else:
            mean = best + float(rng.exponential(0.08))
            study.trials.append(record(rng, name, number=number, mean=mean, floor=floor, seeds=shared))
    source = min(study.trials, key=lambda trial: trial.value)
    for stage, n in (("finalist", 128), ("certificate", n_certificate), ("page_certificate", n_certificate)):
        url = "activation=tanh&batchSize=10&dataset=xor&learningRate=0.03&networkShape=4,2&seed=0.12345"
        study.records[stage].append(
            record(
                rng,
                name,
                stage,
                0,
                n,
                best,
                floor=floor,
                source=source.number,
                params=source.params,
                network=source.network,
                training=source.training,
                playground_url=url if stage.startswith("page") else None,
            )
        )
    study.verdict = Verdict(
        certified=True,
        winner=0,
        page_winner=0,
        page_certified=True,
        level=0.05,
        n_certificates=1,
        stopped="reached",
        text="certified: both upper bounds are below 0.1",
    )
    return study


def ablated(study: Study, n_draws: int = 32, effect: float = 0.05) -> Study:
    """Give a finished study an ablation of its winner: `effect` is what another activation does, in range alone."""
    assert study.winner is not None
    rng = np.random.default_rng(7)
    winner, seeds = study.winner, [f"0.9{r:04d}" for r in range(n_draws)]
    base = record(rng, winner.study, "ablation", 0, n_draws, 0.08, seeds=seeds, source=winner.source)
    base = dataclasses.replace(base, params=winner.params, network=winner.network, training=winner.training)
    kept = {key: value for key, value in winner.params.items() if key != "network.activation"}
    rate = float(winner.training["learning_rate"])
    changes: list[tuple[str, dict[str, Any], float]] = [
        ("network.activation", {**kept, "network.activation": "linear"}, effect),
        ("training.learning_rate", {**winner.params, "training.learning_rate": rate / 3}, 0.0),
        ("training.batch_size", {**winner.params, "training.batch_size": 31}, 0.0),
    ]
    records = [base]
    for number, (key, params, shift) in enumerate(changes, start=1):
        noise = 0.002 * rng.standard_normal(n_draws)
        sides = {name: (np.array(getattr(base, name)) + shift + noise).tolist() for name in
                 ("train_loss", "test_loss", "in_range_loss")}  # fmt: skip
        outside = (np.array(base.out_of_range_loss) + 0.002 * rng.standard_normal(n_draws)).tolist()
        records.append(dataclasses.replace(base, number=number, source=None, params=params, changed=key,
                                           out_of_range_loss=outside, **sides))  # fmt: skip
    study.records["ablation"] = records
    study.looks.append(LookLine(1, "ablation", "ab12cd34", len(study.trials), 0, len(records), n_draws, 0.0))
    return study


def write_study(study: Study, folder: Path) -> Path:
    """Write a study's log below ``results/<sweep>`` and return its path."""
    path = folder / study.header.dataset / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(log_lines(study)), encoding="utf-8")
    return path


def log_lines(study: Study) -> list[str]:
    """Return the lines of a study's log, chained and, with a verdict, sealed."""
    items: list[tuple[str, dict[str, Any]]] = [("study", as_data(study.header))]
    for stage, records in study.records.items():
        items += [("look", as_data(look)) for look in study.looks if look.stage == stage]
        for item in records:
            if stage == "search":
                items.append(("asked", as_data(AskedLine(item.number, item.params, {}, item.source))))
            items.append(("finished" if stage == "search" else stage, as_data(item)))
    chain = Chain(study_name(study.header))
    lines = [chain.encode(kind, data) for kind, data in items]
    if study.verdict is not None:
        asked = {trial.number: trial.params for trial in study.trials}
        whole = dataclasses.replace(study, asked=asked)
        lines.append(chain.encode("verdict", as_data(study.verdict), canonical=whole.digest))
    return lines


def homework(folder: Path, n_trials: int = 20) -> Path:
    """Write a whole synthetic homework sweep and return its folder."""
    for position, dataset in enumerate(FLOORS):
        write_study(finished_study(dataset, position, n_trials), folder / "homework")
    return folder / "homework"


def plane_networks(n_replicas: int, weights: tuple[float, float] = (1.0, 1.0)) -> Parameters:
    """Return networks without a hidden layer, all alike: tanh(w1 x1 + w2 x2)."""
    W = np.tile(np.array(weights).reshape(1, 2, 1), (n_replicas, 1, 1))
    return Parameters([W], [np.zeros((n_replicas, 1))])


PLANE = {"n_inputs": 2, "hidden_layer_sizes": [], "n_outputs": 1, "activation": "tanh", "output_activation": "tanh"}


def study_with_networks(
    folder: Path, dataset: str = "gauss", n_replicas: int = 12, position: int = 0, *, is_ablated: bool = False
) -> Study:
    """Write a finished study and its winner's networks below `folder`; return it as read back."""
    study = finished_study(dataset, position, n_trials=6, n_certificate=n_replicas)
    seeds = [f"0.{k:05d}" for k in range(n_replicas)]
    study.records["certificate"] = [dataclasses.replace(study.records["certificate"][0], seeds=seeds, network=PLANE)]
    path = write_study(ablated(study) if is_ablated else study, folder)
    network = NetworkConfig(n_inputs=2, hidden_layer_sizes=())
    save_model(path.parent / "models", "certificate-0", network, plane_networks(n_replicas), {})
    growing = np.linspace(0.0, 1.0, 9).reshape(-1, 1, 1) * plane_networks(9).weights[0]
    frames = Parameters([growing], [np.zeros((9, 1))])
    epochs = {"epochs": [0, *EPOCH_GRID[:8]], "seed": seeds[0]}
    save_model(path.parent / "models", "certificate-0.frames", network, frames, epochs)
    return read_study(path)
