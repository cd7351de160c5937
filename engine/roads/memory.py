"""How much memory a training needs, and whether the machine has it.

With P parameters a network, h its hidden and output units, h_max those of its widest layer, d features, B the batch
size, n points, n_eval those evaluated at once (at most 2**21 / widest layer), s bytes a number (4 or 8), k moments of
the optimizer, R replicas:

weights and biases
    ``R P s``, and as much again for the first parameters in float64 (8 bytes).
state
    ``R P s (k + 1)`` (moments and the carried gradient), and ``R P`` bytes for dead links.
gradient
    ``2 R P s`` (sums and the step made of them), and ``P s`` for each piece of a mini-batch that threads work on at
    once, at most 8 (`engine.roads.plain`).
activations
    ``4 R B h s`` (weighted inputs, outputs, and two derivatives on their way back), or ``2 R n_eval h_max s`` while
    evaluating, whichever is more. Prediction alone needs only the latter: what is kept for the backward pass is the
    price of training.
data
    on the NumPy road the points in the type of the arithmetic (nothing where they have it already) and the gathered
    batch, ``R B d s``; on the compiled road ``2 R n d s``, in its layout and in the order of the epoch, R rounded up to
    whole vectors.
"""

from __future__ import annotations

import itertools
import os

from engine.configuration import TrainingConfig
from engine.methods.optimizers import OPTIMIZERS
from engine.names import look_up
from engine.network import NetworkConfig
from engine.roads.choice import Road
from engine.splits import Split

EVALUATION_ELEMENTS = 2**21  # largest layer output, a replica, that evaluation holds at once, in all threads
MOST_AT_ONCE = 8  # pieces of work, of an evaluation or a mini-batch, that threads of the NumPy road take at once
PIECE_PRODUCTS = 2**24  # multiplications of such a piece of a mini-batch, forward, at least: a millisecond or so in all
PIECE_POINTS = 128  # examples of such a piece, where there are more than two
LANES = 16  # replicas of the widest vector of the compiled road


def count_parameters(network: NetworkConfig) -> int:
    """Return the number of weights and biases of one network."""
    sizes = network.layer_sizes
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))


def count_pieces(network: NetworkConfig, n_points: int) -> int:
    """Return into how many pieces the NumPy road cuts a mini-batch: 1, 2, 4, ..., by nothing but shapes.

    BLAS copies a layer's weights for every piece, which a piece of few examples does not pay back: of less than
    `PIECE_POINTS` there are two at most.
    """
    sizes = network.layer_sizes
    n_products = n_points * sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(sizes))
    worth_it = min(n_products // PIECE_PRODUCTS, max(2, n_points // PIECE_POINTS))
    return int(min(2 ** max(0, worth_it.bit_length() - 1), n_points))


def training_bytes(network: NetworkConfig, training: TrainingConfig, n_replicas: int, n_samples: int) -> int:
    """Return the bytes that training takes at its peak, data apart; the formula is the module's.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        Shape; batch size, optimizer and type.
    n_replicas : int
        R.
    n_samples : int
        Points of the largest split trained or evaluated on.
    """
    s = 8 if training.dtype == "float64" else 4
    widest = max(network.layer_sizes[1:])
    n_at_once = min(n_samples, max(1, EVALUATION_ELEMENTS // max(network.layer_sizes)))
    n_moments = look_up(OPTIMIZERS, training.optimizer, "training.optimizer").n_moments
    per_parameter = 8 + s + (n_moments + 1) * s + 1 + 2 * s
    pieces = min(MOST_AT_ONCE, count_pieces(network, min(training.batch_size, n_samples))) * s
    backward = 4 * min(training.batch_size, n_samples) * sum(network.layer_sizes[1:]) * s
    evaluation = 2 * n_at_once * widest * s
    n_parameters = count_parameters(network)
    return n_replicas * (n_parameters * per_parameter + max(backward, evaluation)) + n_parameters * pieces


KEPT_NUMBERS = 3
"""A hidden unit and example: its weighted input and output, kept until the backward pass, and the gradient there."""


def kept_bytes(network: NetworkConfig, n_points: int, dtype: str) -> int:
    """Return the bytes that the NumPy road keeps of one replica's mini-batch so that it can go back through the layers.

    Prediction keeps none of them: a layer's output can go once the next layer has it.
    """
    return KEPT_NUMBERS * n_points * sum(network.hidden_layer_sizes) * (8 if dtype == "float64" else 4)


def data_bytes(split: Split, training: TrainingConfig, n_replicas: int, road: Road) -> int:
    """Return the bytes of the copies that training makes of its points; the formula is the module's."""
    s = 8 if training.dtype == "float64" else 4
    shared, n, d = (int(length) for length in split.X.shape)
    a_point = d + int(split.y.shape[2])
    if road == "compiled":
        return 2 * (-(-n_replicas // LANES) * LANES) * n * a_point * s
    as_cast = 0 if split.X.dtype.itemsize == s else shared * n * a_point * s
    return as_cast + n_replicas * min(training.batch_size, n) * a_point * s


def available_bytes() -> int:
    """Return the bytes the machine can still give: the kernel's own estimate, else its free pages, else all of them."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    free = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(free) * os.sysconf("SC_PAGE_SIZE")


def check_network(
    network: NetworkConfig,
    training: TrainingConfig,
    n_replicas: int,
    n_samples: int,
    *,
    available: int | None = None,
) -> None:
    """Refuse a network that the machine cannot hold, before anything is drawn for it.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is to be trained, and how.
    n_replicas : int
        R, of those trained together.
    n_samples : int
        Points of the largest split.
    available : int, optional
        Bytes to be had; None asks the machine.

    Raises
    ------
    ValueError
        If training takes more than there is, data apart; the message says both.
    """
    _refuse_above(network, training, n_replicas, training_bytes(network, training, n_replicas, n_samples), available)


def check_memory(
    network: NetworkConfig,
    training: TrainingConfig,
    n_replicas: int,
    split: Split,
    road: Road,
    *,
    available: int | None = None,
) -> None:
    """Refuse a training that the machine cannot hold.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is to be trained, and how.
    n_replicas : int
        R.
    split : Split
        Training points.
    road : str
        Which road will run.
    available : int, optional
        Bytes to be had; None asks the machine.

    Raises
    ------
    ValueError
        If more is needed than there is; the message says both.
    """
    needed = training_bytes(network, training, n_replicas, split.X.shape[1])
    needed += data_bytes(split, training, n_replicas, road)
    _refuse_above(network, training, n_replicas, needed, available)


def _refuse_above(
    network: NetworkConfig, training: TrainingConfig, n_replicas: int, needed: int, available: int | None
) -> None:
    if available is None:
        if needed < 2**26:
            return  # not worth a look at the machine
        available = available_bytes()
    if needed <= available:
        return
    advice = "fewer units" if n_replicas == 1 or needed // n_replicas > available else "fewer units, fewer replicas"
    raise ValueError(
        f"memory: {n_replicas} replica{'s' if n_replicas > 1 else ''} of {'-'.join(map(str, network.layer_sizes))} "
        f"with {training.optimizer} need{'' if n_replicas > 1 else 's'} {_readable(needed)}, {_readable(available)} "
        f"are available; take {advice} or a smaller batch"
    )


def _readable(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.1f} MiB"
