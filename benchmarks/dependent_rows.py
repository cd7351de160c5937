"""Count certificates on tables whose rows depend on each other, and on honest ones.

``python -m benchmarks.dependent_rows`` makes tables of each kind, without signal and with rows that depend on each
other, divides each as ``sweeps run`` would, trains one setting's networks, judges them as a certificate, and prints how
many were certified. Every one of these certificates is false; at a level of 5 % there are at most 17 of 200 (with a
probability of 99 %). Then honest tables with a goal in numbers: how often they are certified with everything that is
looked for, and with nothing (``--group none --time-column none --equal-rows apart``, and no doubt heeded).
``--tables N`` takes another number of tables of each kind, ``--only WORD`` some of the kinds (``honest``,
``dependent``, or a word of theirs).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from analysis.records.events import Scalar
from engine.evaluation import predict
from engine.training import train
from sweeps.data.table.baselines import run_baseline
from sweeps.data.table.judging import judge_test_rows, test_units
from sweeps.data.table.scoring import outputs_to_predictions
from sweeps.run.looks import level_of_look
from sweeps.search.space import apply
from sweeps.spec import from_table
from sweeps.spec.sweep import open_source

MAX_EPOCHS = 40
EVERY = 10
"""Tables of each kind after which the counts so far go to standard error."""
SHORT: Mapping[str, Any] = MappingProxyType(
    {
        "search": {"n_trials": 2, "n_replicas": 3, "n_startup_trials": 2, "lag": 2},
        "epochs": {"max_epochs": MAX_EPOCHS, "grid": [MAX_EPOCHS]},
        "finalists": {"n": 1, "n_replicas": 3},
        "certificates": {"n_replicas": 3},
        "network": {"activation": "tanh", "hidden_layer_sizes": [24]},
        "training": {"optimizer": "adam", "weight_decay": 0.0, "dropout": 0.0, "batch_size": 32},
        "space": {"training": {"learning_rate": {"low": 0.01, "high": 0.02, "log": True}}},
    }
)
"""A setting with which a network remembers rows."""
NOTHING_LOOKED_FOR: Mapping[str, Any] = MappingProxyType(
    {"group_column": "none", "time_column": "none", "equal_rows": "apart"}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of tables.

    Parameters
    ----------
    words : str
        What they are.
    make : callable (rng) -> DataFrame
        One table; the target is called ``target``.
    goal : str
        What is to be certified.
    honest : bool
        Whether rows are independent and the goal can be met.
    """

    words: str
    make: Callable[[np.random.Generator], pd.DataFrame]
    goal: str
    honest: bool = False


def copied_classes(rng: np.random.Generator) -> pd.DataFrame:
    """Return coin flips, every row there 2 to 9 times, a running number beside them."""
    frame = _inputs(rng, 70).assign(target=rng.integers(0, 2, 70))
    frame = frame.loc[np.repeat(np.arange(70), rng.integers(2, 10, 70))].sample(frac=1.0, random_state=rng)
    return frame.reset_index(drop=True).reset_index(names="nr")


def copied_numbers(rng: np.random.Generator) -> pd.DataFrame:
    """Return noise as the target, half of the rows copied four times."""
    frame = _inputs(rng, 120).assign(target=rng.normal(size=120))
    return pd.concat([frame, *[frame.iloc[:60]] * 4]).sample(frac=1.0, random_state=rng)


def patients(rng: np.random.Generator) -> pd.DataFrame:
    """Return one coin flip a patient, eight visits each; age stays, weight nearly, pulse does not."""
    who = np.repeat(np.arange(60), 8)
    return pd.DataFrame(
        {
            "patient": [f"P{k:03d}" for k in who],
            "age": rng.integers(20, 90, 60)[who],
            "weight": (rng.normal(70, 12, 60)[who] + rng.normal(0, 0.5, 480)).round(1),
            "pulse": rng.normal(70, 9, 480).round(),
            "target": rng.integers(0, 2, 60)[who],
        }
    ).sample(frac=1.0, random_state=rng)


