import dataclasses
import sys
from types import MappingProxyType

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.codes import UNCOMPILED
from engine.methods.initializers import initialize
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig, Parameters
from engine.roads.choice import Road, choose_evaluation_road, choose_road
from engine.roads.compiled.codes import KNOWN
from engine.splits import Split
from engine.training import train


@pytest.mark.parametrize(
    ("sizes", "road"),
    [
        ((2, 8, 8, 1), "compiled"),
        ((1, 150, 150, 1), "compiled"),
        ((330, 64, 1), "compiled"),
        ((784, 256, 10), "numpy"),
        ((10, 256, 256, 1), "numpy"),
    ],
)
def test_the_road_follows_the_largest_layer(sizes: tuple[int, ...], road: str) -> None:
    network = NetworkConfig(sizes[0], sizes[1:-1], sizes[-1])
    assert choose_road(network, TrainingConfig()) == road
    assert choose_road(network, TrainingConfig(), is_weighted=True) == "numpy"
    assert choose_evaluation_road(network, "half_squared_error") == road


def test_points_too_many_to_lay_out_for_sixteen_replicas_take_the_other_road() -> None:
    softmax, training = NetworkConfig(784, (), 10), TrainingConfig(loss="softmax_cross_entropy")
    assert choose_road(softmax, training, n_samples=60_000) == "numpy"
    assert choose_road(softmax, training, n_samples=10_000) == "compiled"


def with_record(monkeypatch: pytest.MonkeyPatch, noun: str, name: str, code: int) -> None:
    """Add a method to its registry alone, as somebody does who knows nothing of the compiled road."""
    registry, like = {"activation": (ACTIVATIONS, "tanh"), "optimizer": (OPTIMIZERS, "sgd")}[noun]
    longer = MappingProxyType({**registry, name: dataclasses.replace(registry[like], name=name, code=code)})
    for module in list(sys.modules.values()):
        for attribute in ("ACTIVATIONS", "OPTIMIZERS"):
            if getattr(module, attribute, None) is registry:
                monkeypatch.setattr(module, attribute, longer)


@pytest.mark.parametrize(("noun", "like"), [("activation", "tanh"), ("optimizer", "sgd")])
@pytest.mark.parametrize("code", [UNCOMPILED, 99])
def test_a_method_without_a_compiled_form_trains_on_numpy_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch, noun: str, like: str, code: int
) -> None:
    with_record(monkeypatch, noun, "new", code)
    network = NetworkConfig(2, (3,), 1, activation="new" if noun == "activation" else "tanh")
    training = TrainingConfig(optimizer="new" if noun == "optimizer" else "sgd", dtype="float64", max_epochs=2)
    assert choose_road(network, training) == "numpy"
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1, 20, 2))
    split = Split(X, X[..., :1])

    def trained(network: NetworkConfig, training: TrainingConfig, road: Road) -> Parameters:
        parameters = initialize(network, [np.random.default_rng(1)])
        seeds = np.zeros(1, np.uint64)
        return train(
            network, training, split, parameters, seeds, look_at=(2,), evaluate_on={}, road=road
        ).state.parameters

    known = dataclasses.replace(network, activation="tanh"), dataclasses.replace(training, optimizer="sgd")
    found, expected = trained(network, training, "numpy"), trained(*known, "numpy")
    np.testing.assert_array_equal(found.weights[0], expected.weights[0])
    with pytest.raises(ValueError, match=rf"^the compiled road has no form of {noun} new; train it on the NumPy road$"):
        trained(network, training, "compiled")


def test_every_record_has_a_compiled_form() -> None:
    """Loud where one is forgotten: it would train, on NumPy, some hundred times slower."""
    registries = {"activation": ACTIVATIONS, "loss": LOSSES, "optimizer": OPTIMIZERS, "regularizer": REGULARIZERS}
    for noun, registry in registries.items():
        assert {record.code for record in registry.values()} == KNOWN[noun], noun
        assert len({record.code for record in registry.values()}) == len(registry), noun
