"""A vector of replicas as a Numba type, with its arithmetic: one lane a replica."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numba.extending
from llvmlite import ir

from engine.compiling.decorators import cgutils, intrinsic, lower_builtin, models, templates, types
from engine.methods.streams import (
    GOLDEN_32,
    MIX_32_A,
    MIX_32_B,
)

LANES = {"float32": 16, "float64": 8}
TRAINING_CHUNK = 10
EVALUATION_CHUNK = 50

# ----------------------------------------------------------------------------------------------------------------------
# A vector of replicas as a Numba type


class VectorType(types.Type):  # type: ignore[misc]
    """The LLVM type ``<lanes x element>`` as a Numba type."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.lanes = LANES[element.name]
        super().__init__(name=f"replicas({element.name})")


@numba.extending.register_model(VectorType)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector lives in a register as itself."""

    def __init__(self, dmm: Any, fe_type: VectorType) -> None:
        super().__init__(dmm, fe_type, llvm_vector(fe_type.element))


def llvm_vector(element: Any) -> ir.VectorType:
    """Return the LLVM vector type of an element type."""
    scalar = ir.FloatType() if element.name == "float32" else ir.DoubleType()
    return ir.VectorType(scalar, LANES[element.name])


def emit_constant(vector: ir.VectorType, value: float) -> ir.Constant:
    """Return an LLVM vector with one value in every lane."""
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _bits(vector: ir.VectorType) -> ir.VectorType:
    return ir.VectorType(ir.IntType(32 if isinstance(vector.element, ir.FloatType) else 64), vector.count)


def llvm_call(builder: Any, name: str, *args: Any) -> Any:
    """Call a vector intrinsic of LLVM, declared by hand because llvmlite cannot mangle vector types."""
    vector = args[0].type
    suffix = f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
    function_type = ir.FunctionType(vector, [vector] * len(args))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}")
    return builder.call(function, args)


def _vector_pointer(builder: Any, pointer: Any, element: Any, index: Any) -> Any:
    return builder.gep(builder.bitcast(pointer, llvm_vector(element).as_pointer()), [index])


def emit_load(builder: Any, pointer: Any) -> Any:
    """Emit a load of a vector; arrays of replicas are aligned to an element only."""
    return builder.load(pointer, align=4)


def emit_store(builder: Any, value: Any, pointer: Any) -> None:
    """Emit a store of a vector."""
    builder.store(value, pointer, align=4)


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Return a pointer to the first element of an array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def at_address(typingctx: Any, like: Any, number: Any) -> Any:
    """Return the address as a pointer of the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[1], args[0].type)

    return like(like, types.intp), codegen


@intrinsic
def offset(typingctx: Any, pointer: Any, n: Any) -> Any:
    """Return the pointer moved on by n vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector_pointer(builder, args[0], pointer.dtype, args[1])
        return builder.bitcast(vector, args[0].type)

    return pointer(pointer, types.intp), codegen


@intrinsic
def load(typingctx: Any, pointer: Any, n: Any) -> Any:
    """Return the vector n vectors after the pointer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_load(builder, _vector_pointer(builder, args[0], pointer.dtype, args[1]))

    return VectorType(pointer.dtype)(pointer, types.intp), codegen


@intrinsic
def store(typingctx: Any, pointer: Any, n: Any, vector: Any) -> Any:
    """Store a vector n vectors after the pointer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit_store(builder, args[2], _vector_pointer(builder, args[0], pointer.dtype, args[1]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, vector), codegen


@intrinsic
def splat(typingctx: Any, like: Any, value: Any) -> Any:
    """Return a vector with one number in all lanes; `like` (a pointer or a vector) gives the type."""
    element = like.dtype if isinstance(like, types.CPointer) else like.element

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = llvm_vector(element)
        scalar = context.cast(builder, args[1], types.float64, element)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

    return VectorType(element)(like, types.float64), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return llvm_call(builder, "fma", *args)

    return a(a, b, c), codegen


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Return the square root, correctly rounded."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return llvm_call(builder, "sqrt", *args)

    return a(a), codegen


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """Return the absolute value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return llvm_call(builder, "fabs", *args)

    return a(a), codegen


@intrinsic
def nearest(typingctx: Any, a: Any) -> Any:
    """Return the nearest whole number, ties to even."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return llvm_call(builder, "rint", *args)

    return a(a), codegen


@intrinsic
def with_sign(typingctx: Any, a: Any, b: Any) -> Any:
    """Return the magnitude of `a` with the sign of `b`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return llvm_call(builder, "copysign", *args)

    return a(a, b), codegen


