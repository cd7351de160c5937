"""A grid's own section: what each factor does, claims held against it, every cell with its curve."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Block,
    Cell,
    Heading,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    param_title,
    printable,
    shown,
    study_files,
)
from analysis.records.events import Scalar
from analysis.records.study import Study, StudyHeader, TrialRecord
from analysis.statistics.bounded import loss_interval
from analysis.statistics.effects import CLAIMS, Effect, Grid, effects, grid_of, judge, level_text, turned_round
from analysis.statistics.selection import n_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 24
MOST_LINES = 6
PARAMETERS_TEXT = (
    "1-150-150-1 has 150 + 150 x 150 + 150 = 22 800 weights and 150 + 150 + 1 = 301 biases: 23 101 parameters. The "
    "report's 23 402 counts the biases twice."
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section; without blocks where no study is a full grid."""
    names = labels(studies)
    blocks: list[Block] = []
    for study, name, file_name in zip(studies, names, study_files("effects", studies), strict=True):
        grid = grid_of(study)
        if grid is not None:
            blocks += grid_blocks(study, grid, name, file_name)
    return Section("effects", "What each choice does", tuple(blocks))


def grid_blocks(study: Study, grid: Grid, name: str, file_name: str) -> list[Block]:
    """Return the blocks of one study."""
    n = study.header.n_replicas
    size = " x ".join(f"{len(levels)} {factor_title(key)}" for key, levels in grid.factors.items())
    blocks: list[Block] = [
        Heading(name),
        Paragraph(
            f"A full grid: {size} = {len(grid.trials)} cells, all on the same {n} draws. An effect is the ratio of two "
            "levels' losses, each at its cell's best epoch, with everything else equal: the geometric mean over all "
            "other choices, paired by draw. Below 1 the first level is better. Intervals are 95 %; 'lower' and "
            "'higher' are Holm's verdicts at 5 % among all rows of the table."
        ),
    ]
    kind = str(study.header.data.get("kind", ""))
    if kind == "perceptron":
        blocks.append(
            Paragraph("Draws divide the same 200 points anew: intervals are about these points, not about others.")
        )
        blocks.append(Paragraph(PARAMETERS_TEXT))
    if kind in CLAIMS:
        blocks.append(claims_table(grid, kind, name, file_name))
    main = effects(grid, "test")
    blocks.append(effects_table(grid, main, name, file_name))
    turned = turned_round(grid, "test", main)
    blocks.append(
        turned_table(turned, name, file_name)
        if turned
        else Paragraph(f"{name}: no effect on the test loss turns round.")
    )
    blocks.append(cells_table(study.header, grid, name, file_name))
    picture = curves_picture(study, grid, name, file_name)
    return [*blocks, picture]


def claims_table(grid: Grid, kind: str, name: str, file_name: str) -> ReportTable:
    """Return what the grid says about the findings published for this kind of data."""
    words = {"train": "training loss", "test": "test loss", "gap": "test loss / training loss"}
    rows: list[tuple[Cell, ...]] = []
    for judgment in judge(grid, CLAIMS[kind]):
        claim, effect = judgment.claim, judgment.effect
        compared = f"{words[claim.measure]}, {level_text(claim.factor, claim.a)} to {level_text(claim.factor, claim.b)}"
        ratio: Cell = Missing("the grid has not both levels") if effect is None else shown(effect.ratio)
        rows.append((claim.words, judgment.verdict, compared, ratio, claim.note or "-"))
    return ReportTable(
        f"{file_name}-claims",
        f"{name}: what was claimed, and what this grid says.",
        (
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("verdict", "Verdict", "text"),
            ReportColumn("compared", "Compared", "text"),
            ReportColumn("ratio", "Ratio", "interval"),
            ReportColumn("not_equal", "Not held equal", "text"),
        ),
        tuple(rows),
    )


