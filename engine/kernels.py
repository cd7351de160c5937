"""The compiled training loop: explicit SIMD vectors, one replica a lane.

Numba lives in this file only, and everything compiled lives in this file, because Numba's cache does not see an edit in
a callee elsewhere.

How it is laid out
------------------
Replicas are innermost: an array is a list of vectors of `LANES` replicas, 16 for float32 and 8 for float64 (one AVX-512
register; LLVM splits it on narrower machines). R replicas make ``ceil(R / LANES)`` groups, the last one filled up with
copies of the last replica. Lanes never mix, every fused multiply-add is written out and there is no fast-math, so what a
replica computes depends neither on R, nor on its neighbors, nor on the processor's vector width.

The three matrix products of a layer are blocked over units and samples: the weights of a few units are loaded once for
up to `SAMPLE_BLOCK` samples of the mini-batch, with all sums in registers. A long mini-batch goes through in chunks that
fit the first-level cache.

What it costs to call
---------------------
`advance` and `mean_losses` take a `Split` or a `PackedSplit`. Packing a split (a transposed copy) is the expensive part
of a call, so who looks at the same splits many times packs them once with `pack_split`. The state is packed and unpacked
at each call, which costs some ten microseconds.

`supports` says whether a network can take this road at all.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from engine.network import FloatArray, NetworkConfig, Parameters
from engine.training import Split, TrainingConfig, TrainingState

LANES = {"float32": 16, "float64": 8}
SAMPLE_BLOCK = 5

# ----------------------------------------------------------------------------------------------------------------------
# A vector of replicas as a Numba type


class VectorType(types.Type):
    """The LLVM type ``<lanes x element>`` as a Numba type."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.lanes = LANES[element.name]
        super().__init__(name=f"replicas({element.name})")


@register_model(VectorType)
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
def offset(typingctx: Any, pointer: Any, n: Any) -> Any:
    """Return the pointer moved on by n vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.Constant(args[1].type, LANES[pointer.dtype.name])
        return builder.gep(args[0], [builder.mul(args[1], lanes)])

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


@intrinsic
def rough_reciprocal(typingctx: Any, a: Any) -> Any:
    """Return ``1 / a`` to some 5 %, for positive float32, by taking the bits for a logarithm."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _bits(args[0].type)
        magic = ir.Constant(bits, [0x7EF3E000] * bits.count)
        return builder.bitcast(builder.sub(magic, builder.bitcast(args[0], bits)), args[0].type)

    return a(a), codegen


