"""The products of one network alone, with units or samples in the lanes instead of replicas.

A matrix lies as panels: eight columns side by side, its rows one after the other, the next eight columns after them.
So every step of the loops is a constant, and a product is, for a few rows and one panel at once,

    out[row, :] = first[:] + sum over terms of  left[row, term] * right[term, :]

with the sum's terms one after the other, each by one fused multiply-add, as in `engine.roads.compiled.products`. The
last digits depend on nothing else: whichever lanes are filled, a replica's numbers are the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from engine.compiling.decorators import cgutils, intrinsic, types
from engine.roads.compiled.functions import (
    emit_tanh,
)
from engine.roads.compiled.products import (
    AS_IS,
    AS_RELU,
    AS_TANH,
)
from engine.roads.compiled.vectors import (
    emit_constant,
    emit_load,
    emit_store,
    llvm_call,
)

WIDTH = 8  # numbers of a panel's row
SAMPLES = 16  # room for a chunk's samples in a row of the output layer, a vector of `engine.roads.compiled.vectors`
# What a block does to its sums, besides `products`' three: times a derivative, or add them, scaled, to what is there.
TIMES_TANH, TIMES_RELU, ADDED = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of product: where its left matrix lies, and what becomes of its sums.

    Parameters
    ----------
    name : str
        Of its functions.
    width : int
        Numbers of a row of `right` and of `out`.
    row_step, term_step : int
        Numbers from one row of `left` to the next and from one term to the next. The one that is 1 runs through a
        panel of eight and then jumps.
    finishes : tuple of int
        Codes it knows.
    blocks : tuple of (rows, tuple of panels)
        What is done at once: few, because each pair is code to compile.
    spreads_first : bool
        Whether the first sums are one number a row, `WIDTH` apart, instead of a vector a panel.
    """

    name: str
    width: int
    row_step: int
    term_step: int
    finishes: tuple[int, ...]
    blocks: tuple[tuple[int, tuple[int, ...]], ...]
    spreads_first: bool = False


