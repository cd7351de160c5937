"""Dropout: rates by layer, weight decay, other noise, what units do, masks at prediction, Bishop's equivalence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, listed, losses, measured, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
DROPOUT, PENALTY, WEIGHTS = "training.dropout", "training.regularization_rate", "training.weight_dropout"
LAYERS, INPUTS, SHAPE = "training.layer_noise", "training.input_noise", "network.hidden_layer_sizes"
KEYS = {DROPOUT: later("dropout"), PENALTY: "L2", WEIGHTS: "DropConnect", LAYERS: later("layer noise"),
        INPUTS: later("pixel noise")}  # fmt: skip
FIRST, SECOND, BOTH = "0.2-0.5", "0.5-0.2", "0.5-0.5"
FIRST_ALONE, SECOND_ALONE, MOST = "0.5-0.0", "0.0-0.5", "0.8-0.8"
GUESSING, CLOSE, MARGIN, TELLS = 0.9, 1e-3, 0.01, 0.6
PANELS = {"test_error": later("wrong"), "unit_correlation": later("correlation of units"),
          "activation_variance": later("variance")}  # fmt: skip
"""What is drawn by epoch."""
Value = Callable[[CellRecord], FloatArray]


def _off() -> dict[str, Level]:
    return {DROPOUT: "none", PENALTY: 0.0, WEIGHTS: 0.0, LAYERS: 0.0, INPUTS: 0.0}


def found(cells: Cells, dataset: str, **on: Level) -> CellRecord | None:
    """Return the cell in which these alone are on: ``dropout="0.5-0.5"``, ``penalty``, ``weights``, ``layers``, ..."""
    keys = {"dropout": DROPOUT, "penalty": PENALTY, "weights": WEIGHTS, "layers": LAYERS, "inputs": INPUTS}
    return cells.one("noise", {"dataset": dataset, **_off(), **{keys[name]: level for name, level in on.items()}})


def error_at(look: int) -> Value:
    """Return what gives the share of wrong test images at a look."""

    def value(cell: CellRecord) -> FloatArray:
        row = losses(cell, "test_error")[look]
        return np.where(np.isfinite(row), row, GUESSING)

    return value


ERROR = error_at(-1)


def _less(cells: Cells, a: dict[str, Level], b: dict[str, Level], value: Value) -> list[Sample]:
    """Return a's value less b's, of each replica."""
    samples = []
    for dataset in cells.datasets("noise"):
        one, other = found(cells, dataset, **a), found(cells, dataset, **b)
        if one is not None and other is not None:
            samples.append(Sample(title(dataset), "median", value(one) - value(other)))
    return samples


def interaction(cells: Cells) -> list[Sample]:
    """Return what dropout and weight decay do together beyond what each does alone, of each replica."""
    samples = []
    for dataset in cells.datasets("noise"):
        strengths = [float(str(rate)) for rate in cells.levels("noise", PENALTY) if float(str(rate)) > 0]
        four = [
            found(cells, dataset, dropout=dropout, penalty=rate)
            for dropout in ("none", BOTH)
            for rate in (0.0, *strengths[:1])
        ]
        known = [ERROR(cell) for cell in four if cell is not None]
        if len(known) == 4:
            samples.append(Sample(title(dataset), "median", known[3] - known[2] - known[1] + known[0]))
    return samples


def best_of(cells: Cells, dataset: str, kind: str, key: str) -> CellRecord | None:
    """Return the strength of a noise that is best on every second draw; the others judge."""
    levels = [level for level in cells.levels("noise", key) if level not in (0.0, "none")]
    tried = [cell for level in levels if (cell := found(cells, dataset, **{kind: level})) is not None]
    return min(tried, key=lambda cell: float(ERROR(cell)[::2].mean()), default=None)


def _against_dropout(cells: Cells, kind: str, key: str) -> list[Sample]:
    samples = []
    for dataset in cells.datasets("noise"):
        one, dropped = best_of(cells, dataset, kind, key), best_of(cells, dataset, "dropout", DROPOUT)
        if one is not None and dropped is not None:
            samples.append(Sample(title(dataset), "median", ERROR(one)[1::2] - ERROR(dropped)[1::2]))
    return samples


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about dropout."""
    none: dict[str, Level] = {"dropout": "none"}
    both: dict[str, Level] = {"dropout": BOTH}

    def gap(look: int) -> list[FloatArray]:
        return [one.x for one in _less(cells, both, none, error_at(look))]

    more_epochs = [Sample(title(name), "median", end - early) for name, early, end in
                   zip(cells.datasets("noise"), gap(0), gap(-1), strict=False)]  # fmt: skip
    masks = [
        (title(name), cell)
        for name in cells.datasets("noise")
        if (cell := found(cells, name, dropout=BOTH)) is not None
    ]
    chosen = say("equal epochs; strengths chosen on other draws")
    return [
        claim("52", say("Dropout improves"),
              say("share of wrong test images with dropout at 0.5 and 0.5 less that without (median over draws)"),
              "below", 0.0, _less(cells, both, none, ERROR)),
        claim("52", say("Swapping the two rates makes no difference (one image in a hundred)"),
              say("share of wrong test images with dropout at 0.2 and 0.5 less that at 0.5 and 0.2 (median over "
                  "draws)"),
              "within", 0.0, _less(cells, {"dropout": FIRST}, {"dropout": SECOND}, ERROR), margin=MARGIN),
        claim("52", say("It makes no difference after which of the two layers it is alone (one image in a hundred)"),
              say("share of wrong test images with dropout at 0.5 after the first layer alone less that after the "
                  "second alone (median over draws)"), "within", 0.0,
              _less(cells, {"dropout": FIRST_ALONE}, {"dropout": SECOND_ALONE}, ERROR), margin=MARGIN),
        claim("52", say("Dropout at 0.8 is too much: worse than at 0.5"),
              say("share of wrong test images with dropout at 0.8 and 0.8 less that at 0.5 and 0.5 (median over "
                  "draws)"),
              "above", 0.0, _less(cells, {"dropout": MOST}, both, ERROR)),
        claim("52", say("More epochs help dropout more"),
              say("what dropout changes in the share of wrong test images at the last look, less what it changes at "
                  "the first (median over draws)"), "below", 0.0, more_epochs),
        claim("52", say("Dropout and weight decay add up (to one image in a hundred)"),
              say("share of wrong test images: what both change together less what each changes alone (median over "
                  "draws)"), "within", 0.0, interaction(cells), margin=MARGIN),
        claim("52", say("Dropout on weights (DropConnect) does as well as on units, to one image in a hundred"),
              say("share of wrong test images with DropConnect less that with dropout, each at its best strength "
                  "(median over draws)"), "within", 0.0, _against_dropout(cells, "weights", WEIGHTS), margin=MARGIN,
              budget=chosen),
        claim("56", say("Gaussian noise on each layer does as well as dropout, to one image in a hundred"),
              say("share of wrong test images with noise on hidden layers less that with dropout, each at its best "
                  "strength (median over draws)"), "within", 0.0, _against_dropout(cells, "layers", LAYERS),
              margin=MARGIN, budget=chosen),
        claim("52", say("Dropout makes hidden outputs vary more"),
              say("variance of hidden outputs with dropout over that without, last look, log (median over draws)"),
              "above", 0.0, _less(cells, both, none, _log_variance)),
        claim("53", say("Dropout breaks co-adaptation: units are less alike"),
              say("mean size of the correlation between units of the last hidden layer with dropout less that without "
                  "(median over draws)"), "below", 0.0,
              _less(cells, both, none, lambda cell: losses(cell, "unit_correlation")[-1])),
        *_mask_claims(masks),
        claim("55", say("Trained with dropout, a network loses less to noise on the pixels"),
              say("rise of the share of wrong images by noise of 0.3 with dropout less that without (median over "
                  "draws)"), "below", 0.0, _less(cells, both, none, lambda cell: measured(cell, "pixel_rise"))),
        claim("55", say("... and trained with noise on the pixels, too"),
              say("rise of the share of wrong images by noise of 0.3 with noise in training less that without (median "
                  "over draws)"), "below", 0.0,
              _less(cells, {"inputs": 0.3}, none, lambda cell: measured(cell, "pixel_rise"))),
        *_bishop_claims(cells),
    ]  # fmt: skip


