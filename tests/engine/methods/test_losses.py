import numpy as np
import pytest

from engine.methods.losses import LOSSES, Loss


def example(record: Loss, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    outputs = rng.normal(scale=2, size=(2, 50, k))
    if record.targets == "classes":
        return outputs, rng.integers(0, k, (2, 50, 1)).astype(float)
    if record.targets == "shares":
        return outputs, rng.uniform(0, 1, (2, 50, k))
    return outputs, rng.normal(scale=2, size=(2, 50, k))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_central_differences(name: str) -> None:
    record, h = LOSSES[name], 1e-6
    outputs, targets = example(record)
    gradient = record.gradient(outputs, targets)
    for j in range(outputs.shape[-1]):
        shift = np.zeros(outputs.shape[-1])
        shift[j] = h
        expected = (record.value(outputs + shift, targets) - record.value(outputs - shift, targets)) / (2 * h)
        np.testing.assert_allclose(gradient[..., j], expected, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_equals_pytorch(name: str, dtype: type) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    f = torch.nn.functional
    oracles = {
        "half_squared_error": lambda o, t: 0.5 * f.mse_loss(o, t, reduction="none").sum(-1),
        "mse": lambda o, t: f.mse_loss(o, t, reduction="none").mean(-1),
        "mae": lambda o, t: f.l1_loss(o, t, reduction="none").mean(-1),
        "huber": lambda o, t: f.huber_loss(o, t, reduction="none").mean(-1),
        "binary_cross_entropy": lambda o, t: f.binary_cross_entropy_with_logits(o, t, reduction="none").mean(-1),
        "softmax_cross_entropy": lambda o, t: f.cross_entropy(o.flatten(0, 1), t.long().flatten(), reduction="none"),
        # PyTorch divides by the number of classes
        "hinge": lambda o, t: f.multi_margin_loss(o.flatten(0, 1), t.long().flatten(), reduction="none") * o.shape[-1],
    }
    outputs, targets = (array.astype(dtype) for array in example(LOSSES[name]))
    expected = oracles[name](torch.tensor(outputs), torch.tensor(targets)).numpy().reshape(2, 50)
    value = LOSSES[name].value(outputs, targets)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=2e-6 if dtype is np.float32 else 1e-13, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_stays_finite_at_large_outputs(name: str) -> None:
    outputs = np.array([[[800.0, -800.0, 0.0]]])
    targets = np.array([[[1.0]]]) if LOSSES[name].targets == "classes" else np.array([[[1.0, 1.0, 0.0]]])
    with np.errstate(over="ignore"):
        assert np.isfinite(LOSSES[name].value(outputs, targets)).all()
        assert np.isfinite(LOSSES[name].gradient(outputs, targets)).all()


def test_playground_conventions_of_half_squared_error() -> None:
    record = LOSSES["half_squared_error"]
    assert record.value(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))[0, 0] == 0.5
    assert record.value(-np.ones((1, 1, 1)), np.ones((1, 1, 1)))[0, 0] == 2.0


def test_hinge_by_hand() -> None:
    # Scores 3.2, 5.1, -1.7 of classes 0, 1, 2, true class 0: max(0, 5.1 - 3.2 + 1) + max(0, -1.7 - 3.2 + 1) = 2.9.
    outputs, target = np.array([[[3.2, 5.1, -1.7]]]), np.array([[[0.0]]])
    assert LOSSES["hinge"].value(outputs, target)[0, 0] == pytest.approx(2.9, abs=1e-15)
    np.testing.assert_array_equal(LOSSES["hinge"].gradient(outputs, target)[0, 0], [-1, 1, 0])


def test_derivatives_at_kinks() -> None:
    zero = np.zeros((1, 1, 1))
    assert LOSSES["mae"].gradient(zero, zero)[0, 0, 0] == 0
    np.testing.assert_array_equal(LOSSES["hinge"].gradient(np.array([[[1.0, 0.0]]]), zero)[0, 0], [0, 0])


def test_codes_are_the_documented_ones() -> None:
    assert [record.code for record in LOSSES.values()] == list(range(7))
