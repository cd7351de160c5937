"""What a sweep's spec may have measured at every look: known answers, both roads, and nothing else changed by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.records.study import StudyHeader, TrialRecord, without_timing
from analysis.sections.probes import draw_probes, probe_blocks, probed_names
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from engine.training import train, with_label_noise
from sweeps.run.looks import question
from sweeps.run.setting import search_setting
from sweeps.run.trial import run_trial
from sweeps.run.trial_probes import TrialProbes
from sweeps.search.space import apply
from sweeps.spec.measured import TRIAL_PROBES
from sweeps.spec.sweep import SweepSpec, open_source, parse_spec
from sweeps.spec.writing import as_table, as_toml
from sweeps.toml import SpecError, read_toml
from sweeps.tracking.trial_contents import of_trial
from tests.builders.tiny import tiny_table
from tests.builders.tiny_tables import class_frame, table_spec

PARAMS: dict[str, Any] = {
    "network.activation": "relu",
    "network.n_hidden_layers": 2,
    "network.hidden_layer_sizes.1": 5,
    "network.hidden_layer_sizes.2": 3,
    "training.batch_size": 10,
    "training.learning_rate": 0.1,
    "training.regularizer": "none",
}


def probed_spec(probes: list[str], **training: Any) -> SweepSpec:
    table = tiny_table()
    table["training"] |= training
    return parse_spec({**table, "probes": probes}, "tiny.toml")


def record_of(spec: SweepSpec, params: dict[str, Any] = PARAMS) -> TrialRecord:
    source = open_source(spec, spec.datasets[0])
    return run_trial(spec, source, "tiny/gauss", search_setting(spec, 0, params, source.search_seeds()))


@pytest.fixture(scope="module")
def record() -> TrialRecord:
    return record_of(probed_spec(list(TRIAL_PROBES)))


def test_a_record_has_every_probe_at_every_look(record: TrialRecord) -> None:
    assert record.state == "complete"
    layered = ["gradient_size", "output_size", "layer_mean", "layer_variance", "layer_dead"]
    rows = [name for name in TRIAL_PROBES if name not in (*layered, "weight_quantiles")]
    rows += [f"{name}.{layer}" for name in layered for layer in (1, 2)]
    rows += [f"weight_quantiles.q{share}" for share in (5, 25, 50, 75, 95)]
    assert set(record.probes) == {f"{row}_{end}" for row in rows for end in ("mean", "q10", "q90")}
    assert {len(values) for values in record.probes.values()} == {len(record.epoch_grid)}
    n_train = 350
    assert record.probes["steps_mean"] == [float(epoch * n_train // 10) for epoch in record.epoch_grid]
    assert record.probes["wrong_loss_mean"] == [None] * len(record.epoch_grid)  # no label is wrong
    assert record.probes["clean_loss_mean"] == pytest.approx(record.curves["train_loss_mean"], rel=1e-4)


def test_probes_change_nothing_but_themselves(record: TrialRecord) -> None:
    plain = probed_spec([])
    with_all, without = without_timing(record), without_timing(record_of(plain))
    assert without["probes"] == {}
    assert {**with_all, "probes": {}} == without
    asking = probed_spec(list(TRIAL_PROBES))
    assert plain.sha256 == parse_spec(tiny_table(), "tiny.toml").sha256
    assert plain.sha256 != asking.sha256
    assert question(plain, plain.datasets[0], 9) == question(asking, asking.datasets[0], 9)


@pytest.mark.parametrize(("width", "road"), [(5, "compiled"), (257, "numpy")])
def test_what_is_found_is_what_the_networks_give_by_hand(width: int, road: str) -> None:
    spec = probed_spec(list(TRIAL_PROBES))
    source = open_source(spec, spec.datasets[0])
    draws = source.draws(source.search_seeds())
    network = NetworkConfig(
        n_inputs=2,
        hidden_layer_sizes=(width, 128 if road == "numpy" else 3),
        activation="relu",
        output_activation="linear",
    )
    training = TrainingConfig(
        loss="binary_cross_entropy", label_noise=0.3, learning_rate=0.05, batch_size=50, max_epochs=2, order="fixed"
    )
    shares = dataclasses.replace(draws.train, y=((draws.train.y + 1) / 2).astype(draws.train.y.dtype))
    draws = dataclasses.replace(draws, train=shares)
    result = train(
        network, training, draws.train, draws.initialize(network), draws.training_seeds, look_at=[2], evaluate_on={}
    )
    assert result.road.startswith(road)
    parameters, R = result.state.parameters, len(draws.seeds)
    found = TrialProbes(TRIAL_PROBES, network, training).measure(
        draws, parameters, result.state.n_updates, result.state.diverged_at
    )
    told = with_label_noise(draws.train, network, training, draws.training_seeds)
    for r in range(R):
        W = [one[r].astype(np.float64) for one in parameters.weights]
        b = [one[r].astype(np.float64) for one in parameters.biases]
        X = draws.train.X[r].astype(np.float64)
        first = np.maximum(X @ W[0] + b[0], 0)
        second = np.maximum(first @ W[1] + b[1], 0)
        z = (second @ W[2] + b[2])[:, 0]
        for layer, A in ((1, first), (2, second)):
            assert found[f"layer_mean.{layer}"][r] == pytest.approx(A.mean())
            assert found[f"layer_variance.{layer}"][r] == pytest.approx(A.var(axis=0).mean())
            assert found[f"layer_dead.{layer}"][r] == pytest.approx((A == 0).all(axis=0).mean())
            assert found[f"output_size.{layer}"][r] == pytest.approx(np.sqrt((A**2).mean()))
        flat = np.concatenate([one.ravel() for one in W])
        assert found["weight_norm"][r] == pytest.approx(np.linalg.norm(flat))
        assert found["weight_quantiles.q50"][r] == pytest.approx(np.median(flat))
        clean_y, told_y = draws.train.y[r, :, 0], told.y[r, :, 0]
        wrong = clean_y != told_y
        assert 60 < wrong.sum() < 150  # 0.3 of 350
        losses = np.logaddexp(0.0, z) - told_y * z
        assert found["clean_loss"][r] == pytest.approx(losses[~wrong].mean(), rel=1e-4)
        assert found["wrong_loss"][r] == pytest.approx(losses[wrong].mean(), rel=1e-4)
        # The gradient is that of the points as they are, by backward propagation in double precision.
        delta = (1 / (1 + np.exp(-z)) - clean_y)[:, None] / len(z)
        back_2 = (delta @ W[2].T) * (second > 0)
        back_1 = (back_2 @ W[1].T) * (first > 0)
        gradients = [X.T @ back_1, first.T @ back_2, second.T @ delta, back_1.sum(0), back_2.sum(0), delta.sum(0)]
        norm = np.sqrt(sum(float((one**2).sum()) for one in gradients))
        assert found["gradient_norm"][r] == pytest.approx(norm, rel=1e-5)
        assert found["gradient_size.2"][r] == pytest.approx(np.sqrt((gradients[1] ** 2).mean()), rel=1e-5)


def test_a_table_has_them_too(tmp_path: Path) -> None:
    file = tmp_path / "kinds.csv"
    class_frame().to_csv(file, index=False)
    spec = dataclasses.replace(table_spec(file, "kind"), probes=("gradient_norm", "layer_dead", "weight_norm", "steps"))
    assert parse_spec(read_toml(as_toml(spec).encode(), "kinds.toml"), "kinds.toml").probes == spec.probes
    source = open_source(spec, spec.datasets[0])
    params = {"network.n_hidden_layers": 1, "network.hidden_layer_sizes.1": 4, "training.learning_rate": 0.01}
    record = run_trial(spec, source, "kinds/kinds", search_setting(spec, 0, params, source.search_seeds()))
    assert record.reason is None
    assert all(value is not None for values in record.probes.values() for value in values)
    assert set(record.probes) >= {"gradient_norm_mean", "layer_dead.1_mean", "weight_norm_q10", "steps_q90"}


def test_replicas_at_rest_keep_what_was_found() -> None:
    table = tiny_table()
    table["epochs"] = {**table["epochs"], "stop_delta": 1e9}  # all come to rest at the second look
    spec = parse_spec({**table, "probes": ["steps", "weight_norm"]}, "tiny.toml")
    record = record_of(spec)
    assert record.probes["steps_mean"] == [35.0, 70.0]
    assert record.epoch_grid == [1, 2]


def test_a_replica_that_diverged_is_left_out() -> None:
    record = record_of(probed_spec(["weight_norm", "gradient_norm"]), {**PARAMS, "training.learning_rate": 1.0})
    spec = probed_spec(["weight_norm"])
    network, training = apply(spec, PARAMS, 2, 1)
    source = open_source(spec, spec.datasets[0])
    draws = source.draws(source.search_seeds())
    found = TrialProbes(("weight_norm",), network, training).measure(
        draws, draws.initialize(network), 0, np.array([-1, 3, -1, 1])
    )
    assert np.isnan(found["weight_norm"]).tolist() == [False, True, False, True]
    assert record.probes["weight_norm_mean"][0] is not None


def test_mlflow_has_them_by_epoch(record: TrialRecord) -> None:
    header = StudyHeader(
        "tiny", "gauss", 0, {"kind": "playground"}, 0.1, "test_loss", 9, "budget", 4, 20, 3, 0.03, "0" * 64, {}
    )
    points = [point for point in of_trial(header, record).metrics if point[0].startswith("probe/")]
    assert [point for point in points if point[0] == "probe/steps"] == [
        ("probe/steps", float(35 * epoch), epoch) for epoch in record.epoch_grid
    ]
    assert ("probe/layer_dead.2", record.probes["layer_dead.2_mean"][-1], 20) in points
    assert not [name for name, _, _ in points if "wrong_loss" in name or "_q10" in name]


def test_the_report_draws_them_and_says_what_there_was_nothing_of(record: TrialRecord) -> None:
    picture, sentence = probe_blocks(record, "two blobs", "probes-two-blobs")
    assert "updates 35 to 700" in getattr(picture, "alt", "")
    assert getattr(sentence, "text", "") == (
        "two blobs: nothing to measure for loss on wrong labels: no hidden layer, no wrong label, or no replica that "
        "has not diverged."
    )
    figure = draw_probes(record, probed_names(record))
    assert len(figure.axes) == len(TRIAL_PROBES)
    quantiles = [axes for axes in figure.axes if axes.get_title() == "quantiles of the weights"]
    assert [line.get_label() for line in quantiles[0].get_lines()][:5] == ["5 %", "25 %", "50 %", "75 %", "95 %"]
    assert probe_blocks(dataclasses.replace(record, probes={}), "two blobs", "probes-two-blobs") == []


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        (["gradientnorm"], "tiny.toml: probes[0]: unknown 'gradientnorm'; did you mean 'gradient_norm'?"),
        (["steps", "steps"], "tiny.toml: probes[1]: steps is named twice; leave one of them out"),
        (["steps", 3], f"tiny.toml: probes[1]: 3 must be a name; expected {', '.join(TRIAL_PROBES)}"),
        ("steps", 'tiny.toml: probes: "steps" must be a list'),
    ],
)
def test_what_is_no_probe_is_refused(probes: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({**tiny_table(), "probes": probes}, "tiny.toml")
    assert str(caught.value) == message


def test_a_spec_is_written_and_read_with_its_probes() -> None:
    spec = probed_spec(["steps", "layer_mean"])
    assert as_table(spec)["probes"] == ["steps", "layer_mean"]
    assert parse_spec(read_toml(as_toml(spec).encode(), "x"), "x") == spec


@pytest.mark.parametrize("loss", ["hinge", "binary_cross_entropy"])
def test_a_sweep_with_a_loss_that_no_label_fits_is_refused(loss: str) -> None:
    table = tiny_table()
    table["training"]["loss"] = loss
    with pytest.raises(
        SpecError, match=rf"^tiny.toml: training.loss: {loss} takes \w+ as labels, and those of playground"
    ):
        parse_spec(table, "tiny.toml")
