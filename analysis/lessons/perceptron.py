"""The homework report: its grid with right gradients, from two starts, by depth and seconds, and with its own one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, losses, measured, pooled, sooner, time_to
from analysis.course.choosing import best, judges
from analysis.course.kept import kept_blocks, n_parameters
from analysis.course.lesson import Lesson
from analysis.course.panels import curve_panels
from analysis.formats.blocks import Block, Cell, Missing, Paragraph, ReportColumn, ReportTable, shown
from analysis.lessons.from_scratch import LOADED, is_loaded, seconds, undecided
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Kind, Sample, Test, median_interval, share_interval
from analysis.words import later, say

OPTIMIZER, ACTIVATION, BATCH = "training.optimizer", "network.activation", "training.batch_size"
SHAPE = "network.hidden_layer_sizes"
SETTING = (OPTIMIZER, ACTIVATION, BATCH)
NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "sgd": "SGD", "adam": "Adam"}
REPORTED, WIDTHS = 23_402, (1, 150, 150, 1)
FLAT, DEEP = "150", "150-150-150-150"
ALIKE = 0.25
"""How far from 1 the ratio of two losses may be that hardly differ."""
REST = 1e-5
"""The report ends a training once the mean training loss moves by no more from one epoch to the next."""
FAST = 0.05
"""Training and test loss that counts as learnt when epochs are compared: five times the noise."""

Value = Callable[[CellRecord], FloatArray]
Levels = Mapping[str, Level]


def train_loss(cell: CellRecord) -> FloatArray:
    """Return the training loss at the end."""
    return last(cell, "train")


def test_loss(cell: CellRecord) -> FloatArray:
    """Return the test loss at the end."""
    return last(cell, "test")


def gap(cell: CellRecord) -> FloatArray:
    """Return the test loss over the training loss at the end."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(test_loss(cell) / train_loss(cell))


def wrong(cell: CellRecord) -> FloatArray:
    """Return the test loss after training with the report's gradient; infinite where it diverged."""
    found = measured(cell, "wrong_gradient_loss")
    return np.where(np.isnan(found), np.inf, found)


def rests_at(cell: CellRecord) -> FloatArray:
    """Return the epoch at which the report's rule ends each replica; infinite where it does not by the last look.

    Only looks at epochs that follow each other are compared.
    """
    looks = np.array(cell.looks)
    with np.errstate(invalid="ignore"):
        moved = np.abs(np.diff(losses(cell, "train"), axis=0))
    still = (moved <= REST) & (np.diff(looks) == 1)[:, None]
    if not len(still):
        return np.full(len(cell.seeds), np.inf)
    return np.where(still.any(axis=0), looks[1:][still.argmax(axis=0)].astype(float), np.inf)


