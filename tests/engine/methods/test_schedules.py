import pytest

from engine.configuration import TrainingConfig
from engine.methods.schedules import SCHEDULES, learning_rate


def rates(n: int, **changes: object) -> list[float]:
    training = TrainingConfig(learning_rate=0.2, max_epochs=n, **changes)  # type: ignore[arg-type]
    return [learning_rate(training, epoch) for epoch in range(n)]


@pytest.mark.parametrize(
    ("changes", "theirs", "options"),
    [
        ({"schedule": "constant"}, "ConstantLR", {"factor": 1.0}),
        ({"schedule": "step", "schedule_decay": 0.5, "schedule_every": 7}, "StepLR", {"gamma": 0.5, "step_size": 7}),
        ({"schedule": "exponential", "schedule_decay": 0.9}, "ExponentialLR", {"gamma": 0.9}),
        ({"schedule": "cosine", "schedule_decay": 0.1}, "CosineAnnealingLR", {"T_max": 30, "eta_min": 0.02}),
    ],
)
def test_equals_pytorch(changes: dict[str, object], theirs: str, options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **options)
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(30, **changes) == pytest.approx(expected, rel=1e-12)


def test_every_schedule_starts_at_the_full_rate_after_warm_up() -> None:
    for name in SCHEDULES:
        given = rates(20, schedule=name, warmup_epochs=3)
        assert given[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_cosine_ends_at_its_final_fraction_and_stays_there() -> None:
    training = TrainingConfig(learning_rate=1.0, schedule="cosine", schedule_decay=0.25, max_epochs=10)
    assert learning_rate(training, 10) == pytest.approx(0.25)
    assert learning_rate(training, 15) == pytest.approx(0.25)
