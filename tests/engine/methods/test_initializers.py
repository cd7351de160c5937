import math

import numpy as np
import pytest
from scipy import stats

from engine.methods.initializers import INITIALIZERS, initialize
from engine.network import NetworkConfig

FAN_IN, FAN_OUT = 60, 90


def uniform(half_width: float) -> stats.rv_continuous:
    return stats.uniform(-half_width, 2 * half_width)


DISTRIBUTIONS = {
    "uniform": uniform(0.05),
    "normal": stats.norm(0, 0.01),
    "xavier_uniform": uniform(math.sqrt(6 / 150)),
    "xavier_normal": stats.norm(0, math.sqrt(2 / 150)),
    "he_uniform": uniform(math.sqrt(6 / 60)),
    "he_normal": stats.norm(0, math.sqrt(2 / 60)),
    "he_truncated": stats.truncnorm(-2, 2, 0, math.sqrt(2 / 60) / stats.truncnorm(-2, 2).std()),
    "playground": uniform(0.5),
    "pytorch": uniform(1 / math.sqrt(60)),
    "bias_row": stats.norm(0, math.sqrt(2 / 151)),
}


def draw(name: str, scale: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    record = INITIALIZERS[name]
    rng = np.random.default_rng(2)
    W = record.weights(rng, FAN_IN, FAN_OUT, record.default_scale or 0.0 if scale is None else scale)
    return W, record.biases(rng, FAN_IN, FAN_OUT)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_weights_follow_the_stated_distribution(name: str) -> None:
    W, _ = draw(name)
    assert W.shape == (FAN_IN, FAN_OUT)
    assert stats.kstest(W.ravel(), DISTRIBUTIONS[name].cdf).pvalue > 0.01


def test_every_initializer_is_covered() -> None:
    assert {*DISTRIBUTIONS, "zeros", "constant"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_biases(name: str) -> None:
    _, b = draw(name)
    if name in ("pytorch", "bias_row"):
        assert stats.kstest(b, DISTRIBUTIONS[name].cdf).pvalue > 0.01
    else:
        np.testing.assert_array_equal(b, np.full(FAN_OUT, 0.1 if name == "playground" else 0.0))


def test_truncation_keeps_the_variance_of_he() -> None:
    W, _ = draw("he_truncated")
    assert W.var() == pytest.approx(2 / 60, rel=0.05)
    assert np.abs(W).max() <= 2 * math.sqrt(2 / 60) / stats.truncnorm(-2, 2).std()


@pytest.mark.parametrize(
    ("name", "torch_name", "arguments"),
    [
        ("xavier_uniform", "xavier_uniform_", {}),
        ("xavier_normal", "xavier_normal_", {}),
        ("he_uniform", "kaiming_uniform_", {"nonlinearity": "relu"}),
        ("he_normal", "kaiming_normal_", {"nonlinearity": "relu"}),
    ],
)
def test_same_distribution_as_pytorch(name: str, torch_name: str, arguments: dict[str, str]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    theirs = torch.empty(FAN_OUT, FAN_IN)
    getattr(torch.nn.init, torch_name)(theirs, generator=torch.Generator().manual_seed(3), **arguments)
    assert stats.ks_2samp(draw(name)[0].ravel(), theirs.numpy().ravel()).pvalue > 0.01


def test_pytorch_linear_has_our_distribution() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    state = torch.random.get_rng_state()
    torch.manual_seed(4)
    layer = torch.nn.Linear(FAN_IN, FAN_OUT)
    torch.random.set_rng_state(state)
    assert stats.ks_2samp(draw("pytorch")[0].ravel(), layer.weight.detach().numpy().ravel()).pvalue > 0.01


def test_scale_is_used() -> None:
    network = NetworkConfig(2, (3,), initializer="constant", initializer_scale=0.7)
    np.testing.assert_array_equal(initialize(network, [np.random.default_rng(0)]).weights[0], np.full((1, 2, 3), 0.7))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_replica_does_not_depend_on_the_others(name: str) -> None:
    network = NetworkConfig(3, (4, 2), 2, "prelu", "linear", name)
    many = initialize(network, [np.random.default_rng([r, 9]) for r in range(5)])
    one = initialize(network, [np.random.default_rng([3, 9])])
    for a, b in zip([*many.weights, *many.biases], [*one.weights, *one.biases], strict=True):
        np.testing.assert_array_equal(a[3:4], b)
    assert many.slopes is not None
    assert many.slopes.shape == (5, 2)
    assert (many.slopes == 0.25).all()


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^network.initializer: unknown 'xavier'; did you mean 'xavier_uniform'\?$"):
        initialize(NetworkConfig(2, initializer="xavier"), [np.random.default_rng(0)])