def rested_loss(cell: CellRecord) -> FloatArray:
    """Return the test loss with which the report's rule leaves each replica."""
    at, test = rests_at(cell), losses(cell, "test")
    rows = np.where(np.isinf(at), len(cell.looks) - 1, np.searchsorted(cell.looks, np.where(np.isinf(at), 0, at)))
    return np.asarray(test[rows, np.arange(test.shape[1])])


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train the grid: whose start and gradient, and the loss that counts in a cell."""

    title: str
    design: str
    loss: Value


GRID = Arm(later("our start and order"), "grid", test_loss)
OWN = Arm(later("the report's start and order"), "own_start", test_loss)
NARROW = Arm(later("1-50-50-1, the report's start and order"), "wrong_gradient", test_loss)
WRONG = Arm(later("1-50-50-1, its start, order and wrong gradient"), "wrong_gradient", wrong)
RIGHT = (GRID, OWN)


def _pairs(
    cells: Cells, design: str, key: str, a: Level, b: Level, only: Levels | None = None
) -> list[tuple[CellRecord, CellRecord]]:
    """Return the cells of two levels of a factor with everything else equal."""
    found = []
    for one in cells.of(design, {key: a, **(only or {})}):
        other = cells.one(design, {**{k: v for k, v in one.params.items() if k != "design"}, key: b})
        if other is not None:
            found.append((one, other))
    return found


def _lower(pairs: Sequence[tuple[CellRecord, CellRecord]], value: Value) -> FloatArray | None:
    """Return in which share of pairs the first has the lower value, of each replica."""
    found = [sooner(value(one), value(other)) for one, other in pairs]
    return np.mean(found, axis=0) if found else None


def _shares(found: Sequence[tuple[str, FloatArray | None]], kind: Kind = "share") -> tuple[Sample, ...]:
    return tuple(Sample(title, kind, values) for title, values in found if values is not None)


def _versus(
    cells: Cells, key: str, a: Level, b: Level, arms: Sequence[Arm], only: Levels | None = None
) -> tuple[Sample, ...]:
    return _shares([(arm.title, _lower(_pairs(cells, arm.design, key, a, b, only), arm.loss)) for arm in arms])


def _spread(cells: Cells, arm: Arm) -> FloatArray | None:
    """Return highest over lowest loss of the activations under SGD, of each replica, mean over batch sizes."""
    ratios = []
    for batch in cells.levels(arm.design, BATCH):
        group = cells.of(arm.design, {OPTIMIZER: "sgd", BATCH: batch})
        if len(group) > 1:
            found = np.stack([arm.loss(cell) for cell in group])
            with np.errstate(invalid="ignore"):
                ratios.append(found.max(axis=0) / found.min(axis=0))
    return np.mean(ratios, axis=0) if ratios else None


def _is_best(cells: Cells, arm: Arm) -> FloatArray | None:
    """Return 1 for replicas whose lowest loss of all settings is that of ReLU, batch 1, SGD; None without them."""
    mine = cells.one(arm.design, {OPTIMIZER: "sgd", ACTIVATION: "relu", BATCH: 1})
    group = cells.of(arm.design)
    if mine is None or len(group) < 2:
        return None
    return np.asarray(arm.loss(mine) <= np.min([arm.loss(cell) for cell in group], axis=0), np.float64)


def by_depth(cells: Cells, value: Value) -> tuple[Sample, ...]:
    """Return in which share of settings four layers have the higher value than one, by optimizer, of each replica."""
    return _shares(
        [
            (name_of(optimizer), _lower(_pairs(cells, "depth", SHAPE, FLAT, DEEP, {OPTIMIZER: optimizer}), value))
            for optimizer in cells.levels("depth", OPTIMIZER)
        ]
    )


def _harm(cells: Cells) -> tuple[Sample, ...]:
    found: list[tuple[str, FloatArray | None]] = []
    for optimizer in cells.levels("wrong_gradient", OPTIMIZER):
        wins = [sooner(test_loss(cell), wrong(cell)) for cell in cells.of("wrong_gradient", {OPTIMIZER: optimizer})]
        found.append((name_of(optimizer), np.mean(wins, axis=0) if wins else None))
    return _shares(found)


def _faster(cells: Cells, kinked: str) -> tuple[Sample, ...]:
    """Return in which share of repetitions an epoch takes less time than with sigmoid and tanh, by optimizer, batch."""
    found = []
    for cell in cells.of("seconds", {ACTIVATION: kinked}):
        others = [
            seconds(
                cells.one("seconds", {OPTIMIZER: cell.params[OPTIMIZER], BATCH: cell.params[BATCH], ACTIVATION: one})
            )
            for one in ("sigmoid", "tanh")
        ]
        mine = seconds(cell)
        wins = [sooner(mine, other) for other in others if len(mine) and len(other) == len(mine)]
        title = say("{optimizer}, batch {batch}", optimizer=name_of(cell.params[OPTIMIZER]), batch=cell.params[BATCH])
        found.append((title, np.mean(wins, axis=0) if wins else None))
    return _shares(found)


def chosen(cells: Cells) -> CellRecord | None:
    """Return the setting of the grid that is best on every second division."""
    return best(cells, "grid", {}, test_loss)


def name_of(level: Level) -> str:
    """Return what people call an optimizer or activation."""
    return NAMES.get(str(level), str(level))


def setting_of(cell: CellRecord) -> str:
    """Return a cell's optimizer, activation and batch size."""
    return say(
        "{optimizer}, {activation}, batch {batch}",
        optimizer=name_of(cell.params[OPTIMIZER]),
        activation=name_of(cell.params[ACTIVATION]),
        batch=cell.params[BATCH],
    )


def _claim(
    number: str, words: str, measure: str, samples: tuple[Sample, ...], test: Test = "above", even: float = 0.5,
    margin: float = 0.0, budget: str = "",
) -> Claim:  # fmt: skip
    equal = budget or say("equal epochs, rate and divisions; batch 1 has eight times the updates of batch 8")
    return Claim(number, words, measure, test, even, samples, pooled(samples), margin, equal)


def claims(cells: Cells) -> list[Claim]:
    """Return the report's findings, with right gradients and with its own."""
    return [*_about_settings(cells), *_about_fit(cells), *_about_seconds(cells), *_about_the_best(cells)]


