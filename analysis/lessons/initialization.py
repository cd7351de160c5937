"""Initialization: equal weights, too small, too large, and those that keep the signal's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.course.cells import Cells, last, measured, pooled, sooner, title
from analysis.course.layers import evener, has_layers, layers_picture, within
from analysis.course.lesson import Lesson
from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    number_text,
    shown,
)
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, plural, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
ACTIVATION, SHAPE = "network.activation", "network.hidden_layer_sizes"
INITIALIZER, SCALE, DROPOUT = "network.initializer", "network.initializer_scale", "training.dropout"
STARTS: dict[str, tuple[str, float | None]] = {
    "N(0, 0.01^2)": ("normal", 0.01),
    "Xavier": ("xavier_normal", None),
    "He": ("he_normal", None),
    "N(0, 1)": ("normal", 1.0),
}
N_PRODUCTS, N_FACTORS, SIZE = 400, 100, 4
EXPLODED = 1e10
MARGIN = 0.02
FACTOR = 10.0


def log_singular_values() -> FloatArray:
    """Return ln of the singular values of products of 100 random 4 x 4 matrices, largest first, (products, 4).

    The products are kept as an orthogonal and triangular ones (QR after each factor), since the values of one product
    span more than float64 has digits. On their way the triangles' diagonals give the values to a few units, which is
    little beside their size.

    References
    ----------
    G. Benettin et al., Meccanica 15 (1980) 9-20.
    """
    rng = np.random.default_rng(0)
    Q = np.broadcast_to(np.eye(SIZE), (N_PRODUCTS, SIZE, SIZE))
    logs = np.zeros((N_PRODUCTS, SIZE))
    for _ in range(N_FACTORS):
        Q, R = np.linalg.qr(rng.normal(size=(N_PRODUCTS, SIZE, SIZE)) @ Q)
        logs += np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    return logs


def expected_growth() -> FloatArray:
    """Return the growth a factor of each ln singular value in the long run, in closed form.

    References
    ----------
    C. M. Newman, Comm. Math. Phys. 103 (1986) 121-126: (ln 2 + digamma((d - i + 1) / 2)) / 2.
    """
    return np.array([0.5 * (math.log(2.0) + special.digamma((SIZE - i) / 2)) for i in range(SIZE)])


def _start(cells: Cells, name: str, activation: str, shape: Level) -> CellRecord | None:
    initializer, scale = STARTS[name]
    found = [
        cell
        for cell in cells.of("depths", {ACTIVATION: activation, SHAPE: shape, INITIALIZER: initializer})
        if cell.params.get(SCALE) == scale
    ]
    return found[0] if len(found) == 1 else None


def _distortion(cell: CellRecord, probe: str) -> FloatArray:
    """Return how many powers of e the size changes on its way, either way; a signal of 0 changes infinitely."""
    kept = measured(cell, probe)
    with np.errstate(divide="ignore"):
        return np.where(np.isnan(kept), np.inf, np.abs(np.log(kept)))


def _better(cells: Cells, a: str, b: str, activation: str, probe: str) -> tuple[Sample, ...]:
    """Return for each depth in which draws start a distorts less than start b."""
    found = []
    for shape in _deep(cells):
        one, other = (_start(cells, name, activation, shape) for name in (a, b))
        if one is not None and other is not None:
            wins = sooner(_distortion(one, probe), _distortion(other, probe))
            found.append(Sample(depth_name(shape), "share", wins))
    return tuple(found)


def depth_name(shape: Level) -> str:
    """Return how many layers a shape has, in words."""
    n = str(shape).count("-") + 1
    return say("{n} layer{s}", n=n, s=plural(n))


def _deep(cells: Cells) -> list[Level]:
    return [shape for shape in cells.levels("depths", SHAPE) if "-" in str(shape)]


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about first weights."""
    return [
        *_symmetry_claims(cells),
        *_depth_claims(cells),
        *_training_claims(cells),
        *_start_claims(cells),
        *_layerwise_claims(cells),
        *_product_claims(),
    ]


