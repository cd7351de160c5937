"""The script most people would write for the main job: Optuna, PyTorch and MLflow, one network a trial.

    python benchmarks/obvious_script.py --tracking FOLDER [--datasets gauss,xor] [--max-trials N]

It is the peer of ``benchmarks/main_job.py``, not part of the product: one data draw, one initial network a trial,
batches by slicing, both losses every ten epochs, and it stops at the first trial that is lucky enough.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import optuna
import torch

ROOT = Path(__file__).resolve().parents[1]
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from engine.playground.draws import draw  # noqa: E402

GOAL = 0.1
MAX_EPOCHS = 200
LOOK_EVERY = 10
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}


def build(trial: optuna.Trial) -> torch.nn.Sequential:
    """Return the network a trial asks for."""
    activation = ACTIVATIONS[trial.suggest_categorical("activation", sorted(ACTIVATIONS))]
    sizes = [trial.suggest_int(f"hidden_{i}", 2, 8) for i in range(trial.suggest_int("n_layers", 1, 3))]
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in zip([2, *sizes], sizes, strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), activation()]
    return torch.nn.Sequential(*layers, torch.nn.Linear([2, *sizes][-1], 1), torch.nn.Tanh())


def search(dataset: str, seed: int, max_trials: int) -> dict[str, Any]:
    """Search one dataset until a single network has both losses below the goal."""
    draws = draw(dataset, 0.2, 0.7, [f"0.{seed:05d}"])
    tensors = [
        torch.as_tensor(np.asarray(a[0], dtype=np.float32))
        for a in (draws.train.X, draws.train.y, draws.test.X, draws.test.y)
    ]
    X, y, X_test, y_test = tensors
    torch.manual_seed(seed)
    network_epochs = 0
    hit_s: float | None = None
    mlflow.set_experiment(f"obvious-{dataset}")
    start, processor_start_s = time.perf_counter(), time.process_time()

    def objective(trial: optuna.Trial) -> float:
        nonlocal network_epochs, hit_s
        model = build(trial)
        batch_size = trial.suggest_int("batch_size", 1, 30)
        rate = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        optimizer = (torch.optim.SGD if name == "sgd" else torch.optim.Adam)(model.parameters(), lr=rate)
        best = float("inf")
        with mlflow.start_run():
            mlflow.log_params(trial.params)
            for epoch in range(1, MAX_EPOCHS + 1):
                for i in range(0, len(X), batch_size):
                    optimizer.zero_grad()
                    loss = 0.5 * ((model(X[i : i + batch_size]) - y[i : i + batch_size]) ** 2).mean()
                    loss.backward()
                    optimizer.step()
                network_epochs += 1
                if epoch % LOOK_EVERY == 0:
                    with torch.no_grad():
                        train = float(0.5 * ((model(X) - y) ** 2).mean())
                        test = float(0.5 * ((model(X_test) - y_test) ** 2).mean())
                    mlflow.log_metrics({"train_loss": train, "test_loss": test}, step=epoch)
                    best = min(best, test)
                    if train < GOAL and test < GOAL:
                        hit_s = time.perf_counter() - start
                        trial.study.stop()
                        break
        return best if np.isfinite(best) else 10.0

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=max_trials)
    seconds = time.perf_counter() - start
    return {
        "dataset": dataset,
        "seconds": seconds,
        "processor_s": time.process_time() - processor_start_s,
        "hit_s": hit_s,
        "trials": len(study.trials),
        "networks": len(study.trials),
        "network_epochs": network_epochs,
    }


def main() -> None:
    """Search the four sets one after the other and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-trials", type=int, default=60, help="give a dataset up after so many trials")
    parser.add_argument("--datasets", default="gauss,xor,circle,spiral", help="names with commas, in this order")
    parser.add_argument("--tracking", type=Path, required=True, help="folder for its mlflow.db")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    arguments.tracking.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{arguments.tracking.resolve()}/mlflow.db")
    mlflow.set_experiment("warm-up")  # creates the database: start-up stays aside
    rows = [search(name, arguments.seed, arguments.max_trials) for name in arguments.datasets.split(",")]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