def _about_settings(cells: Cells) -> list[Claim]:
    sgd = say("share of settings and divisions with a lower test loss with SGD than with Adam")
    batch = say("share of settings and divisions with a lower test loss with batch 1 than with batch 8")
    best_words = say("share of divisions in which ReLU, batch 1 and SGD have the lowest test loss of all settings")
    relu = {ACTIVATION: "relu"}
    speed = _shares([(say("grid"), _lower(_pairs(cells, "grid", OPTIMIZER, "adam", "sgd", relu), _epochs))])
    return [
        _claim("65", say("Adam trains badly"), sgd, _versus(cells, OPTIMIZER, "sgd", "adam", RIGHT)),
        _claim("65", say("... which its wrong gradient makes it do"), sgd,
               _versus(cells, OPTIMIZER, "sgd", "adam", [WRONG])),
        _claim("66", say("Batch 1 is best"), batch, _versus(cells, BATCH, 1, 8, RIGHT)),
        _claim("66", say("... with its wrong gradient, too"), batch, _versus(cells, BATCH, 1, 8, [WRONG])),
        _claim("67", say("Activations hardly differ under SGD (the worst within 25 % of the best)"),
               say("highest over lowest test loss of the four activations (median over divisions, mean over batch "
                   "sizes)"),
               _shares([(arm.title, _spread(cells, arm)) for arm in RIGHT], "median"), "within", 1.0, ALIKE),
        _claim("69", say("Adam speeds ReLU up"),
               say("share of batch sizes and divisions in which ReLU has a training and test loss below {level} after "
                   "fewer epochs with Adam than with SGD (never with both counts half)", level=FAST), speed),
        _claim("69", say("Adam lowers tanh's loss"),
               say("share of divisions with a lower test loss with Adam than SGD, tanh"),
               _versus(cells, OPTIMIZER, "adam", "sgd", RIGHT, {ACTIVATION: "tanh"})),
        _claim("70", say("ReLU, batch 1 and SGD are best"), best_words,
               _shares([(arm.title, _is_best(cells, arm)) for arm in RIGHT])),
        _claim("70", say("... with its wrong gradient"), best_words, _shares([(WRONG.title, _is_best(cells, WRONG))])),
        _claim("", say("The wrong gradient does harm"),
               say("share of settings and divisions with a higher test loss with the wrong gradient than with the "
                   "right one, same start and order, by optimizer"), _harm(cells)),
    ]  # fmt: skip


def _epochs(cell: CellRecord) -> FloatArray:
    return time_to(cell, FAST)


def _about_fit(cells: Cells) -> list[Claim]:
    larger = _shares(
        [
            (name_of(optimizer), _lower(_pairs(cells, "grid", BATCH, 8, 1, {OPTIMIZER: optimizer}), gap))
            for optimizer in cells.levels("grid", OPTIMIZER)
        ]
    )
    stopped: list[tuple[str, FloatArray | None]] = []
    for optimizer in cells.levels("grid", OPTIMIZER):
        wins = [sooner(rested_loss(cell), test_loss(cell)) for cell in cells.of("grid", {OPTIMIZER: optimizer})]
        stopped.append((name_of(optimizer), np.mean(wins, axis=0) if wins else None))
    deep = say("equal widths, epochs, rate and divisions; four layers have more parameters than one")
    return [
        _claim("71", say("Larger batches reduce overfitting"),
               say("share of settings and divisions with a smaller ratio of test to training loss with batch 8 than "
                   "with batch 1, by optimizer"), larger),
        _claim("43", say("The report's stop, once the training loss moves by 1e-5 at most, regularizes"),
               say("share of settings and divisions with a lower test loss where it ends than after the last epoch "
                   "(not ended counts half), by optimizer"), _shares(stopped), budget=say("same network")),
        _claim("73", say("Deeper networks underfit"),
               say("share of settings and divisions with a higher training loss with four hidden layers than with one, "
                   "by optimizer"), by_depth(cells, train_loss), budget=deep),
        _claim("73", say("Deeper networks overfit"),
               say("share of settings and divisions with a larger ratio of test to training loss with four hidden "
                   "layers than with one, by optimizer"), by_depth(cells, gap), budget=deep),
    ]  # fmt: skip


def _about_seconds(cells: Cells) -> list[Claim]:
    found = [
        _claim("68", say("{name} trains faster, in seconds", name=name_of(kinked)),
               say("share of repetitions in which an epoch of one network takes less time than with sigmoid and "
                   "with tanh"), _faster(cells, kinked),
               budget=say("same weights, batches and thread; seconds of this run, of our engine"))
        for kinked in ("relu", "leaky_relu")
    ]  # fmt: skip
    if is_loaded(cells):
        found = [undecided(one) for one in found]
    return [dataclasses.replace(one, timed=True) for one in found]


