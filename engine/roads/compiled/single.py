"""The loop over epochs and mini-batches for one network at a time, units in the lanes (`engine.roads.compiled.panels`).

It is `engine.roads.compiled.loop` in another order of the work, not of any sum: what comes out is the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiling.decorators import inlined, inner, outer
from engine.methods.streams import DROPOUT, INPUT_NOISE, SHUFFLE
from engine.roads.compiled.codes import (
    DROP,
    I_BATCH,
    I_CHUNK,
    I_DROPPING,
    I_EPOCH,
    I_GENERAL,
    I_HIDDEN,
    I_LOSS,
    I_NOISY,
    I_OUTPUT,
    I_PARTIAL,
    I_PENALTY,
    I_PENDING,
    I_PENDING_AFTER,
    I_SHUFFLED,
    I_UPDATES,
    I_UPDATES_AFTER,
    I_WITH_Z,
    KEEP,
    LINEAR,
    NO_PENALTY,
    R_BETA_1,
    R_BETA_2,
    R_NOISE,
    R_OUTPUT_SLOPE,
    R_SLOPE,
    R_STRENGTH,
    RELU,
    TANH,
)
from engine.roads.compiled.panels import (
    ADDED,
    TIMES_RELU,
    TIMES_TANH,
    layer_gradient_product,
    layer_product,
    output_back_product,
    output_gradient_product,
    output_product,
    shift,
    turn_panels,
)
from engine.roads.compiled.passes import activate, loss_gradient, loss_values, multiply_derivative
from engine.roads.compiled.products import AS_IS, AS_RELU, AS_TANH
from engine.roads.compiled.random import set_keys
from engine.roads.compiled.single_random import (
    add_input_noise_one,
    drop_inputs,
    drop_units,
    put_in_order_one,
    shuffle_one,
)
from engine.roads.compiled.sources import SOURCES
from engine.roads.compiled.updates import general_update, plain_update
from engine.roads.compiled.vectors import address, at_address, fma, load, splat, store, where_greater

# Columns of the plan's row of each layer: places of weights, biases and outputs, in numbers.
L_WEIGHTS, L_BIASES, L_OUTPUTS = 0, 1, 2
N_PLAN = 3
# Places in the list of scratch rooms, in numbers from its start.
S_OUTPUTS, S_DELTAS, S_INPUTS, S_LAST, S_LAST_INPUTS, S_ERRORS, S_TURNED, S_WEIGHTS, S_ONES, S_ZEROS = range(10)
S_MINUS, S_SCALE, S_VALUES, S_SEEN, S_MASK = 10, 11, 12, 13, 14
N_SCRATCH = 15
# Columns of the table of splits: points, rows a panel has room for, addresses, and numbers to the next network's.
T_N, T_ROWS, T_X, T_X_NEXT, T_Y, T_Y_NEXT, T_WEIGHT, T_WEIGHT_NEXT = range(8)
N_TABLE = 8


@inlined
def forward_one(
    p: Any, scratch: Any, x: Any, x_step: Any, plan: Any, rooms: Any, sizes: Any, m: Any, ints: Any, reals: Any,
    numbers: Any, keys: Any, thresholds: Any, scales: Any, position: Any, dropping: Any,
) -> None:  # fmt: skip
    """Fill the outputs of all layers for m samples, of which the first is the epoch's `position`.

    `numbers` is the array that `scratch` points to.
    """
    n_layers = len(sizes) - 1
    source, step = x, x_step
    scale = shift(scratch, rooms[S_SCALE])
    hidden, output = ints[I_HIDDEN], ints[I_OUTPUT]
    as_what = AS_TANH if hidden == TANH else AS_RELU if hidden == RELU else AS_IS
    for layer in range(n_layers - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        n_panels = (n_out + 7) >> 3
        a = shift(scratch, rooms[S_OUTPUTS] + plan[layer, L_OUTPUTS])
        z = shift(scratch, rooms[S_INPUTS] + plan[layer, L_OUTPUTS])
        target = z if as_what == AS_IS else a
        weights, biases = shift(p, plan[layer, L_WEIGHTS]), shift(p, plan[layer, L_BIASES])
        layer_product(target, m * 8, weights, n_in * 8, source, step, biases, 8, a, scale, m, n_panels, n_in, as_what)
        if as_what == AS_IS:
            activate(hidden, z, a, (n_panels * m * 8 + 15) >> 4, splat(p, reals[R_SLOPE]))
        source, step = a, m * 8
        if dropping != 0 and thresholds[layer + 1] > 0:
            out = plan[layer, L_OUTPUTS]
            drop_units(
                numbers, rooms[S_OUTPUTS] + out, rooms[S_MASK] + out, rooms[S_SEEN] + out, n_out, m, position, keys,
                layer + 1, thresholds[layer + 1], scales[layer + 1],
            )  # fmt: skip
            source = shift(scratch, rooms[S_SEEN] + out)
    last = n_layers - 1
    n_in, n_out = sizes[last], sizes[last + 1]
    turned = shift(scratch, rooms[S_TURNED])
    turn_panels(turned, 16, 8, source, step, (n_in + 7) >> 3, (m + 7) >> 3)
    as_what = AS_TANH if output == TANH else AS_RELU if output == RELU else AS_IS
    out, z = shift(scratch, rooms[S_LAST]), shift(scratch, rooms[S_LAST_INPUTS])
    target = z if as_what == AS_IS else out
    weights, biases = shift(p, plan[last, L_WEIGHTS]), shift(p, plan[last, L_BIASES])
    output_product(target, 0, turned, 0, weights, n_out * 8, biases, 0, out, scale, n_out, 1, n_in, as_what)
    if as_what == AS_IS and (output != LINEAR or ints[I_WITH_Z]):
        activate(output, z, out, n_out, splat(p, reals[R_OUTPUT_SLOPE]))


@inner
def times_derivative(code: Any, z: Any, a: Any, d: Any, count: Any, slope: Any) -> None:
    """Multiply `count` vectors of `d` by the activation's derivative."""
    multiply_derivative(code, z, a, d, count, slope)


