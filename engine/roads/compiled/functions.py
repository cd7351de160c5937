"""Functions of vectors: exponential, tanh, logarithm and their kin, held to SciPy."""

from __future__ import annotations

import math
from typing import Any

import numba.extending

from engine.compiling.decorators import inner, intrinsic
from engine.roads.compiled.vectors import (
    absolute,
    emit_constant,
    emit_polynomial,
    exponent,
    fma,
    mantissa,
    nearest,
    polynomial,
    power_of_two,
    splat,
    where_greater,
    with_sign,
)

# ----------------------------------------------------------------------------------------------------------------------
# Elementary functions of vectors

# Lowest relative error of odd over even polynomials on |x| <= 7.9, by linear programming (differential correction).
TANH_NUMERATOR = (1.1558004892461312e-05, 0.002963129396633059, 0.12937012240984996, 0.99999994919342)
TANH_DENOMINATOR = (2.500456961713419e-07, 0.00024037202431338787, 0.023865286228622485, 0.46270259586143014, 1.0)
# (exp(r) - 1 - r) / r ** 2 for |r| <= ln(2) / 2: Taylor's, cut below half a unit in the last place.
_exp_tail = polynomial(
    tuple(1.0 / math.factorial(k) for k in range(7, 1, -1)), tuple(1.0 / math.factorial(k) for k in range(13, 1, -1))
)
# 2 artanh(s) / s in s ** 2 <= 1 / 9: Chebyshev's, relative error 1e-10 and 2e-18.
_artanh = polynomial(
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
# sin(2 pi g) / g in g ** 2 <= 1 / 16: Chebyshev's, absolute error 1.7e-9 and 1e-19 of the sine.
_sine = polynomial(
    (39.7598270853191, -76.58117264427872, 81.60247636892518, -41.34168061334652, 6.283185280154407),
    (
        0.10089695501646812,
        -0.7177337921413454,
        3.8199280942271643,
        -15.0946416761179,
        42.058693925428685,
        -76.70585975282492,
        81.60524927607362,
        -41.341702240399755,
        6.283185307179586,
    ),
)
# (1 + 2 x) exp(x ** 2) erfc(x) in t = (x - 3.75) / (x + 3.75), x >= 0: Chebyshev's, relative error 1.3e-8 and 1e-16;
# the form of M. M. Shepherd, J. G. Laframboise, Math. Comp. 36, 1981.
_scaled_erfc = polynomial(
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


def emit_tanh(builder: Any, x: Any) -> Any:
    """Emit the hyperbolic tangent of a vector of float32, with the divider: it is faster than Newton steps."""
    for edge, is_beyond in ((7.9, ">"), (-7.9, "<")):
        limit = emit_constant(x.type, edge)
        x = builder.select(builder.fcmp_ordered(is_beyond, x, limit), limit, x)
    t = builder.fmul(x, x)
    numerator = builder.fmul(x, emit_polynomial(builder, TANH_NUMERATOR, t))
    return builder.fdiv(numerator, emit_polynomial(builder, TANH_DENOMINATOR, t))


@intrinsic
def _rational_tanh(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_tanh(builder, args[0])

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
    one = splat(x, 1.0)
    return one / (one + exp(-clamped(x, splat(x, 80.0))))


@inner
def log(x: Any) -> Any:
    """Return the natural logarithm of a normal number of at least 1."""
    e, m = exponent(x), mantissa(x)
    one = splat(x, 1.0)
    s = (m - one) / (m + one)
    return fma(e, ln2_high(x), fma(e, ln2_low(x), s * _artanh(s * s)))


@inner
def log_of_share(x: Any) -> Any:
    """Return ``ln(x / 2 ** 24)`` for x from 1 to 2 ** 24, exact to a few units in the last place at its end, too."""
    e, m, one = exponent(x), mantissa(x), splat(x, 1.0)
    root = splat(x, 1.4142135623730951)
    # The mantissa around 1, so that near the end no large numbers cancel.
    e = where_greater(m, root, e + one, e) - splat(x, 24.0)
    m = where_greater(m, root, m * splat(x, 0.5), m)
    s = (m - one) / (m + one)
    return fma(e, ln2_high(x), fma(e, ln2_low(x), s * _artanh(s * s)))


@inner
def cosine_of_turns(x: Any) -> Any:
    """Return ``cos(2 pi x)`` for x from 0 to 1, folded exactly onto the sine of at most a quarter turn."""
    g = absolute(x - splat(x, 0.5)) - splat(x, 0.25)
    return g * _sine(g * g)


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