def _log_variance(cell: CellRecord) -> FloatArray:
    return np.asarray(np.log(np.maximum(losses(cell, "activation_variance")[-1], 1e-300)))


def _mask_claims(masks: Sequence[tuple[str, CellRecord]]) -> list[Claim]:
    def samples(value: Value) -> list[Sample]:
        return [Sample(name, "median", value(cell)) for name, cell in masks]

    budget = say("same network")
    return [
        claim("52", say("Off at prediction is as good as the mean of many masks, to one image in a hundred"),
              say("share of wrong test images of twenty thinned networks together less that of the whole network "
                  "(median over draws)"), "within", 0.0,
              samples(lambda cell: measured(cell, "masks_error") - ERROR(cell)), margin=MARGIN, budget=budget),
        claim("52", say("Masks that agree tell whether a prediction is right (area under the curve above 0.6)"),
              say("area under the ROC curve of the masks' agreement, test images within the range (median over draws)"),
              "above", TELLS, samples(lambda cell: measured(cell, "masks_tell")), budget=budget),
        claim("52", say("... and beyond the range, too"),
              say("the same, test images with a pixel beyond the training images' range (median over draws)"),
              "above", TELLS, samples(lambda cell: measured(cell, "masks_tell_beyond")), budget=budget),
    ]  # fmt: skip