@intrinsic
def where_greater(typingctx: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Return `x` in the lanes where ``a > b``, else `y` (also where either is not a number)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[2], args[3])

    return a(a, b, x, y), codegen


@intrinsic
def power_of_two(typingctx: Any, n: Any) -> Any:
    """Return 2 ** n for whole n within the exponents of normal numbers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        bits = _bits(vector)
        bias, shift = (127, 23) if bits.element.width == 32 else (1023, 52)
        whole = builder.fptosi(args[0], bits)
        biased = builder.add(whole, ir.Constant(bits, [bias] * bits.count))
        return builder.bitcast(builder.shl(biased, ir.Constant(bits, [shift] * bits.count)), vector)

    return n(n), codegen


@intrinsic
def exponent(typingctx: Any, a: Any) -> Any:
    """Return the whole number e with ``2 ** e <= a < 2 ** (e + 1)``, for positive normal a."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _bits(args[0].type)
        bias, shift = (127, 23) if bits.element.width == 32 else (1023, 52)
        raw = builder.lshr(builder.bitcast(args[0], bits), ir.Constant(bits, [shift] * bits.count))
        return builder.sitofp(builder.sub(raw, ir.Constant(bits, [bias] * bits.count)), args[0].type)

    return a(a), codegen


@intrinsic
def mantissa(typingctx: Any, a: Any) -> Any:
    """Return ``a / 2 ** exponent(a)``, in [1, 2)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _bits(args[0].type)
        one, shift = (0x3F800000, 23) if bits.element.width == 32 else (0x3FF0000000000000, 52)
        low = builder.and_(builder.bitcast(args[0], bits), ir.Constant(bits, [(1 << shift) - 1] * bits.count))
        return builder.bitcast(builder.or_(low, ir.Constant(bits, [one] * bits.count)), args[0].type)

    return a(a), codegen


def emit_polynomial(builder: Any, coefficients: Sequence[float], x: Any) -> Any:
    """Emit a polynomial by Horner's rule, highest coefficient first."""
    total = emit_constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        total = llvm_call(builder, "fma", total, x, emit_constant(x.type, coefficient))
    return total


def polynomial(single: tuple[float, ...], double: tuple[float, ...]) -> Any:
    """Return a function of one vector: a polynomial by Horner's rule, highest coefficient first, for each type."""

    @intrinsic
    def evaluate(typingctx: Any, x: Any) -> Any:
        coefficients = single if x.element.name == "float32" else double

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit_polynomial(builder, coefficients, args[0])

        return x(x), codegen

    return evaluate


@intrinsic
def add_in_double(typingctx: Any, totals: Any, values: Any, n: Any) -> Any:
    """Add n vectors to the vector of float64 at `totals`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = llvm_vector(values.dtype)
        wide = ir.VectorType(ir.DoubleType(), vector.count)
        place = builder.bitcast(args[0], wide.as_pointer())
        total = cgutils.alloca_once(builder, wide)
        builder.store(builder.load(place, align=4), total)
        with cgutils.for_range(builder, args[2]) as loop:
            value = emit_load(builder, _vector_pointer(builder, args[1], values.dtype, loop.index))
            if values.dtype.name == "float32":
                value = builder.fpext(value, wide)
            builder.store(builder.fadd(builder.load(total), value), total)
        builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return types.void(totals, values, types.intp), codegen


def _random_bits(builder: Any, keys: Any, counter: Any, lanes: int) -> Any:
    """Emit `engine.methods.streams.random_bits` for one counter (uint32) and the keys ``lo[lanes], hi[lanes]``."""
    vector = ir.VectorType(ir.IntType(32), lanes)
    pointer = builder.bitcast(keys, vector.as_pointer())
    lo = builder.load(pointer, align=4)
    hi = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), 1)]), align=4)

    def constant(value: int) -> Any:
        return ir.Constant(vector, [value] * lanes)

    scaled = builder.mul(builder.trunc(counter, ir.IntType(32)), ir.Constant(ir.IntType(32), GOLDEN_32))
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scaled, ir.Constant(ir.IntType(32), 0))
    spread = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), constant(0))
    x = builder.xor(builder.add(spread, lo), hi)
    x = builder.mul(builder.xor(x, builder.lshr(x, constant(16))), constant(MIX_32_A))
    x = builder.mul(builder.xor(x, builder.lshr(x, constant(15))), constant(MIX_32_B))
    return builder.xor(x, builder.lshr(x, constant(16)))


def _whole_numbers(builder: Any, bits: Any, vector: ir.VectorType) -> Any:
    """Emit the upper 24 of 32 random bits as whole numbers of a floating type, which is exact."""
    high = builder.lshr(bits, ir.Constant(bits.type, [8] * vector.count))
    return builder.sitofp(high, vector)  # below 2 ** 24, so that the sign is never met: signed is the faster one


@intrinsic
def random_number(typingctx: Any, like: Any, keys: Any, counter: Any) -> Any:
    """Return one counter's random number below 2 ** 24 of all lanes, a whole number."""
    element = like.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = llvm_vector(element)
        return _whole_numbers(builder, _random_bits(builder, args[1], args[2], vector.count), vector)

    return VectorType(element)(like, keys, types.intp), codegen


