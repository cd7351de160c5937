"""Synthetic table records, made without reading a table or training anything."""

from __future__ import annotations

import numpy as np

from analysis.records.table import (
    HeldOutRecord,
    ModelScores,
    PartScores,
    RowDifference,
    RowScore,
    TableColumn,
    TableFile,
    TableRecord,
    TargetRecord,
    scores_of,
)

N_FOLDS, N_SEEDS = 5, 3


def table_record(task: str = "regression", n_test_looks: int = 1, network: float = 0.9) -> TableRecord:
    """Return the record of a finished study whose network's losses are `network` times the best baseline's."""
    rng = np.random.default_rng(7)
    is_regression = task == "regression"
    titles = {
        "constant": "constant",
        "linear": "ridge regression" if is_regression else "logistic regression",
        "boosting": "gradient boosting",
        "network": "network",
    }
    loss_name = "squared error a row" if is_regression else "share of wrong rows a row"
    level = {"constant": 60.0, "linear": 25.0, "boosting": 20.0, "network": 20.0 * network}

    def scores(loss: float, n: int, worse: float = 1.0) -> dict[str, tuple[float | None, ...]]:
        losses = loss * worse * (1 + 0.05 * rng.standard_normal(n))
        if is_regression:
            return scores_of(
                {"rmse": losses * 1000, "mae": losses * 700, "mse": (losses * 1000) ** 2, "r2": 1 - (losses / 80) ** 2}
            )
        shares = 1 - losses / 100
        return scores_of({"accuracy": shares, "balanced_accuracy": shares - 0.01, "log_loss": losses / 50})

    def part(found: dict[str, tuple[float | None, ...]], n: int) -> PartScores:
        means = {metric: sum(v or 0.0 for v in values) / len(values) for metric, values in found.items()}
        return PartScores(
            n, "row", {m: RowScore(v, v - abs(v) / 20, v + abs(v) / 20, n, "made up, 95 %") for m, v in means.items()}
        )

    models = []
    for name, loss in level.items():
        n = N_FOLDS * N_SEEDS if name == "network" else N_FOLDS
        validation, out, test = scores(loss, n), scores(loss, n, 1.5), scores(loss, 1)
        models.append(
            ModelScores(
                name=name,
                title=titles[name],
                words=(f"{titles[name]}, made up",),
                folds=tuple(r % N_FOLDS for r in range(n)),
                validation=validation,
                out_of_range=out,
                test={metric: values[0] for metric, values in test.items()},
                parts={
                    "validation": part(validation, 220),
                    "out_of_range": part(out, 30),
                    "test": part(test, 50),
                    "test_in_range": part(test, 44),
                    "test_out_of_range": part(test, 6),
                },
                confusion=() if is_regression else ((90, 10), (int(loss), 100 - int(loss))),
                trial=4 if name == "network" else None,
            )
        )
    return TableRecord(
        files=(TableFile("houses.csv", "rows", "ab" * 32, 250, 5), TableFile("later.csv", "test", "cd" * 32, 50, 5)),
        notes=("column 'area': read as missing: 'NA' 3 times",),
        columns=(
            TableColumn("Id", "identifier", "whole numbers that differ in every row", 0, 250, False),
            TableColumn("area", "number", "numbers", 3, 200, True),
            TableColumn("Größe", "category", "4 different words", 0, 4, True),
            TableColumn("동네", "category", "7 different words", 12, 7, True),
        ),
        target=TargetRecord(
            "price" if is_regression else "sold",
            "regression" if is_regression else "classification",
            "the target is a number with 240 different values" if is_regression else "the target is not a number",
            () if is_regression else ("no", "yes"),
            "log_standardize" if is_regression else "none",
        ),
        warnings=("'tax' is the target 'price' in disguise: the correlation of their values is 1",),
        preprocessing="numbers standardized, categories one column for each value, fitted on the training rows",
        leaks=False,
        n_inputs=12,
        fold_kind="plain",
        n_folds=N_FOLDS,
        n_seeds=N_SEEDS,
        n_fold_rows=220,
        n_test_rows=50,
        test_origin="the rows of later.csv",
        has_test_targets=True,
        held_out=HeldOutRecord("top", "area", 180.5, 30),
        metric="rmse" if is_regression else "accuracy",
        goal="beat the best baseline",
        goal_value=20_000.0 if is_regression else 0.8,
        models=tuple(models),
        test_differences=(
            RowDifference("linear", loss_name, -0.05, -0.08, -0.02, 50, "Student t, 95 %"),
            RowDifference("boosting", loss_name, 0.01, -0.03, 0.05, 50, "Student t, 95 %"),
        ),
        fold_differences=(RowDifference("boosting", loss_name, 0.2, 0.1, 0.3, 220, "Student t, 95 %"),),
        n_test_looks=n_test_looks,
    )  # fmt: skip
