"""The three matrix products of a layer, blocked over units and samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from engine.compiling.decorators import cgutils, intrinsic, types
from engine.roads.compiled.functions import (
    emit_tanh,
)
from engine.roads.compiled.vectors import (
    TRAINING_CHUNK,
    emit_constant,
    emit_load,
    emit_store,
    llvm_call,
    llvm_vector,
)

# ----------------------------------------------------------------------------------------------------------------------
# The blocked products, written in LLVM's language because the blocks must be unrolled and stay in registers

# Samples together: units together. Few, because each pair is code to compile.
UNIT_BLOCKS = {5: (4, 2, 1), 2: (4, 1), 1: (8, 2, 1)}
ONE_SAMPLE_BLOCKS = (8, 2, 1)  # units together where the whole mini-batch is one sample
CHUNK_BLOCKS = (2, 1)  # the same where it is a full chunk, whose samples go through together
TANHS_TOGETHER = 5  # with twice as many side by side, LLVM runs out of registers and keeps their parts in memory
# What a block does to its sums while they are in registers; the rest of the activations pass over memory.
AS_IS, AS_TANH, AS_RELU = 0, 1, 2


class Emitter:
    """Shorthand for the arithmetic on vectors and addresses that the block products need."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.element = element
        self.vector = llvm_vector(element)
        self.pointer = self.vector.as_pointer()
        self.integer = ir.IntType(64)

    def index(self, value: int) -> Any:
        """Return a constant whole number."""
        return ir.Constant(self.integer, value)

    def constant(self, value: float) -> Any:
        """Return a vector with one number in all lanes."""
        return emit_constant(self.vector, value)

    def at(self, pointer: Any, index: Any) -> Any:
        """Return the place `index` vectors on."""
        return self.builder.gep(pointer, [index])

    def row(self, pointer: Any, index: Any, step: Any) -> Any:
        """Return the place of a row of `step` vectors."""
        return self.at(pointer, self.builder.mul(index, step))

    def vectors(self, pointer: Any) -> Any:
        """Return a pointer to numbers as one to vectors."""
        return self.builder.bitcast(pointer, self.pointer)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return ``a * b + c``, rounded once."""
        return llvm_call(self.builder, "fma", a, b, c)

    def minus(self, a: Any) -> Any:
        """Return ``-a``."""
        return self.builder.fneg(a)

    def where_greater(self, a: Any, b: Any, x: Any, y: Any) -> Any:
        """Return `x` in the lanes where ``a > b``, else `y`."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), x, y)

    def is_code(self, code: Any, value: int) -> Any:
        """Return whether a whole number has a value."""
        return self.builder.icmp_signed("==", code, self.index(value))

    def blocks(self, sizes: tuple[int, ...], count: Any) -> Any:
        """Yield (size, first index) inside loops that together go once through ``range(count)``."""
        done = self.index(0)
        for size in sizes:
            n_blocks = self.builder.sdiv(self.builder.sub(count, done), self.index(size))
            with cgutils.for_range(self.builder, n_blocks) as loop:
                yield size, self.builder.add(done, self.builder.mul(loop.index, self.index(size)))
            done = self.builder.add(done, self.builder.mul(n_blocks, self.index(size)))

    def one_or_more(self, count: Any) -> Any:
        """Return the two branches: one sample, for which a layer is one call, or more."""
        return self.builder.if_else(self.builder.icmp_signed("==", count, self.index(1)))

    def places(self, values: list[Any]) -> list[Any]:
        """Return places for sums with their first values; LLVM keeps them in registers."""
        places = [cgutils.alloca_once(self.builder, self.vector) for _ in values]
        for place, value in zip(places, values, strict=True):
            self.builder.store(value, place)
        return places

    def add_product(self, total: Any, a: Any, b: Any) -> None:
        """Add ``a * b`` to the sum at a place."""
        self.builder.store(self.fma(a, b, self.builder.load(total)), total)

    def add_scaled(self, place: Any, scale: Any, total: Any) -> None:
        """Add ``scale * total`` to the vector at a place."""
        emit_store(self.builder, self.fma(scale, total, emit_load(self.builder, place)), place)

    def call(self, name: str, argument_types: list[Any], emit: Any, arguments: list[Any]) -> None:
        """Call a function of the module, first emitting it where it is not there.

        Never inlined: each block would fill the registers of its neighbors with addresses computed ahead of time.
        """
        module = self.builder.module
        name = f"rangesweep.{name}.{self.element.name}"
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), argument_types), name)
            function.linkage = "linkonce_odr hidden"  # hidden: called directly, not through a table of addresses
            function.attributes.add("noinline")
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            emit(Emitter(builder, self.element), *function.args)
            builder.ret_void()
        self.builder.call(function, arguments)