def _about_the_best(cells: Cells) -> list[Claim]:
    cell, goal = chosen(cells), cells.target("grid")
    values: list[tuple[str, FloatArray | None]] = [
        ("", None if cell is None else judges(measured(cell, probe))) for probe in ("fresh_loss", "beyond_to_constant")
    ]
    budget = say("chosen on half of the divisions, measured on the others")
    return [
        _claim("", say("The best setting's loss on points drawn anew is below {goal:g}", goal=goal),
               say("mean squared error on 500 points of the rule behind the data (median over the divisions that did "
                   "not choose)"), _shares(values[:1], "median"), "below", goal, budget=budget),
        _claim("", say("Beyond the range of its points the best setting is better than a constant"),
               say("loss up to twice as far from 0 over that of the mean training label there (median over the "
                   "divisions that did not choose)"), _shares(values[1:], "median"), "below", 1.0, budget=budget),
        Claim("76", say("1-150-150-1 has 23 402 parameters"), say("weights and biases, each counted once"), "equals",
              float(REPORTED), (Sample("", "exact", np.array([float(n_parameters(WIDTHS))])),),
              budget=say("counted, not trained")),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return curves, tables, and the best setting's networks."""
    found: list[Block] = [
        curve_panels(
            "perceptron-curves",
            say("Mean squared error by epoch, median over divisions: lines training, dots test. Both scales are "
                "logarithmic; the noise alone is 0.01."),
            say("One panel for each optimizer and batch size, one colour for each activation."),
            cells, "grid", (OPTIMIZER, BATCH), ACTIVATION, name_of,
        ),
        _grid_table(cells),
        _effects_table(cells),
        _depth_table(cells),
    ]  # fmt: skip
    cell = chosen(cells)
    if cell is not None:
        found += _best_blocks(cells, cell)
    if is_loaded(cells):
        found.append(Paragraph(LOADED, "missing"))
    found.append(
        Paragraph(say("Judged elsewhere: more data help (72) in split; zero-centred outputs and zig-zag (74) in "
                      "optimizers and activations; OR and XOR (75) in nonlinearity; depth at equal "
                      "parameters (73) in depth."))
    )  # fmt: skip
    return found


def _grid_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for cell in cells.of("grid"):
        levels = {key: cell.params[key] for key in SETTING}
        times = seconds(cells.one("seconds", levels))
        at = rests_at(cell)
        rows.append(
            (
                setting_of(cell),
                *(shown(median_interval(values)) for values in
                  (train_loss(cell), test_loss(cell), measured(cell, "fresh_loss"))),
                shown(share_interval(np.isfinite(at).astype(float))),
                shown(median_interval(rested_loss(cell))),
                *(_other(cells, arm, levels) for arm in (OWN, NARROW, WRONG)),
                float(1000.0 * np.median(times)) if len(times) else Missing(say("not measured here")),
            )
        )  # fmt: skip
    return ReportTable(
        "perceptron-grid",
        say(
            "Median losses over {n} divisions of the points, by setting: with our start on training, test and fresh "
            "points; what the report's stop would have done; test loss with the report's start and order; in a network "
            "a third as wide, with the right gradient and with the report's; milliseconds of an epoch of one network. "
            "The noise alone is 0.01.",
            n=cells.design("grid").get("n_replicas", 0),
        ),
        (
            ReportColumn("setting", say("Setting"), "text"),
            ReportColumn("train", say("Training loss"), "interval"),
            ReportColumn("test", say("Test loss"), "interval"),
            ReportColumn("fresh", say("Loss on fresh points"), "interval"),
            ReportColumn("ended", say("Ended by the stop, share"), "interval"),
            ReportColumn("rested", say("Test loss where it ends"), "interval"),
            ReportColumn("start", say("Test loss, the report's start"), "interval"),
            ReportColumn("narrow", say("... a third as wide"), "interval"),
            ReportColumn("wrong", say("... and wrong gradient"), "interval"),
            ReportColumn("ms", say("Milliseconds an epoch")),
        ),
        tuple(rows),
    )


def _other(cells: Cells, arm: Arm, levels: Levels) -> Cell:
    other = cells.one(arm.design, levels)
    return Missing(say("not trained")) if other is None else shown(median_interval(arm.loss(other)))


def effects(cells: Cells) -> list[tuple[str, str, dict[str, FloatArray]]]:
    """Return each effect of the grid: its words, what it is measured over, and its ratios by replica.

    A ratio is the geometric mean over all settings that differ in this one choice alone.
    """
    compared: list[tuple[str, str, str, Level, Level]] = [
        (say("Adam to SGD"), "grid", OPTIMIZER, "adam", "sgd"),
        (say("batch 1 to 8"), "grid", BATCH, 1, 8),
        *((say("{a} to ReLU", a=name_of(one)), "grid", ACTIVATION, one, "relu") for one in
          ("sigmoid", "tanh", "leaky_relu")),
        (say("four layers to one"), "depth", SHAPE, DEEP, FLAT),
    ]  # fmt: skip
    found = []
    for words, design, key, a, b in compared:
        pairs = _pairs(cells, design, key, a, b)
        if pairs:
            values = {name: _ratio(pairs, value) for name, value in
                      (("train", train_loss), ("test", test_loss), ("gap", gap))}  # fmt: skip
            found.append((words, say("{n} pairs of settings", n=len(pairs)), values))
    return found


def _ratio(pairs: Sequence[tuple[CellRecord, CellRecord]], value: Value) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = [np.log(value(one)) - np.log(value(other)) for one, other in pairs]
        return np.asarray(np.exp(np.mean(logs, axis=0)), np.float64)


def _effects_table(cells: Cells) -> ReportTable:
    rows = tuple(
        (words, over, *(shown(median_interval(values[~np.isnan(values)])) for values in ratios.values()))
        for words, over, ratios in effects(cells)
    )
    return ReportTable(
        "perceptron-effects",
        say("What each choice does: the ratio of two levels' losses with everything else equal, the geometric mean "
            "over all other choices, paired by division (median over divisions). Below 1 the first is lower."),
        (ReportColumn("choice", say("Choice"), "text"), ReportColumn("over", say("Over"), "text"),
         ReportColumn("train", say("Training loss, ratio"), "interval"),
         ReportColumn("test", say("Test loss, ratio"), "interval"),
         ReportColumn("gap", say("Test / training loss, ratio"), "interval")),
        rows,
    )  # fmt: skip


def _depth_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    order = [setting_of(cell) for cell in cells.of("grid")]
    for cell in [*cells.of("depth"), *cells.of("grid")]:
        shape = str(cell.params.get(SHAPE, "150-150"))
        rows.append(
            (len(shape.split("-")), n_parameters((1, *map(int, shape.split("-")), 1)), setting_of(cell),
             shown(median_interval(train_loss(cell))), shown(median_interval(test_loss(cell))))
        )  # fmt: skip
    return ReportTable(
        "perceptron-depth",
        say("Hidden layers of 150 units, parameters (weights and biases) and median losses over divisions."),
        (ReportColumn("layers", say("Hidden layers")), ReportColumn("parameters", say("Parameters")),
         ReportColumn("setting", say("Setting"), "text"), ReportColumn("train", say("Training loss"), "interval"),
         ReportColumn("test", say("Test loss"), "interval")),
        tuple(sorted(rows, key=lambda row: (row[0], order.index(str(row[2])) if row[2] in order else len(order)))),
    )  # fmt: skip


def _best_blocks(cells: Cells, cell: CellRecord) -> list[Block]:
    floor = cell.floors.get("test", [None])[0]
    text = say(
        "Best setting, chosen on every second division: {setting}. On the others its test loss is {test:.3g}, on "
        "points drawn anew {fresh:.3g} (medians; the noise alone is 0.01). On the homework's own division, the first, "
        "it has {own:.3g}; the truth scores {truth:.3g} on the same points.",
        setting=setting_of(cell),
        test=np.median(judges(test_loss(cell))),
        fresh=np.median(judges(measured(cell, "fresh_loss"))),
        own=test_loss(cell)[0],
        truth=np.nan if floor is None else floor,
    )
    return [Paragraph(text, "finding"), *kept_blocks("perceptron-best", cells, cell)]


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for arm in (GRID, OWN, NARROW, WRONG):
        group = cells.of(arm.design)
        if group:
            found = min(group, key=lambda cell: float(np.median(arm.loss(cell))))
            parts.append(
                say(
                    "{words} with {arm} ({loss:.3g})",
                    words=setting_of(found),
                    arm=arm.title,
                    loss=np.median(arm.loss(found)),
                )
            )
    return say(
        "Lowest median test loss: {parts}. Its 1-150-150-1 has {n_parameters} parameters, not {reported}.",
        parts="; ".join(parts),
        n_parameters=n_parameters(WIDTHS),
        reported=REPORTED,
    )


LESSON = Lesson(later("The homework report"), claims, blocks, answer)