def numbered_batches(rng: np.random.Generator) -> pd.DataFrame:
    """Return a level a batch, the batch a number among the inputs, which otherwise say nothing."""
    batch = np.repeat(np.arange(50), 8)
    return _inputs(rng, 400).assign(
        batch=rng.permutation(50)[batch] + 101, target=rng.normal(size=50)[batch] + 0.3 * rng.normal(size=400)
    )


def hidden_levels(rng: np.random.Generator) -> pd.DataFrame:
    """Return a level a subject that no input tells: rows of one subject are wrong together."""
    who = np.repeat(np.arange(30), 12)
    target = (rng.normal(size=30)[who] + 0.5 * rng.normal(size=360) > 0).astype(int)
    return _inputs(rng, 360).assign(subject_id=[f"s{k}" for k in who], target=target)


def walk(rng: np.random.Generator) -> pd.DataFrame:
    """Return a random walk, dated; the inputs say nothing."""
    return _inputs(rng, 400).assign(date=_days(400), target=np.cumsum(rng.normal(size=400)))


def regimes(rng: np.random.Generator) -> pd.DataFrame:
    """Return two classes by the sign of a slow process, dated."""
    process = np.zeros(400)
    for t in range(1, 400):
        process[t] = 0.97 * process[t - 1] + rng.normal()
    return _inputs(rng, 400).assign(date=_days(400), target=(process > 0).astype(int))


def jittered_classes(rng: np.random.Generator) -> pd.DataFrame:
    """Return coin flips, every row there 2 to 9 times with a small noise in its numbers."""
    frame = _inputs(rng, 70).assign(target=rng.integers(0, 2, 70))
    frame = frame.loc[np.repeat(np.arange(70), rng.integers(2, 10, 70))].sample(frac=1.0, random_state=rng)
    frame[list("abc")] += 0.003 * rng.normal(size=(len(frame), 3))
    return frame.reset_index(drop=True)