def _emit_forward_block(n_units: int, n_samples: int) -> Any:
    def emit(
        e: Emitter,
        out: Any,
        out_step: Any,
        weights: Any,
        term_step: Any,
        x: Any,
        x_step: Any,
        bias: Any,
        n_terms: Any,
        code: Any,
        n_runs: Any,
    ) -> None:
        builder = e.builder
        units, samples = range(n_units), range(n_samples)
        first = [emit_load(builder, e.at(bias, e.index(u))) for u in units]
        sums = e.places([first[u] for u in units for _ in samples])
        with cgutils.for_range(builder, n_terms) as loop:
            row = e.row(weights, loop.index, term_step)
            w = [emit_load(builder, e.at(row, e.index(u))) for u in units]
            column = e.row(x, loop.index, x_step)
            for s in samples:
                value = emit_load(builder, e.at(column, e.index(s)))
                for u in units:
                    e.add_product(sums[u * n_samples + s], w[u], value)
        places = []
        for u in units:
            row = e.row(out, e.index(u), out_step)
            places += [e.at(row, e.index(s)) for s in samples]
        values = [builder.load(total) for total in sums]
        if e.element.name == "float32":
            with builder.if_else(e.is_code(code, AS_TANH)) as (then, otherwise):
                with then:
                    _emit_tanhs(e, values, places, out, out_step if n_samples == TANHS_TOGETHER else None, n_runs)
                with otherwise:
                    _emit_rectified(e, values, places, code)
        else:
            _emit_rectified(e, values, places, code)

    return emit


def _emit_tanhs(e: Emitter, values: list[Any], places: list[Any], out: Any, step: Any, n_runs: Any) -> None:
    """Store hyperbolic tangents: many in a loop over runs that LLVM must not unroll, so it is not told how many."""
    if len(values) <= 2 * TANHS_TOGETHER:
        for place, value in zip(places, values, strict=True):
            emit_store(e.builder, emit_tanh(e.builder, value), place)
        return
    for place, value in zip(places, values, strict=True):
        emit_store(e.builder, value, place)
    with cgutils.for_range(e.builder, n_runs) as loop:
        run = e.row(out, loop.index, e.index(TANHS_TOGETHER) if step is None else step)
        for k in range(TANHS_TOGETHER):
            place = e.at(run, e.index(k))
            emit_store(e.builder, emit_tanh(e.builder, emit_load(e.builder, place)), place)


def _emit_forward_one(
    e: Emitter, out: Any, weights: Any, n_units: Any, x: Any, x_step: Any, bias: Any, n_terms: Any, code: Any
) -> None:
    one = e.index(1)
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        emit = _emit_forward_block(n, 1)
        emit(e, e.at(out, u), one, e.at(weights, u), n_units, x, x_step, e.at(bias, u), n_terms, code, one)


def _emit_forward_chunk(
    e: Emitter,
    out: Any,
    weights: Any,
    n_units: Any,
    x: Any,
    x_step: Any,
    bias: Any,
    n_terms: Any,
    code: Any,
    runs: Any,
) -> None:
    chunk = e.index(TRAINING_CHUNK)
    for n, u in e.blocks(CHUNK_BLOCKS, n_units):
        emit = _emit_forward_block(n, TRAINING_CHUNK)
        n_runs = e.builder.mul(runs, e.index(n))
        row, w, b = e.row(out, u, chunk), e.at(weights, u), e.at(bias, u)
        emit(e, row, chunk, w, n_units, x, x_step, b, n_terms, code, n_runs)