def _layerwise_claims(cells: Cells) -> list[Claim]:
    samples = tuple(
        Sample(title(str(cell.params["dataset"])), "share", (measured(cell, "layerwise_gain") > 0).astype(np.float64))
        for cell in cells.of("layerwise")
    )
    return [
        Claim(
            "51", say("Rates of each layer's own repair badly scaled layers"),
            say("share of draws with a lower training loss after 60 steps in proportion to each layer's weights than "
            "with one rate for all, from layers eight times too large and too small in turn"), "above", 0.5, samples,
            pooled(samples), budget=say("equal steps and rates tried, same draws"),
        )
    ]  # fmt: skip


def _symmetry(cells: Cells, dropout: str, probe: str) -> tuple[Sample, ...]:
    """Return for each set whether a replica's units differ, by no more than the last bit."""
    found = []
    for dataset in cells.datasets("symmetry"):
        cell = cells.one("symmetry", {"dataset": dataset, DROPOUT: dropout})
        if cell is not None:
            apart = measured(cell, probe)
            found.append(Sample(title(dataset), "share", np.where(np.isnan(apart), np.nan, apart > 0)))
    return tuple(found)


def _symmetry_claims(cells: Cells) -> list[Claim]:
    equal = _symmetry(cells, "none", "units_apart")
    broken = float(sum(np.nansum(one.x) for one in equal))
    unequal = _symmetry(cells, "none", "units_apart_unequal")
    dropout = _symmetry(cells, "0.5", "units_apart")
    n = sum(len(one.x) for one in equal)
    return [
        Claim(
            "49", say("Units whose first weights and output weights are all equal stay equal"),
            say("networks of {n} whose units differ after training, by as little as one bit", n=n), "equals", 0.0,
            (Sample("", "exact", np.array([broken])),) if equal else (), budget=say("exact"),
        ),
        Claim(
            "49", say("Units with equal first weights stay equal whatever their output weights"),
            say("share of networks whose units are equal to the last bit after twenty steps from unequal output "
            "weights"),
            "above", 0.5, _turned(unequal), pooled(_turned(unequal)), budget=say("same draws, same first layer"),
        ),
        Claim(
            "49", say("Dropout breaks the symmetry"),
            say("share of networks with equal weights whose units differ after "
            "training with dropout at 0.5"), "above", 0.5, dropout, pooled(dropout),
        ),
    ]  # fmt: skip