class _Emitter:
    """The instructions of one function."""

    def __init__(self, builder: Any, width: int) -> None:
        self.builder = builder
        self.vector = ir.VectorType(ir.FloatType(), width)

    def index(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def at(self, pointer: Any, number: Any) -> Any:
        """Return the pointer moved on by some numbers."""
        return self.builder.gep(pointer, [self.index(number) if isinstance(number, int) else number])

    def load(self, pointer: Any) -> Any:
        return emit_load(self.builder, self.builder.bitcast(pointer, self.vector.as_pointer()))

    def store(self, value: Any, pointer: Any) -> None:
        emit_store(self.builder, value, self.builder.bitcast(pointer, self.vector.as_pointer()))

    def spread(self, pointer: Any) -> Any:
        """Return a vector of the one number at the pointer."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, self.builder.load(pointer, align=4), self.index(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return llvm_call(self.builder, "fma", a, b, c)

    def in_panels(self, start: Any, position: Any, jump: Any) -> Any:
        """Return the place of a position that runs through panels of eight, `jump` numbers from one to the next."""
        panel = self.builder.lshr(position, self.index(3))
        within = self.builder.and_(position, self.index(WIDTH - 1))
        return self.at(start, self.builder.add(self.builder.mul(panel, jump), within))


def _blocks(builder: Any, sizes: tuple[int, ...], count: Any) -> Any:
    """Yield (size, first index) inside loops that together go once through ``range(count)``."""
    whole = ir.IntType(64)
    done = ir.Constant(whole, 0)
    for size in sizes:
        n_blocks = builder.sdiv(builder.sub(count, done), ir.Constant(whole, size))
        with cgutils.for_range(builder, n_blocks) as loop:
            yield size, builder.add(done, builder.mul(loop.index, ir.Constant(whole, size)))
        done = builder.add(done, builder.mul(n_blocks, ir.Constant(whole, size)))


def _finished(e: _Emitter, code: int, value: Any, place: Any, other: Any, scale: Any) -> Any:
    """Return what is to be stored of one sum."""
    builder = e.builder
    zero = emit_constant(e.vector, 0.0)
    if code == AS_TANH:
        return emit_tanh(builder, value)
    if code == AS_RELU:
        return builder.select(builder.fcmp_ordered(">", zero, value), zero, value)
    if code == TIMES_TANH:
        a = e.load(other)
        return builder.fmul(value, e.fma(builder.fneg(a), a, emit_constant(e.vector, 1.0)))
    if code == TIMES_RELU:
        return builder.select(builder.fcmp_ordered(">", e.load(other), zero), value, zero)
    if code == ADDED:
        return e.fma(scale, value, e.load(place))
    return value


def _emit_block(family: Family, n_rows: int, n_panels: int, e: _Emitter, args: list[Any]) -> None:
    """Emit a function: some rows times some panels, its sums in registers until they are stored."""
    out, out_step, right, right_step, left, jump, first, first_step, other, scale, n_terms, code = args
    builder, width = e.builder, family.width
    rows, panels = range(n_rows), range(n_panels)
    steps = [e.index(p) for p in panels]
    sums = []
    for r in rows:
        for p in panels:
            place = cgutils.alloca_once(builder, e.vector)
            start = e.at(first, r * WIDTH) if family.spreads_first else e.at(first, builder.mul(steps[p], first_step))
            builder.store(e.spread(start) if family.spreads_first else e.load(start), place)
            sums.append(place)
    with cgutils.for_range(builder, n_terms) as loop:
        t = loop.index
        if family.term_step == 1:
            start = e.in_panels(left, t, jump)
        else:
            start = e.at(left, builder.mul(t, e.index(family.term_step)))
        row = e.at(right, builder.mul(t, e.index(width)))
        values = [e.load(e.at(row, builder.mul(steps[p], right_step))) for p in panels]
        for r in rows:
            factor = e.spread(e.at(start, r * family.row_step))
            for p in panels:
                place = sums[r * n_panels + p]
                builder.store(e.fma(factor, values[p], builder.load(place)), place)

    def store_as(finish: int) -> None:
        factor = e.load(scale) if finish == ADDED else None
        for r in rows:
            for p in panels:
                offset = builder.add(builder.mul(steps[p], out_step), e.index(r * width))
                place = e.at(out, offset)
                value = builder.load(sums[r * n_panels + p])
                e.store(_finished(e, finish, value, place, e.at(other, offset), factor), place)

    end = builder.append_basic_block("end")
    branches = {finish: builder.append_basic_block(f"finish_{finish}") for finish in family.finishes}
    switch = builder.switch(code, branches[family.finishes[-1]])
    for finish, branch in branches.items():
        if finish != family.finishes[-1]:
            switch.add_case(e.index(finish), branch)
        builder.position_at_end(branch)
        store_as(finish)
        builder.branch(end)
    builder.position_at_end(end)


def _call(builder: Any, name: str, width: int, emit: Any, arguments: list[Any]) -> None:
    """Call a function of the module, first emitting it where it is not there; never inlined, as in `products`."""
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [a.type for a in arguments]), name)
        function.linkage = "linkonce_odr hidden"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        emit(_Emitter(inside, width), list(function.args))
        inside.ret_void()
    builder.call(function, arguments)


def _define_product(family: Family) -> Any:
    """Return a function for compiled code: one product of a family, all rows and panels."""

    @intrinsic
    def product(
        typingctx: Any,
        out: Any,
        out_step: Any,
        right: Any,
        right_step: Any,
        left: Any,
        jump: Any,
        first: Any,
        first_step: Any,
        other: Any,
        scale: Any,
        n_rows: Any,
        n_panels: Any,
        n_terms: Any,
        code: Any,
    ) -> Any:
        whole = types.intp
        typed = types.void(
            out, whole, right, whole, left, whole, first, whole, other, scale, whole, whole, whole, whole
        )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            e = _Emitter(builder, family.width)
            out_p, out_s, right_p, right_s, left_p, jump_by, first_p, first_s, other_p, scale_p = args[:10]
            rows, panels, terms, finish = args[10:]
            sizes = dict(family.blocks)
            for n_r, r in _blocks(builder, tuple(sizes), rows):
                if family.row_step == 1:
                    left_r = e.in_panels(left_p, r, jump_by)
                else:
                    left_r = e.at(left_p, builder.mul(r, e.index(family.row_step)))
                below = builder.mul(r, e.index(family.width))
                first_r = e.at(first_p, builder.mul(r, e.index(WIDTH))) if family.spreads_first else first_p
                for n_p, p in _blocks(builder, sizes[n_r], panels):
                    place = builder.add(builder.mul(p, out_s), below)
                    arguments = [
                        e.at(out_p, place), out_s, e.at(right_p, builder.mul(p, right_s)), right_s, left_r, jump_by,
                        e.at(first_r, builder.mul(p, first_s)), first_s, e.at(other_p, place), scale_p, terms, finish,
                    ]  # fmt: skip

                    def emit(inside: _Emitter, values: list[Any], n_r: int = n_r, n_p: int = n_p) -> None:
                        _emit_block(family, n_r, n_p, inside, values)

                    _call(builder, f"rangesweep.{family.name}_{n_r}x{n_p}", family.width, emit, arguments)
            return context.get_dummy_value()

        return typed, codegen

    return product


# Rows are samples, terms the inputs of a layer (forward) or its units (back, by the weights turned around).
layer_product = _define_product(
    Family(
        "layer", WIDTH, WIDTH, 1, (AS_TANH, AS_RELU, TIMES_TANH, TIMES_RELU, AS_IS),
        ((10, (1,)), (4, (1,)), (1, (4, 1))),
    )
)  # fmt: skip
# Rows are the inputs of a layer (or one row of ones: the biases), terms samples.
layer_gradient_product = _define_product(
    Family("layer_gradient", WIDTH, 1, WIDTH, (ADDED,), ((8, (1,)), (2, (1,)), (1, (1,))))
)
# The output layer lies the other way round: rows are its units, terms its inputs, and samples fill the lanes.
output_product = _define_product(
    Family("output", SAMPLES, WIDTH, 1, (AS_TANH, AS_RELU, AS_IS), ((4, (1,)), (1, (1,))), spreads_first=True)
)
# Rows are samples, terms the output layer's units.
output_back_product = _define_product(
    Family("output_back", WIDTH, 1, SAMPLES, (TIMES_TANH, TIMES_RELU, AS_IS), ((10, (1,)), (4, (1,)), (1, (4, 1))))
)
# Rows are the output layer's units, terms samples.
output_gradient_product = _define_product(
    Family("output_gradient", WIDTH, SAMPLES, 1, (ADDED,), ((4, (1,)), (1, (4, 1))))
)


def _emit_turned(e: _Emitter, args: list[Any]) -> None:
    """Emit a function that turns eight rows of eight numbers into eight columns, by three rounds of exchanges."""
    out, out_step, rows = args
    mask_type = ir.VectorType(ir.IntType(32), WIDTH)

    def exchanged(values: list[Any], distance: int, low: list[int], high: list[int]) -> list[Any]:
        result = list(values)
        for i in range(WIDTH):
            if i & distance == 0:
                a, b = values[i], values[i + distance]
                result[i] = e.builder.shuffle_vector(a, b, ir.Constant(mask_type, low))
                result[i + distance] = e.builder.shuffle_vector(a, b, ir.Constant(mask_type, high))
        return result

    values = [e.load(e.at(rows, i * WIDTH)) for i in range(WIDTH)]
    values = exchanged(values, 4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
    values = exchanged(values, 2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
    values = exchanged(values, 1, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15])
    for i, value in enumerate(values):
        e.store(value, e.at(out, e.builder.mul(out_step, e.index(i))))


@intrinsic
def turn_panels(
    typingctx: Any,
    out: Any,
    out_row_step: Any,
    out_step: Any,
    source: Any,
    source_step: Any,
    n_panels: Any,
    n_out_panels: Any,
) -> Any:
    """Set ``out[column, row]`` to ``source[row, column]``, whole panels of eight at a time.

    It reads and writes eights: rows after the last of a panel are read, and become columns that mean nothing.
    """
    whole = types.intp
    typed = types.void(out, whole, whole, source, whole, whole, whole)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = _Emitter(builder, WIDTH)
        out_p, row_s, out_s, source_p, source_s, panels, out_panels = args
        with cgutils.for_range(builder, panels) as outer, cgutils.for_range(builder, out_panels) as inner:
            rows = builder.add(builder.mul(outer.index, source_s), builder.mul(inner.index, e.index(WIDTH * WIDTH)))
            below = builder.mul(builder.mul(outer.index, e.index(WIDTH)), row_s)
            place = builder.add(builder.mul(inner.index, out_s), below)
            _call(builder, "rangesweep.turned", WIDTH, _emit_turned, [e.at(out_p, place), row_s, e.at(source_p, rows)])
        return context.get_dummy_value()

    return typed, codegen


@intrinsic
def shift(typingctx: Any, pointer: Any, n: Any) -> Any:
    """Return the pointer moved on by n numbers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def copy_row(typingctx: Any, out: Any, source: Any) -> Any:
    """Copy one row of a panel."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = _Emitter(builder, WIDTH)
        e.store(e.load(args[1]), args[0])
        return context.get_dummy_value()

    return types.void(out, source), codegen
