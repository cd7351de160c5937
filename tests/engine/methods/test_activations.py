import numpy as np
import pytest

from engine.methods.activations import ACTIVATIONS

TRAINABLE = [name for name, record in ACTIVATIONS.items() if not record.refusal]
Z = np.linspace(-6, 6, 241)[None, :, None] + 0.0123  # no point on a kink


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_equals_central_differences(name: str) -> None:
    record, h = ACTIVATIONS[name], 1e-6
    slope = record.default_slope
    expected = (record.function(Z + h, slope) - record.function(Z - h, slope)) / (2 * h)
    np.testing.assert_allclose(record.derivative(Z, record.function(Z, slope), slope), expected, atol=2e-9)


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_pytorch_with_derivative_and_kink(name: str, dtype: type) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    functions = {
        "linear": lambda z: z * 1,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.01),
        "prelu": lambda z: torch.nn.functional.prelu(z, torch.tensor([0.25], dtype=z.dtype)),
        "elu": torch.nn.functional.elu,
        "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu,
        "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
    }
    values = np.array([[[-200.0], [-30.0], [-2.5], [-1e-3], [0.0], [1e-3], [2.5], [30.0], [200.0]]], dtype=dtype)
    z = torch.tensor(values, requires_grad=True)
    functions[name](z).sum().backward()
    record = ACTIVATIONS[name]
    with np.errstate(over="ignore"):
        A = record.function(values, record.default_slope)
        derivative = record.derivative(values, A, record.default_slope)
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(A, functions[name](z).detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(derivative, z.grad.numpy(), rtol=tolerance, atol=tolerance)
    assert A.dtype == derivative.dtype == dtype


def test_step_is_one_above_zero_only() -> None:
    np.testing.assert_array_equal(ACTIVATIONS["step"].function(np.array([-1.0, 0.0, 1e-300]), 0.0), [0, 0, 1])


def test_codes_are_the_documented_ones() -> None:
    assert [record.code for record in ACTIVATIONS.values()] == list(range(11))
    assert all(name == record.name for name, record in ACTIVATIONS.items())


def test_learnt_slopes_broadcast_over_replicas() -> None:
    record = ACTIVATIONS["prelu"]
    slopes = np.array([0.1, 0.5]).reshape(2, 1, 1)
    A = record.function(np.full((2, 3, 1), -2.0), slopes)
    np.testing.assert_array_equal(A[:, 0, 0], [-0.2, -1.0])
    np.testing.assert_array_equal(record.derivative(np.full((2, 3, 1), -2.0), A, slopes)[:, 0, 0], [0.1, 0.5])


@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0, 1.5, 0.0, -0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leaky_relu_is_the_same_bytes_however_it_is_found(slope: float, dtype: type) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, np.finfo(dtype).max, np.finfo(dtype).min]
    values = np.array([*special, *np.random.default_rng(0).normal(size=200)], dtype)
    with np.errstate(all="ignore"):
        found = ACTIVATIONS["leaky_relu"].function(values, slope)
        expected = np.where(values > 0, values, values * slope)
    assert found.tobytes() == expected.tobytes()