def _turned(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    return tuple(Sample(one.condition, one.kind, 1.0 - one.x) for one in samples)


def _depth_claims(cells: Cells) -> list[Claim]:
    found = _kept_claims(cells)
    for a, b, activation, probe, way in (
        ("He", "N(0, 0.01^2)", "relu", "signal_kept", say("outputs")),
        ("He", "Xavier", "relu", "signal_kept", say("outputs")),
        ("He", "N(0, 1)", "relu", "signal_kept", say("outputs")),
        ("He", "Xavier", "relu", "backward_kept", say("gradients")),
        ("Xavier", "N(0, 0.01^2)", "tanh", "backward_kept", say("gradients")),
        ("Xavier", "He", "tanh", "signal_kept", say("outputs")),
    ):
        samples = _better(cells, a, b, activation, probe)
        name = {"relu": "ReLU"}.get(activation, activation)
        found.append(
            Claim(
                "", say("{a} weights keep the size of {way} better than {b} in {name} networks", a=a, way=way, b=b,
                name=name),
                say("share of draws in which {way} change by a smaller factor from one end of the hidden layers to the "
                "other, before training", way=way),
                "above", 0.5, samples, pooled(samples), budget=say("same draws, ten units a layer"),
            )
        )  # fmt: skip
    vanishing = _versus_sigmoid(cells)
    found.append(
        Claim(
            "35", say("Sigmoid's gradient shrinks more on its way back than ReLU's (Xavier weights)"),
            say("share of draws in which the first hidden layer's gradient over the last's is smaller with sigmoid "
            "than with ReLU, before training"),
            "above", 0.5, vanishing, pooled(vanishing), budget=say("same draws, same weights"),
        )
    )  # fmt: skip
    small = tuple(
        Sample(depth_name(shape), "share", sooner(last(he, "test"), last(tiny, "test")))
        for shape in cells.levels("depths", SHAPE)
        if (he := _start(cells, "He", "relu", shape)) and (tiny := _start(cells, "N(0, 0.01^2)", "relu", shape))
    )
    found.append(
        Claim(
            "48", say("He weights learn better than N(0, 0.01^2) in ReLU networks"),
            say("share of draws with a lower test loss after equally many epochs"), "above", 0.5, small, pooled(small),
        )
    )  # fmt: skip
    return found


def _kept_claims(cells: Cells) -> list[Claim]:
    found = []
    for start, activation, probe, way in (
        ("N(0, 0.01^2)", "relu", "signal_kept", say("outputs")),
        ("He", "relu", "signal_kept", say("outputs")),
        ("He", "relu", "backward_kept", say("gradients")),
        ("Xavier", "tanh", "signal_kept", say("outputs")),
        ("Xavier", "tanh", "backward_kept", say("gradients")),
    ):
        samples = tuple(
            Sample(depth_name(shape), "share", (_distortion(cell, probe) < math.log(FACTOR)).astype(float))
            for shape in _deep(cells)
            if (cell := _start(cells, start, activation, shape)) is not None
        )
        name = {"relu": "ReLU"}.get(activation, activation)
        found.append(
            Claim(
                "48", say("{start} weights keep the size of {way} in {name} networks, to a factor of {factor:g}",
                start=start, way=way, name=name, factor=FACTOR),
                say("share of draws in which {way} differ by less than this factor between the ends of the hidden "
                "layers, before training", way=way),
                "above", 0.5, samples, pooled(samples), budget=say("same draws, ten units a layer"),
            )
        )  # fmt: skip
    return found


def _versus_sigmoid(cells: Cells) -> tuple[Sample, ...]:
    found = []
    for shape in _deep(cells):
        sigmoid, relu = (_start(cells, "Xavier", name, shape) for name in ("sigmoid", "relu"))
        if sigmoid is not None and relu is not None:
            kept = (np.nan_to_num(measured(cell, "backward_kept")) for cell in (sigmoid, relu))
            found.append(Sample(depth_name(shape), "share", sooner(*kept)))
    return tuple(found)


def _training_claims(cells: Cells) -> list[Claim]:
    """Return what becomes of the layers' gradients while networks train."""
    found = []
    for start, activation in (("N(0, 0.01^2)", "relu"), ("Xavier", "relu"), ("N(0, 1)", "relu"), ("Xavier", "sigmoid")):
        found.append(
            Claim(
                "48", say("Training evens out the layers' gradients after {start} weights ({name})", start=start,
                name={"relu": "ReLU"}.get(activation, activation)),
                say("share of draws in which the first and the last hidden layer's gradients differ by a smaller "
                "factor after training than before"), "above", 0.5, *_by_depth(cells, start, activation, evener),
            )
        )  # fmt: skip
    found.append(
        Claim(
            "48", say("He weights keep ReLU layers' gradients within a factor of {factor:g} all through training",
            factor=FACTOR),
            say("share of draws in which the first and the last hidden layer's gradients differ by less than this "
            "factor at every look"), "above", 0.5,
            *_by_depth(cells, "He", "relu", lambda cell: within(cell, FACTOR)),
        )
    )  # fmt: skip
    return found


def _by_depth(
    cells: Cells, start: str, activation: str, value: Callable[[CellRecord], FloatArray]
) -> tuple[tuple[Sample, ...], Sample | None]:
    found = ((shape, _start(cells, start, activation, shape)) for shape in _deep(cells))
    samples = tuple(Sample(depth_name(shape), "share", value(cell)) for shape, cell in found if has_layers(cell))
    return samples, pooled(samples)


def _start_claims(cells: Cells) -> list[Claim]:
    found = []
    starts: tuple[tuple[str, str, str, Callable[[CellRecord], FloatArray]], ...] = (
        ("linear_start", say("linear regression"), say("test loss"), lambda cell: last(cell, "test")),
        (
            "softmax_start",
            say("softmax regression"),
            say("share of wrong digits"),
            lambda cell: measured(cell, "test_error"),
        ),
    )
    for design, name, measure, value in starts:
        groups = [cells.of(design, {INITIALIZER: start}) for start in ("constant", "normal")]
        samples: tuple[Sample, ...] = ()
        if all(len(group) == 1 for group in groups):
            constant, normal = (value(group[0]) for group in groups)
            samples = (Sample(name, "median", constant - normal),)
        found.append(
            Claim(
                "50", say("A constant start is harmless in {name}", name=name),
                say("{measure} on test points after a constant start, less that after N(0, 0.01^2)", measure=measure),
                "within", 0.0,
                samples,
                margin=MARGIN,
            )
        )  # fmt: skip
    return found


def _product_claims() -> list[Claim]:
    largest = log_singular_values()[:, 0]
    return [
        Claim(
            "47", say("Products of random matrices explode"),
            say("share of {n_products} products of {n_factors} random {size} x {size} matrices, entries N(0, 1), whose "
            "largest singular value is above {exploded:g}", n_products=N_PRODUCTS, n_factors=N_FACTORS, size=SIZE,
            exploded=EXPLODED),
            "above", 0.95, (Sample("", "share", (largest > math.log(EXPLODED)).astype(float)),), budget=say("one size"),
        )
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    pictures = [_picture(cells), *_layer_pictures(cells)]
    return [*pictures, _depth_table(cells), _product_table(), Paragraph(_product_words())]


def _layer_pictures(cells: Cells) -> list[Picture]:
    """Return a picture of sizes by layer and epoch for each activation, of the deepest networks."""
    deepest = max(_deep(cells), key=lambda shape: len(str(shape)), default="")
    found = []
    for activation in map(str, cells.levels("depths", ACTIVATION)):
        starts = {name: cell for name in STARTS if has_layers(cell := _start(cells, name, activation, deepest))}
        words = f"{activation}, {depth_name(deepest)}"
        if starts:
            found.append(layers_picture(f"initialization-layers-{activation}", words, starts))
    return found


def _product_words() -> str:
    rate = expected_growth()
    return say(
        "In the long run a factor multiplies the largest singular value by {largest} and "
        "the smallest by {smallest} (Newman 1986, for N(0, 1) entries): products explode "
        "along one direction and vanish along another at once.",
        largest=number_text(float(np.exp(rate[0]))),
        smallest=number_text(float(np.exp(rate[-1]))),
    )


def _product_table() -> ReportTable:
    logs = log_singular_values() / math.log(10.0)
    rate = expected_growth() * N_FACTORS / math.log(10.0)
    rows = tuple((str(i + 1), shown(median_interval(logs[:, i])), float(rate[i])) for i in range(SIZE))
    return ReportTable(
        "initialization-products",
        say("Decimal logarithm of the singular values of {n_products} products of {n_factors} random 4 x 4 matrices: "
        "median, and what theory expects.", n_products=N_PRODUCTS, n_factors=N_FACTORS),
        (ReportColumn("place", say("Singular value"), "text"), ReportColumn("log10", say("log10, median"), "interval"),
         ReportColumn("expected", say("Expected"))),
        rows,
    )  # fmt: skip


def _depth_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for activation in cells.levels("depths", ACTIVATION):
        for shape in cells.levels("depths", SHAPE):
            for name in STARTS:
                cell = _start(cells, name, str(activation), shape)
                if cell is not None:
                    passed = (last(cell, "test") < cells.target_of(cell)).astype(float)
                    rows.append((str(activation), depth_name(shape), name, _median(cell, "signal_kept"),
                                 _median(cell, "backward_kept"), shown(median_interval(last(cell, "test"))),
                                 shown(share_interval(passed))))  # fmt: skip
    return ReportTable(
        "initialization-depths",
        say("Size of the last hidden layer's outputs over the first's, and of the first's gradient over the last's, "
        "before training (medians over draws); test loss after training, and the share of networks below 0.1."),
        (
            ReportColumn("activation", say("Activation"), "text"), ReportColumn("depth", say("Hidden layers"), "text"),
            ReportColumn("start", say("First weights"), "text"), ReportColumn("forward", say("Outputs kept")),
            ReportColumn("backward", say("Gradient kept")), ReportColumn("loss", say("Test loss, median"), "interval"),
            ReportColumn("reached", say("Below 0.1"), "interval"),
        ),
        tuple(rows),
    )  # fmt: skip


def _median(cell: CellRecord, probe: str) -> Cell:
    values = measured(cell, probe)
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else Missing(say("one layer"))


def _picture(cells: Cells) -> Picture:
    rows = []
    for activation in cells.levels("depths", ACTIVATION):
        for name in STARTS:
            for shape in _deep(cells):
                cell = _start(cells, name, str(activation), shape)
                if cell is not None:
                    kept = _median(cell, "backward_kept")
                    rows.append((str(activation), name, depth_name(shape), kept))
    numbers = [row for row in rows if isinstance(row[3], float)]
    least = min(numbers, key=lambda row: float(str(row[3])), default=("-", "-", "-", math.nan))
    return Picture(
        "initialization-gradients",
        say("The first hidden layer's gradient over the last's before training (median over draws), by hidden layers; "
        "a line for each start, a panel for each activation. 1 keeps the gradient."),
        say("The smallest gradient kept is {kept}: {activation}, {start}, {depth}.",
        kept=number_text(float(str(least[3]))), activation=least[0], start=least[1], depth=least[2]),
        lambda: _draw(cells),
        ReportTable(
            "initialization-gradients", "",
            (ReportColumn("activation", say("Activation"), "text"), ReportColumn("start", say("First weights"), "text"),
             ReportColumn("depth", say("Hidden layers"), "text"), ReportColumn("kept", say("Gradient kept"))),
            tuple(rows),
        ),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, GRAY, framed_axes, new_figure

    activations = cells.levels("depths", ACTIVATION)
    figure = new_figure(2.8 * max(1, len(activations)) + 0.4, 2.8)
    for i, activation in enumerate(activations):
        axes = framed_axes(figure, 0.85, 0.5, 0.1, 0.3, i, len(activations))
        for name, color in zip(STARTS, COLORS, strict=False):
            points = [
                (str(shape).count("-") + 1, kept)
                for shape in _deep(cells)
                if (cell := _start(cells, name, str(activation), shape)) is not None
                and isinstance(kept := _median(cell, "backward_kept"), float)
                and kept > 0
            ]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=color, markersize=4, linewidth=1.2, label=name)
        axes.axhline(1.0, color=GRAY, linewidth=0.8)
        axes.set_yscale("log")
        axes.set_title(str(activation), fontsize=9)
        axes.set_xlabel(say("hidden layers"))
        if i == 0:
            axes.set_ylabel(say("gradient kept"))
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    deepest = max(_deep(cells), key=lambda shape: len(str(shape)), default="")
    kept = []
    for name in STARTS:
        cell = _start(cells, name, "relu", deepest)
        if cell is not None and isinstance(value := _median(cell, "signal_kept"), float):
            kept.append(say("{value} with {name}", value=number_text(value), name=name))
    sizes = (
        say(
            "Through {depth} of ReLU units the signal keeps {kept} of its size. ",
            depth=depth_name(deepest),
            kept=", ".join(kept),
        )
        if kept
        else ""
    )
    equal = _symmetry(cells, "none", "units_apart")
    unequal = _symmetry(cells, "none", "units_apart_unequal")
    n = sum(len(one.x) for one in equal)
    return say(
        "{sizes}Units with all weights equal differ after training in {equal:.0f} of "
        "{n} networks, with unequal output weights in {unequal:.0f}.",
        sizes=sizes,
        equal=sum(np.nansum(one.x) for one in equal),
        n=n,
        unequal=sum(np.nansum(one.x) for one in unequal),
    )


LESSON = Lesson(later("First weights"), claims, blocks, answer)