@intrinsic
def number_of_bits(typingctx: Any, like: Any, bits: Any) -> Any:
    """Return the random numbers below 2 ** 24 of the random bits (uint32) of all lanes at `bits`."""
    element = like.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = llvm_vector(element)
        pointer = builder.bitcast(args[1], ir.VectorType(ir.IntType(32), vector.count).as_pointer())
        return _whole_numbers(builder, builder.load(pointer, align=4), vector)

    return VectorType(element)(like, bits), codegen


@intrinsic
def store_random_indexes(typingctx: Any, like: Any, out: Any, keys: Any, counter: Any) -> Any:
    """Store a random whole number of 0, ..., counter for each lane at `out` (uint32): the counter's bits, scaled."""
    lanes = LANES[like.dtype.name]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.IntType(64), lanes)
        bits = builder.zext(_random_bits(builder, args[2], args[3], lanes), wide)
        end = builder.add(args[3], ir.Constant(ir.IntType(64), 1))
        first = builder.insert_element(ir.Constant(wide, ir.Undefined), end, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        ends = builder.shuffle_vector(first, ir.Constant(wide, ir.Undefined), zeros)
        scaled = builder.lshr(builder.mul(bits, ends), ir.Constant(wide, [32] * lanes))
        indexes = builder.trunc(scaled, ir.VectorType(ir.IntType(32), lanes))
        builder.store(indexes, builder.bitcast(args[1], indexes.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(like, out, keys, types.intp), codegen


@intrinsic
def offset_keys(typingctx: Any, like: Any, keys: Any, n: Any) -> Any:
    """Return the pointer to stream keys (uint32) moved on by n times the lanes of `like`."""
    lanes = LANES[like.dtype.name]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[1], [builder.mul(args[2], ir.Constant(args[2].type, lanes))])

    return keys(like, keys, types.intp), codegen


@intrinsic
def dropout_factor(typingctx: Any, like: Any, keys: Any, counter: Any, threshold: Any, scale: Any) -> Any:
    """Return `scale` (a vector) in the lanes that keep the unit, else 0."""
    lanes = LANES[like.dtype.name]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _random_bits(builder, args[1], args[2], lanes)
        high = builder.lshr(bits, ir.Constant(bits.type, [8] * lanes))
        limit = builder.trunc(args[3], ir.IntType(32))
        first = builder.insert_element(ir.Constant(bits.type, ir.Undefined), limit, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(bits.type, [0] * lanes)
        limits = builder.shuffle_vector(first, ir.Constant(bits.type, ir.Undefined), zeros)
        kept = builder.icmp_unsigned(">=", high, limits)
        return builder.select(kept, args[4], emit_constant(args[4].type, 0.0))

    return scale(like, keys, types.intp, types.intp, scale), codegen


def _define_operator(symbol: Any, method: str, n_operands: int) -> None:
    """Let a Python operator of vectors mean an instruction of LLVM.

    Lowered in place: as an `overload` each operator would be a function of its own to compile.
    """

    @templates.infer_global(symbol)
    class Typed(templates.AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
            if len(args) == n_operands and all(isinstance(arg, VectorType) for arg in args):
                return templates.signature(args[0], *args)
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, method)(*args)

    lower_builtin(symbol, *[VectorType] * n_operands)(lower)


_define_operator(operator.add, "fadd", 2)
_define_operator(operator.sub, "fsub", 2)
_define_operator(operator.mul, "fmul", 2)
_define_operator(operator.truediv, "fdiv", 2)
_define_operator(operator.neg, "fneg", 1)