@inlined
def gradient_of_loss(code: Any, out: Any, y: Any, y_stride: Any, d: Any, n_out: Any) -> None:
    """Set `d` to the derivative of the loss of up to 16 samples with respect to the outputs."""
    loss_gradient(code, out, y, y_stride, d, n_out, np.int64(1))


@inner
def multiply(d: Any, factors: Any, count: Any) -> None:
    """Multiply `count` vectors by others."""
    for i in range(count):
        store(d, i, load(d, i) * load(factors, i))


@inlined
def backward_one(
    p: Any, g: Any, scratch: Any, x: Any, x_step: Any, plan: Any, rooms: Any, sizes: Any, m: Any, ints: Any, reals: Any,
    thresholds: Any,
) -> None:  # fmt: skip
    """Add the scaled gradient of m samples to `g`, which may be the parameters; the errors lie at their place."""
    n_layers = len(sizes) - 1
    last = n_layers - 1
    hidden, output = ints[I_HIDDEN], ints[I_OUTPUT]
    outputs, deltas = shift(scratch, rooms[S_OUTPUTS]), shift(scratch, rooms[S_DELTAS])
    scale, ones, zeros = (
        shift(scratch, rooms[S_SCALE]),
        shift(scratch, rooms[S_ONES]),
        shift(scratch, rooms[S_ZEROS]),
    )
    # One sample's products are not added to 0 (`products._emit_outer_one`): -0 + v is v, whatever its sign.
    start = shift(scratch, rooms[S_MINUS if m == 1 else S_ZEROS])
    times = TIMES_TANH if hidden == TANH else TIMES_RELU if hidden == RELU else AS_IS
    seen, dropping = shift(scratch, rooms[S_SEEN]), ints[I_DROPPING] != 0

    n_in, n_out = sizes[last], sizes[last + 1]
    errors = shift(scratch, rooms[S_ERRORS])
    if output != LINEAR:
        out, z = shift(scratch, rooms[S_LAST]), shift(scratch, rooms[S_LAST_INPUTS])
        times_derivative(output, z, out, errors, n_out, splat(p, reals[R_OUTPUT_SLOPE]))
    n_panels = (n_in + 7) >> 3
    source, step = x, x_step
    weights, biases = plan[last, L_WEIGHTS], plan[last, L_BIASES]
    if last > 0:
        place = plan[last - 1, L_OUTPUTS]
        drops = dropping and thresholds[last] > 0
        below, step = shift(outputs, place), m * 8
        output_back_product(
            shift(deltas, place), step, shift(p, weights), n_out * 8, errors, 8, zeros, 0, below, scale, m, n_panels,
            n_out, AS_IS if drops else times,
        )  # fmt: skip
        source = shift(seen, place) if drops else below
    output_gradient_product(
        shift(g, weights), n_out * 8, source, step, errors, 8, start, 0, zeros, scale, n_out, n_panels, m, ADDED
    )
    output_gradient_product(shift(g, biases), 0, ones, 0, errors, 8, start, 0, zeros, scale, n_out, 1, m, ADDED)

    for layer in range(last - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        n_panels = (n_out + 7) >> 3
        place = plan[layer, L_OUTPUTS]
        delta = shift(deltas, place)
        drops = dropping and thresholds[layer + 1] > 0
        if times == AS_IS or drops:
            z = shift(scratch, rooms[S_INPUTS] + place)
            count = (n_panels * m * 8 + 15) >> 4
            if drops:
                multiply(delta, shift(scratch, rooms[S_MASK] + place), count)
            times_derivative(hidden, z, shift(outputs, place), delta, count, splat(p, reals[R_SLOPE]))
        source, step = x, x_step
        weights, biases = plan[layer, L_WEIGHTS], plan[layer, L_BIASES]
        if layer > 0:
            below = plan[layer - 1, L_OUTPUTS]
            drops = dropping and thresholds[layer] > 0
            source, step = shift(outputs, below), m * 8
            turned, n_below = shift(scratch, rooms[S_WEIGHTS]), (n_in + 7) >> 3
            turn_panels(turned, 8, n_panels * 64, shift(p, weights), n_in * 8, n_panels, n_below)
            layer_product(
                shift(deltas, below), step, turned, n_panels * 64, delta, m * 8, zeros, 0, source, scale, m, n_below,
                n_out, AS_IS if drops else times,
            )  # fmt: skip
            source = shift(seen, below) if drops else source
        layer_gradient_product(
            shift(g, weights), n_in * 8, delta, m * 8, source, step, start, 0, zeros, scale, n_in, n_panels, m, ADDED
        )
        layer_gradient_product(
            shift(g, biases), 8, delta, m * 8, ones, 0, start, 0, zeros, scale, 1, n_panels, m, ADDED
        )


@inner
def add_losses_one(
    p: Any,
    scratch: Any,
    total: Any,
    x: Any,
    x_step: Any,
    y: Any,
    y_step: Any,
    weight: Any,
    is_weighted: Any,
    n: Any,
    values: Any,
    plan: Any,
    rooms: Any,
    sizes: Any,
    ints: Any,
    reals: Any,
    numbers: Any,
    keys: Any,
    thresholds: Any,
    scales: Any,
) -> Any:
    """Return `total` plus the losses of n points, added one after the other."""
    n_outputs = sizes[len(sizes) - 1]
    out = shift(scratch, rooms[S_LAST])
    found = shift(scratch, rooms[S_VALUES])
    zero = splat(p, 0.0)
    done = np.int64(0)
    while done < n:
        m = min(n - done, 10)
        forward_one(
            p, scratch, shift(x, done * 8), x_step, plan, rooms, sizes, m, ints, reals, numbers, keys, thresholds,
            scales, done, np.int64(0),
        )  # fmt: skip
        loss_values(ints[I_LOSS], out, shift(y, done), y_step, found, n_outputs, np.int64(1))
        if is_weighted:
            share = load(shift(weight, done), 0)
            store(found, 0, where_greater(share, zero, share * load(found, 0), zero))
        for s in range(m):
            total += np.float64(values[s])
        done += m
    return total


@inner
def train_epoch_one(
    p: Any,
    g: Any,
    m1: Any,
    m2: Any,
    dead: Any,
    frozen: Any,
    scratch: Any,
    x: Any,
    x_step: Any,
    y: Any,
    y_step: Any,
    n: Any,
    plan: Any,
    rooms: Any,
    sizes: Any,
    ints: Any,
    reals: Any,
    n_weights: Any,
    n_params: Any,
    rate: Any,
    pending: Any,
    n_updates: Any,
    numbers: Any,
    keys: Any,
    thresholds: Any,
    scales: Any,
) -> Any:
    """Go once through n points, as `engine.roads.compiled.loop.train_epoch` does.

    `n_weights` and `n_params` count vectors.
    """
    n_outputs = sizes[len(sizes) - 1]
    chunk, batch, partial = ints[I_CHUNK], ints[I_BATCH], ints[I_PARTIAL]
    out, errors = shift(scratch, rooms[S_LAST]), shift(scratch, rooms[S_ERRORS])
    is_plain = ints[I_GENERAL] == 0 and ints[I_PENALTY] == NO_PENALTY
    power_1, power_2 = reals[R_BETA_1] ** n_updates, reals[R_BETA_2] ** n_updates
    start = np.int64(0)
    while start < n:
        end = min(start + batch, n)
        is_whole = end - start == batch
        if not is_whole and partial == DROP:
            break
        is_update = is_whole or partial == KEEP
        direct = is_plain and pending == 0 and is_update and end - start <= chunk
        target, share = g, 1.0
        if direct:
            target, share = p, -rate / (end - start)
        store(shift(scratch, rooms[S_SCALE]), 0, splat(p, share))
        done = start
        while done < end:
            m = min(end - done, chunk)
            here = shift(x, done * 8)
            forward_one(
                p, scratch, here, x_step, plan, rooms, sizes, m, ints, reals, numbers, keys, thresholds, scales, done,
                ints[I_DROPPING],
            )  # fmt: skip
            gradient_of_loss(ints[I_LOSS], out, shift(y, done), y_step, errors, n_outputs)
            backward_one(p, target, scratch, here, x_step, plan, rooms, sizes, m, ints, reals, thresholds)
            done += m
        if direct:
            n_updates += 1
        else:
            pending += end - start
            if is_update:
                share = 1.0 / pending
                if ints[I_GENERAL]:
                    power_1 *= reals[R_BETA_1]
                    power_2 *= reals[R_BETA_2]
                    general_update(
                        p, g, m1, m2, dead, frozen, sizes, n_weights, n_params, rate, share, 1.0 - power_1,
                        1.0 - power_2, ints, reals,
                    )  # fmt: skip
                else:
                    penalty, strength = ints[I_PENALTY], reals[R_STRENGTH]
                    plain_update(p, g, dead, n_weights, n_params, rate, share, penalty, strength)
                pending = np.int64(0)
                n_updates += 1
        start = end
    return pending, n_updates


@inner
def _run_single_body(
    P: Any,
    G: Any,
    M1: Any,
    M2: Any,
    dead: Any,
    frozen: Any,
    live: Any,
    X: Any,
    y: Any,
    own_x: Any,
    own_y: Any,
    order: Any,
    scratch: Any,
    keys: Any,
    seeds: Any,
    plan: Any,
    rooms: Any,
    sizes: Any,
    ints: Any,
    reals: Any,
    rates: Any,
    thresholds: Any,
    scales: Any,
    diverged: Any,
    looks: Any,
    table: Any,
    sums: Any,
    bits: Any,
) -> None:
    """Train each network for ``looks[k]`` epochs, add its losses on the table's splits to ``sums[k]``, and go on."""
    n, n_weights = len(order), dead.shape[1] >> 4
    x_step, y_step = X.shape[2] * 8, y.shape[2] >> 4
    room = address(scratch)
    live_p = address(live)
    zero = splat(room, 0.0)
    values = scratch[rooms[S_VALUES] : rooms[S_VALUES] + 16]
    for network in range(len(P)):
        p, g = address(P[network]), address(G[network])
        m1, m2, dead_p = address(M1[network]), address(M2[network]), address(dead[network])
        given_x, given_y = X[min(network, len(X) - 1)], y[min(network, len(y) - 1)]
        x_p, y_p = address(given_x), address(given_y)
        pending, n_updates = ints[I_PENDING], ints[I_UPDATES]
        first = 0
        for k in range(len(looks)):
            for epoch in range(first, first + looks[k]):
                n_epochs_done = ints[I_EPOCH] + epoch
                if own_x.shape[0] > 0:
                    if ints[I_SHUFFLED]:
                        set_keys(keys, np.int64(0), seeds[network], n_epochs_done, np.int64(SHUFFLE), np.int64(0))
                        shuffle_one(order, keys)
                    put_in_order_one(own_x, own_y, given_x, given_y, order)
                    if ints[I_NOISY]:
                        set_keys(keys, np.int64(0), seeds[network], n_epochs_done, np.int64(INPUT_NOISE), np.int64(0))
                        add_input_noise_one(own_x, n, sizes[0], reals[R_NOISE], keys, bits, values)
                    x_p, y_p = address(own_x), address(own_y)
                if ints[I_DROPPING]:
                    for layer in range(len(sizes) - 1):
                        set_keys(keys, 2 * layer, seeds[network], n_epochs_done, np.int64(DROPOUT), layer)
                    if thresholds[0] > 0:
                        drop_inputs(own_x, n, sizes[0], keys, thresholds[0], scales[0])
                pending, n_updates = train_epoch_one(
                    p, g, m1, m2, dead_p, frozen, room, x_p, x_step, y_p, y_step, n, plan, rooms, sizes, ints, reals,
                    n_weights, len(frozen), rates[epoch], pending, n_updates, scratch, keys, thresholds, scales,
                )  # fmt: skip
                check = zero
                for i in range(len(frozen)):
                    check = fma(where_greater(load(live_p, i), zero, load(p, i), zero), zero, check)
                store(shift(room, rooms[S_VALUES]), 0, check)
                for lane in range(16):
                    if values[lane] != 0.0 and diverged[network] < 0:
                        diverged[network] = n_epochs_done + 1
            first += looks[k]
            for i in range(len(table)):
                row = table[i]
                x_there = shift(at_address(room, row[T_X]), network * row[T_X_NEXT])
                y_there = shift(at_address(room, row[T_Y]), network * row[T_Y_NEXT])
                weight_there = shift(at_address(room, row[T_WEIGHT]), network * row[T_WEIGHT_NEXT])
                sums[k, i, network] = add_losses_one(
                    p, room, sums[k, i, network], x_there, row[T_ROWS] * 8, y_there, row[T_ROWS] >> 4, weight_there,
                    row[T_WEIGHT] != 0, row[T_N], values, plan, rooms, sizes, ints, reals, scratch, keys, thresholds,
                    scales,
                )  # fmt: skip
        ints[I_PENDING_AFTER], ints[I_UPDATES_AFTER] = pending, n_updates


def _entry(sources: int) -> Any:
    """Return `_run_single_body` as Python calls it; see `engine.roads.compiled.sources.SOURCES`."""

    def run_single(
        P: Any,
        G: Any,
        M1: Any,
        M2: Any,
        dead: Any,
        frozen: Any,
        live: Any,
        X: Any,
        y: Any,
        own_x: Any,
        own_y: Any,
        order: Any,
        scratch: Any,
        keys: Any,
        seeds: Any,
        plan: Any,
        rooms: Any,
        sizes: Any,
        ints: Any,
        reals: Any,
        rates: Any,
        thresholds: Any,
        scales: Any,
        diverged: Any,
        looks: Any,
        table: Any,
        sums: Any,
    ) -> None:
        if sources < 0:  # never; read here so that it becomes part of the cache's key
            return
        bits = np.empty((2, 16), dtype=np.uint32)
        _run_single_body(
            P, G, M1, M2, dead, frozen, live, X, y, own_x, own_y, order, scratch, keys, seeds, plan, rooms, sizes, ints,
            reals, rates, thresholds, scales, diverged, looks, table, sums, bits,
        )  # fmt: skip

    return outer(run_single)


run_single = _entry(SOURCES)
"""Train each network for ``looks[k]`` epochs, add its losses on the table's splits to ``sums[k]``, and go on."""