def effects_table(grid: Grid, main: Sequence[Effect], name: str, file_name: str) -> ReportTable:
    """Return the ratio of test and of training losses, and of the time of an epoch, for each pair of levels."""
    training = effects(grid, "train")
    rows = [
        (
            factor_title(test.factor),
            f"{_text(test.a)} to {_text(test.b)}",
            shown(test.ratio),
            _verdict(test),
            shown(train.ratio),
            _verdict(train),
            _time_ratio(grid, test),
        )
        for test, train in zip(main, training, strict=True)
    ]
    return ReportTable(
        f"{file_name}-pairs",
        f"{name}: every pair of levels. Seconds are wall-clock, of one trial at its place in the sweep: a hint.",
        (
            ReportColumn("factor", "Choice", "text"),
            ReportColumn("levels", "Levels", "text"),
            ReportColumn("test_ratio", "Test loss ratio", "interval"),
            ReportColumn("test_verdict", "Test loss", "text"),
            ReportColumn("train_ratio", "Training loss ratio", "interval"),
            ReportColumn("train_verdict", "Training loss", "text"),
            ReportColumn("time_ratio", "Seconds an epoch, ratio"),
        ),
        tuple(rows),
    )


def turned_table(turned: Sequence[Effect], name: str, file_name: str) -> ReportTable:
    """Return the effects that turn round within a level of another factor."""
    return ReportTable(
        f"{file_name}-turned",
        f"{name}: effects on the test loss that point the other way than above within one level of another choice.",
        (
            ReportColumn("within", "Within", "text"),
            ReportColumn("levels", "Levels", "text"),
            ReportColumn("ratio", "Test loss ratio", "interval"),
        ),
        tuple(
            (
                printable(level_text(*one.within[0])),
                f"{printable(level_text(one.factor, one.a))} to {_text(one.b)}",
                shown(one.ratio),
            )
            for one in turned
        ),
    )


def cells_table(header: StudyHeader, grid: Grid, name: str, file_name: str) -> ReportTable:
    """Return every cell with its losses, best first."""
    cells = sorted(grid.trials.values(), key=lambda trial: (trial.value, trial.number))
    rows = [
        (
            str(trial.number),
            *(_text(trial.params[key]) for key in grid.factors),
            n_parameters(trial.network),
            trial.epochs,
            max(trial.epoch_grid),
            shown(loss_interval(header, trial, trial.train_loss)),
            shown(loss_interval(header, trial, trial.test_loss)),
            _seconds(trial),
        )
        for trial in cells
    ]
    return ReportTable(
        f"{file_name}-cells",
        f"{name}: every cell, the lowest test loss first; the lowest of many flatters.",
        (
            ReportColumn("trial", "Trial", "text"),
            *(ReportColumn(key, factor_title(key), "text") for key in grid.factors),
            ReportColumn("parameters", "Parameters"),
            ReportColumn("epochs", "Best epoch"),
            ReportColumn("trained", "Epochs trained"),
            ReportColumn("train_loss", "Training loss", "interval"),
            ReportColumn("test_loss", "Test loss", "interval"),
            ReportColumn("seconds", "Seconds an epoch"),
        ),
        tuple(rows),
    )


def curves_picture(study: Study, grid: Grid, name: str, file_name: str) -> Block:
    """Return the loss curves of all cells: one line a level of one factor, one panel a combination of the others."""
    usable = [key for key, levels in grid.factors.items() if len(levels) <= MOST_LINES]
    line = max(usable, key=lambda key: len(grid.factors[key]) + 0.5 * ("activation" in key), default=None)
    if line is None or len(grid.trials) // len(grid.factors[line]) > MOST_PANELS:
        return Paragraph(f"{name}: curves not shown: more than {MOST_PANELS} panels.", "missing")
    rows = [
        (str(trial.number), epoch, train, test)
        for trial in grid.trials.values()
        for epoch, train, test in zip(
            trial.epoch_grid, trial.curves["train_loss_mean"], trial.curves["test_loss_mean"], strict=True
        )
        if train is not None and test is not None
    ]
    best = min(grid.trials.values(), key=lambda trial: trial.value)
    setting = ", ".join(level_text(key, best.params[key]) for key in grid.factors)
    return Picture(
        f"{file_name}-curves",
        f"{name}: mean loss by epoch over {study.header.n_replicas} draws; test solid, training dashed.",
        printable(f"{name}: lowest mean test loss {number_text(best.value)} at epoch {best.epochs} with {setting}."),
        lambda: draw_cells(grid, line),
        ReportTable(
            f"{file_name}-curves",
            "",
            (
                ReportColumn("trial", "Trial", "text"),
                ReportColumn("epoch", "Epoch"),
                ReportColumn("train_loss", "Mean training loss"),
                ReportColumn("test_loss", "Mean test loss"),
            ),
            tuple(rows),
        ),
    )


