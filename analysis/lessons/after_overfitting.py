"""After overfitting: where weights go once the training points are fitted, and what the function is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, FloatArray, listed, losses, pooled, sooner, traced
from analysis.course.comparing import over_levels
from analysis.course.curves import over_epochs
from analysis.course.lesson import Lesson
from analysis.course.probed import probe_epochs
from analysis.formats.blocks import Block
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say

SHAPE, ACTIVATION = "network.hidden_layer_sizes", "network.activation"
NAMES = {"relu": "ReLU"}


@dataclass(frozen=True, slots=True)
class Moment:
    """A cell's replicas at their first fit, (R,) each; NaN where a replica never fits."""

    look: npt.NDArray[np.intp]
    fits: npt.NDArray[np.bool_]

    def of(self, rows: FloatArray) -> FloatArray:
        """Return what (looks, replicas) rows say at that moment."""
        return np.where(self.fits, rows[self.look, np.arange(rows.shape[1])], np.nan)


def first_fit(cells: Cells, cell: CellRecord) -> Moment:
    """Return when each replica's training loss is first below the target."""
    below = losses(cell, "train") < cells.target_of(cell)
    return Moment(np.argmax(below, axis=0), np.asarray(below.any(axis=0), np.bool_))


def moved_on(cells: Cells, cell: CellRecord) -> FloatArray:
    """Return the distance gone since the first fit over that from the first weights to it."""
    moment = first_fit(cells, cell)
    with np.errstate(divide="ignore", invalid="ignore"):
        return moment.of(np.broadcast_to(_end(cell, "since_fit"), (len(cell.looks), len(cell.seeds)))) / moment.of(
            traced(cell, "displacement")
        )


def straightness(rows: FloatArray, way: FloatArray) -> FloatArray:
    """Return distance over length of the way: 1 is straight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return rows / way


def _end(cell: CellRecord, probe: str) -> FloatArray:
    return np.asarray(traced(cell, probe)[-1], np.float64)


def _known(values: FloatArray, *needed: FloatArray) -> FloatArray:
    """Return values with NaN wherever one that they rest on is NaN."""
    return np.where(np.isnan(np.stack([np.asarray(one, np.float64) for one in needed])).any(axis=0), np.nan, values)


def _by_level(cells: Cells, key: str, value: Callable[[CellRecord], FloatArray]) -> tuple[Sample, ...]:
    """Return each replica's mean over the cells of a level, for each level of a factor."""
    found = []
    for level in cells.levels("weights", key):
        values = [value(cell) for cell in cells.of("weights", {key: level})]
        mean = pooled([Sample("", "share", one) for one in values])
        if mean is not None:
            found.append(Sample(_name(key, level), "share", mean.x))
    return tuple(found)


def _name(key: str, level: Level) -> str:
    if key == SHAPE:
        return say("{level} units", level=level)
    return NAMES.get(str(level), str(level))


def claims(cells: Cells) -> list[Claim]:
    """Return the article's claims about what follows overfitting."""
    budget = say("the same networks, at two moments")

    def early(value: Callable[[CellRecord, Moment], tuple[FloatArray, FloatArray]]) -> Callable[..., FloatArray]:
        def share(cell: CellRecord) -> FloatArray:
            here, there = value(cell, first_fit(cells, cell))
            return _known(sooner(here, there), here, there)

        return share

    def one(number: str, words: str, measure: str, key: str, value: Callable[[CellRecord], FloatArray]) -> Claim:
        samples = _by_level(cells, key, value)
        return Claim(number, words, measure, "above", 0.5, samples, pooled(samples), budget=budget)

    def way(cell: CellRecord, moment: Moment) -> tuple[FloatArray, FloatArray]:
        rows = straightness(traced(cell, "displacement"), traced(cell, "path_length"))
        return np.asarray(rows[-1]), moment.of(rows)

    return [
        one(
            "27",
            say("The first fit is the nearest solution on the way: later ones are farther from the start"),
            say(
                "share of networks whose weights are nearer to the first ones at the first fit than at the end, by "
                "layers"
            ),
            SHAPE,
            early(lambda c, m: (m.of(traced(c, "displacement")), _end(c, "displacement"))),
        ),
        one(
            "27",
            say("... and the way to it is more direct"),
            say(
                "share of networks whose distance from the first weights, "
                "over the length of the way, is larger at the first fit than at the end, by layers"
            ),
            SHAPE,
            early(way),
        ),
        one(
            "27",
            say("Later the weights move to another region: as far again as they had come to fit"),
            say(
                "share of networks "
                "that are farther from where they first fitted than that was from the first weights, by layers"
            ),
            SHAPE,
            lambda cell: _over(moved_on(cells, cell), 1.0),
        ),
        one(
            "27",
            say("... and the network is better beyond the range for it"),
            say("share of networks with a lower loss beyond the range at the end than at the first fit, by layers"),
            SHAPE,
            early(lambda c, m: (losses(c, "out_of_range")[-1], m.of(losses(c, "out_of_range")))),
        ),
        one(
            "27",
            say("... and within it"),
            say(
                "share of networks with a lower test loss within the range at the end than at the first fit, by layers"
            ),
            SHAPE,
            early(lambda c, m: (losses(c, "in_range")[-1], m.of(losses(c, "in_range")))),
        ),
        one(
            "28",
            say("After the first fit a network gets more straight pieces within the range"),
            say(
                "share of networks with "
                "more pieces there at the end than at the first fit, equal numbers half, by activation"
            ),
            ACTIVATION,
            early(lambda c, m: (m.of(traced(c, "pieces_inside")), _end(c, "pieces_inside"))),
        ),
        one(
            "28",
            say("Beyond the range it has fewer straight pieces than within"),
            say(
                "share of networks with fewer pieces on "
                "both sides beyond the range, each side as wide as the range, than within it, by activation"
            ),
            ACTIVATION,
            lambda cell: _known(
                sooner(_end(cell, "pieces_beyond"), _end(cell, "pieces_inside")),
                _end(cell, "pieces_beyond"),
                _end(cell, "pieces_inside"),
            ),
        ),
        _spline_view(cells),
    ]