def _emit_rectified(e: Emitter, values: list[Any], places: list[Any], code: Any) -> None:
    """Store values, without the negative ones where the code says so."""
    zero = e.constant(0.0)
    with e.builder.if_else(e.is_code(code, AS_RELU)) as (then, otherwise):
        with then:
            for value, place in zip(values, places, strict=True):
                emit_store(e.builder, e.where_greater(zero, value, zero, value), place)
        with otherwise:
            for value, place in zip(values, places, strict=True):
                emit_store(e.builder, value, place)


def _call_whole_forward(e: Emitter, samples: Any, arguments: list[Any], otherwise: Callable[[], None] | None) -> None:
    """Call the forward product of one sample or of a full chunk, or emit something else for other counts."""
    typed = [argument.type for argument in arguments]
    runs = e.index(TRAINING_CHUNK // TANHS_TOGETHER)

    def chunk() -> None:
        e.call("forward_chunk", [*typed, e.integer], _emit_forward_chunk, [*arguments, runs])

    with e.one_or_more(samples) as (one, more):
        with one:
            e.call("forward_one", typed, _emit_forward_one, arguments)
        with more:
            if otherwise is None:
                chunk()
            else:
                with e.builder.if_else(e.is_code(samples, TRAINING_CHUNK)) as (full, part):
                    with full:
                        chunk()
                    with part:
                        otherwise()


@intrinsic
def layer_forward(
    typingctx: Any,
    out: Any,
    weights: Any,
    x: Any,
    x_stride: Any,
    bias: Any,
    n_units: Any,
    n_terms: Any,
    n_samples: Any,
    code: Any,
) -> Any:
    """Set ``out[u, s]`` to ``bias[u] + sum_k weights[k, u] * x[k * x_stride + s]``, finished as the code says."""
    integer = types.intp
    typed = types.void(out, weights, x, integer, bias, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, out.dtype)
        out_p, weights_p, x_p, bias_p = (e.vectors(args[i]) for i in (0, 1, 2, 4))
        x_step, units, terms, samples, finish = (args[i] for i in (3, 5, 6, 7, 8))
        pointer, whole = e.pointer, e.integer
        block_types = [pointer, whole, pointer, whole, pointer, whole, pointer, whole, whole, whole]

        def blocks() -> None:
            for n_s, s in e.blocks(tuple(UNIT_BLOCKS), samples):
                for n_u, u in e.blocks(UNIT_BLOCKS[n_s], units):
                    block_out = e.at(e.row(out_p, u, samples), s)
                    block = [block_out, samples, e.at(weights_p, u), units, e.at(x_p, s), x_step, e.at(bias_p, u)]
                    emit = _emit_forward_block(n_u, n_s)
                    e.call(f"forward_{n_u}x{n_s}", block_types, emit, [*block, terms, finish, e.index(n_u)])

        _call_whole_forward(e, samples, [out_p, weights_p, units, x_p, x_step, bias_p, terms, finish], blocks)
        return context.get_dummy_value()

    return typed, codegen


@intrinsic
def whole_layer_forward(
    typingctx: Any,
    out: Any,
    weights: Any,
    x: Any,
    x_stride: Any,
    bias: Any,
    n_units: Any,
    n_terms: Any,
    n_samples: Any,
    code: Any,
) -> Any:
    """Do what `layer_forward` does, where `n_samples` is 1 or `TRAINING_CHUNK`."""
    integer = types.intp
    typed = types.void(out, weights, x, integer, bias, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, out.dtype)
        out_p, weights_p, x_p, bias_p = (e.vectors(args[i]) for i in (0, 1, 2, 4))
        x_step, units, terms, samples, finish = (args[i] for i in (3, 5, 6, 7, 8))
        _call_whole_forward(e, samples, [out_p, weights_p, units, x_p, x_step, bias_p, terms, finish], None)
        return context.get_dummy_value()

    return typed, codegen


def _emit_backward_block(n_units: int, n_samples: int) -> Any:
    def emit(e: Emitter, out: Any, step: Any, weights: Any, n_terms: Any, d: Any, outputs: Any, code: Any) -> None:
        builder = e.builder
        units, samples = range(n_units), range(n_samples)
        sums = e.places([e.constant(0.0)] * (n_units * n_samples))
        rows = [e.row(weights, e.index(u), n_terms) for u in units]
        with cgutils.for_range(builder, n_terms) as loop:
            w = [emit_load(builder, e.at(row, loop.index)) for row in rows]
            column = e.row(d, loop.index, step)
            for s in samples:
                value = emit_load(builder, e.at(column, e.index(s)))
                for u in units:
                    e.add_product(sums[u * n_samples + s], w[u], value)
        places, below = [], []
        for u in units:
            row = e.row(out, e.index(u), step)
            places += [e.at(row, e.index(s)) for s in samples]
            row = e.row(outputs, e.index(u), step)
            below += [e.at(row, e.index(s)) for s in samples]
        values = [builder.load(total) for total in sums]
        one, zero = e.constant(1.0), e.constant(0.0)
        with builder.if_else(e.is_code(code, AS_TANH)) as (then, otherwise):
            with then:
                for value, place, output in zip(values, places, below, strict=True):
                    a = emit_load(builder, output)
                    emit_store(builder, builder.fmul(value, e.fma(e.minus(a), a, one)), place)
            with otherwise, builder.if_else(e.is_code(code, AS_RELU)) as (relu, plain):
                with relu:
                    for value, place, output in zip(values, places, below, strict=True):
                        a = emit_load(builder, output)
                        emit_store(builder, e.where_greater(a, zero, value, zero), place)
                with plain:
                    for value, place in zip(values, places, strict=True):
                        emit_store(builder, value, place)

    return emit


def _emit_backward_one(
    e: Emitter, out: Any, n_units: Any, weights: Any, n_terms: Any, d: Any, outputs: Any, code: Any
) -> None:
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        emit = _emit_backward_block(n, 1)
        emit(e, e.at(out, u), e.index(1), e.row(weights, u, n_terms), n_terms, d, e.at(outputs, u), code)


@intrinsic
def layer_backward(
    typingctx: Any, out: Any, weights: Any, d: Any, outputs: Any, n_units: Any, n_terms: Any, n_samples: Any, code: Any
) -> Any:
    """Set ``out[u, s]`` to ``sum_k weights[u, k] * d[k, s]``, times the derivative of the code's activation.

    `outputs` is what the activation gave: the place of n_units rows like those of `out`.
    """
    element = out.dtype
    integer = types.intp
    typed = types.void(out, weights, d, outputs, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, element)
        out_p, weights_p, d_p, outputs_p = (e.vectors(args[i]) for i in (0, 1, 2, 3))
        units, terms, samples, finish = (args[i] for i in (4, 5, 6, 7))
        pointer, whole = e.pointer, e.integer
        block_types = [pointer, whole, pointer, whole, pointer, pointer, whole]
        with e.one_or_more(samples) as (one, more):
            with one:
                layer = [out_p, units, weights_p, terms, d_p, outputs_p, finish]
                e.call("backward_one", block_types, _emit_backward_one, layer)
            with more:
                for n_s, s in e.blocks(tuple(UNIT_BLOCKS), samples):
                    for n_u, u in e.blocks(UNIT_BLOCKS[n_s], units):
                        place = builder.add(builder.mul(u, samples), s)
                        block = [e.at(out_p, place), samples, e.row(weights_p, u, terms), terms, e.at(d_p, s)]
                        block += [e.at(outputs_p, place), finish]
                        e.call(f"backward_{n_u}x{n_s}", block_types, _emit_backward_block(n_u, n_s), block)
        return context.get_dummy_value()

    return typed, codegen


def _emit_outer_block(n_inputs: int, n_units: int, with_bias: bool) -> Any:
    def emit(
        e: Emitter, out: Any, out_step: Any, bias: Any, scale: Any, x: Any, x_step: Any, d: Any, n_samples: Any
    ) -> None:
        builder = e.builder
        inputs, units = range(n_inputs), range(n_units)
        sums = e.places([e.constant(0.0)] * (n_inputs * n_units))
        bias_sums = e.places([e.constant(0.0)] * n_units) if with_bias else []
        x_rows = [e.row(x, e.index(i), x_step) for i in inputs]
        d_rows = [e.row(d, e.index(u), n_samples) for u in units]
        with cgutils.for_range(builder, n_samples) as loop:
            xs = [emit_load(builder, e.at(row, loop.index)) for row in x_rows]
            ds = [emit_load(builder, e.at(row, loop.index)) for row in d_rows]
            for i in inputs:
                for u in units:
                    e.add_product(sums[i * n_units + u], xs[i], ds[u])
            for total, value in zip(bias_sums, ds, strict=False):
                builder.store(builder.fadd(builder.load(total), value), total)
        factor = emit_load(builder, scale)
        for i in inputs:
            row = e.row(out, e.index(i), out_step)
            for u in units:
                e.add_scaled(e.at(row, e.index(u)), factor, builder.load(sums[i * n_units + u]))
        for u, total in enumerate(bias_sums):
            e.add_scaled(e.at(bias, e.index(u)), factor, builder.load(total))

    return emit


def _emit_outer_one(
    e: Emitter, out: Any, n_units: Any, bias: Any, scale: Any, x: Any, x_step: Any, d: Any, n_inputs: Any
) -> None:
    builder = e.builder
    factor = emit_load(builder, scale)
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        first = e.at(d, u)
        ds = [emit_load(builder, e.at(first, e.index(k))) for k in range(n)]
        for k, value in enumerate(ds):
            e.add_scaled(e.at(e.at(bias, u), e.index(k)), factor, value)
        with cgutils.for_range(builder, n_inputs) as loop:
            value = emit_load(builder, e.row(x, loop.index, x_step))
            row = e.at(e.row(out, loop.index, n_units), u)
            for k in range(n):
                e.add_scaled(e.at(row, e.index(k)), factor, builder.fmul(value, ds[k]))


@intrinsic
def layer_gradient(
    typingctx: Any,
    out: Any,
    bias: Any,
    scale: Any,
    x: Any,
    x_stride: Any,
    d: Any,
    n_inputs: Any,
    n_units: Any,
    n_samples: Any,
) -> Any:
    """Add ``scale[0] * sum_s x[i * x_stride + s] * d[u, s]`` to ``out[i, u]``, and the same without x to ``bias``."""
    element = out.dtype
    integer = types.intp
    typed = types.void(out, bias, scale, x, integer, d, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, element)
        out_p, bias_p, scale_p, x_p, d_p = (e.vectors(args[i]) for i in (0, 1, 2, 3, 5))
        x_step, inputs, units, samples = (args[i] for i in (4, 6, 7, 8))
        pointer, whole = e.pointer, e.integer
        block_types = [pointer, whole, pointer, pointer, pointer, whole, pointer, whole]

        def block(n_i: int, i: Any, n_u: int, u: Any, with_bias: bool) -> None:
            e.call(
                f"outer_{n_i}x{n_u}{'_bias' if with_bias else ''}",
                block_types,
                _emit_outer_block(n_i, n_u, with_bias),
                [
                    e.at(e.row(out_p, i, units), u),
                    units,
                    e.at(bias_p, u),
                    scale_p,
                    e.row(x_p, i, x_step),
                    x_step,
                    e.row(d_p, u, samples),
                    samples,
                ],
            )

        with e.one_or_more(samples) as (one, more):
            with one:
                layer = [out_p, units, bias_p, scale_p, x_p, x_step, d_p, inputs]
                e.call("outer_one", block_types, _emit_outer_one, layer)
            with more:
                for n_i, i in e.blocks((4, 2, 1), inputs):
                    for n_u, u in e.blocks((4, 2, 1), units):
                        with builder.if_else(builder.icmp_signed("==", i, e.index(0))) as (then, otherwise):
                            with then:
                                block(n_i, i, n_u, u, True)
                            with otherwise:
                                block(n_i, i, n_u, u, False)
        return context.get_dummy_value()

    return typed, codegen