def _binary(name: str) -> Any:
    @intrinsic
    def apply(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return a(a, b), codegen

    return apply


@intrinsic
def _neg(typingctx: Any, a: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fneg(args[0])

    return a(a), codegen


def _define_operator(symbol: Any, apply: Any) -> None:
    """Let a Python operator of two vectors mean an intrinsic."""

    @overload(symbol)
    def typed(a: Any, b: Any) -> Any:
        if not (isinstance(a, VectorType) and isinstance(b, VectorType)):
            return None

        def implementation(a: Any, b: Any) -> Any:
            return apply(a, b)

        return implementation


for _symbol, _apply in (
    (operator.add, _binary("fadd")),
    (operator.sub, _binary("fsub")),
    (operator.mul, _binary("fmul")),
    (operator.truediv, _binary("fdiv")),
):
    _define_operator(_symbol, _apply)


@overload(operator.neg)
def _overload_neg(a: Any) -> Any:
    if not isinstance(a, VectorType):
        return None

    def implementation(a: Any) -> Any:
        return _neg(a)

    return implementation


# ----------------------------------------------------------------------------------------------------------------------
# The blocked products, written in LLVM's language because the blocks must be unrolled and stay in registers

UNIT_BLOCKS = {5: (4, 2, 1), 4: (4, 2, 1), 3: (4, 2, 1), 2: (8, 4, 2, 1), 1: (8, 4, 2, 1)}


class _Emitter:
    """Shorthand for the arithmetic on addresses that the block products need."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.element = element
        self.vector = _llvm_vector(element)

    def int(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def vectors(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def blocks(self, sizes: tuple[int, ...], count: Any) -> Any:
        """Yield (size, first index) inside loops that together go once through ``range(count)``."""
        done = self.int(0)
        for size in sizes:
            n_blocks = self.builder.sdiv(self.builder.sub(count, done), self.int(size))
            with cgutils.for_range(self.builder, n_blocks) as loop:
                yield size, self.builder.add(done, self.builder.mul(loop.index, self.int(size)))
            done = self.builder.add(done, self.builder.mul(n_blocks, self.int(size)))

    def accumulators(self, n: int) -> list[Any]:
        return [cgutils.alloca_once(self.builder, self.vector) for _ in range(n)]


@intrinsic
def product(
    typingctx: Any,
    out: Any,
    weights: Any,
    unit_stride: Any,
    term_stride: Any,
    x: Any,
    x_stride: Any,
    bias: Any,
    has_bias: Any,
    n_units: Any,
    n_terms: Any,
    n_samples: Any,
) -> Any:
    """Set ``out[u, s] = bias[u] + sum_k weights[u * unit_stride + k * term_stride] * x[k * x_stride + s]``."""
    element = out.dtype
    integer = types.intp
    signature = types.void(out, weights, integer, integer, x, integer, bias, integer, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = _Emitter(builder, element)
        out_p, weights_p, x_p, bias_p = (e.vectors(args[i]) for i in (0, 1, 4, 6))
        unit_step, term_step, x_step, with_bias, units, terms, samples = (args[i] for i in (2, 3, 5, 7, 8, 9, 10))
        zero = _constant(e.vector, 0.0)
        has = builder.icmp_signed("!=", with_bias, e.int(0))
        sample_sizes = tuple(range(SAMPLE_BLOCK, 0, -1))
        for n_s, first_sample in e.blocks(sample_sizes, samples):
            for n_u, first_unit in e.blocks(UNIT_BLOCKS[n_s], units):
                sums = e.accumulators(n_u * n_s)
                starts = e.accumulators(n_u)
                for start in starts:
                    builder.store(zero, start)
                with builder.if_then(has):
                    for u in range(n_u):
                        builder.store(_load(builder, e.at(bias_p, builder.add(first_unit, e.int(u)))), starts[u])
                for u in range(n_u):
                    value = builder.load(starts[u])
                    for s in range(n_s):
                        builder.store(value, sums[u * n_s + s])
                rows = [
                    e.at(weights_p, builder.mul(builder.add(first_unit, e.int(u)), unit_step)) for u in range(n_u)
                ]
                columns = e.at(x_p, first_sample)
                with cgutils.for_range(builder, terms) as loop:
                    w = [_load(builder, e.at(row, builder.mul(loop.index, term_step))) for row in rows]
                    place = e.at(columns, builder.mul(loop.index, x_step))
                    for s in range(n_s):
                        value = _load(builder, e.at(place, e.int(s)))
                        for u in range(n_u):
                            total = sums[u * n_s + s]
                            builder.store(_llvm_call(builder, "fma", w[u], value, builder.load(total)), total)
                for u in range(n_u):
                    place = e.at(out_p, builder.mul(builder.add(first_unit, e.int(u)), samples))
                    place = e.at(place, first_sample)
                    for s in range(n_s):
                        _store(builder, builder.load(sums[u * n_s + s]), e.at(place, e.int(s)))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def outer_product(
    typingctx: Any, out: Any, x: Any, x_stride: Any, d: Any, n_inputs: Any, n_units: Any, n_samples: Any
) -> Any:
    """Add ``sum_s x[i * x_stride + s] * d[u * n_samples + s]`` to ``out[i * n_units + u]``."""
    element = out.dtype
    integer = types.intp
    signature = types.void(out, x, integer, d, integer, integer, integer)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = _Emitter(builder, element)
        out_p, x_p, d_p = (e.vectors(args[i]) for i in (0, 1, 3))
        x_step, inputs, units, samples = (args[i] for i in (2, 4, 5, 6))
        for n_i, first_input in e.blocks((4, 2, 1), inputs):
            for n_u, first_unit in e.blocks((4, 2, 1), units):
                sums = e.accumulators(n_i * n_u)
                places = []
                for i in range(n_i):
                    row = e.at(out_p, builder.mul(builder.add(first_input, e.int(i)), units))
                    row = e.at(row, first_unit)
                    places += [e.at(row, e.int(u)) for u in range(n_u)]
                for place, total in zip(places, sums, strict=True):
                    builder.store(_load(builder, place), total)
                x_rows = [e.at(x_p, builder.mul(builder.add(first_input, e.int(i)), x_step)) for i in range(n_i)]
                d_rows = [e.at(d_p, builder.mul(builder.add(first_unit, e.int(u)), samples)) for u in range(n_u)]
                with cgutils.for_range(builder, samples) as loop:
                    xs = [_load(builder, e.at(row, loop.index)) for row in x_rows]
                    ds = [_load(builder, e.at(row, loop.index)) for row in d_rows]
                    for i in range(n_i):
                        for u in range(n_u):
                            total = sums[i * n_u + u]
                            builder.store(_llvm_call(builder, "fma", xs[i], ds[u], builder.load(total)), total)
                for place, total in zip(places, sums, strict=True):
                    _store(builder, builder.load(total), place)
        return context.get_dummy_value()

    return signature, codegen


# ----------------------------------------------------------------------------------------------------------------------
# Elementary functions of vectors


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent (compiled code only)."""
    raise NotImplementedError


@overload(tanh)
def _overload_tanh(x: Any) -> Any:
    """Float32: odd over even polynomial on |x| <= 7.9; float64: from exp(2 |x|) - 1."""
    if x.element.name == "float32":

        def rational(x: Any) -> Any:
            edge = splat(x, 7.9)
            x = where_greater(x, edge, edge, x)
            x = where_greater(-edge, x, -edge, x)
            t = x * x
            p = fma(splat(x, 1.1558004892461312e-05), t, splat(x, 0.002963129396633059))
            q = fma(splat(x, 2.500456961713419e-07), t, splat(x, 0.00024037202431338787))
            p = fma(p, t, splat(x, 0.12937012240984996))
            q = fma(q, t, splat(x, 0.023865286228622485))
            p = fma(p, t, splat(x, 0.99999994919342))
            q = fma(q, t, splat(x, 0.46270259586143014))
            one = splat(x, 1.0)
            q = fma(q, t, one)
            return (x * p) * positive_reciprocal(q)

        return rational

    def from_expm1(x: Any) -> Any:
        two = splat(x, 2.0)
        edge = splat(x, 40.0)
        a = absolute(x) * two
        t = expm1(where_greater(a, edge, edge, a))
        return with_sign(t / (t + two), x)

    return from_expm1


def positive_reciprocal(q: Any) -> Any:
    """Return ``1 / q`` for positive q within the normal numbers (compiled code only)."""
    raise NotImplementedError


@overload(positive_reciprocal)
def _overload_positive_reciprocal(q: Any) -> Any:
    """Float32: from 5 % by one step of third and one of second order, which is faster than the divider."""
    if q.element.name == "float32":

        def newton(q: Any) -> Any:
            one = splat(q, 1.0)
            r = rough_reciprocal(q)
            error = fma(-q, r, one)
            r = fma(r, fma(error, error, error), r)
            error = fma(-q, r, one)
            return fma(r, error, r)

        return newton

    def divided(q: Any) -> Any:
        return splat(q, 1.0) / q

    return divided


def expm1_reduced(r: Any) -> Any:
    """Return ``exp(r) - 1`` for |r| <= ln(2) / 2 (compiled code only)."""
    raise NotImplementedError


@overload(expm1_reduced)
def _overload_expm1_reduced(r: Any) -> Any:
    """Taylor's polynomial: degree 7 (float32) or 13 (float64), truncation below half a unit in the last place."""
    if r.element.name == "float32":

        def single(r: Any) -> Any:
            p = splat(r, 1.0 / 5040.0)
            p = fma(p, r, splat(r, 1.0 / 720.0))
            p = fma(p, r, splat(r, 1.0 / 120.0))
            p = fma(p, r, splat(r, 1.0 / 24.0))
            p = fma(p, r, splat(r, 1.0 / 6.0))
            p = fma(p, r, splat(r, 0.5))
            return fma(p * r, r, r)

        return single

    def double(r: Any) -> Any:
        p = splat(r, 1.0 / 6227020800.0)
        p = fma(p, r, splat(r, 1.0 / 479001600.0))
        p = fma(p, r, splat(r, 1.0 / 39916800.0))
        p = fma(p, r, splat(r, 1.0 / 3628800.0))
        p = fma(p, r, splat(r, 1.0 / 362880.0))
        p = fma(p, r, splat(r, 1.0 / 40320.0))
        p = fma(p, r, splat(r, 1.0 / 5040.0))
        p = fma(p, r, splat(r, 1.0 / 720.0))
        p = fma(p, r, splat(r, 1.0 / 120.0))
        p = fma(p, r, splat(r, 1.0 / 24.0))
        p = fma(p, r, splat(r, 1.0 / 6.0))
        p = fma(p, r, splat(r, 0.5))
        return fma(p * r, r, r)

    return double


LOG2_E = 1.0 / math.log(2.0)
LN2_HIGH_32 = 0.693145751953125
LN2_LOW_32 = 1.42860682030941723212e-06
LN2_HIGH_64 = float.fromhex("0x1.62e42fefa0000p-1")
LN2_LOW_64 = float.fromhex("0x1.cf79abc9e3b39p-40")


def reduced(x: Any, n: Any) -> Any:
    """Return ``x - n ln(2)`` (compiled code only)."""
    raise NotImplementedError


@overload(reduced)
def _overload_reduced(x: Any, n: Any) -> Any:
    if x.element.name == "float32":

        def single(x: Any, n: Any) -> Any:
            return fma(-n, splat(x, LN2_LOW_32), fma(-n, splat(x, LN2_HIGH_32), x))

        return single

    def double(x: Any, n: Any) -> Any:
        return fma(-n, splat(x, LN2_LOW_64), fma(-n, splat(x, LN2_HIGH_64), x))

    return double


@numba.njit(nogil=True)
def expm1(x: Any) -> Any:
    """Return ``exp(x) - 1`` for |x| within the exponents of normal numbers."""
    n = nearest(x * splat(x, LOG2_E))
    scale = power_of_two(n)
    return fma(scale, expm1_reduced(reduced(x, n)), scale - splat(x, 1.0))


def exponent_edge(x: Any) -> Any:
    """Return the largest argument of `exp` that is not clamped (compiled code only)."""
    raise NotImplementedError


@overload(exponent_edge)
def _overload_exponent_edge(x: Any) -> Any:
    if x.element.name == "float32":

        def single(x: Any) -> Any:
            return splat(x, 87.0)

        return single

    def double(x: Any) -> Any:
        return splat(x, 708.0)

    return double


@numba.njit(nogil=True)
def exp(x: Any) -> Any:
    """Return ``exp(x)``, x clamped to where the result is a normal number."""
    edge = exponent_edge(x)
    x = where_greater(x, edge, edge, x)
    x = where_greater(-edge, x, -edge, x)
    n = nearest(x * splat(x, LOG2_E))
    scale = power_of_two(n)
    return fma(scale, expm1_reduced(reduced(x, n)), scale)


@numba.njit(nogil=True)
def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``."""
    half = splat(x, 0.5)
    return fma(half, tanh(x * half), half)


# ----------------------------------------------------------------------------------------------------------------------
# Forward, backward, update

LINEAR, SIGMOID, TANH, RELU, LEAKY_RELU = 0, 1, 2, 3, 4
ACTIVATION_CODES = {"linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "leaky_relu": LEAKY_RELU}
HALF_SQUARED_ERROR = 0
LOSS_CODES = {"half_squared_error": HALF_SQUARED_ERROR}
SGD = 0
OPTIMIZER_CODES = {"sgd": SGD}
KEEP, DROP, CARRY = 0, 1, 2
PARTIAL_CODES = {"keep": KEEP, "drop": DROP, "carry": CARRY}
NO_PENALTY, L1, L2 = 0, 1, 2
PENALTY_CODES = {"none": NO_PENALTY, "l1": L1, "l2": L2}


@numba.njit(nogil=True)
def activate(code: Any, a: Any, count: Any, slope: Any) -> None:
    """Replace `count` vectors of net inputs by the activation's outputs."""
    if code == TANH:
        for i in range(count):
            store(a, i, tanh(load(a, i)))
    elif code == RELU:
        zero = splat(a, 0.0)
        for i in range(count):
            z = load(a, i)
            store(a, i, where_greater(zero, z, zero, z))
    elif code == SIGMOID:
        for i in range(count):
            store(a, i, sigmoid(load(a, i)))
    elif code == LEAKY_RELU:
        zero = splat(a, 0.0)
        k = splat(a, slope)
        for i in range(count):
            z = load(a, i)
            store(a, i, where_greater(z, zero, z, z * k))


@numba.njit(nogil=True)
def multiply_derivative(code: Any, a: Any, d: Any, count: Any, slope: Any) -> None:
    """Multiply `count` vectors of `d` by the activation's derivative, given its outputs `a`."""
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
    elif code == LEAKY_RELU:
        k = splat(a, slope)
        for i in range(count):
            v = load(d, i)
            store(d, i, where_greater(load(a, i), zero, v, v * k))


@numba.njit(nogil=True)
def forward(p: Any, x: Any, x_stride: Any, a: Any, sizes: Any, n_weights: Any, m: Any, codes: Any, slope: Any) -> None:
    """Fill the outputs `a` of all layers for m samples: layer after layer, unit after unit, sample innermost."""
    w = 0
    b = n_weights
    source, stride = x, x_stride
    place = 0
    n_layers = len(sizes) - 1
    for layer in range(n_layers):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        out = offset(a, place)
        product(out, offset(p, w), 1, n_out, source, stride, offset(p, b), 1, n_out, n_in, m)
        activate(codes[0] if layer + 1 < n_layers else codes[1], out, n_out * m, slope)
        w += n_in * n_out
        b += n_out
        place += n_out * m
        source, stride = out, m


@numba.njit(nogil=True)
def loss_gradient(out: Any, y: Any, y_stride: Any, d: Any, n_out: Any, m: Any) -> None:
    """Set `d` to the derivative of the loss with respect to the outputs."""
    for j in range(n_out):
        for s in range(m):
            store(d, j * m + s, load(out, j * m + s) - load(y, j * y_stride + s))


@numba.njit(nogil=True)
def backward(
    p: Any, g: Any, x: Any, x_stride: Any, a: Any, d: Any, sizes: Any, n_weights: Any, m: Any, codes: Any, slope: Any
) -> None:
    """Add the gradient of m samples to `g`; `d` starts with the loss's derivative at the last layer."""
    n_layers = len(sizes) - 1
    w = n_weights
    b = n_weights
    place = 0
    for layer in range(n_layers):
        b += sizes[layer + 1]
        place += sizes[layer + 1] * m
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        w -= n_in * n_out
        b -= n_out
        place -= n_out * m
        delta = offset(d, place)
        code = codes[1] if layer + 1 == n_layers else codes[0]
        multiply_derivative(code, offset(a, place), delta, n_out * m, slope)
        for u in range(n_out):
            total = load(g, b + u)
            for s in range(m):
                total = total + load(delta, u * m + s)
            store(g, b + u, total)
        if layer > 0:
            before = offset(a, place - n_in * m)
            outer_product(offset(g, w), before, m, delta, n_in, n_out, m)
            product(offset(d, place - n_in * m), offset(p, w), n_out, 1, delta, m, p, 0, n_in, n_out, m)
        else:
            outer_product(offset(g, w), x, x_stride, delta, n_in, n_out, m)


@numba.njit(nogil=True)
def update(
    p: Any, g: Any, dead: Any, n_weights: Any, n_params: Any, rate: Any, share: Any, penalty: Any, strength: Any
) -> None:
    """Take one step from the gradient sums `g` of ``1 / share`` examples and clear them."""
    zero = splat(p, 0.0)
    step = splat(p, -rate * share)
    if penalty == NO_PENALTY:
        for i in range(n_params):
            store(p, i, fma(step, load(g, i), load(p, i)))
            store(g, i, zero)
        return
    pull = splat(p, -rate * strength)
    if penalty == L2:
        for i in range(n_weights):
            w = load(p, i)
            store(p, i, fma(pull, w, fma(step, load(g, i), w)))
            store(g, i, zero)
    else:
        one = splat(p, 1.0)
        for i in range(n_weights):
            w = load(p, i)
            sign = where_greater(w, zero, one, where_greater(zero, w, -one, zero))
            w1 = fma(step, load(g, i), w)
            w2 = fma(pull, sign, w1)
            killed = where_greater(zero, w1 * w2, one, load(dead, i))
            store(dead, i, killed)
            store(p, i, where_greater(killed, zero, zero, w2))
            store(g, i, zero)
    for i in range(n_weights, n_params):
        store(p, i, fma(step, load(g, i), load(p, i)))
        store(g, i, zero)


@numba.njit(nogil=True, cache=True)
def _advance(
    P: Any,
    G: Any,
    dead: Any,
    X: Any,
    y: Any,
    A: Any,
    D: Any,
    sizes: Any,
    codes: Any,
    reals: Any,
    rates: Any,
    diverged: Any,
    first_epoch: Any,
) -> None:
    n_groups, n_params = P.shape[0], P.shape[1]
    n = X.shape[2]
    n_outputs = sizes[-1]
    n_weights = dead.shape[1]
    slope, strength = reals[0], reals[1]
    batch, partial, penalty, chunk, n_pending = codes[4], codes[5], codes[6], codes[7], codes[8]
    a = address(A)
    d = address(D)
    n_used = n - n % batch if partial == DROP else n
    lanes = P.shape[2]
    n_units = 0
    for layer in range(1, len(sizes) - 1):
        n_units += sizes[layer]
    for group in range(n_groups):
        p = offset(address(P), group * n_params)
        g = offset(address(G), group * n_params)
        dead_p = offset(address(dead), group * n_weights)
        x_group = offset(address(X), group * sizes[0] * n)
        y_group = offset(address(y), group * y.shape[1] * n)
        pending = n_pending
        for epoch in range(len(rates)):
            done = 0
            while done < n_used:
                end = min(done - done % batch + batch, n_used)
                m = min(end - done, chunk)
                x = offset(x_group, done)
                forward(p, x, n, a, sizes, n_weights, m, codes, slope)
                loss_gradient(offset(a, n_units * m), offset(y_group, done), n, offset(d, n_units * m), n_outputs, m)
                backward(p, g, x, n, a, d, sizes, n_weights, m, codes, slope)
                done += m
                pending += m
                if done == end and (done % batch == 0 or partial == KEEP):
                    update(p, g, dead_p, n_weights, n_params, rates[epoch], 1.0 / pending, penalty, strength)
                    pending = 0
            zero = splat(p, 0.0)
            check = zero
            for i in range(n_params):
                check = fma(load(p, i), zero, check)
            store(a, 0, check)
            for lane in range(lanes):
                if a[lane] != 0.0 and diverged[group, lane] < 0:
                    diverged[group, lane] = first_epoch + epoch + 1


@numba.njit(nogil=True, cache=True)
def _loss_sums(P: Any, X: Any, y: Any, A: Any, sizes: Any, codes: Any, reals: Any, sums: Any) -> None:
    n_groups, n_params = P.shape[0], P.shape[1]
    n = X.shape[2]
    n_outputs = sizes[-1]
    slope = reals[0]
    chunk = codes[7]
    lanes = P.shape[2]
    n_units = 0
    n_weights = 0
    for layer in range(len(sizes) - 1):
        n_weights += sizes[layer] * sizes[layer + 1]
        if layer > 0:
            n_units += sizes[layer]
    a = address(A)
    for group in range(n_groups):
        p = offset(address(P), group * n_params)
        x_group = offset(address(X), group * sizes[0] * n)
        y_group = offset(address(y), group * y.shape[1] * n)
        done = 0
        while done < n:
            m = min(n - done, chunk)
            forward(p, offset(x_group, done), n, a, sizes, n_weights, m, codes, slope)
            out = offset(a, n_units * m)
            total = splat(p, 0.0)
            half = splat(p, 0.5)
            for j in range(n_outputs):
                for s in range(m):
                    error = load(out, j * m + s) - load(y_group, j * n + done + s)
                    total = fma(half * error, error, total)
            store(a, 0, total)
            for lane in range(lanes):
                sums[group, lane] += a[lane]
            done += m


# ----------------------------------------------------------------------------------------------------------------------
# Packing: from the engine's arrays to lists of vectors and back


@dataclass(frozen=True, slots=True)
class PackedSplit:
    """A split in the kernel's layout: ``X`` (groups, n_inputs, n, lanes), ``y`` (groups, n_targets, n, lanes).

    Parameters
    ----------
    X, y : ndarray
        Packed features and targets.
    n_replicas : int
        R of the split (1 where all replicas share it).
    """

    X: FloatArray
    y: FloatArray
    n_replicas: int


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> FloatArray:
    """Return an uninitialized array that starts on a cache line, as vectors of 64 bytes want."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    array: FloatArray = raw[start : start + n_bytes].view(dtype).reshape(shape)
    return array


def _pack(rows: FloatArray, n_groups: int, dtype: str) -> FloatArray:
    """Return rows (R, ...) as (n_groups, ..., lanes); missing replicas are copies of the last."""
    lanes = LANES[dtype]
    shape = rows.shape[1:]
    packed = _aligned((n_groups, *shape, lanes), dtype)
    for group in range(n_groups):
        part = rows[group * lanes : (group + 1) * lanes]
        target = packed[group]
        target[..., : len(part)] = np.moveaxis(part, 0, -1)
        if len(part) < lanes:
            target[..., len(part) :] = target[..., len(part) - 1 : len(part)]
    return packed


def _n_groups(n_replicas: int, dtype: str) -> int:
    return -(-n_replicas // LANES[dtype])


def pack_split(split: Split, n_replicas: int, dtype: str) -> PackedSplit:
    """Copy a split into the kernel's layout.

    Parameters
    ----------
    split : Split
        X (R or 1, n, n_inputs), y (R or 1, n, n_targets).
    n_replicas : int
        R of the states the split will be used with.
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    PackedSplit
    """
    n_groups = _n_groups(n_replicas, dtype)

    def packed(array: FloatArray) -> FloatArray:
        array = np.broadcast_to(array, (n_replicas, *array.shape[1:]))
        return _pack(array.transpose(0, 2, 1), n_groups, dtype)

    return PackedSplit(packed(split.X), packed(split.y), n_replicas)


def _flat(parameters: Parameters) -> FloatArray:
    """Return all weights, then all biases, as (R, n_params)."""
    n_replicas = parameters.n_replicas
    return np.concatenate(
        [array.reshape(n_replicas, -1) for array in (*parameters.weights, *parameters.biases)], axis=1
    )


def _unflatten(packed: FloatArray, parameters: Parameters) -> None:
    """Write packed parameters (n_groups, n_params, lanes) back into the arrays of `parameters`."""
    n_replicas = parameters.n_replicas
    flat = packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[:n_replicas]
    start = 0
    for array in (*parameters.weights, *parameters.biases):
        size = math.prod(array.shape[1:])
        array[...] = flat[:, start : start + size].reshape(array.shape)
        start += size


def _codes(network: NetworkConfig, loss: str, chunk: int) -> npt.NDArray[np.int64]:
    codes = np.zeros(16, dtype=np.int64)
    codes[0] = ACTIVATION_CODES[network.activation]
    codes[1] = ACTIVATION_CODES[network.output_activation]
    codes[2] = LOSS_CODES[loss]
    codes[7] = chunk
    return codes


def _slope(network: NetworkConfig) -> float:
    return 0.01 if network.activation_slope is None else network.activation_slope


TRAINING_CHUNK = 10
EVALUATION_CHUNK = 50


def supports(network: NetworkConfig, training: TrainingConfig) -> bool:
    """Return whether the compiled loop can train this network so.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig

    Returns
    -------
    bool
        False also where Numba's compiler is switched off (``NUMBA_DISABLE_JIT=1``).
    """
    return (
        not numba.config.DISABLE_JIT
        and network.activation in ACTIVATION_CODES
        and network.output_activation in ACTIVATION_CODES
        and training.loss in LOSS_CODES
        and training.optimizer in OPTIMIZER_CODES
        and training.order == "fixed"
        and training.regularizer in PENALTY_CODES
        and training.weight_decay == 0.0
        and training.max_norm is None
        and training.max_grad_norm is None
        and not any(training.dropout)
        and training.input_dropout == 0.0
        and training.input_noise == 0.0
        and training.schedule == "constant"
        and training.warmup_epochs == 0
        and not training.frozen
    )


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split | PackedSplit, n_epochs: int
) -> None:
    """Train for some epochs, in place.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split or PackedSplit
        Training points.
    n_epochs : int
        Epochs to do.
    """
    dtype = training.dtype
    n_replicas = state.parameters.n_replicas
    if isinstance(split, Split):
        split = pack_split(split, n_replicas, dtype)
    n_groups = _n_groups(n_replicas, dtype)
    P = _pack(_flat(state.parameters), n_groups, dtype)
    G = _pack(_flat(state.pending), n_groups, dtype)
    dead_rows = np.concatenate([mask.reshape(n_replicas, -1) for mask in state.dead], axis=1)
    dead = _pack(dead_rows, n_groups, dtype)
    sizes = np.array(network.layer_sizes, dtype=np.int64)
    chunk = min(training.batch_size, TRAINING_CHUNK)
    codes = _codes(network, training.loss, chunk)
    codes[3] = OPTIMIZER_CODES[training.optimizer]
    codes[4] = training.batch_size
    codes[5] = PARTIAL_CODES[training.partial_batch]
    codes[6] = PENALTY_CODES[training.regularizer]
    codes[8] = state.n_pending
    reals = np.array([_slope(network), training.regularization_rate])
    rates = np.full(n_epochs, training.learning_rate)
    n_units = sum(network.layer_sizes[1:])
    A = _aligned((n_units * chunk + 1, LANES[dtype]), dtype)
    D = _aligned((n_units * chunk + 1, LANES[dtype]), dtype)
    diverged = np.full((n_groups, LANES[dtype]), -1, dtype=np.int64)
    diverged.reshape(-1)[:n_replicas] = state.diverged_at
    _advance(P, G, dead, split.X, split.y, A, D, sizes, codes, reals, rates, diverged, state.epoch)
    _unflatten(P, state.parameters)
    n = split.X.shape[2]
    batches, rest = divmod(n, training.batch_size)
    if training.partial_batch == "carry":
        _unflatten(G, state.pending)
        state.n_pending = rest if batches and n_epochs else state.n_pending + n_epochs * rest
    state.n_updates += n_epochs * (batches + (training.partial_batch == "keep" and rest > 0))
    if training.regularizer == "l1":
        flat = dead.transpose(0, 2, 1).reshape(-1, dead.shape[1])[:n_replicas] > 0
        start = 0
        for mask in state.dead:
            size = math.prod(mask.shape[1:])
            mask[...] = flat[:, start : start + size].reshape(mask.shape)
            start += size
    state.diverged_at[...] = diverged.reshape(-1)[:n_replicas]
    state.epoch += n_epochs


def mean_losses(
    network: NetworkConfig, parameters: Parameters, split: Split | PackedSplit, loss: str
) -> npt.NDArray[np.float64]:
    """Return each replica's mean loss over the points of a split, without penalty.

    Parameters
    ----------
    network : NetworkConfig
    parameters : Parameters
        R replicas, float32 or float64.
    split : Split or PackedSplit
    loss : str
        Name of a loss.

    Returns
    -------
    ndarray (R,) of float64
    """
    dtype = parameters.weights[0].dtype.name
    n_replicas = parameters.n_replicas
    if isinstance(split, Split):
        split = pack_split(split, n_replicas, dtype)
    n_groups = _n_groups(n_replicas, dtype)
    P = _pack(_flat(parameters), n_groups, dtype)
    sizes = np.array(network.layer_sizes, dtype=np.int64)
    n = split.X.shape[2]
    chunk = min(n, EVALUATION_CHUNK)
    A = _aligned((sum(network.layer_sizes[1:]) * chunk + 1, LANES[dtype]), dtype)
    sums = np.zeros((n_groups, LANES[dtype]))
    reals = np.array([_slope(network), 0.0])
    _loss_sums(P, split.X, split.y, A, sizes, _codes(network, loss, chunk), reals, sums)
    return sums.reshape(-1)[:n_replicas] / n
