"""The compiled training loop: explicit SIMD vectors, one replica a lane.

Numba lives in this file only, and everything compiled lives in this file, because Numba's cache does not see an edit
in a callee elsewhere.

How it is laid out
------------------
Replicas are innermost: an array is a list of vectors of `LANES` replicas, 16 for float32 and 8 for float64 (one AVX-512
register; LLVM splits it on narrower machines). R replicas make ``ceil(R / LANES)`` groups, the last one filled up with
copies of the last replica. Lanes never mix, every fused multiply-add is written out and there is no fast-math, so what
a replica computes depends neither on R, nor on its neighbors, nor on the processor's vector width.

The three matrix products of a layer are blocked over units and samples: the weights of a few units are loaded once for
up to five samples of the mini-batch, with all sums in registers, where tanh and ReLU and their derivatives are applied
to them. A mini-batch of one sample has functions of its own, one call a layer. A long mini-batch goes through in chunks
that fit the first-level cache.

All parameters of a replica are one list: weights layer by layer, each (fan_in, fan_out), then biases, then learnt
slopes. Moments and gradient sums are shaped the same. Points are (feature, sample), so that a layer's outputs, (unit,
sample), and the inputs look alike.

What it costs to call
---------------------
A `Session` packs state and splits once (transposed copies), trains, and measures losses from the packed parameters,
several looks in one call; the state is unpacked when somebody reads it. `advance` and `mean_losses` pack at each call.

There is one compiled function and it is compiled once for each of the two types; Numba keeps the result on disk, so
later processes load it. `is_compiled` says whether the first call will have to wait, `warm_up` makes that call.

Accuracy
--------
Against SciPy, the largest relative errors in float32 (in float64): tanh 5e-7 (5e-16), where |x| > 7.9 is clamped and
the result 1 - 5e-7; sigmoid, SiLU and ELU 2e-7 (6e-16), softplus 2.5e-7 (6e-16), GELU 2e-7 relative or 3e-7 absolute
(6e-16). The tests hold them to these figures. In float32 the quotients of AdaGrad, RMSprop and Adam come from Newton
steps, good to 5e-7 where the root's argument is a normal number; in float64 from the processor's own root and division.
Float32 is computed with subnormal numbers as zero (`engine.roads.subnormals`), which holds for any vector width.

The quotient of tanh stays the divider's: from Newton steps as in `quick_reciprocal` a 2-8-8-1 network took 9 % longer
on Zen 4, whose divider works beside its multipliers.
"""
# ruff: noqa: ARG001 (Numba and LLVM fix the signatures)

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numba.core.cgutils
import numba.core.typing.templates
import numba.extending
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS, epsilon_of, weight_decay_of
from engine.methods.regularizers import REGULARIZERS
from engine.methods.schedules import learning_rate
from engine.methods.streams import (
    DROPOUT,
    GOLDEN_32,
    GOLDEN_64,
    INPUT_NOISE,
    MIX_32_A,
    MIX_32_B,
    MIX_64_A,
    MIX_64_B,
    SHUFFLE,
)
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState

# Numba's own type hints cover half of it and want the typing context from every caller of an intrinsic.
types: Any = numba.types
models: Any = numba.extending.models
cgutils: Any = numba.core.cgutils
templates: Any = numba.core.typing.templates
lower_builtin: Any = numba.extending.lower_builtin


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make a function that emits LLVM instructions callable from compiled code."""
    return numba.extending.intrinsic(function)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled code calls: no way in from Python has to be compiled."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers: calls go through a table of addresses, which a mini-batch of one feels."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options, inline="always")(function)


def outer(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without the interpreter's lock, and keep it on disk."""
    options: dict[str, Any] = {"nogil": True, "cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options)(function)


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
        super().__init__(dmm, fe_type, _llvm_vector(fe_type.element))


def _llvm_vector(element: Any) -> ir.VectorType:
    scalar = ir.FloatType() if element.name == "float32" else ir.DoubleType()
    return ir.VectorType(scalar, LANES[element.name])


def _constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _bits(vector: ir.VectorType) -> ir.VectorType:
    return ir.VectorType(ir.IntType(32 if isinstance(vector.element, ir.FloatType) else 64), vector.count)


def _llvm_call(builder: Any, name: str, *args: Any) -> Any:
    """Call a vector intrinsic of LLVM, declared by hand because llvmlite cannot mangle vector types."""
    vector = args[0].type
    suffix = f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
    function_type = ir.FunctionType(vector, [vector] * len(args))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}")
    return builder.call(function, args)


def _vector_pointer(builder: Any, pointer: Any, element: Any, index: Any) -> Any:
    return builder.gep(builder.bitcast(pointer, _llvm_vector(element).as_pointer()), [index])


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=4)


def _store(builder: Any, value: Any, pointer: Any) -> None:
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
        return _load(builder, _vector_pointer(builder, args[0], pointer.dtype, args[1]))

    return VectorType(pointer.dtype)(pointer, types.intp), codegen


@intrinsic
def store(typingctx: Any, pointer: Any, n: Any, vector: Any) -> Any:
    """Store a vector n vectors after the pointer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, args[2], _vector_pointer(builder, args[0], pointer.dtype, args[1]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, vector), codegen


@intrinsic
def splat(typingctx: Any, like: Any, value: Any) -> Any:
    """Return a vector with one number in all lanes; `like` (a pointer or a vector) gives the type."""
    element = like.dtype if isinstance(like, types.CPointer) else like.element

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _llvm_vector(element)
        scalar = context.cast(builder, args[1], types.float64, element)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

    return VectorType(element)(like, types.float64), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm_call(builder, "fma", *args)

    return a(a, b, c), codegen


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Return the square root, correctly rounded."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm_call(builder, "sqrt", *args)

    return a(a), codegen


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """Return the absolute value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm_call(builder, "fabs", *args)

    return a(a), codegen


@intrinsic
def nearest(typingctx: Any, a: Any) -> Any:
    """Return the nearest whole number, ties to even."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm_call(builder, "rint", *args)

    return a(a), codegen


@intrinsic
def with_sign(typingctx: Any, a: Any, b: Any) -> Any:
    """Return the magnitude of `a` with the sign of `b`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm_call(builder, "copysign", *args)

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


def _emit_reciprocal(builder: Any, x: Any) -> Any:
    """Emit ``1 / x`` for positive float32: from 5 %, by taking the bits for a logarithm, by Newton's steps.

    One step of third and one of second order, which is faster than the divider.
    """
    bits = _bits(x.type)
    magic = ir.Constant(bits, [0x7EF3E000] * bits.count)
    r = builder.bitcast(builder.sub(magic, builder.bitcast(x, bits)), x.type)
    one, minus_x = _constant(x.type, 1.0), builder.fneg(x)
    error = _llvm_call(builder, "fma", minus_x, r, one)
    r = _llvm_call(builder, "fma", r, _llvm_call(builder, "fma", error, error, error), r)
    return _llvm_call(builder, "fma", r, _llvm_call(builder, "fma", minus_x, r, one), r)


@intrinsic
def quick_reciprocal(typingctx: Any, a: Any) -> Any:
    """Return ``1 / a`` for positive float32, almost rounded right."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_reciprocal(builder, args[0])

    return a(a), codegen


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


@intrinsic
def rough_inverse_root(typingctx: Any, a: Any) -> Any:
    """Return ``1 / sqrt(a)`` to some 4 %, for positive float32, by halving the bits taken for a logarithm."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _bits(args[0].type)
        half = builder.lshr(builder.bitcast(args[0], bits), ir.Constant(bits, [1] * bits.count))
        magic = ir.Constant(bits, [0x5F3759DF] * bits.count)
        return builder.bitcast(builder.sub(magic, half), args[0].type)

    return a(a), codegen


def _emit_polynomial(builder: Any, coefficients: Sequence[float], x: Any) -> Any:
    """Emit a polynomial by Horner's rule, highest coefficient first."""
    total = _constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        total = _llvm_call(builder, "fma", total, x, _constant(x.type, coefficient))
    return total


def _polynomial(single: tuple[float, ...], double: tuple[float, ...]) -> Any:
    """Return a function of one vector: a polynomial by Horner's rule, highest coefficient first, for each type."""

    @intrinsic
    def evaluate(typingctx: Any, x: Any) -> Any:
        coefficients = single if x.element.name == "float32" else double

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _emit_polynomial(builder, coefficients, args[0])

        return x(x), codegen

    return evaluate


