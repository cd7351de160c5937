"""A layer's part of plain SGD in one call, for one sample and for a full chunk.

Where a mini-batch is one chunk and nothing stands between a gradient and its weight, a layer goes backward once: each
row of weights is read, gives the derivatives below, and moves as soon as its gradient is summed. The derivatives take
the place of the outputs below, which nobody needs any more. All sums have the terms and the order of
`engine.roads.compiled.products`: every byte is the same.
"""

from __future__ import annotations

from typing import Any

from engine.compiling.decorators import cgutils, intrinsic, types
from engine.roads.compiled.products import AS_IS, AS_TANH, ONE_SAMPLE_BLOCKS, Emitter
from engine.roads.compiled.vectors import TRAINING_CHUNK, emit_load, emit_store

SAMPLES = range(TRAINING_CHUNK)
PAIRS = (2, 1)  # sums over samples side by side, because the terms of one wait for each other


def _emit_below(e: Emitter, sums: list[Any], outputs: list[Any], code: Any) -> None:
    """Put sums, times the activation's derivative, in the place of the outputs."""
    one, zero = e.constant(1.0), e.constant(0.0)
    with e.builder.if_else(e.is_code(code, AS_TANH)) as (then, otherwise):
        with then:
            for value, place in zip(sums, outputs, strict=True):
                a = emit_load(e.builder, place)
                emit_store(e.builder, e.builder.fmul(value, e.fma(e.minus(a), a, one)), place)
        with otherwise:
            for value, place in zip(sums, outputs, strict=True):
                emit_store(e.builder, e.where_greater(emit_load(e.builder, place), zero, value, zero), place)


def _emit_hidden(
    e: Emitter, weights: Any, factor: Any, d: Any, below: Any, n_inputs: Any, n_units: Any, code: Any
) -> None:
    """Move the weights between hidden layers by a chunk; the outputs `below` become derivatives."""
    builder, zero = e.builder, e.constant(0.0)
    with cgutils.for_range(builder, n_inputs) as loop:
        outputs = _samples(e, below, loop.index, e.index(TRAINING_CHUNK))
        xs = [emit_load(builder, place) for place in outputs]
        sums = e.places([zero] * TRAINING_CHUNK)
        row = e.row(weights, loop.index, n_units)
        for n, u in e.blocks(PAIRS, n_units):
            units = [builder.add(u, e.index(k)) for k in range(n)]
            rows = [_samples(e, d, unit, e.index(TRAINING_CHUNK)) for unit in units]
            ws = [emit_load(builder, e.at(row, unit)) for unit in units]
            gradients = [zero] * n
            for s in SAMPLES:
                ds = [emit_load(builder, of_unit[s]) for of_unit in rows]
                gradients = [e.fma(xs[s], value, total) for total, value in zip(gradients, ds, strict=True)]
                for w, value in zip(ws, ds, strict=True):
                    e.add_product(sums[s], w, value)
            for unit, w, gradient in zip(units, ws, gradients, strict=True):
                emit_store(builder, e.fma(factor, gradient, w), e.at(row, unit))
        _emit_below(e, [builder.load(total) for total in sums], outputs, code)


def _emit_first(
    e: Emitter, weights: Any, factor: Any, d: Any, x: Any, x_step: Any, n_inputs: Any, n_units: Any
) -> None:
    """Move the weights of the first layer, below which are points, by a chunk."""
    builder = e.builder
    for n_i, i in e.blocks(PAIRS, n_inputs):
        inputs = [builder.add(i, e.index(k)) for k in range(n_i)]
        xs = [[emit_load(builder, place) for place in _samples(e, x, k, x_step)] for k in inputs]
        rows = [e.row(weights, k, n_units) for k in inputs]
        for n_u, u in e.blocks(PAIRS, n_units):
            units = [builder.add(u, e.index(k)) for k in range(n_u)]
            ds = [[emit_load(builder, p) for p in _samples(e, d, unit, e.index(TRAINING_CHUNK))] for unit in units]
            gradients = [[e.constant(0.0)] * n_u for _ in inputs]
            for s in SAMPLES:
                for k in range(n_i):
                    gradients[k] = [e.fma(xs[k][s], ds[j][s], gradients[k][j]) for j in range(n_u)]
            for row, of_row in zip(rows, gradients, strict=True):
                for unit, gradient in zip(units, of_row, strict=True):
                    e.add_scaled(e.at(row, unit), factor, gradient)


def _samples(e: Emitter, rows: Any, index: Any, step: Any) -> list[Any]:
    """Return the places of one row's samples."""
    row = e.row(rows, index, step)
    return [e.at(row, e.index(s)) for s in SAMPLES]