def draw_cells(grid: Grid, line: str) -> Figure:
    """Draw one panel for each combination of the factors other than `line`, on one scale."""
    from analysis.formats.style import BLACK, BLUE, GRAY, GREEN, ORANGE, RED, new_figure, plain_ticks

    others = [key for key in grid.factors if key != line]
    panels: dict[tuple[Scalar, ...], list[TrialRecord]] = {}
    for trial in grid.trials.values():
        panels.setdefault(tuple(trial.params[key] for key in others), []).append(trial)
    n_columns = len(grid.factors[others[-1]]) if others else 1
    for key in others[:-1][::-1]:
        if n_columns * len(grid.factors[key]) <= 4:
            n_columns *= len(grid.factors[key])
    n_rows = math.ceil(len(panels) / n_columns)
    figure = new_figure(8.6, 0.7 + 1.9 * n_rows)
    grid_of_axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    colors = dict(zip(grid.factors[line], (BLUE, ORANGE, GREEN, RED, BLACK, GRAY), strict=False))
    for axes, (place, trials) in zip(grid_of_axes.flat, panels.items(), strict=False):
        for trial in trials:
            color = colors[trial.params[line]]
            for side, style in (("test", "-"), ("train", "--")):
                means = [math.nan if mean is None else mean for mean in trial.curves[f"{side}_loss_mean"]]
                label = _text(trial.params[line]) if side == "test" else None
                axes.plot(trial.epoch_grid, means, style, color=color, linewidth=1.1, label=label)
        axes.set_yscale("log")
        title = ", ".join(level_text(key, level) for key, level in zip(others, place, strict=True))
        axes.set_title(textwrap.fill(title, 28), fontsize=6.5, fontweight="normal")
        axes.tick_params(labelsize=7)
    for axes in grid_of_axes.flat[len(panels) :]:
        axes.set_visible(False)
    plain_ticks(grid_of_axes[0][0], "y")
    for axes in grid_of_axes[-1]:
        axes.set_xlabel("epoch", fontsize=8)
    for row in grid_of_axes:
        row[0].set_ylabel("loss (logarithmic)", fontsize=8)
    handles, names = grid_of_axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=len(names), fontsize=8, title=factor_title(line))
    figure.subplots_adjust(
        left=0.09,
        right=0.985,
        bottom=0.45 / (0.7 + 1.9 * n_rows) + 0.02,
        top=1 - 0.8 / (0.7 + 1.9 * n_rows),
        hspace=0.45,
    )
    return figure


def factor_title(key: str) -> str:
    """Return a factor as a reader says it: ``"hidden layers"``."""
    return param_title(key).removeprefix("n ")


def _verdict(effect: Effect) -> str:
    return {1: "higher", -1: "lower", 0: "not decided"}[effect.sign]


def _seconds(trial: TrialRecord) -> float:
    return trial.duration_s / max(trial.epoch_grid)


def _time_ratio(grid: Grid, effect: Effect) -> float | Missing:
    place = [*grid.factors].index(effect.factor)
    logs = []
    for levels, trial in grid.trials.items():
        if levels[place] == effect.a:
            other = grid.trials[(*levels[:place], effect.b, *levels[place + 1 :])]
            if _seconds(trial) <= 0 or _seconds(other) <= 0:
                return Missing("not timed")
            logs.append(math.log(_seconds(trial) / _seconds(other)))
    return math.exp(math.fsum(logs) / len(logs))


def _text(level: Scalar) -> str:
    return printable(f"{level:g}" if isinstance(level, float) else str(level))