@intrinsic
def add_in_double(typingctx: Any, totals: Any, values: Any, n: Any) -> Any:
    """Add n vectors to the vector of float64 at `totals`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _llvm_vector(values.dtype)
        wide = ir.VectorType(ir.DoubleType(), vector.count)
        place = builder.bitcast(args[0], wide.as_pointer())
        total = cgutils.alloca_once(builder, wide)
        builder.store(builder.load(place, align=4), total)
        with cgutils.for_range(builder, args[2]) as loop:
            value = _load(builder, _vector_pointer(builder, args[1], values.dtype, loop.index))
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


@intrinsic
def store_random_bits(typingctx: Any, like: Any, out: Any, keys: Any, counter: Any) -> Any:
    """Store one counter's random bits of all lanes at `out` (uint32)."""
    lanes = LANES[like.dtype.name]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _random_bits(builder, args[2], args[3], lanes)
        builder.store(bits, builder.bitcast(args[1], bits.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(like, out, keys, types.intp), codegen


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
        return builder.select(kept, args[4], _constant(args[4].type, 0.0))

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


# ----------------------------------------------------------------------------------------------------------------------
# Elementary functions of vectors

# Lowest relative error of odd over even polynomials on |x| <= 7.9, by linear programming (differential correction).
TANH_NUMERATOR = (1.1558004892461312e-05, 0.002963129396633059, 0.12937012240984996, 0.99999994919342)
TANH_DENOMINATOR = (2.500456961713419e-07, 0.00024037202431338787, 0.023865286228622485, 0.46270259586143014, 1.0)
# (exp(r) - 1 - r) / r ** 2 for |r| <= ln(2) / 2: Taylor's, cut below half a unit in the last place.
_exp_tail = _polynomial(
    tuple(1.0 / math.factorial(k) for k in range(7, 1, -1)), tuple(1.0 / math.factorial(k) for k in range(13, 1, -1))
)
# 2 artanh(s) / s in s ** 2 <= 1 / 9: Chebyshev's, relative error 1e-10 and 2e-18.
_artanh = _polynomial(
    (
        0.2440940336584708,
        0.2139426743760365,
        0.28620623401342543,
        0.39998694812089935,
        0.6666667925329474,
        1.9999999998040103,
    ),
    (
        0.1608457845465784,
        0.05777409972097813,
        0.10100515589839751,
        0.10454557645409172,
        0.11770659915932515,
        0.13332996622778423,
        0.15384628356648364,
        0.18181817848018553,
        0.2222222222772284,
        0.2857142857137472,
        0.40000000000000274,
        0.6666666666666666,
        2.0,
    ),
)
# (1 + 2 x) exp(x ** 2) erfc(x) in t = (x - 3.75) / (x + 3.75), x >= 0: Chebyshev's, relative error 1.3e-8 and 1e-16;
# the form of M. M. Shepherd, J. G. Laframboise, Math. Comp. 36, 1981.
_scaled_erfc = _polynomial(
    (
        -0.00022411674674416022,
        0.0003963076129893627,
        0.001675912217981131,
        -0.009844494859674952,
        0.02840925236412726,
        -0.05864685873554614,
        0.09229076959130378,
        -0.10881427014905069,
        0.08227841998347046,
        0.003586270394024618,
        -0.1402406583213864,
        1.2375126192677,
    ),
    (
        4.2514714447963895e-10,
        3.1114333809799254e-10,
        -5.1739902140113095e-09,
        -3.744210080962018e-09,
        3.8675334242222354e-08,
        2.3263508708859124e-08,
        -2.5866850716155884e-07,
        -5.7218230603224086e-08,
        1.751637648849062e-06,
        -9.73559896736775e-07,
        -1.1444146237700524e-05,
        2.238423915508223e-05,
        5.164909889268241e-05,
        -0.0002901540805408417,
        0.0002937136655913448,
        0.0017556258528952954,
        -0.009746579558029276,
        0.028362277418956406,
        -0.05869339858963677,
        0.09230432116037748,
        -0.10880393014174886,
        0.0822767384901452,
        0.0035854154854644293,
        -0.14024059858554697,
        1.2375126308378275,
    ),
)


def _by_type(single: Any, double: Any) -> Any:
    """Return a function for compiled code that is one function in float32 and another in float64."""

    def chosen(x: Any) -> Any:
        raise NotImplementedError

    @numba.extending.overload(chosen)
    def typed(x: Any) -> Any:
        return single if x.element.name == "float32" else double

    return chosen


def _newton_reciprocal(x: Any) -> Any:
    return quick_reciprocal(x)


def _divided_reciprocal(x: Any) -> Any:
    return splat(x, 1.0) / x


positive_reciprocal = _by_type(_newton_reciprocal, _divided_reciprocal)


def _newton_root(x: Any) -> Any:
    r = rough_inverse_root(x)
    error = fma(-(x * r), r, splat(x, 1.0))
    r = fma(r * error, fma(error, splat(x, 0.375), splat(x, 0.5)), r)
    error = fma(-(x * r), r, splat(x, 1.0))
    r = fma(r * splat(x, 0.5), error, r)
    return x * r


def _exact_root(x: Any) -> Any:
    return sqrt(x)


fast_root = _by_type(_newton_root, _exact_root)


def _exponent_edge_32(x: Any) -> Any:
    return splat(x, 87.0)


def _exponent_edge_64(x: Any) -> Any:
    return splat(x, 708.0)


exponent_edge = _by_type(_exponent_edge_32, _exponent_edge_64)


def _ln2_high_32(x: Any) -> Any:
    return splat(x, 0.693145751953125)


def _ln2_high_64(x: Any) -> Any:
    return splat(x, 0.6931471803691238)


def _ln2_low_32(x: Any) -> Any:
    return splat(x, 1.4286068203094173e-06)


def _ln2_low_64(x: Any) -> Any:
    return splat(x, 1.9082149292705877e-10)


ln2_high = _by_type(_ln2_high_32, _ln2_high_64)
ln2_low = _by_type(_ln2_low_32, _ln2_low_64)


@inner
def clamped(x: Any, edge: Any) -> Any:
    """Return x limited to [-edge, edge]; what is not a number stays so."""
    x = where_greater(x, edge, edge, x)
    return where_greater(-edge, x, -edge, x)


@inner
def exp_parts(x: Any) -> Any:
    """Return (a, b) with ``exp(x) = a + a b``, b small, a power of two; x is clamped to where a is a normal number."""
    x = clamped(x, exponent_edge(x))
    n = nearest(x * splat(x, 1.4426950408889634))
    r = fma(-n, ln2_low(x), fma(-n, ln2_high(x), x))
    return power_of_two(n), fma(_exp_tail(r) * r, r, r)


@inner
def exp(x: Any) -> Any:
    """Return ``exp(x)``, x clamped to where the result is a normal number."""
    scale, rest = exp_parts(x)
    return fma(scale, rest, scale)


@inner
def expm1(x: Any) -> Any:
    """Return ``exp(x) - 1``, x clamped as in `exp`."""
    scale, rest = exp_parts(x)
    return fma(scale, rest, scale - splat(x, 1.0))


def _emit_tanh(builder: Any, x: Any) -> Any:
    """Emit the hyperbolic tangent of a vector of float32; the divider works while the multipliers go on."""
    for edge, is_beyond in ((7.9, ">"), (-7.9, "<")):
        limit = _constant(x.type, edge)
        x = builder.select(builder.fcmp_ordered(is_beyond, x, limit), limit, x)
    t = builder.fmul(x, x)
    numerator = builder.fmul(x, _emit_polynomial(builder, TANH_NUMERATOR, t))
    return builder.fdiv(numerator, _emit_polynomial(builder, TANH_DENOMINATOR, t))


@intrinsic
def _rational_tanh(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_tanh(builder, args[0])

    return x(x), codegen


def _single_tanh(x: Any) -> Any:
    return _rational_tanh(x)


def _expm1_tanh(x: Any) -> Any:
    two = splat(x, 2.0)
    t = expm1(clamped(absolute(x) * two, splat(x, 40.0)))
    return with_sign(t / (t + two), x)


tanh = _by_type(_single_tanh, _expm1_tanh)


@inner
def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``, |x| clamped at 80, where the smaller side is 2e-35."""
    return positive_reciprocal(splat(x, 1.0) + exp(-clamped(x, splat(x, 80.0))))


@inner
def log(x: Any) -> Any:
    """Return the natural logarithm of a normal number of at least 1."""
    e, m = exponent(x), mantissa(x)
    one = splat(x, 1.0)
    s = (m - one) / (m + one)
    return fma(e, ln2_high(x), fma(e, ln2_low(x), s * _artanh(s * s)))


@inner
def softplus(x: Any) -> Any:
    """Return ``ln(1 + exp(x))``."""
    u = exp(-absolute(x))
    s = u / (splat(x, 2.0) + u)
    zero = splat(x, 0.0)
    return where_greater(zero, x, zero, x) + s * _artanh(s * s)


@inner
def normal_cdf(x: Any) -> Any:
    """Return the normal distribution function, ``erfc(-x / sqrt(2)) / 2``."""
    one, half = splat(x, 1.0), splat(x, 0.5)
    a = absolute(x) * splat(x, 0.7071067811865476)
    k = splat(x, 3.75)
    t = (a - k) / (a + k)
    tail = half * exp(-(half * x) * x) * _scaled_erfc(t) / fma(splat(x, 2.0), a, one)
    return where_greater(x, splat(x, 0.0), one - tail, tail)


# ----------------------------------------------------------------------------------------------------------------------
# The blocked products, written in LLVM's language because the blocks must be unrolled and stay in registers

# Samples together: units together. Few, because each pair is code to compile.
UNIT_BLOCKS = {5: (4, 2, 1), 2: (4, 1), 1: (8, 2, 1)}
ONE_SAMPLE_BLOCKS = (8, 2, 1)  # units together where the whole mini-batch is one sample
# What a block does to its sums while they are in registers; the rest of the activations pass over memory.
AS_IS, AS_TANH, AS_RELU = 0, 1, 2


class _Emitter:
    """Shorthand for the arithmetic on vectors and addresses that the block products need."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.element = element
        self.vector = _llvm_vector(element)
        self.pointer = self.vector.as_pointer()
        self.integer = ir.IntType(64)

    def index(self, value: int) -> Any:
        return ir.Constant(self.integer, value)

    def constant(self, value: float) -> Any:
        return _constant(self.vector, value)

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def row(self, pointer: Any, index: Any, step: Any) -> Any:
        return self.at(pointer, self.builder.mul(index, step))

    def vectors(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.pointer)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return _llvm_call(self.builder, "fma", a, b, c)

    def minus(self, a: Any) -> Any:
        return self.builder.fneg(a)

    def where_greater(self, a: Any, b: Any, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), x, y)

    def is_code(self, code: Any, value: int) -> Any:
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
        self.builder.store(self.fma(a, b, self.builder.load(total)), total)

    def add_scaled(self, place: Any, scale: Any, total: Any) -> None:
        _store(self.builder, self.fma(scale, total, _load(self.builder, place)), place)

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
            emit(_Emitter(builder, self.element), *function.args)
            builder.ret_void()
        self.builder.call(function, arguments)


def _emit_forward_block(n_units: int, n_samples: int) -> Any:
    def emit(
        e: _Emitter,
        out: Any,
        out_step: Any,
        weights: Any,
        term_step: Any,
        x: Any,
        x_step: Any,
        bias: Any,
        n_terms: Any,
        code: Any,
    ) -> None:
        builder = e.builder
        units, samples = range(n_units), range(n_samples)
        first = [_load(builder, e.at(bias, e.index(u))) for u in units]
        sums = e.places([first[u] for u in units for _ in samples])
        with cgutils.for_range(builder, n_terms) as loop:
            row = e.row(weights, loop.index, term_step)
            w = [_load(builder, e.at(row, e.index(u))) for u in units]
            column = e.row(x, loop.index, x_step)
            for s in samples:
                value = _load(builder, e.at(column, e.index(s)))
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
                    for place, value in zip(places, values, strict=True):
                        _store(builder, _emit_tanh(builder, value), place)
                with otherwise:
                    _emit_rectified(e, values, places, code)
        else:
            _emit_rectified(e, values, places, code)

    return emit


def _emit_forward_one(
    e: _Emitter, out: Any, weights: Any, n_units: Any, x: Any, x_step: Any, bias: Any, n_terms: Any, code: Any
) -> None:
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        emit = _emit_forward_block(n, 1)
        emit(e, e.at(out, u), e.index(1), e.at(weights, u), n_units, x, x_step, e.at(bias, u), n_terms, code)


def _emit_rectified(e: _Emitter, values: list[Any], places: list[Any], code: Any) -> None:
    """Store values, without the negative ones where the code says so."""
    zero = e.constant(0.0)
    with e.builder.if_else(e.is_code(code, AS_RELU)) as (then, otherwise):
        with then:
            for value, place in zip(values, places, strict=True):
                _store(e.builder, e.where_greater(zero, value, zero, value), place)
        with otherwise:
            for value, place in zip(values, places, strict=True):
                _store(e.builder, value, place)


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
    element = out.dtype
    integer = types.intp
    typed = types.void(out, weights, x, integer, bias, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = _Emitter(builder, element)
        out_p, weights_p, x_p, bias_p = (e.vectors(args[i]) for i in (0, 1, 2, 4))
        x_step, units, terms, samples, finish = (args[i] for i in (3, 5, 6, 7, 8))
        pointer, whole = e.pointer, e.integer
        block_types = [pointer, whole, pointer, whole, pointer, whole, pointer, whole, whole]
        with e.one_or_more(samples) as (one, more):
            with one:
                layer = [out_p, weights_p, units, x_p, x_step, bias_p, terms, finish]
                layer_types = [pointer, pointer, whole, pointer, whole, pointer, whole, whole]
                e.call("forward_one", layer_types, _emit_forward_one, layer)
            with more:
                for n_s, s in e.blocks(tuple(UNIT_BLOCKS), samples):
                    for n_u, u in e.blocks(UNIT_BLOCKS[n_s], units):
                        block_out = e.at(e.row(out_p, u, samples), s)
                        block = [block_out, samples, e.at(weights_p, u), units, e.at(x_p, s), x_step, e.at(bias_p, u)]
                        emit = _emit_forward_block(n_u, n_s)
                        e.call(f"forward_{n_u}x{n_s}", block_types, emit, [*block, terms, finish])
        return context.get_dummy_value()

    return typed, codegen


def _emit_backward_block(n_units: int, n_samples: int) -> Any:
    def emit(e: _Emitter, out: Any, step: Any, weights: Any, n_terms: Any, d: Any, outputs: Any, code: Any) -> None:
        builder = e.builder
        units, samples = range(n_units), range(n_samples)
        sums = e.places([e.constant(0.0)] * (n_units * n_samples))
        rows = [e.row(weights, e.index(u), n_terms) for u in units]
        with cgutils.for_range(builder, n_terms) as loop:
            w = [_load(builder, e.at(row, loop.index)) for row in rows]
            column = e.row(d, loop.index, step)
            for s in samples:
                value = _load(builder, e.at(column, e.index(s)))
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
                    a = _load(builder, output)
                    _store(builder, builder.fmul(value, e.fma(e.minus(a), a, one)), place)
            with otherwise, builder.if_else(e.is_code(code, AS_RELU)) as (relu, plain):
                with relu:
                    for value, place, output in zip(values, places, below, strict=True):
                        a = _load(builder, output)
                        _store(builder, e.where_greater(a, zero, value, zero), place)
                with plain:
                    for value, place in zip(values, places, strict=True):
                        _store(builder, value, place)

    return emit


def _emit_backward_one(
    e: _Emitter, out: Any, n_units: Any, weights: Any, n_terms: Any, d: Any, outputs: Any, code: Any
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
        e = _Emitter(builder, element)
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
        e: _Emitter, out: Any, out_step: Any, bias: Any, scale: Any, x: Any, x_step: Any, d: Any, n_samples: Any
    ) -> None:
        builder = e.builder
        inputs, units = range(n_inputs), range(n_units)
        sums = e.places([e.constant(0.0)] * (n_inputs * n_units))
        bias_sums = e.places([e.constant(0.0)] * n_units) if with_bias else []
        x_rows = [e.row(x, e.index(i), x_step) for i in inputs]
        d_rows = [e.row(d, e.index(u), n_samples) for u in units]
        with cgutils.for_range(builder, n_samples) as loop:
            xs = [_load(builder, e.at(row, loop.index)) for row in x_rows]
            ds = [_load(builder, e.at(row, loop.index)) for row in d_rows]
            for i in inputs:
                for u in units:
                    e.add_product(sums[i * n_units + u], xs[i], ds[u])
            for total, value in zip(bias_sums, ds, strict=False):
                builder.store(builder.fadd(builder.load(total), value), total)
        factor = _load(builder, scale)
        for i in inputs:
            row = e.row(out, e.index(i), out_step)
            for u in units:
                e.add_scaled(e.at(row, e.index(u)), factor, builder.load(sums[i * n_units + u]))
        for u, total in enumerate(bias_sums):
            e.add_scaled(e.at(bias, e.index(u)), factor, builder.load(total))

    return emit


def _emit_outer_one(
    e: _Emitter, out: Any, n_units: Any, bias: Any, scale: Any, x: Any, x_step: Any, d: Any, n_inputs: Any
) -> None:
    builder = e.builder
    factor = _load(builder, scale)
    for n, u in e.blocks(ONE_SAMPLE_BLOCKS, n_units):
        first = e.at(d, u)
        ds = [_load(builder, e.at(first, e.index(k))) for k in range(n)]
        for k, value in enumerate(ds):
            e.add_scaled(e.at(e.at(bias, u), e.index(k)), factor, value)
        with cgutils.for_range(builder, n_inputs) as loop:
            value = _load(builder, e.row(x, loop.index, x_step))
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
        e = _Emitter(builder, element)
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


# ----------------------------------------------------------------------------------------------------------------------
# Codes of the records, and places in the arrays of whole and real numbers that the compiled function gets

LINEAR, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, PRELU, ELU, GELU, SILU, SOFTPLUS = (
    ACTIVATIONS[name].code
    for name in (
        "linear",
        "step",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "prelu",
        "elu",
        "gelu",
        "silu",
        "softplus",
    )
)
HALF_SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY, HINGE = (
    LOSSES[name].code
    for name in ("half_squared_error", "mse", "mae", "huber", "binary_cross_entropy", "softmax_cross_entropy", "hinge")
)
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW = (
    OPTIMIZERS[name].code for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
)
NO_PENALTY, L1, L1_SUBGRADIENT, L2 = (REGULARIZERS[name].code for name in ("none", "l1", "l1_subgradient", "l2"))
KEEP, DROP, CARRY = 0, 1, 2
PARTIAL_CODES = {"keep": KEEP, "drop": DROP, "carry": CARRY}

I_HIDDEN, I_OUTPUT, I_LOSS, I_OPTIMIZER, I_BATCH, I_PARTIAL, I_PENALTY, I_CHUNK = 0, 1, 2, 3, 4, 5, 6, 7
I_PENDING, I_EPOCH, I_UPDATES, I_SHUFFLED, I_DROPPING, I_NOISY, I_GENERAL, I_WITH_Z = 8, 9, 10, 11, 12, 13, 14, 15
I_N_WEIGHTS, I_N_UNITS, I_PENDING_AFTER, I_UPDATES_AFTER, I_ROOM = 16, 17, 18, 19, 20
I_ADJUSTING, I_FREEZING = 21, 22
N_INTS = 23
T_N, T_TARGETS, T_X, T_Y, T_WEIGHT = 0, 1, 2, 3, 4
N_TABLE = 5
R_SLOPE, R_OUTPUT_SLOPE, R_STRENGTH, R_MOMENTUM, R_BETA_1, R_BETA_2, R_RHO, R_EPSILON = 0, 1, 2, 3, 4, 5, 6, 7
R_DECAY, R_MAX_NORM, R_MAX_GRAD_NORM, R_NOISE = 8, 9, 10, 11
N_REALS = 12

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


@inlined
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
) -> None:
    """Fill net inputs `z` and outputs `a` of all layers for m samples: layer by layer, unit by unit, sample innermost.

    Where `dropping`, `h` becomes the outputs that the next layer sees and `mask` their factors.
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
        if is_hidden and dropping != 0 and thresholds[layer + 1] > 0:
            scale = splat(p, scales[layer + 1])
            key = offset_keys(p, keys, 2 * (layer + 1))
            for u in range(n_out):
                for s in range(m):
                    counter = (position + s) * n_out + u
                    factor = dropout_factor(p, key, counter, thresholds[layer + 1], scale)
                    i = place + u * m + s
                    store(mask, i, factor)
                    store(h, i, load(a, i) * factor)
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
    """Add `scale` times the gradient of m samples to `g`; `d` starts with the loss's derivative at the last layer.

    `g` may be the parameters themselves: each is changed only after its last use.
    """
    n_layers = len(sizes) - 1
    w = n_weights
    b = n_slopes = n_weights + ints[I_N_UNITS]
    place = ints[I_N_UNITS] * m
    is_done = False
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        w -= n_in * n_out
        b -= n_out
        place -= n_out * m
        delta = offset(d, place)
        is_hidden = layer + 1 < n_layers
        if not is_done:
            code = ints[I_HIDDEN] if is_hidden else ints[I_OUTPUT]
            slope = splat(p, reals[R_SLOPE] if is_hidden else reals[R_OUTPUT_SLOPE])
            if is_hidden and ints[I_DROPPING] and thresholds[layer + 1] > 0:
                for i in range(n_out * m):
                    store(delta, i, load(delta, i) * load(mask, place + i))
            if is_hidden and code == PRELU:
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
            source, stride = offset(h if drops else a, below), m
            code = ints[I_HIDDEN]
            as_what = AS_IS if drops else AS_TANH if code == TANH else AS_RELU if code == RELU else AS_IS
            is_done = as_what != AS_IS
            layer_backward(offset(d, below), offset(p, w), delta, offset(a, below), n_in, n_out, m, as_what)
        layer_gradient(offset(g, w), offset(g, b), scale, source, stride, delta, n_in, n_out, m)


# ----------------------------------------------------------------------------------------------------------------------
# The update


@inner
def plain_update(
    p: Any, g: Any, dead: Any, n_weights: Any, n_params: Any, rate: Any, share: Any, penalty: Any, strength: Any
) -> None:
    """Take a step of SGD, with a penalty at most, from the gradient sums `g` of ``1 / share`` examples; clear them."""
    zero = splat(p, 0.0)
    step = splat(p, -rate * share)
    pull = splat(p, -rate * strength)
    n_penalized = 0 if penalty == NO_PENALTY else n_weights
    if penalty == L1:
        for i in range(n_weights):
            w = load(p, i)
            pull_and_kill(p, dead, i, w, fma(step, load(g, i), w), pull)
            store(g, i, zero)
    elif n_penalized:
        for i in range(n_weights):
            w = load(p, i)
            store(p, i, fma(pull, w if penalty == L2 else sign(w), fma(step, load(g, i), w)))
            store(g, i, zero)
    for i in range(n_penalized, n_params):
        store(p, i, fma(step, load(g, i), load(p, i)))
        store(g, i, zero)


@inner
def sign(x: Any) -> Any:
    """Return -1, 0 or 1."""
    zero, one = splat(x, 0.0), splat(x, 1.0)
    return where_greater(x, zero, one, where_greater(zero, x, -one, zero))


@inner
def pull_and_kill(p: Any, dead: Any, i: Any, w: Any, w1: Any, pull: Any) -> None:
    """Store weight i after the Playground's L1: `w` before the update, `w1` after its step."""
    zero, one = splat(p, 0.0), splat(p, 1.0)
    w2 = fma(pull, sign(w), w1)
    # The product could underflow to 0, so the signs are compared. A strength of 0 kills nothing.
    crossed = where_greater(w1, zero, where_greater(zero, w2, one, zero), zero)
    crossed = where_greater(zero, w1, where_greater(w2, zero, one, zero), crossed)
    killed = where_greater(crossed, zero, where_greater(absolute(pull), zero, one, load(dead, i)), load(dead, i))
    store(dead, i, killed)
    store(p, i, where_greater(killed, zero, zero, w2))


@inner
def adjust_gradient(
    p: Any, g: Any, dead: Any, frozen: Any, n_weights: Any, n_params: Any, mean: Any, penalty: Any, reals: Any
) -> Any:
    """Make the sums `g` means with penalty, without what is dead or frozen; return the factor that clips them."""
    zero, one = splat(p, 0.0), splat(p, 1.0)
    strength = splat(p, reals[R_STRENGTH])
    squares = zero
    for i in range(n_params):
        v = load(g, i) * mean
        if i < n_weights:
            if penalty == L2:
                v = fma(strength, load(p, i), v)
            elif penalty == L1_SUBGRADIENT:
                v = fma(strength, sign(load(p, i)), v)
            elif penalty == L1:
                v = where_greater(load(dead, i), zero, zero, v)
        if frozen[i]:
            v = zero
        squares = fma(v, v, squares)
        store(g, i, v)
    if reals[R_MAX_GRAD_NORM] > 0.0:
        norm, limit = sqrt(squares), splat(p, reals[R_MAX_GRAD_NORM])
        return where_greater(norm, limit, limit / norm, one)
    return one


@inner
def take_step(p: Any, g: Any, i: Any, decrease: Any, at_once: Any, is_weight: Any, shrink: Any, zero: Any) -> None:
    """Lower parameter i at once and clear its gradient sum, or put the step in the sum's place."""
    if at_once:
        w = load(p, i)
        store(p, i, (shrink * w if is_weight else w) - decrease)
        store(g, i, zero)
    else:
        store(g, i, decrease)


@inner
def general_update(
    p: Any,
    g: Any,
    m1: Any,
    m2: Any,
    dead: Any,
    frozen: Any,
    sizes: Any,
    n_weights: Any,
    n_params: Any,
    rate: Any,
    share: Any,
    correction_1: Any,
    correction_2: Any,
    ints: Any,
    reals: Any,
) -> None:
    """Take the eight steps of `TrainingConfig` from the gradient sums `g` of ``1 / share`` examples; clear them.

    `correction_1` is ``1 - beta_1 ** t``, `correction_2` is ``1 - beta_2 ** t``.
    """
    penalty, optimizer = ints[I_PENALTY], ints[I_OPTIMIZER]
    factor = splat(p, share)
    if ints[I_ADJUSTING]:
        factor = adjust_gradient(p, g, dead, frozen, n_weights, n_params, factor, penalty, reals)
    # Where nothing stands between a step and its parameter, both are taken at once; else `g` becomes the steps.
    at_once = penalty != L1 and not ints[I_FREEZING]
    zero = splat(p, 0.0)
    lr, shrink = splat(p, rate), splat(p, 1.0 - rate * reals[R_DECAY])
    epsilon = splat(p, reals[R_EPSILON])
    if optimizer == SGD:
        for i in range(n_params):
            take_step(p, g, i, lr * (load(g, i) * factor), at_once, i < n_weights, shrink, zero)
    elif optimizer in (MOMENTUM, NESTEROV):
        mu = splat(p, reals[R_MOMENTUM])
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                velocity = fma(mu, load(m1, i), v)
                store(m1, i, velocity)
                decrease = lr * (fma(mu, velocity, v) if optimizer == NESTEROV else velocity)
                take_step(p, g, i, decrease, at_once, i < n_weights, shrink, zero)
    elif optimizer in (ADAGRAD, RMSPROP):
        is_mean = optimizer == RMSPROP
        kept, new = splat(p, reals[R_RHO] if is_mean else 1.0), splat(p, 1.0 - reals[R_RHO] if is_mean else 1.0)
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                s = fma(new * v, v, kept * load(m1, i))
                store(m1, i, s)
                take_step(p, g, i, lr * v / (fast_root(s) + epsilon), at_once, i < n_weights, shrink, zero)
    else:
        adam_rate, inverse_root = splat(p, rate / correction_1), splat(p, 1.0 / math.sqrt(correction_2))
        beta_1, rest_1 = splat(p, reals[R_BETA_1]), splat(p, 1.0 - reals[R_BETA_1])
        beta_2, rest_2 = splat(p, reals[R_BETA_2]), splat(p, 1.0 - reals[R_BETA_2])
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                m = fma(rest_1, v, beta_1 * load(m1, i))
                s = fma(rest_2 * v, v, beta_2 * load(m2, i))
                store(m1, i, m)
                store(m2, i, s)
                decrease = adam_rate * m / fma(fast_root(s), inverse_root, epsilon)
                take_step(p, g, i, decrease, at_once, i < n_weights, shrink, zero)
    if not at_once:
        pull = splat(p, -rate * reals[R_STRENGTH])
        for i in range(n_params):
            w, decrease = load(p, i), load(g, i)
            store(g, i, zero)
            if not frozen[i]:
                w1 = (shrink * w if i < n_weights else w) - decrease
                if penalty == L1 and i < n_weights:
                    pull_and_kill(p, dead, i, w, w1, pull)
                else:
                    store(p, i, w1)
    if reals[R_MAX_NORM] > 0.0:
        one, limit = splat(p, 1.0), splat(p, reals[R_MAX_NORM])
        w_place = 0
        for layer in range(len(sizes) - 1):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            for u in range(n_out):
                squares = zero
                for k in range(n_in):
                    w = load(p, w_place + k * n_out + u)
                    squares = fma(w, w, squares)
                norm = sqrt(squares)
                scale = where_greater(norm, limit, limit / norm, one)
                for k in range(n_in):
                    i = w_place + k * n_out + u
                    if not frozen[i]:
                        store(p, i, load(p, i) * scale)
            w_place += n_in * n_out


# ----------------------------------------------------------------------------------------------------------------------
# Random numbers: `engine.methods.streams`, bit for bit


@inner
def mix(z: Any) -> Any:
    """Return SplitMix64's next output."""
    z = z + np.uint64(GOLDEN_64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_64_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_64_B)
    return z ^ (z >> np.uint64(31))


@inner
def set_keys(keys: Any, place: Any, seeds: Any, epoch: Any, purpose: Any, layer: Any) -> None:
    """Fill ``keys[place]`` (lo) and ``keys[place + 1]`` (hi) with the stream keys of all lanes."""
    for lane in range(len(seeds)):
        h = mix(mix(mix(seeds[lane]) ^ np.uint64(epoch)) ^ np.uint64((purpose << 32) | layer))
        keys[place, lane] = np.uint32(h & np.uint64(0xFFFFFFFF))
        keys[place + 1, lane] = np.uint32(h >> np.uint64(32))


@inner
def shuffle(like: Any, order: Any, keys: Any, bits: Any) -> None:
    """Set ``order[:, lane]`` to each lane's permutation of the epoch; `bits` (1, lanes) is scratch."""
    n, lanes = order.shape
    for i in range(n):
        for lane in range(lanes):
            order[i, lane] = i
    key, out = address(keys), address(bits)
    for i in range(n - 1, 0, -1):
        store_random_indexes(like, out, key, i)
        for lane in range(lanes):
            j = bits[0, lane]
            here = order[i, lane]
            order[i, lane] = order[j, lane]
            order[j, lane] = here


@inner
def put_in_order(out: Any, rows: Any, order: Any) -> None:
    """Set ``out[row, s, lane]`` to ``rows[row, order[s, lane], lane]``."""
    n_rows, n, lanes = out.shape
    for row in range(n_rows):
        for s in range(n):
            for lane in range(lanes):
                out[row, s, lane] = rows[row, order[s, lane], lane]


@inner
def add_input_noise(like: Any, points: Any, n_inputs: Any, sigma: Any, keys: Any, bits: Any) -> None:
    """Add each lane's normal numbers to the first `n_inputs` rows of `points` (rows, n, lanes)."""
    n, lanes = points.shape[1], points.shape[2]
    key, out_1, out_2 = address(keys), address(bits), address(bits[1:])
    for s in range(n):
        for k in range(n_inputs):
            i = s * n_inputs + k
            store_random_bits(like, out_1, key, 2 * i)
            store_random_bits(like, out_2, key, 2 * i + 1)
            for lane in range(lanes):
                u = (np.float64(bits[0, lane] >> np.uint32(8)) + 1.0) * 2.0**-24
                angle = 2.0 * math.pi * 2.0**-24 * np.float64(bits[1, lane] >> np.uint32(8))
                points[k, s, lane] += points.dtype.type(sigma * math.sqrt(-2.0 * math.log(u)) * math.cos(angle))


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
        forward(p, x, n, z, a, a, a, sizes, n_weights, m, ints, reals, keys, thresholds, scales, done, np.int64(0))
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
    n_params: Any,
    rate: Any,
    pending: Any,
    n_updates: Any,
) -> Any:
    """Go once through n points; return how many examples wait in `g` for an update, and the updates done."""
    n_weights, n_units = ints[I_N_WEIGHTS], ints[I_N_UNITS]
    n_outputs = sizes[len(sizes) - 1]
    n_before = n_units - n_outputs
    chunk, batch, partial = ints[I_CHUNK], ints[I_BATCH], ints[I_PARTIAL]
    dropping = ints[I_DROPPING]
    room = n_units * ints[I_ROOM]
    a = address(scratch)
    d = offset(a, room)
    z = offset(a, 2 * room) if ints[I_WITH_Z] else a
    h = offset(a, 3 * room)
    mask = offset(a, 4 * room)
    scale_p = offset(a, (5 if dropping != 0 else 3) * room)
    key = address(keys)
    is_plain = ints[I_GENERAL] == 0 and ints[I_PENALTY] == NO_PENALTY
    power_1, power_2 = reals[R_BETA_1] ** n_updates, reals[R_BETA_2] ** n_updates
    start = np.int64(0)
    while start < n:
        end = min(start + batch, n)
        is_whole = end - start == batch
        if not is_whole and partial == DROP:
            break
        is_update = is_whole or partial == KEEP
        # Where the whole batch is in one chunk, plain SGD needs no gradient sums.
        direct = is_plain and pending == 0 and is_update and end - start <= chunk
        target, share = g, 1.0
        if direct:
            target, share = p, -rate / (end - start)
        store(scale_p, 0, splat(p, share))
        done = start
        while done < end:
            m = min(end - done, chunk)
            x = offset(x_group, done)
            forward(p, x, n, z, a, h, mask, sizes, n_weights, m, ints, reals, key, thresholds, scales, done, dropping)
            outputs, errors = offset(a, n_before * m), offset(d, n_before * m)
            loss_gradient(ints[I_LOSS], outputs, offset(y_group, done), n, errors, n_outputs, m)
            backward(p, target, scale_p, x, n, z, a, h, mask, d, sizes, n_weights, m, ints, reals, thresholds)
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


@outer
def _run(
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
    """Train each group for ``looks[k]`` epochs, add its losses on each split of the table to ``sums[k]``, and go on.

    A row of `table` is a split: points, targets a point, and the addresses of X, y and weight (0 for none).
    """
    n_groups, n_params, lanes = P.shape
    n = X.shape[2]
    n_layers = len(sizes) - 1
    n_weights, n_units = ints[I_N_WEIGHTS], ints[I_N_UNITS]
    room = n_units * ints[I_ROOM]
    a = address(scratch)
    d = offset(a, room)
    z = offset(a, 2 * room) if ints[I_WITH_Z] else a
    bits = np.empty((2, lanes), dtype=np.uint32)
    own_points = points.shape[1] > 0
    for group in range(n_groups):
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
                        shuffle(p, order, keys, bits)
                    put_in_order(points[: sizes[0]], X[group], order)
                    put_in_order(points[sizes[0] :], y[group], order)
                    if ints[I_NOISY]:
                        set_keys(keys, np.int64(0), seeds[group], n_epochs_done, np.int64(INPUT_NOISE), np.int64(0))
                        add_input_noise(p, points, sizes[0], reals[R_NOISE], keys, bits)
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
                pending, n_updates = train_epoch(
                    p,
                    g,
                    m1,
                    m2,
                    dead_p,
                    frozen,
                    x_group,
                    y_group,
                    scratch,
                    keys,
                    sizes,
                    ints,
                    reals,
                    thresholds,
                    scales,
                    n,
                    n_params,
                    rates[epoch],
                    pending,
                    n_updates,
                )
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


# ----------------------------------------------------------------------------------------------------------------------
# Packing: from the engine's arrays to lists of vectors and back


@dataclass(frozen=True, slots=True)
class _PackedSplit:
    """A split in the kernel's layout.

    Parameters
    ----------
    X : ndarray (n_groups, n_inputs, n, lanes)
        Features.
    y : ndarray (n_groups, n_targets, n, lanes)
        Targets.
    weight : ndarray (n_groups, n, lanes) or None
        Weights of the points; None means 1.
    total_weight : ndarray (R,) of float64 or None
        Their sum.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None = None
    total_weight: npt.NDArray[np.float64] | None = None


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> FloatArray:
    """Return an uninitialized array that starts on a cache line, as vectors of 64 bytes want."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % 64
    array: FloatArray = raw[start : start + n_bytes].view(dtype).reshape(shape)
    return array


def _pack(rows: npt.NDArray[Any], n_groups: int, dtype: str) -> FloatArray:
    """Return rows (R, ...) as (n_groups, ..., lanes); missing replicas are copies of the last."""
    lanes = LANES[dtype]
    packed = _aligned((n_groups, *rows.shape[1:], lanes), dtype)
    replicas_last = (*range(1, rows.ndim), 0)
    for group, target in enumerate(packed):
        part = rows[group * lanes : (group + 1) * lanes]
        target[..., : len(part)] = part.transpose(replicas_last)
        if len(part) < lanes:
            target[..., len(part) :] = target[..., len(part) - 1 : len(part)]
    return packed


def _n_groups(n_replicas: int, dtype: str) -> int:
    return -(-n_replicas // LANES[dtype])


def _pack_split(split: Split, n_replicas: int, dtype: str) -> _PackedSplit:
    n_groups = _n_groups(n_replicas, dtype)

    def packed(array: FloatArray) -> FloatArray:
        array = np.broadcast_to(array, (n_replicas, *array.shape[1:]))
        return _pack(array.transpose(0, 2, 1), n_groups, dtype)

    if split.weight is None:
        return _PackedSplit(packed(split.X), packed(split.y))
    weight = np.broadcast_to(split.weight, (n_replicas, split.weight.shape[1]))
    total = weight.sum(axis=1, dtype=np.float64)
    return _PackedSplit(packed(split.X), packed(split.y), _pack(weight, n_groups, dtype), total)


def _table(splits: Sequence[_PackedSplit]) -> npt.NDArray[np.int64]:
    """Return the splits as the compiled function wants them: a row each, with addresses."""
    table = np.zeros((len(splits), N_TABLE), dtype=np.int64)
    for row, split in zip(table, splits, strict=True):
        row[T_N], row[T_TARGETS] = split.X.shape[2], split.y.shape[1]
        row[T_X], row[T_Y] = split.X.ctypes.data, split.y.ctypes.data
        row[T_WEIGHT] = 0 if split.weight is None else split.weight.ctypes.data
    return table


def _means(sums: npt.NDArray[np.float64], splits: Sequence[_PackedSplit], n_replicas: int) -> npt.NDArray[np.float64]:
    """Return mean losses (looks, splits, R) from sums (looks, splits, groups, lanes)."""
    n_looks, n_splits, n_groups, lanes = sums.shape
    means: npt.NDArray[np.float64] = sums.reshape(n_looks, n_splits, n_groups * lanes)[..., :n_replicas]
    with np.errstate(invalid="ignore"):  # a replica whose weights are all 0 has no mean
        for i, split in enumerate(splits):
            means[:, i] /= split.X.shape[2] if split.total_weight is None else split.total_weight
    return means


def _arrays(parameters: Parameters) -> list[FloatArray]:
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def _packed_arrays(arrays: list[Any], dtype: str) -> FloatArray:
    """Return arrays (R, ...) as one list of vectors a group: (n_groups, n, lanes)."""
    n_replicas = arrays[0].shape[0]
    flat = np.concatenate([array.reshape(n_replicas, -1) for array in arrays], axis=1)
    return _pack(flat, _n_groups(n_replicas, dtype), dtype)


def _unpack_arrays(packed: npt.NDArray[Any], arrays: list[Any]) -> None:
    """Write a list of vectors a group back into arrays (R, ...)."""
    flat = packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[: arrays[0].shape[0]]
    start = 0
    for array in arrays:
        size = math.prod(array.shape[1:])
        array[...] = flat[:, start : start + size].reshape(array.shape)
        start += size


def _network_numbers(
    network: NetworkConfig, loss: str, chunk: int, evaluate_on: Sequence[Split]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the whole and real numbers that any call needs; `chunk` is for training."""
    hidden, output = ACTIVATIONS[network.activation], ACTIVATIONS[network.output_activation]
    ints = np.zeros(N_INTS, dtype=np.int64)
    ints[I_HIDDEN], ints[I_OUTPUT] = hidden.code, output.code
    ints[I_LOSS] = LOSSES[loss].code
    ints[I_BATCH] = 1
    ints[I_CHUNK] = chunk
    ints[I_ROOM] = max(chunk, *(min(split.X.shape[1], EVALUATION_CHUNK) for split in evaluate_on), 1)
    ints[I_N_WEIGHTS] = sum(a * b for a, b in itertools.pairwise(network.layer_sizes))
    ints[I_N_UNITS] = sum(network.layer_sizes[1:])
    from_outputs = (LINEAR, SIGMOID, TANH, RELU)  # these derivatives need no net input
    ints[I_WITH_Z] = hidden.code not in from_outputs or output.code not in from_outputs
    reals = np.zeros(N_REALS)
    reals[R_SLOPE] = hidden.default_slope if network.activation_slope is None else network.activation_slope
    reals[R_OUTPUT_SLOPE] = output.default_slope
    return ints, reals


def _set_training_numbers(
    ints: npt.NDArray[np.int64], reals: npt.NDArray[np.float64], network: NetworkConfig, training: TrainingConfig
) -> None:
    decay = weight_decay_of(training)
    ints[I_OPTIMIZER] = OPTIMIZERS[training.optimizer].code
    ints[I_BATCH] = training.batch_size
    ints[I_PARTIAL] = PARTIAL_CODES[training.partial_batch]
    ints[I_PENALTY] = REGULARIZERS[training.regularizer].code
    ints[I_SHUFFLED] = training.order == "shuffled"
    ints[I_DROPPING] = any(dropout_rates(network, training))
    ints[I_NOISY] = training.input_noise > 0
    ints[I_FREEZING] = bool(training.frozen)
    ints[I_ADJUSTING] = training.regularizer != "none" or bool(training.frozen) or training.max_grad_norm is not None
    ints[I_GENERAL] = (
        training.optimizer != "sgd"
        or decay != 0
        or training.max_norm is not None
        or training.max_grad_norm is not None
        or bool(training.frozen)
    )
    reals[R_STRENGTH] = training.regularization_rate
    reals[R_MOMENTUM] = training.momentum
    reals[R_BETA_1], reals[R_BETA_2] = training.beta_1, training.beta_2
    reals[R_RHO], reals[R_EPSILON] = training.rho, epsilon_of(training)
    reals[R_DECAY] = decay
    reals[R_MAX_NORM] = training.max_norm or 0.0
    reals[R_MAX_GRAD_NORM] = training.max_grad_norm or 0.0
    reals[R_NOISE] = training.input_noise


def _scratch(ints: npt.NDArray[np.int64], lanes: int, dtype: str) -> FloatArray:
    """Return the place of outputs, deltas, net inputs and, with dropout, masked outputs and masks."""
    n_buffers = 5 if ints[I_DROPPING] else 3
    return _aligned((n_buffers * int(ints[I_N_UNITS] * ints[I_ROOM]) + 1, lanes), dtype)


def _frozen_mask(network: NetworkConfig, training: TrainingConfig, n_params: int) -> npt.NDArray[np.uint8]:
    mask = np.zeros(n_params, dtype=np.uint8)
    if not training.frozen:
        return mask
    sizes = network.layer_sizes
    names = [f"weights[{i}]" for i in range(len(sizes) - 1)] + [f"biases[{i}]" for i in range(len(sizes) - 1)]
    counts = [a * b for a, b in itertools.pairwise(sizes)] + list(sizes[1:])
    start = 0
    for name, count in zip(names, counts, strict=True):
        mask[start : start + count] = name in training.frozen
        start += count
    return mask


def supports(network: NetworkConfig, training: TrainingConfig) -> bool:
    """Return whether the compiled loop can train this network so.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig

    Returns
    -------
    bool
        False only where Numba's compiler is switched off (``NUMBA_DISABLE_JIT=1``): the loop knows every record.
    """
    return not vars(numba.config)["DISABLE_JIT"]


def is_compiled(dtype: str) -> bool:
    """Return whether this process has the machine code for a type, so that no call waits for the compiler or cache."""
    element = types.float32 if dtype == "float32" else types.float64
    return any(bool(signature[0].dtype == element) for signature in _run.signatures)


def warm_up(dtype: str) -> bool:
    """Compile for a type, or load what an earlier process compiled.

    Parameters
    ----------
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    bool
        Whether the compiler had to run (once a machine, and after each change of this file or of Numba).
    """
    if is_compiled(dtype):
        return False
    misses = sum(_run.stats.cache_misses.values())
    network = NetworkConfig(1, (), 1)
    parameters = Parameters([np.zeros((1, 1, 1), dtype)], [np.zeros((1, 1), dtype)])
    mean_losses(network, parameters, Split(np.zeros((1, 1, 1), dtype), np.zeros((1, 1, 1), dtype)), "mse")
    return bool(sum(_run.stats.cache_misses.values()) > misses)


class Session:
    """Networks in training that stay in the kernel's layout from one call to the next.

    Parameters
    ----------
    state : TrainingState
        Where training stands. It falls behind at the first `advance`; `read_state` brings it up to date.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split
        Training points, without weights.
    evaluate_on : sequence of Split
        What losses are measured on.
    """

    def __init__(
        self,
        state: TrainingState,
        network: NetworkConfig,
        training: TrainingConfig,
        split: Split,
        evaluate_on: Sequence[Split] = (),
    ) -> None:
        dtype = training.dtype
        lanes = LANES[dtype]
        self._state, self._training = state, training
        self._n_replicas = state.parameters.n_replicas
        self._is_behind = False
        n_groups = _n_groups(self._n_replicas, dtype)
        points = _pack_split(split, self._n_replicas, dtype)
        self._splits = [
            points if other is split else _pack_split(other, self._n_replicas, dtype) for other in evaluate_on
        ]
        n = points.X.shape[2]
        nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
        P = _packed_arrays(_arrays(state.parameters), dtype)
        if training.partial_batch == "carry":
            G = _packed_arrays(_arrays(state.pending), dtype)
        else:
            G = _aligned(P.shape, dtype)
            G[...] = 0
        self._moments = [_packed_arrays(_arrays(moment), dtype) for moment in state.moments]
        kills = training.regularizer == "l1"
        self._P, self._G = P, G
        self._dead = _packed_arrays(list(state.dead), dtype) if kills else nothing
        chunk = min(training.batch_size, TRAINING_CHUNK)
        self._ints, reals = _network_numbers(network, training.loss, chunk, evaluate_on)
        rates = dropout_rates(network, training)
        _set_training_numbers(self._ints, reals, network, training)
        self._ints[I_PENDING] = state.n_pending
        self._ints[I_EPOCH] = state.epoch
        self._ints[I_UPDATES] = state.n_updates
        own_points = training.order == "shuffled" or training.input_noise > 0 or rates[0] > 0
        n_own = n if own_points else 0
        order = np.empty((n_own, lanes), dtype=np.uint32)
        order[...] = np.arange(n_own, dtype=np.uint32)[:, None]
        self._diverged = _pack_integers(state.diverged_at, n_groups, lanes)
        moments = [*self._moments, nothing, nothing]
        self._before_rates = (
            P,
            G,
            moments[0],
            moments[1],
            self._dead,
            _frozen_mask(network, training, P.shape[1]),
            points.X,
            points.y,
            _aligned((points.X.shape[1] + points.y.shape[1], n_own, lanes), dtype),
            order,
            _scratch(self._ints, lanes, dtype),
            np.zeros((2 * len(rates), lanes), dtype=np.uint32),
            _pack_integers(state.seeds, n_groups, lanes),
            np.array(network.layer_sizes, dtype=np.int64),
            self._ints,
            reals,
        )
        self._after_rates = (
            # A unit is kept where uniform >= rate; both are multiples of 2 ** -24 once the rate is rounded up to one.
            np.array([math.ceil(float(np.float32(rate)) * 2**24) for rate in rates], dtype=np.int64),
            np.array([1.0 / (1.0 - rate) for rate in rates]),
            self._diverged,
        )
        self._table = _table(self._splits)
        self._sums_shape = (len(self._splits), n_groups, lanes)

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._diverged.reshape(-1)[: self._n_replicas].copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps, measuring losses after each.

        Parameters
        ----------
        steps : sequence of int
            Epochs of each step; 0 measures only.

        Returns
        -------
        ndarray (steps, splits, R) of float64
            Mean losses on `evaluate_on`, without penalty.
        """
        epoch, n_epochs = int(self._ints[I_EPOCH]), sum(steps)
        sums = np.zeros((len(steps), *self._sums_shape))
        rates = np.array([learning_rate(self._training, epoch + i) for i in range(n_epochs)])
        looks = np.array(steps, dtype=np.int64)
        with subnormals_are_zero(self._training.dtype):
            _run(*self._before_rates, rates, *self._after_rates, looks, self._table, sums)
        self._ints[I_PENDING] = self._ints[I_PENDING_AFTER]
        self._ints[I_UPDATES] = self._ints[I_UPDATES_AFTER]
        self._ints[I_EPOCH] = epoch + n_epochs
        self._is_behind |= n_epochs > 0
        return _means(sums, self._splits, self._n_replicas)

    def read_state(self) -> TrainingState:
        """Return the state, brought up to date."""
        state = self._state
        if self._is_behind:
            _unpack_arrays(self._P, _arrays(state.parameters))
            for packed, moment in zip(self._moments, state.moments, strict=True):
                _unpack_arrays(packed, _arrays(moment))
            if self._training.regularizer == "l1":
                _unpack_arrays(self._dead > 0, list(state.dead))
            if self._training.partial_batch == "carry":
                _unpack_arrays(self._G, _arrays(state.pending))
            state.n_pending = int(self._ints[I_PENDING])
            state.n_updates = int(self._ints[I_UPDATES])
            state.epoch = int(self._ints[I_EPOCH])
            state.diverged_at[...] = self.diverged_at
            self._is_behind = False
        return state


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split
        Training points, without weights.
    n_epochs : int
        Epochs to do.
    """
    session = Session(state, network, training, split)
    session.advance([n_epochs])
    session.read_state()


def _pack_integers(values: npt.NDArray[Any], n_groups: int, lanes: int) -> npt.NDArray[Any]:
    """Return one whole number a replica as (n_groups, lanes), filled up with the last."""
    packed = np.empty((n_groups, lanes), dtype=values.dtype)
    packed.reshape(-1)[: len(values)] = values
    packed.reshape(-1)[len(values) :] = values[-1]
    return packed


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return each replica's mean loss over the points of a split, without penalty.

    Parameters
    ----------
    network : NetworkConfig
    parameters : Parameters
        R replicas, float32 or float64.
    split : Split
    loss : str
        Name of a loss.

    Returns
    -------
    ndarray (R,) of float64
        Each point's loss is computed in the type of the parameters, their sum in float64.
    """
    dtype = parameters.weights[0].dtype.name
    lanes = LANES[dtype]
    splits = [_pack_split(split, parameters.n_replicas, dtype)]
    P = _packed_arrays(_arrays(parameters), dtype)
    n_groups = len(P)
    nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
    no_points = np.zeros((n_groups, 0, 0, lanes), dtype=dtype)
    ints, reals = _network_numbers(network, loss, 0, [split])
    sums = np.zeros((1, 1, n_groups, lanes))
    arguments = (
        P,
        nothing,
        nothing,
        nothing,
        nothing,
        np.zeros(0, dtype=np.uint8),
        no_points,
        no_points,
        nothing,
        np.zeros((0, lanes), dtype=np.uint32),
        _scratch(ints, lanes, dtype),
        np.zeros((1, lanes), dtype=np.uint32),
        np.zeros((n_groups, lanes), dtype=np.uint64),
        np.array(network.layer_sizes, dtype=np.int64),
        ints,
        reals,
        np.zeros(0),
        np.zeros(1, dtype=np.int64),
        np.zeros(1),
        np.zeros((n_groups, lanes), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        _table(splits),
        sums,
    )
    with subnormals_are_zero(dtype):
        _run(*arguments)
    return np.asarray(_means(sums, splits, parameters.n_replicas)[0, 0])


# ----------------------------------------------------------------------------------------------------------------------
# Full-batch Adam on a quadrature rule (`engine.polynomial.quadrature`): one input, sigmoid units, a linear output


@outer
def _run_on_rule(
    P: Any,
    M1: Any,
    M2: Any,
    G: Any,
    A: Any,
    trainable: Any,
    nodes: Any,
    weights: Any,
    targets: Any,
    residual: Any,
    rates: Any,
    reals: Any,
    thresholds: Any,
    passed: Any,
    passage_step: Any,
    passage_P: Any,
    first_step: Any,
    n_steps: Any,
    loss: Any,
    lowest: Any,
    highest: Any,
) -> None:
    """Take `n_steps` steps with one group of replicas; every array but `reals` and `thresholds` ends with the lane."""
    n_params, lanes = P.shape
    n_units = (n_params - 1) // 3
    n_nodes = nodes.shape[0]
    p, m1, m2, g, a = address(P), address(M1), address(M2), address(G), address(A)
    x_p, weight_p, y_p, rate_p = address(nodes), address(weights), address(targets), address(rates)
    mask_p, residual_p, loss_p = address(trainable), address(residual), address(loss)
    one, two, zero = splat(p, 1.0), splat(p, 2.0), splat(p, 0.0)
    beta_1, beta_2 = splat(p, reals[0]), splat(p, reals[1])
    rest_1, rest_2 = splat(p, 1.0 - reals[0]), splat(p, 1.0 - reals[1])
    epsilon = splat(p, reals[2])
    for step in range(n_steps):
        for i in range(n_params):
            store(g, i, zero)
        total = zero
        # All units first: no sigmoid waits for another one there.
        for k in range(n_units):
            w, b = load(p, k), load(p, n_units + k)
            for j in range(n_nodes):
                store(a, k * n_nodes + j, sigmoid(fma(w, load(x_p, j), b)))
        for j in range(n_nodes):
            x = load(x_p, j)
            out = load(p, 3 * n_units)
            for k in range(n_units):
                out = fma(load(p, 2 * n_units + k), load(a, k * n_nodes + j), out)
            error = out - load(y_p, j)
            weighted = load(weight_p, j) * error
            total = fma(weighted, error, total)
            for k in range(n_units):
                unit = load(a, k * n_nodes + j)
                store(g, 2 * n_units + k, fma(weighted, unit, load(g, 2 * n_units + k)))
                delta = weighted * load(p, 2 * n_units + k) * (unit * (one - unit))
                store(g, k, fma(delta, x, load(g, k)))
                store(g, n_units + k, load(g, n_units + k) + delta)
            store(g, 3 * n_units, load(g, 3 * n_units) + weighted)
        store(loss_p, 0, total + load(residual_p, 0))
        for lane in range(lanes):
            value = loss[lane]
            lowest[lane] = min(lowest[lane], value)
            highest[lane] = max(highest[lane], value)
            while passed[lane] < len(thresholds) and value <= thresholds[passed[lane]]:
                passage_step[passed[lane], lane] = first_step + step
                for i in range(n_params):
                    passage_P[passed[lane], i, lane] = P[i, lane]
                passed[lane] += 1
        reals[3] *= reals[0]
        reals[4] *= reals[1]
        rate = load(rate_p, 0) * splat(p, math.sqrt(1.0 - reals[4]) / (1.0 - reals[3]))
        for i in range(n_params):
            v = two * load(g, i)
            m = fma(rest_1, v, beta_1 * load(m1, i))
            s = fma(rest_2 * v, v, beta_2 * load(m2, i))
            store(m1, i, m)
            store(m2, i, s)
            store(p, i, load(p, i) - rate * load(mask_p, i) * m / (sqrt(s) + epsilon))


class RuleRun:
    """Up to eight replicas in full-batch training on their quadrature rules.

    Parameters
    ----------
    nodes, weights, targets : ndarray (R, m)
        See `engine.polynomial.quadrature.Rule`; R at most 8.
    residual : ndarray (R,)
        Added to every loss.
    parameters : ndarray (R, 3 H + 1)
        First values.
    trainable : bool ndarray (R, 3 H + 1)
        False keeps a parameter's first value.
    thresholds : sequence of float
        Losses whose first passage is recorded, highest first.
    """

    def __init__(
        self,
        nodes: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        targets: npt.NDArray[np.float64],
        residual: npt.NDArray[np.float64],
        parameters: npt.NDArray[np.float64],
        trainable: npt.NDArray[np.bool_],
        thresholds: Sequence[float],
    ) -> None:
        self._n_replicas, n_params = parameters.shape
        lanes = LANES["float64"]
        self._P = self._one_group(parameters)
        self._M1, self._M2, self._G = (np.zeros_like(self._P) for _ in range(3))
        self._A = np.zeros(((n_params - 1) // 3 * nodes.shape[1], lanes))
        self._data = [self._one_group(part) for part in (trainable.astype(np.float64), nodes, weights, targets)]
        self._residual = self._one_group(residual)
        self._reals = np.array([0.9, 0.999, 0.0, 1.0, 1.0])  # betas, epsilon, running powers of the betas
        self._thresholds = np.array(thresholds, np.float64)
        self._passed = np.zeros(lanes, np.int64)
        self._passage_step = np.full((len(thresholds), lanes), -1, np.int64)
        self._passage_P = np.full((len(thresholds), n_params, lanes), np.nan)
        self._n_steps = 0

    @property
    def parameters(self) -> npt.NDArray[np.float64]:
        """The parameters now, (R, 3 H + 1), a copy."""
        return self._P.T[: self._n_replicas].copy()

    def advance(
        self, n_steps: int, learning_rate: npt.NDArray[np.float64], epsilon: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Take steps; return the lowest and the highest loss on the way, (R,) each, before each step."""
        lanes = LANES["float64"]
        lowest, highest = np.full(lanes, np.inf), np.full(lanes, -np.inf)
        self._reals[2] = epsilon
        _run_on_rule(
            self._P,
            self._M1,
            self._M2,
            self._G,
            self._A,
            *self._data,
            self._residual,
            self._one_group(learning_rate),
            self._reals,
            self._thresholds,
            self._passed,
            self._passage_step,
            self._passage_P,
            self._n_steps,
            n_steps,
            np.zeros(lanes),
            lowest,
            highest,
        )
        self._n_steps += n_steps
        return lowest[: self._n_replicas], highest[: self._n_replicas]

    def passages(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the step of each first passage, (K, R), -1 for none, and the parameters then, (K, R, 3 H + 1)."""
        n = self._n_replicas
        return self._passage_step[:, :n], self._passage_P.transpose(0, 2, 1)[:, :n]

    @staticmethod
    def _one_group(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(_pack(rows, 1, "float64")[0], np.float64)
