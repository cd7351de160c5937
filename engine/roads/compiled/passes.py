"""Forward pass, losses and backward pass of a mini-batch."""

from __future__ import annotations

from typing import Any

import numba.extending

from engine.compiling.decorators import inlined, inner
from engine.roads.compiled.codes import (
    BINARY_CROSS_ENTROPY,
    ELU,
    GELU,
    HALF_SQUARED_ERROR,
    HUBER,
    I_DROPPING,
    I_HIDDEN,
    I_LAYER_NOISY,
    I_N_UNITS,
    I_OUTPUT,
    LEAKY_RELU,
    MAE,
    MSE,
    PRELU,
    R_LAYER_NOISE,
    R_OUTPUT_SLOPE,
    R_SLOPE,
    RELU,
    SIGMOID,
    SILU,
    SOFTMAX_CROSS_ENTROPY,
    SOFTPLUS,
    STEP,
    TANH,
)
from engine.roads.compiled.functions import (
    clamped,
    exp,
    expm1,
    log,
    normal_cdf,
    sigmoid,
    softplus,
    tanh,
)
from engine.roads.compiled.products import AS_IS, AS_RELU, AS_TANH, layer_backward, layer_forward, layer_gradient
from engine.roads.compiled.random import add_layer_noise
from engine.roads.compiled.vectors import (
    absolute,
    dropout_factor,
    fma,
    load,
    offset,
    offset_keys,
    splat,
    store,
    where_greater,
)

# ----------------------------------------------------------------------------------------------------------------------
# Forward and backward


@inner
def activate(code: Any, z: Any, a: Any, count: Any, slope: Any) -> None:
    """Set `count` vectors `a` to the activation of the net inputs `z` (which may be the same place)."""
    zero = splat(a, 0.0)
    one = splat(a, 1.0)
    if code == TANH:
        for i in range(count):
            store(a, i, tanh(load(z, i)))
    elif code == RELU:
        for i in range(count):
            v = load(z, i)
            store(a, i, where_greater(zero, v, zero, v))
    elif code == SIGMOID:
        for i in range(count):
            store(a, i, sigmoid(load(z, i)))
    elif code in (LEAKY_RELU, PRELU):
        for i in range(count):
            v = load(z, i)
            store(a, i, where_greater(v, zero, v, v * slope))
    elif code == ELU:
        for i in range(count):
            v = load(z, i)
            store(a, i, where_greater(v, zero, v, slope * expm1(v)))
    elif code == GELU:
        for i in range(count):
            v = load(z, i)
            store(a, i, v * normal_cdf(v))
    elif code == SILU:
        for i in range(count):
            v = load(z, i)
            store(a, i, v * sigmoid(v))
    elif code == SOFTPLUS:
        for i in range(count):
            store(a, i, softplus(load(z, i)))
    elif code == STEP:
        for i in range(count):
            store(a, i, where_greater(load(z, i), zero, one, zero))
    else:
        for i in range(count):
            store(a, i, load(z, i))


@inner
def multiply_derivative(code: Any, z: Any, a: Any, d: Any, count: Any, slope: Any) -> None:
    """Multiply `count` vectors of `d` by the activation's derivative at net inputs `z`, outputs `a`."""
    one = splat(a, 1.0)
    zero = splat(a, 0.0)
    if code == TANH:
        for i in range(count):
            v = load(a, i)
            store(d, i, load(d, i) * fma(-v, v, one))
    elif code == RELU:
        for i in range(count):
            store(d, i, where_greater(load(a, i), zero, load(d, i), zero))
    elif code == SIGMOID:
        for i in range(count):
            v = load(a, i)
            store(d, i, load(d, i) * (v * (one - v)))
    elif code in (LEAKY_RELU, PRELU):
        for i in range(count):
            v = load(d, i)
            store(d, i, where_greater(load(z, i), zero, v, v * slope))
    elif code == ELU:
        for i in range(count):
            store(d, i, load(d, i) * where_greater(load(z, i), zero, one, load(a, i) + slope))
    elif code == GELU:
        scale = splat(a, 0.3989422804014327)
        minus_half = splat(a, -0.5)
        for i in range(count):
            v = load(z, i)
            density = scale * exp((minus_half * v) * v)
            store(d, i, load(d, i) * fma(v, density, normal_cdf(v)))
    elif code == SILU:
        for i in range(count):
            gate = sigmoid(load(z, i))
            store(d, i, load(d, i) * fma(load(a, i), one - gate, gate))
    elif code == SOFTPLUS:
        for i in range(count):
            store(d, i, load(d, i) * sigmoid(load(z, i)))


def _finish_32(like: Any, code: Any) -> Any:
    return AS_TANH if code == TANH else AS_RELU if code == RELU else AS_IS


def _finish_64(like: Any, code: Any) -> Any:
    return AS_RELU if code == RELU else AS_IS


def finish(like: Any, code: Any) -> Any:
    """Return what the blocked product does for an activation (compiled code only)."""
    raise NotImplementedError


