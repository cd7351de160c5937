"""The Playground's own trajectories: 21 vectors recorded from the real page's code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import Look, train

VECTORS = sorted((Path(__file__).parents[2] / "playground" / "vectors").glob("v*.json"))
FEATURES = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "xSquared": lambda x, y: x * x,
    "ySquared": lambda x, y: y * y,
    "xTimesY": lambda x, y: x * y,
    "sinX": lambda x, y: np.sin(x),
    "sinY": lambda x, y: np.sin(y),
}
REGULARIZERS = {"none": "none", None: "none", "L1": "l1", "L2": "l2"}


def read(points: list[list[float]], features: list[str]) -> Split:
    table = np.array(points)
    X = np.stack([FEATURES[name](table[:, 0], table[:, 1]) for name in features], axis=1)
    return Split(X[None], table[None, :, 2:])


def parameters_of(snapshot: dict[str, Any]) -> Parameters:
    return Parameters(
        [np.array(layer["W"]).T[None] for layer in snapshot["layers"]],
        [np.array(layer["b"])[None] for layer in snapshot["layers"]],
    )


@pytest.mark.parametrize("road", ["numpy", "compiled"])
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem[:3])
def test_training_follows_the_page(path: Path, road: Any) -> None:
    vector = json.loads(path.read_text())
    config = vector["config"]
    network = NetworkConfig(
        n_inputs=len(config["features"]),
        hidden_layer_sizes=tuple(config["networkShape"]),
        activation=config["activation"],
        output_activation=config["output_activation"],
    )
    training = TrainingConfig(
        learning_rate=config["learningRate"],
        batch_size=config["batchSize"],
        partial_batch="carry",
        order="fixed",
        regularizer=REGULARIZERS[config["regularization"]],
        regularization_rate=config["regularizationRate"],
        dtype="float64",
    )
    last = 20 if "chaotic" in path.stem else 100
    snapshots = {snapshot["epoch"]: snapshot for snapshot in vector["snapshots"] if snapshot["epoch"] <= last}
    seen: list[int] = []

    def compare(look: Look) -> bool:
        expected = snapshots[look.epoch]
        assert look.losses["train"][0] == pytest.approx(expected["train_loss"], abs=1e-9)
        assert look.losses["test"][0] == pytest.approx(expected["test_loss"], abs=1e-9)
        for i, layer in enumerate(expected["layers"]):
            np.testing.assert_allclose(look.state.parameters.weights[i][0].T, layer["W"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(look.state.parameters.biases[i][0], layer["b"], rtol=0, atol=1e-9)
            if "dead" in layer:
                np.testing.assert_array_equal(look.state.dead[i][0].T, np.array(layer["dead"], dtype=bool))
        if look.epoch:
            assert look.state.n_pending == expected["pending_examples"]
        seen.append(look.epoch)
        return False

    split, test = read(vector["train"], config["features"]), read(vector["test"], config["features"])
    train(
        network,
        training,
        split,
        parameters_of(vector["snapshots"][0]),
        np.zeros(1, dtype=np.uint64),
        look_at=sorted(snapshots),
        evaluate_on={"train": split, "test": test},
        on_look=compare,
        road=road,
    )
    assert seen == sorted(snapshots)