def _emit_bias(e: Emitter, bias: Any, factor: Any, d: Any, n_units: Any) -> None:
    with cgutils.for_range(e.builder, n_units) as loop:
        total = e.constant(0.0)
        for place in _samples(e, d, loop.index, e.index(TRAINING_CHUNK)):
            total = e.builder.fadd(total, emit_load(e.builder, place))
        e.add_scaled(e.at(bias, loop.index), factor, total)


def _emit_chunk(
    e: Emitter,
    weights: Any,
    bias: Any,
    scale: Any,
    d: Any,
    below: Any,
    below_step: Any,
    n_inputs: Any,
    n_units: Any,
    code: Any,
) -> None:
    factor = emit_load(e.builder, scale)
    _emit_bias(e, bias, factor, d, n_units)
    with e.builder.if_else(e.is_code(code, AS_IS)) as (first, hidden):
        with first:
            _emit_first(e, weights, factor, d, below, below_step, n_inputs, n_units)
        with hidden:
            _emit_hidden(e, weights, factor, d, below, n_inputs, n_units, code)


def _emit_one(
    e: Emitter,
    weights: Any,
    bias: Any,
    scale: Any,
    d: Any,
    below: Any,
    below_step: Any,
    n_inputs: Any,
    n_units: Any,
    code: Any,
) -> None:
    factor = emit_load(e.builder, scale)
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        for unit in [e.builder.add(u, e.index(k)) for k in range(n)]:
            e.add_scaled(e.at(bias, unit), factor, emit_load(e.builder, e.at(d, unit)))
    with e.builder.if_else(e.is_code(code, AS_IS)) as (first, hidden):
        with first:
            _emit_rows(e, weights, factor, d, below, below_step, n_inputs, n_units, None)
        with hidden:
            _emit_rows(e, weights, factor, d, below, e.index(1), n_inputs, n_units, code)


def _emit_rows(
    e: Emitter,
    weights: Any,
    factor: Any,
    d: Any,
    below: Any,
    below_step: Any,
    n_inputs: Any,
    n_units: Any,
    code: Any,
) -> None:
    """Move weights by one sample, some inputs together; with a code the outputs `below` become derivatives."""
    builder = e.builder
    for n, i in e.blocks(ONE_SAMPLE_BLOCKS, n_inputs):
        inputs = [builder.add(i, e.index(k)) for k in range(n)]
        places = [e.row(below, k, below_step) for k in inputs]
        rows = [e.row(weights, k, n_units) for k in inputs]
        xs = [emit_load(builder, place) for place in places]
        sums = e.places([e.constant(0.0)] * n) if code is not None else []
        with cgutils.for_range(builder, n_units) as loop:
            value = emit_load(builder, e.at(d, loop.index))
            for k, row in enumerate(rows):
                w = emit_load(builder, e.at(row, loop.index))
                if code is not None:
                    e.add_product(sums[k], w, value)
                emit_store(builder, e.fma(factor, builder.fmul(xs[k], value), w), e.at(row, loop.index))
        if code is not None:
            _emit_below(e, [builder.load(total) for total in sums], places, code)


@intrinsic
def layer_descent(
    typingctx: Any,
    weights: Any,
    bias: Any,
    scale: Any,
    d: Any,
    below: Any,
    below_step: Any,
    n_inputs: Any,
    n_units: Any,
    n_samples: Any,
    code: Any,
) -> Any:
    """Add ``scale[0] * sum_s below[i, s] * d[u, s]`` to ``weights[i, u]``, and the same without `below` to ``bias[u]``.

    Where the code is of an activation, `below` becomes ``sum_u weights[i, u] * d[u, s]``, of the weights before, times
    the activation's derivative; `AS_IS` stands for the first layer, whose inputs stay. `n_samples` is 1 or
    `TRAINING_CHUNK`; ``below[i, s]`` is at ``below[i * below_step + s]``, in hidden layers ``below_step == n_samples``.
    """
    integer = types.intp
    typed = types.void(weights, bias, scale, d, below, integer, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, weights.dtype)
        below_step, n_inputs, n_units, n_samples, code = args[5:]
        arguments = [*(e.vectors(arg) for arg in args[:5]), below_step, n_inputs, n_units, code]
        argument_types = [e.pointer] * 5 + [e.integer] * 4
        with e.one_or_more(n_samples) as (one, more):
            with one:
                e.call("descent_one", argument_types, _emit_one, arguments)
            with more:
                e.call("descent_chunk", argument_types, _emit_chunk, arguments)
        return context.get_dummy_value()

    return typed, codegen