@numba.extending.overload(finish)
def _overload_finish(like: Any, code: Any) -> Any:
    return _finish_32 if like.dtype.name == "float32" else _finish_64


@inlined
def forward(
    p: Any,
    x: Any,
    x_stride: Any,
    z: Any,
    a: Any,
    h: Any,
    mask: Any,
    sizes: Any,
    n_weights: Any,
    m: Any,
    ints: Any,
    reals: Any,
    keys: Any,
    thresholds: Any,
    scales: Any,
    position: Any,
    dropping: Any,
    noisy: Any,
) -> None:
    """Fill net inputs `z` and outputs `a` of all layers for m samples: layer by layer, unit by unit, sample innermost.

    Where `dropping` or `noisy`, `h` becomes the outputs that the next layer sees and `mask` their factors of dropout.
    """
    w = 0
    b = n_weights
    source, stride = x, x_stride
    place = 0
    n_layers = len(sizes) - 1
    n_slopes = n_weights + ints[I_N_UNITS]
    for layer in range(n_layers):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        z_layer, a_layer = offset(z, place), offset(a, place)
        is_hidden = layer + 1 < n_layers
        code = ints[I_HIDDEN] if is_hidden else ints[I_OUTPUT]
        as_what = finish(p, code)
        is_done = as_what != AS_IS
        target = a_layer if is_done else z_layer
        layer_forward(target, offset(p, w), source, stride, offset(p, b), n_out, n_in, m, as_what)
        if not is_done:
            slope = splat(p, reals[R_SLOPE] if is_hidden else reals[R_OUTPUT_SLOPE])
            if is_hidden and code == PRELU:
                slope = load(p, n_slopes + layer)
            activate(code, z_layer, a_layer, n_out * m, slope)
        source, stride = a_layer, m
        if is_hidden and noisy != 0:
            h_layer = offset(h, place)
            key = offset_keys(p, keys, 2 * (n_layers + layer + 1))
            add_layer_noise(p, h_layer, a_layer, n_out, m, position, reals[R_LAYER_NOISE], key)
            source = h_layer
        if is_hidden and dropping != 0 and thresholds[layer + 1] > 0:
            scale = splat(p, scales[layer + 1])
            key = offset_keys(p, keys, 2 * (layer + 1))
            for u in range(n_out):
                for s in range(m):
                    counter = (position + s) * n_out + u
                    factor = dropout_factor(p, key, counter, thresholds[layer + 1], scale)
                    i = place + u * m + s
                    store(mask, i, factor)
                    store(h, i, load(source, u * m + s) * factor)
            source = offset(h, place)
        w += n_in * n_out
        b += n_out
        place += n_out * m


@inlined
def loss_gradient(code: Any, out: Any, y: Any, y_stride: Any, d: Any, n_out: Any, m: Any) -> None:
    """Set `d` to the derivative of the loss with respect to the outputs."""
    zero, one = splat(out, 0.0), splat(out, 1.0)
    share = splat(out, 1.0 / n_out)
    half = splat(out, 0.5)
    if code <= BINARY_CROSS_ENTROPY:
        double_share = splat(out, 2.0 / n_out)
        for j in range(n_out):
            for s in range(m):
                i = j * m + s
                o, target = load(out, i), load(y, j * y_stride + s)
                error = o - target
                if code == MSE:
                    error = double_share * error
                elif code == MAE:
                    error = where_greater(error, zero, share, where_greater(zero, error, -share, error))
                elif code == HUBER:
                    error = share * clamped(error, one)
                elif code == BINARY_CROSS_ENTROPY:
                    error = share * (sigmoid(o) - target)
                store(d, i, error)
    elif code == SOFTMAX_CROSS_ENTROPY:
        for s in range(m):
            target = load(y, s)
            largest = load(out, s)
            for j in range(1, n_out):
                v = load(out, j * m + s)
                largest = where_greater(largest, v, largest, v)
            total = zero
            for j in range(n_out):
                v = exp(load(out, j * m + s) - largest)
                store(d, j * m + s, v)
                total = total + v
            total = one / total
            for j in range(n_out):
                away = absolute(target - splat(out, float(j)))
                hit = where_greater(half, away, one, zero)
                store(d, j * m + s, fma(load(d, j * m + s), total, -hit))
    else:
        for s in range(m):
            target = load(y, s)
            own = _output_of_class(out, target, s, n_out, m)
            n_violated = zero
            for j in range(n_out):
                away = absolute(target - splat(out, float(j)))
                margin = load(out, j * m + s) - own + one
                violated = where_greater(margin, zero, where_greater(away, half, one, zero), zero)
                n_violated = n_violated + violated
                store(d, j * m + s, violated)
            for j in range(n_out):
                away = absolute(target - splat(out, float(j)))
                store(d, j * m + s, where_greater(half, away, -n_violated, load(d, j * m + s)))