def visits(rng: np.random.Generator) -> pd.DataFrame:
    """Return one coin flip a patient, eight visits each on the days after the first; patients come one by one."""
    who = np.repeat(np.arange(60), 8)
    days = np.sort(rng.integers(0, 700, 60))[who] + np.tile(np.arange(8), 60)
    return pd.DataFrame(
        {
            "patient": [f"P{k:03d}" for k in who],
            "day": (pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")).strftime("%Y-%m-%d"),
            "age": rng.integers(20, 90, 60)[who],
            "pulse": rng.normal(70, 9, 480).round(),
            "target": rng.integers(0, 2, 60)[who],
        }
    ).sort_values("day")


def undated_regimes(rng: np.random.Generator) -> pd.DataFrame:
    """Return two classes by the sign of a slow process, in its order and without a date."""
    return regimes(rng).drop(columns="date")


def honest_numbers(rng: np.random.Generator) -> pd.DataFrame:
    """Return a law with noise, an informative category beside it."""
    frame = _inputs(rng, 300)
    frame["make"] = rng.choice([f"make {c}" for c in "abcdefgh"], 300)
    level = dict(zip([f"make {c}" for c in "abcdefgh"], rng.normal(size=8), strict=True))
    return frame.assign(target=frame["a"] + frame["b"] + frame["make"].map(level) + rng.normal(size=300))


def honest_classes(rng: np.random.Generator) -> pd.DataFrame:
    """Return two classes by a law with noise; some rows are equal by chance."""
    frame = _inputs(rng, 300).round(1)
    chance = 1.0 / (1.0 + np.exp(-2.0 * (frame["a"] - frame["b"])))
    return frame.assign(target=(rng.random(300) < chance).astype(int))


def honest_identifiers(rng: np.random.Generator) -> pd.DataFrame:
    """Return a law with noise, and an identifier that repeats and means nothing."""
    frame = _inputs(rng, 300)
    return frame.assign(
        customer_id=rng.integers(1000, 1060, 300), target=frame["a"] + 0.5 * frame["b"] ** 2 + rng.normal(size=300)
    )


def honest_dates(rng: np.random.Generator) -> pd.DataFrame:
    """Return a law with noise, dated; nothing changes over time."""
    frame = _inputs(rng, 300)
    return frame.assign(date=_days(300), target=frame["a"] + frame["b"] + rng.normal(size=300))


def honest_order(rng: np.random.Generator) -> pd.DataFrame:
    """Return a law with noise that is no straight line, sorted by an input."""
    frame = _inputs(rng, 300)
    return frame.assign(target=frame["a"] ** 2 + frame["b"] + rng.normal(size=300)).sort_values("a")


def honest_visits(rng: np.random.Generator) -> pd.DataFrame:
    """Return a law with noise, a patient a week, four visits each; nothing hangs on who comes, nor when."""
    frame = _inputs(rng, 300)
    who = np.repeat(np.arange(75), 4)
    days = 7 * who + np.tile(np.arange(4), 75)
    dates = (pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")).strftime("%Y-%m-%d")
    return frame.assign(patient=who + 1000, day=dates, target=frame["a"] + frame["b"] + rng.normal(size=300))


def _inputs(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))


def _days(n: int) -> list[str]:
    return list(pd.date_range("2020-01-01", periods=n).strftime("%Y-%m-%d"))


KINDS: tuple[Kind, ...] = (
    Kind("coin flips, rows copied 2 to 9 times", copied_classes, "accuracy > 0.5"),
    Kind("noise, half of the rows copied 4 times", copied_numbers, "r2 > 0"),
    Kind("a coin flip a patient, 8 visits each", patients, "accuracy > 0.5"),
    Kind("a level a batch, its number an input", numbered_batches, "r2 > 0"),
    Kind("a level a subject that no input tells", hidden_levels, "accuracy > 0.5"),
    Kind("a dated random walk", walk, "beat the best baseline"),
    Kind("dated classes in slow regimes", regimes, "accuracy > 0.5"),
    Kind("coin flips, rows copied with a jitter", jittered_classes, "accuracy > 0.5"),
    Kind("a coin flip a patient, visits by date", visits, "accuracy > 0.5"),
    Kind("classes in slow regimes, no date", undated_regimes, "accuracy > 0.5"),
    Kind("honest: numbers, an informative category", honest_numbers, "rmse < 1.4", honest=True),
    Kind("honest: classes, some rows equal by chance", honest_classes, "accuracy > 0.7", honest=True),
    Kind("honest: an identifier that means nothing", honest_identifiers, "rmse < 1.4", honest=True),
    Kind("honest: dated, nothing changes", honest_dates, "rmse < 1.4", honest=True),
    Kind("honest: patients by date that mean nothing", honest_visits, "rmse < 1.4", honest=True),
    Kind("honest: a file sorted by an input", honest_order, "rmse < 1.5", honest=True),
)


def is_certified(frame: pd.DataFrame, goal: str, dataset: Mapping[str, Any]) -> tuple[bool, bool]:
    """Divide a table as ``sweeps run`` does and judge one setting's networks as a certificate does.

    Certificates see test rows that no search sees, so that how their setting was found has no part in their level.
    Columns that give the target away are not looked for: that decides nothing about rows and takes half of the time.

    Returns
    -------
    certified, found : bool
        The second: whether any dependence was found.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        mock.patch.object(from_table, "find_leaks", return_value=()),
    ):
        warnings.simplefilter("ignore")
        file = Path(folder) / "table.csv"
        frame.to_csv(file, index=False)
        asked = {"file": str(file), "target": "target", "n_folds": 3, "end_rule": "none", **dataset}
        spec = from_table.build_spec(
            {**{k: dict(v) for k, v in SHORT.items()}, "goal": {"words": goal}, "dataset": asked}, "table"
        )
        (one,) = spec.datasets
        found = bool(one.data.found)
        if dataset:  # as if nothing had been found, either
            one = dataclasses.replace(one, data=dataclasses.replace(one.data, suspected="", found=(), scope=""))
            spec = dataclasses.replace(spec, datasets=(one,))
        source = open_source(spec, one)
        seeds = source.fresh_seeds("certificate", "benchmark")
        params: dict[str, Scalar] = {"training.learning_rate": 0.015}
        network, training = apply(spec, params, source.n_inputs, source.n_outputs)
        draws = source.draws(seeds)
        result = train(
            network,
            training,
            draws.train,
            draws.initialize(network),
            draws.training_seeds,
            look_at=(MAX_EPOCHS,),
            evaluate_on={},
        )
        level = level_of_look(spec.certificates.level, 1, is_finite=True)
        if source.goal_asked.value is None:
            judged = source.judge(seeds, network, result.state.parameters, level)
            return judged is not None and bool(judged["passed"]), found
        # To a goal in numbers the simple models have nothing to say, and they take longest.
        rows, fitted = source.rows, source.fitted("certificate")
        y, task = rows.target.values[rows.test], rows.target.task
        outputs = predict(network, result.state.parameters, draws.test.X)[:, : len(y)]
        predictions = outputs_to_predictions(outputs, task, [fitted.target])
        constant = run_baseline(source.problem, "constant", source.fold_rows(fitted)).predictions["validation"]
        units = test_units(rows, one.data)
        judged = judge_test_rows(
            source.goal_asked, task, y, predictions, {"constant": constant}, "constant", level, 0, units
        )
        return bool(judged["passed"]), found


def count(kind: Kind, n_tables: int, dataset: Mapping[str, Any]) -> int:
    """Return how many of a kind's tables were certified."""
    return sum(is_certified(_table(kind, i), kind.goal, dataset)[0] for i in range(n_tables))


@dataclass(slots=True)
class Counted:
    """What became of the tables of one kind so far: certified, and with nothing looked for how many of how many."""

    kind: Kind
    n_certified: int = 0
    n_before: int = 0
    n_certified_before: int = 0

    def take(self, i: int, n_before: int) -> None:
        """Count table `i`, with nothing looked for, too, where it is one of the first `n_before`.

        Where nothing was found a table is divided as if nothing had been looked for, and the outcome is the same.
        """
        frame = _table(self.kind, i)
        certified, found = is_certified(frame, self.kind.goal, {})
        self.n_certified += certified
        if i < n_before:
            before = is_certified(frame, self.kind.goal, NOTHING_LOOKED_FOR)[0] if found else certified
            self.n_before, self.n_certified_before = self.n_before + 1, self.n_certified_before + before


def counts_text(counts: Sequence[Counted], n: int) -> str:
    """Return the table after `n` tables of each kind."""
    lines = [f"| tables, {n} of each kind | goal | certified | with nothing looked for |", "|---|---|---|---|"]
    for one in counts:
        before = f"{one.n_certified_before} of {one.n_before}"
        lines.append(f"| {one.kind.words} | {one.kind.goal} | {one.n_certified} | {before} |")
    return "\n".join(lines)


def _table(kind: Kind, i: int) -> pd.DataFrame:
    return kind.make(np.random.default_rng([7, i]))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=200, metavar="N", help="of each kind (default: 200)")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="kinds whose words hold this one, honest or dependent"
    )
    parser.add_argument("--before", type=int, default=20, metavar="N", help="dependent ones with nothing looked for")
    arguments = parser.parse_args()
    counts = [
        Counted(kind) for kind in KINDS if arguments.only in (kind.words if kind.honest else f"dependent: {kind.words}")
    ]
    for i in range(arguments.tables):
        for one in counts:
            one.take(i, arguments.tables if one.kind.honest else arguments.before)
        if (i + 1) % EVERY == 0:
            print(counts_text(counts, i + 1), file=sys.stderr, flush=True)
    print(counts_text(counts, arguments.tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
