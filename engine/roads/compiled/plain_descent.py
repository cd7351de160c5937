"""Plain SGD's mini-batches of one sample or one full chunk, with nothing between a gradient and its weights."""

from __future__ import annotations

from typing import Any

from engine.compiling.decorators import inlined, inner
from engine.roads.compiled.codes import (
    HALF_SQUARED_ERROR,
    I_HIDDEN,
    I_LOSS,
    I_N_WEIGHTS,
    I_OUTPUT,
    I_WITH_Z,
    R_OUTPUT_SLOPE,
    TANH,
)
from engine.roads.compiled.descent import layer_descent
from engine.roads.compiled.passes import activate, finish, output_errors
from engine.roads.compiled.products import AS_IS, whole_layer_forward
from engine.roads.compiled.vectors import TRAINING_CHUNK, fma, load, offset, splat, store


@inlined
def descends(p: Any, batch: Any, ints: Any) -> Any:
    """Return whether `descend` has a form for these mini-batches and activations."""
    is_size = batch == 1 or batch == TRAINING_CHUNK
    return is_size and ints[I_WITH_Z] == 0 and finish(p, ints[I_HIDDEN]) != AS_IS


@inner
def descend(
    p: Any,
    scale: Any,
    x: Any,
    y: Any,
    n: Any,
    n_batches: Any,
    a: Any,
    d: Any,
    sizes: Any,
    batch: Any,
    ints: Any,
    reals: Any,
) -> None:
    """Add `scale` times the gradient of each of `n_batches` mini-batches to the parameters, one after the other."""
    n_layers = len(sizes) - 1
    n_outputs = sizes[n_layers]
    n_weights = ints[I_N_WEIGHTS]
    hidden, output = ints[I_HIDDEN], ints[I_OUTPUT]
    as_hidden, as_output = finish(p, hidden), finish(p, output)
    is_squared_tanh = output == TANH and ints[I_LOSS] == HALF_SQUARED_ERROR
    slope, one = splat(p, reals[R_OUTPUT_SLOPE]), splat(p, 1.0)
    for _ in range(n_batches):
        w, b, place = 0, n_weights, 0
        source, stride = x, n
        for layer in range(n_layers):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            target = offset(a, place)
            code = as_hidden if layer + 1 < n_layers else as_output
            whole_layer_forward(target, offset(p, w), source, stride, offset(p, b), n_out, n_in, batch, code)
            source, stride = target, batch
            w += n_in * n_out
            b += n_out
            place += n_out * batch
        n_errors = n_outputs * batch
        place -= n_errors
        outputs = offset(a, place)
        if as_output == AS_IS:
            activate(output, outputs, outputs, n_errors, slope)
        if is_squared_tanh and n_outputs == 1:
            for i in range(n_errors):
                v = load(outputs, i)
                store(d, i, (v - load(y, i)) * fma(-v, v, one))
        else:
            output_errors(ints[I_LOSS], output, slope, outputs, outputs, y, n, d, n_outputs, batch)
        delta = d
        for layer in range(n_layers - 1, 0, -1):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            w -= n_in * n_out
            b -= n_out
            place -= n_in * batch
            below = offset(a, place)
            layer_descent(offset(p, w), offset(p, b), scale, delta, below, batch, n_in, n_out, batch, as_hidden)
            delta = below
        layer_descent(p, offset(p, n_weights), scale, delta, x, n, sizes[0], sizes[1], batch, AS_IS)
        x, y = offset(x, batch), offset(y, batch)