def _bishop_claims(cells: Cells) -> list[Claim]:
    linear = [measured(cell, "bishop_gap") for cell in cells.of("bishop", {SHAPE: "none"})]
    hidden = [measured(cell, "bishop_gap") for cell in cells.of("bishop") if cell.params[SHAPE] != "none"]
    values = np.concatenate(linear) if linear else np.array([])
    exact = [Sample("", "exact", np.array([float((values < CLOSE).sum())]))] if len(values) else []
    return [
        claim("54", say("Noise on the inputs is an L2 penalty, on a linear network"),
              say("of {n} linear networks those whose weights differ by less than {close:g} of the largest after equal "
                  "steps", n=len(values), close=CLOSE), "equals", float(len(values)), exact, budget=say("exact")),
        claim("54", say("... and on a network with hidden tanh units"),
              say("share of networks whose weights differ by less than {close:g} of the largest", close=CLOSE),
              "above", 0.5, [Sample("", "share", (values < CLOSE).astype(float)) for values in hidden],
              budget=say("equal steps")),
    ]  # fmt: skip


def _words(cell: CellRecord) -> str:
    on = [f"{name} {cell.params[key]}" for key, name in KEYS.items() if cell.params[key] not in (0.0, "none")]
    return ", ".join(on) or say("none")


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    return [
        _picture(cells),
        _table(cells),
        Paragraph(say("Why is dropout off at prediction? A thinned network's outputs are divided by 1 - p in training, "
                      "so that the whole network's are their mean to first order; leaving it on adds noise to every "
                      "answer (Srivastava et al., Dropout, JMLR 15, 2014). In words; what leaving it on does is "
                      "measured above.")),
    ]  # fmt: skip


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("noise"):
        row: list[Cell] = [title(str(cell.params["dataset"])), _words(cell)]
        row += [shown(median_interval(error_at(look)(cell))) for look in (0, -1)]
        row += [float(np.median(losses(cell, name)[-1])) for name in ("unit_correlation", "activation_variance")]
        for probe in ("pixel_rise", "masks_error", "masks_tell"):
            values = measured(cell, probe)
            known = values[~np.isnan(values)]
            row.append(float(np.median(known)) if len(known) else Missing(say("no masks")))
        rows.append(tuple(row))
    return ReportTable(
        "dropout-noise",
        say("Medians over draws: share of wrong test images at the first and at the last look, likeness of units, "
            "variance of hidden outputs, rise of errors by noise on the pixels, errors of twenty masks together, and "
            "how well their agreement tells right from wrong."),
        (ReportColumn("set", say("Set"), "text"), ReportColumn("noise", say("On"), "text"),
         ReportColumn("early", say("Wrong, first look"), "interval"),
         ReportColumn("late", say("Wrong, last look"), "interval"),
         ReportColumn("alike", say("Correlation")), ReportColumn("variance", say("Variance")),
         ReportColumn("rise", say("Rise")), ReportColumn("masks", say("Masks on")),
         ReportColumn("tell", say("They tell"))),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    drawn = [cell for cell in cells.of("noise") if cell.params[DROPOUT] in ("none", BOTH)]
    drawn = [cell for cell in drawn if all(cell.params[key] == 0.0 for key in (WEIGHTS, LAYERS, INPUTS))]
    rows = [
        (_words(cell), str(words), float(look), float(np.median(row)))
        for cell in drawn
        for name, words in PANELS.items()
        for look, row in zip(cell.looks, losses(cell, name), strict=True)
        if np.isfinite(np.median(row))
    ]
    return Picture(
        "dropout-courses",
        say("By epoch, medians over draws: share of wrong test images, likeness of units, variance of hidden outputs."),
        say("With and without dropout and weight decay."),
        lambda: _draw(drawn),
        ReportTable("dropout-courses", "", (ReportColumn("noise", say("On"), "text"),
                    ReportColumn("what", say("What"), "text"), ReportColumn("epoch", say("Epoch")),
                    ReportColumn("median", say("Median"))), tuple(rows)),
    )  # fmt: skip


def _draw(drawn: Sequence[CellRecord]) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    figure = new_figure(7.6, 2.7)
    for i, (name, words) in enumerate(PANELS.items()):
        axes = framed_axes(figure, 0.5, 0.5, 0.1, 0.3, i, len(PANELS))
        for cell, color in zip(drawn, COLORS * 3, strict=False):
            axes.plot(cell.looks, np.median(losses(cell, name), axis=1), "o-", color=color, markersize=3, linewidth=1.2,
                      label=_words(cell))  # fmt: skip
        axes.set_title(str(words), fontsize=9)
        axes.set_xlabel(say("epoch"), fontsize=8)
        axes.tick_params(labelsize=6)
        if i == 0:
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("noise"):
        shares = ", ".join(
            f"{_words(cell)} {np.median(ERROR(cell)):.1%}" for cell in cells.of("noise", {"dataset": dataset})
        )
        parts.append(f"{title(dataset)}: {shares}")
    return say("Wrong test images after the last epoch: {parts}.", parts=listed(parts, "; "))


LESSON = Lesson(later("Dropout"), claims, blocks, answer)