def _over(values: FloatArray, even: float) -> FloatArray:
    return np.where(np.isnan(values), np.nan, (values > even).astype(np.float64))


def _spline_view(cells: Cells) -> Claim:
    """Return the claim that pieces explain the loss beyond the range: more of them follow a bent truth better."""
    samples = []
    for activation in cells.levels("weights", ACTIVATION):
        group = cells.of("weights", {ACTIVATION: activation})
        values = [_correlation(group, r) for r in range(min((len(cell.seeds) for cell in group), default=0))]
        if values:
            samples.append(Sample(_name(ACTIVATION, activation), "median", np.array(values)))
    return Claim(
        "28",
        say("The number of pieces beyond the range explains the loss there: the more, the lower"),
        say(
            "rank correlation, over settings, of a draw's pieces and loss beyond the range at the end (median over "
            "draws), by activation"
        ),
        "below",
        0.0,
        tuple(samples),
        pooled(samples),
        budget=say("equal epochs, same draws"),
    )


def _correlation(group: Sequence[CellRecord], r: int) -> float:
    """Return one replica's rank correlation over cells, NaN where it has none."""
    from scipy.stats import rankdata

    x = np.array([_end(cell, "pieces_beyond")[r] for cell in group])
    y = np.array([losses(cell, "out_of_range")[-1, r] for cell in group])
    known = ~np.isnan(x)
    if known.sum() < 4:
        return float("nan")
    a, b = (rankdata(side[known]) - (known.sum() + 1) / 2 for side in (x, y))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else float("nan")


def _median(rows: FloatArray) -> FloatArray:
    """Return the median over the replicas in which it is known, at each look."""
    return np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in rows])


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    n = cells.design("weights").get("n_replicas", 0)
    drawn: list[tuple[str, str, Callable[[CellRecord], FloatArray], bool]] = [
        (
            "displacement",
            say("distance from the first weights"),
            lambda cell: _median(traced(cell, "displacement")),
            True,
        ),
        (
            "since-fit",
            say("distance from the first fit's weights"),
            lambda cell: _median(traced(cell, "since_fit")),
            True,
        ),
        ("beyond", say("loss beyond the range"), lambda cell: np.median(losses(cell, "out_of_range"), axis=1), True),
        ("pieces", say("straight pieces within the range"), lambda cell: _median(traced(cell, "pieces_inside")), False),
    ]
    pictures = [
        over_epochs(
            f"after-overfitting-{name}",
            say(
                "Median {words} over {n} draws by epoch, mean of the activations; one line a network.", words=words, n=n
            ),
            say("Median {words} by epoch and network.", words=words),
            cells,
            "weights",
            SHAPE,
            curve,
            words,
            log_y=log_y,
        )
        for name, words, curve, log_y in drawn
    ]
    tables = [
        over_levels(
            f"after-overfitting-{name}",
            say("{words}; median over draws, mean over polynomials.", words=words),
            cells,
            "weights",
            SHAPE,
            ACTIVATION,
            value,
            kind="median",
        )
        for name, words, value in (
            (
                "moved",
                say("Distance gone since the first fit, over that from the first weights to it"),
                lambda cell: moved_on(cells, cell),
            ),
            ("way", say("Length of the whole way"), lambda cell: _end(cell, "path_length")),
            (
                "pieces-inside",
                say("Straight pieces within the range at the end"),
                lambda cell: _end(cell, "pieces_inside"),
            ),
            (
                "pieces-beyond",
                say("Straight pieces beyond the range at the end, both sides"),
                lambda cell: _end(cell, "pieces_beyond"),
            ),
        )
    ]
    weights = probe_epochs(
        "after-overfitting-weights",
        say("Median norm of the weights over {n} draws by epoch, mean of the activations; one line a network.", n=n),
        say("Norm of the weights by epoch and network."),
        cells,
        "weights",
        SHAPE,
        "weight_norm",
        say("norm of the weights"),
    )
    return [*pictures, *weights, *tables]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts, better = [], []
    for shape in cells.levels("weights", SHAPE):
        group = cells.of("weights", {SHAPE: shape})
        moved = np.concatenate([moved_on(cells, cell) for cell in group])
        moved = moved[~np.isnan(moved)]
        if len(moved):
            parts.append(say("{median:.2f} with {shape} units", median=np.median(moved), shape=shape))
        for cell in group:
            at = first_fit(cells, cell).of(losses(cell, "out_of_range"))
            better += (losses(cell, "out_of_range")[-1] < at)[~np.isnan(at)].tolist()
    if not parts:
        return say("No network fits its training points in so few epochs.")
    return say(
        "From the first fit to the end weights move this many times the distance that they had come to fit (median): "
        "{parts}. Beyond the range {mean:.0%} of the networks are better at the end.",
        parts=listed(parts),
        mean=np.mean(better),
    )


LESSON = Lesson(later("After overfitting"), claims, blocks, answer)
