"""The loop over epochs and mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiling.decorators import inlined, inner, outer
from engine.methods.streams import (
    DROPOUT,
    INPUT_NOISE,
    LAYER_NOISE,
    SHUFFLE,
    WEIGHT_DROPOUT,
)
from engine.roads.compiled.codes import (
    CARRY,
    DROP,
    I_BATCH,
    I_CHUNK,
    I_DROPPING,
    I_EPOCH,
    I_GENERAL,
    I_LAYER_NOISY,
    I_LOSS,
    I_N_UNITS,
    I_N_WEIGHTS,
    I_NOISY,
    I_OUTPUT,
    I_PARTIAL,
    I_PENALTY,
    I_PENDING,
    I_PENDING_AFTER,
    I_ROOM,
    I_SHUFFLED,
    I_UPDATES,
    I_UPDATES_AFTER,
    I_WEIGHT_DROPPING,
    I_WITH_Z,
    KEEP,
    NO_PENALTY,
    R_BETA_1,
    R_BETA_2,
    R_NOISE,
    R_OUTPUT_SLOPE,
    R_STRENGTH,
    T_N,
    T_TARGETS,
    T_WEIGHT,
    T_X,
    T_Y,
)
from engine.roads.compiled.passes import backward, forward, loss_values, output_errors
from engine.roads.compiled.plain_descent import descend, descends
from engine.roads.compiled.random import add_input_noise, drop_weights, put_in_order, set_keys, shuffle
from engine.roads.compiled.rows import NO_END, restore, restore_lanes, save, set_mask
from engine.roads.compiled.sources import SOURCES
from engine.roads.compiled.updates import general_update, plain_update
from engine.roads.compiled.vectors import (
    EVALUATION_CHUNK,
    add_in_double,
    address,
    at_address,
    dropout_factor,
    fma,
    load,
    offset,
    splat,
    store,
    where_greater,
)

# ----------------------------------------------------------------------------------------------------------------------
# The one compiled function


@inlined
def add_losses(
    p: Any,
    total: Any,
    x_group: Any,
    y_group: Any,
    weight_group: Any,
    is_weighted: Any,
    n: Any,
    z: Any,
    a: Any,
    d: Any,
    sizes: Any,
    ints: Any,
    reals: Any,
    keys: Any,
    thresholds: Any,
    scales: Any,
) -> None:
    """Add the losses of n points to the vector of float64 at `total`."""
    n_outputs = sizes[len(sizes) - 1]
    done = np.int64(0)  # a literal 0 would be a type of its own, and one more forward to compile
    while done < n:
        m = min(n - done, EVALUATION_CHUNK)
        x = offset(x_group, done)
        n_weights = ints[I_N_WEIGHTS]
        off = np.int64(0)
        forward(
            p, x, n, z, a, a, a, sizes, n_weights, m, ints, reals, keys, thresholds, scales, done, off, off
        )  # fmt: skip
        outputs = offset(a, (ints[I_N_UNITS] - n_outputs) * m)
        loss_values(ints[I_LOSS], outputs, offset(y_group, done), n, d, n_outputs, m)
        if is_weighted:
            weights = offset(weight_group, done)
            zero = splat(p, 0.0)
            for s in range(m):
                share = load(weights, s)
                store(d, s, where_greater(share, zero, share * load(d, s), zero))
        add_in_double(total, d, m)
        done += m


@inlined
def train_epoch(
    p: Any,
    g: Any,
    m1: Any,
    m2: Any,
    dead: Any,
    frozen: Any,
    x_group: Any,
    y_group: Any,
    scratch: Any,
    keys: Any,
    sizes: Any,
    ints: Any,
    reals: Any,
    thresholds: Any,
    scales: Any,
    n: Any,
    start: Any,
    stop: Any,
    partial: Any,
    n_params: Any,
    rate: Any,
    pending: Any,
    n_updates: Any,
    n_updates_before: Any,
) -> Any:
    """Go through the points from `start` to `stop`, of n that are laid out.

    Before the epoch `n_updates_before` updates were done. Returns how many examples wait in `g` for an update, and the
    updates done.
    """
    n_weights, n_units = ints[I_N_WEIGHTS], ints[I_N_UNITS]
    n_outputs = sizes[len(sizes) - 1]
    n_before = n_units - n_outputs
    chunk, batch = ints[I_CHUNK], ints[I_BATCH]
    dropping, noisy = ints[I_DROPPING], ints[I_LAYER_NOISY]
    room = n_units * ints[I_ROOM]
    a = address(scratch)
    d = offset(a, room)
    z = offset(a, 2 * room) if ints[I_WITH_Z] else a
    h = offset(a, 3 * room)
    mask = offset(a, 4 * room)
    scale_p = offset(a, (5 if dropping != 0 or noisy != 0 else 3) * room)
    key = address(keys)
    # With DropConnect the parameters that a mini-batch sees, and the gradient at them.
    thins = ints[I_WEIGHT_DROPPING] != 0
    n_layers = len(sizes) - 1
    seen = offset(scale_p, 1) if thins else p
    g_seen = offset(scale_p, 1 + n_params) if thins else g
    is_plain = ints[I_GENERAL] == 0 and ints[I_PENALTY] == NO_PENALTY
    power_1, power_2 = reals[R_BETA_1] ** n_updates_before, reals[R_BETA_2] ** n_updates_before
    for _ in range(n_updates - n_updates_before):  # as an epoch in one go multiplies
        power_1 *= reals[R_BETA_1]
        power_2 *= reals[R_BETA_2]
    is_direct = is_plain and not thins and dropping == 0 and noisy == 0 and descends(p, batch, ints)
    while start < stop:
        if is_direct and pending == 0 and start + batch <= stop:
            n_batches = (stop - start) // batch
            store(scale_p, 0, splat(p, -rate / batch))
            descend(
                p,
                scale_p,
                offset(x_group, start),
                offset(y_group, start),
                n,
                n_batches,
                a,
                d,
                sizes,
                batch,
                ints,
                reals,
            )
            start += n_batches * batch
            n_updates += n_batches
            continue
        end = min(start + batch, stop)
        is_whole = end - start == batch
        if not is_whole and partial == DROP:
            break
        is_update = is_whole or partial == KEEP
        # Where the whole batch is in one chunk, plain SGD needs no gradient sums.
        direct = is_plain and not thins and pending == 0 and is_update and end - start <= chunk
        target, share = g_seen, 1.0
        if direct:
            target, share = p, -rate / (end - start)
        store(scale_p, 0, splat(p, share))
        if thins:
            zero = splat(p, 0.0)
            for i in range(n_params):
                store(seen, i, load(p, i))
                store(g_seen, i, zero)
            drop_weights(
                p, seen, 0, sizes, key, 4 * n_layers, thresholds[n_layers], scales[n_layers], start // batch
            )  # fmt: skip
        done = start
        while done < end:
            m = min(end - done, chunk)
            x = offset(x_group, done)
            forward(
                seen, x, n, z, a, h, mask, sizes, n_weights, m, ints, reals, key, thresholds, scales, done, dropping,
                noisy,
            )  # fmt: skip
            outputs, errors = offset(a, n_before * m), offset(d, n_before * m)
            slope = splat(p, reals[R_OUTPUT_SLOPE])
            z_outputs, targets = offset(z, n_before * m), offset(y_group, done)
            output_errors(ints[I_LOSS], ints[I_OUTPUT], slope, z_outputs, outputs, targets, n, errors, n_outputs, m)
            backward(seen, target, scale_p, x, n, z, a, h, mask, d, sizes, n_weights, m, ints, reals, thresholds)
            done += m
        if thins:
            drop_weights(
                g_seen, g, 1, sizes, key, 4 * n_layers, thresholds[n_layers], scales[n_layers], start // batch
            )  # fmt: skip
            for i in range(n_weights, n_params):
                store(g, i, load(g, i) + load(g_seen, i))
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
                        p,
                        g,
                        m1,
                        m2,
                        dead,
                        frozen,
                        sizes,
                        n_weights,
                        n_params,
                        rate,
                        share,
                        1.0 - power_1,
                        1.0 - power_2,
                        ints,
                        reals,
                    )
                else:
                    penalty, strength = ints[I_PENALTY], reals[R_STRENGTH]
                    plain_update(p, g, dead, n_weights, n_params, rate, share, penalty, strength)
                pending = np.int64(0)
                n_updates += 1
        start = end
    return pending, n_updates


@inner
def _run_body(
    P: Any,
    G: Any,
    M1: Any,
    M2: Any,
    dead: Any,
    frozen: Any,
    X: Any,
    y: Any,
    points: Any,
    order: Any,
    scratch: Any,
    keys: Any,
    seeds: Any,
    counts: Any,
    ends: Any,
    saved: Any,
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
    """Train each group for ``looks[k]`` epochs, add its losses on each split of the table to ``sums[k]``, and go on.

    A row of `table` is a split: points, targets a point, and the addresses of X, y and weight (0 for none). `counts`
    has each lane's training points, `ends` where the parts of a group's epoch end (`engine.roads.compiled.rows`).
    """
    n_groups, n_params, lanes = P.shape
    n = X.shape[2]
    n_layers = len(sizes) - 1
    n_weights, n_units = ints[I_N_WEIGHTS], ints[I_N_UNITS]
    room = n_units * ints[I_ROOM]
    a = address(scratch)
    d = offset(a, room)
    z = offset(a, 2 * room) if ints[I_WITH_Z] else a
    own_points = points.shape[1] > 0
    rows = (n_params, M1.shape[1], M2.shape[1], dead.shape[1], n_params)
    kept = (n_params, M1.shape[1], M2.shape[1], dead.shape[1], np.int64(0))  # after an update no gradient waits
    mask, before = address(saved), offset(address(saved), 1)
    after = offset(before, 2 * n_params + rows[1] + rows[2] + rows[3])
    for group in range(n_groups):
        has_rests = ends.shape[1] > 1 and ends[group, 1] != NO_END
        p = offset(address(P), group * n_params)
        g = offset(address(G), group * n_params)
        m1 = offset(address(M1), group * M1.shape[1])
        m2 = offset(address(M2), group * M2.shape[1])
        dead_p = offset(address(dead), group * n_weights)
        x_group = offset(address(X), group * sizes[0] * n)
        y_group = offset(address(y), group * y.shape[1] * n)
        pending = ints[I_PENDING]
        n_updates = ints[I_UPDATES]
        first = 0
        for k in range(len(looks)):
            for epoch in range(first, first + looks[k]):
                n_epochs_done = ints[I_EPOCH] + epoch
                if own_points:
                    if ints[I_SHUFFLED]:
                        set_keys(keys, np.int64(0), seeds[group], n_epochs_done, np.int64(SHUFFLE), np.int64(0))
                        shuffle(p, order, keys, bits, counts[group])
                    put_in_order(points[: sizes[0]], X[group], order)
                    put_in_order(points[sizes[0] :], y[group], order)
                    if ints[I_NOISY]:
                        set_keys(keys, np.int64(0), seeds[group], n_epochs_done, np.int64(INPUT_NOISE), np.int64(0))
                        add_input_noise(p, points, sizes[0], reals[R_NOISE], keys)
                    x_group = address(points)
                    y_group = offset(x_group, sizes[0] * n)
                if ints[I_DROPPING]:
                    for layer in range(n_layers):
                        set_keys(keys, 2 * layer, seeds[group], n_epochs_done, np.int64(DROPOUT), layer)
                    if thresholds[0] > 0:
                        scale = splat(p, scales[0])
                        for row in range(sizes[0]):
                            for s in range(n):
                                factor = dropout_factor(p, address(keys), s * sizes[0] + row, thresholds[0], scale)
                                store(x_group, row * n + s, load(x_group, row * n + s) * factor)
                if ints[I_LAYER_NOISY]:
                    for layer in range(1, n_layers):
                        place = 2 * (n_layers + layer)
                        set_keys(keys, place, seeds[group], n_epochs_done, np.int64(LAYER_NOISE), layer)
                if ints[I_WEIGHT_DROPPING]:
                    for layer in range(1, n_layers + 1):
                        place = 2 * (2 * n_layers + layer)
                        set_keys(keys, place, seeds[group], n_epochs_done, np.int64(WEIGHT_DROPOUT), layer)
                start, pending_there, n_updates_there = np.int64(0), pending, n_updates
                n_updates_before = n_updates
                for part in range(ends.shape[1]):
                    stop = ends[group, part]
                    if stop == NO_END:
                        break
                    if part == 1:
                        save(before, p, m1, m2, dead_p, g, rows)
                    elif part > 1:
                        save(after, p, m1, m2, dead_p, g, kept)
                        restore(before, p, m1, m2, dead_p, g, rows)
                    pending, n_updates = train_epoch(
                        p, g, m1, m2, dead_p, frozen, x_group, y_group, scratch, keys, sizes, ints, reals, thresholds,
                        scales, n, start, stop, np.int64(CARRY) if has_rests and part == 0 else ints[I_PARTIAL],
                        n_params, rates[epoch], pending_there, n_updates_there, n_updates_before,
                    )  # fmt: skip
                    if part == 0:
                        start, pending_there, n_updates_there = stop, pending, n_updates
                    elif part > 1:  # lanes that have come to their end before
                        set_mask(saved[0], counts[group], stop)
                        restore_lanes(mask, after, p, m1, m2, dead_p, rows)
                zero = splat(p, 0.0)
                check = zero
                for i in range(n_params):
                    check = fma(load(p, i), zero, check)
                store(a, 0, check)
                for lane in range(lanes):
                    if a[lane] != 0.0 and diverged[group, lane] < 0:
                        diverged[group, lane] = n_epochs_done + 1
            first += looks[k]
            for i in range(len(table)):
                points_there = table[i, T_N]
                weight_address = table[i, T_WEIGHT]
                x_there = offset(at_address(p, table[i, T_X]), group * sizes[0] * points_there)
                y_there = offset(at_address(p, table[i, T_Y]), group * table[i, T_TARGETS] * points_there)
                weight_there = offset(at_address(p, weight_address), group * points_there)
                add_losses(
                    p,
                    address(sums[k, i, group]),
                    x_there,
                    y_there,
                    weight_there,
                    weight_address != 0,
                    points_there,
                    z,
                    a,
                    d,
                    sizes,
                    ints,
                    reals,
                    address(keys),
                    thresholds,
                    scales,
                )
        ints[I_PENDING_AFTER], ints[I_UPDATES_AFTER] = pending, n_updates


def _entry(sources: int) -> Any:
    """Return `_run_body` as Python calls it; see `engine.roads.compiled.sources.SOURCES`."""

    def run(
        P: Any,
        G: Any,
        M1: Any,
        M2: Any,
        dead: Any,
        frozen: Any,
        X: Any,
        y: Any,
        points: Any,
        order: Any,
        scratch: Any,
        keys: Any,
        seeds: Any,
        counts: Any,
        ends: Any,
        saved: Any,
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
        bits = np.empty((1, P.shape[2]), dtype=np.uint32)
        _run_body(
            P, G, M1, M2, dead, frozen, X, y, points, order, scratch, keys, seeds, counts, ends, saved, sizes, ints,
            reals, rates, thresholds, scales, diverged, looks, table, sums, bits,
        )  # fmt: skip

    return outer(run)


run = _entry(SOURCES)
"""Train each group for ``looks[k]`` epochs, add its losses on each split of the table to ``sums[k]``, and go on."""
