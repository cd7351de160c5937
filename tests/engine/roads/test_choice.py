import pytest

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from engine.roads.choice import choose_evaluation_road, choose_road


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