@inner
def _output_of_class(out: Any, target: Any, s: Any, n_out: Any, m: Any) -> Any:
    own = splat(out, 0.0)
    half = splat(out, 0.5)
    for j in range(n_out):
        away = absolute(target - splat(out, float(j)))
        own = where_greater(half, away, load(out, j * m + s), own)
    return own


@inner
def loss_values(code: Any, out: Any, y: Any, y_stride: Any, values: Any, n_out: Any, m: Any) -> None:
    """Set `values` to the loss of each of m samples."""
    zero, one, half = splat(out, 0.0), splat(out, 1.0), splat(out, 0.5)
    share = splat(out, 1.0 / n_out)
    if code <= BINARY_CROSS_ENTROPY:
        for s in range(m):
            total = zero
            for j in range(n_out):
                o, target = load(out, j * m + s), load(y, j * y_stride + s)
                error = o - target
                if code == HALF_SQUARED_ERROR:
                    total = fma(half * error, error, total)
                elif code == MSE:
                    total = fma(share * error, error, total)
                elif code == MAE:
                    total = fma(share, absolute(error), total)
                elif code == HUBER:
                    size = absolute(error)
                    inner = where_greater(size, one, one, size)
                    total = fma(share * inner, fma(-half, inner, size), total)
                else:
                    total = fma(share, fma(-o, target, softplus(o)), total)
            store(values, s, total)
    elif code == SOFTMAX_CROSS_ENTROPY:
        for s in range(m):
            largest = load(out, s)
            for j in range(1, n_out):
                v = load(out, j * m + s)
                largest = where_greater(largest, v, largest, v)
            total = zero
            for j in range(n_out):
                total = total + exp(load(out, j * m + s) - largest)
            store(values, s, log(total) + (largest - _output_of_class(out, load(y, s), s, n_out, m)))
    else:
        for s in range(m):
            target = load(y, s)
            own = _output_of_class(out, target, s, n_out, m)
            total = zero
            for j in range(n_out):
                away = absolute(target - splat(out, float(j)))
                margin = load(out, j * m + s) - own + one
                margin = where_greater(zero, margin, zero, margin)
                total = total + where_greater(away, half, margin, zero)
            store(values, s, total)


@inner
def output_errors(
    loss: Any, code: Any, slope: Any, z: Any, outputs: Any, y: Any, y_stride: Any, d: Any, n_outputs: Any, m: Any
) -> None:
    """Set `d` to the derivative of the loss with respect to the last layer's net inputs `z`."""
    loss_gradient(loss, outputs, y, y_stride, d, n_outputs, m)
    multiply_derivative(code, z, outputs, d, n_outputs * m, slope)


@inlined
def backward(
    p: Any,
    g: Any,
    scale: Any,
    x: Any,
    x_stride: Any,
    z: Any,
    a: Any,
    h: Any,
    mask: Any,
    d: Any,
    sizes: Any,
    n_weights: Any,
    m: Any,
    ints: Any,
    reals: Any,
    thresholds: Any,
) -> None:
    """Add `scale` times the gradient of m samples to `g`; `d` starts with `output_errors` at the last layer.

    `g` may be the parameters themselves: each is changed only after its last use.
    """
    n_layers = len(sizes) - 1
    w = n_weights
    b = n_slopes = n_weights + ints[I_N_UNITS]
    place = ints[I_N_UNITS] * m
    is_done = True
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        w -= n_in * n_out
        b -= n_out
        place -= n_out * m
        delta = offset(d, place)
        if not is_done:
            code = ints[I_HIDDEN]
            slope = splat(p, reals[R_SLOPE])
            if ints[I_DROPPING] and thresholds[layer + 1] > 0:
                for i in range(n_out * m):
                    store(delta, i, load(delta, i) * load(mask, place + i))
            if code == PRELU:
                slope = load(p, n_slopes + layer)
                zero = splat(p, 0.0)
                total = zero
                for i in range(n_out * m):
                    v = load(z, place + i)
                    total = fma(load(delta, i), where_greater(v, zero, zero, v), total)
                store(g, n_slopes + layer, fma(load(scale, 0), total, load(g, n_slopes + layer)))
            multiply_derivative(code, offset(z, place), offset(a, place), delta, n_out * m, slope)
        source, stride = x, x_stride
        if layer > 0:
            below = place - n_in * m
            drops = ints[I_DROPPING] != 0 and thresholds[layer] > 0
            source, stride = offset(h if drops or ints[I_LAYER_NOISY] != 0 else a, below), m
            code = ints[I_HIDDEN]
            as_what = AS_IS if drops else AS_TANH if code == TANH else AS_RELU if code == RELU else AS_IS
            is_done = as_what != AS_IS
            layer_backward(offset(d, below), offset(p, w), delta, offset(a, below), n_in, n_out, m, as_what)
        layer_gradient(offset(g, w), offset(g, b), scale, source, stride, delta, n_in, n_out, m)
