"""The cards: what was found for each dataset, how surely, and what it is worth beyond the range, on one screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.formats.blocks import (
    Card,
    Cards,
    Fact,
    Link,
    Missing,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    file_names,
    labels,
    number_text,
    optional,
    param_title,
    printable,
    shown,
)
from analysis.records.events import Scalar
from analysis.records.study import Study
from analysis.sections.ablation import better_changes, change_sentences, short_sentence
from analysis.sections.answer import NO_FLOOR, page_link, verdict_text
from analysis.sections.curves import curve_block, curve_line
from analysis.sections.distance import crossing, distance_bins, points_beyond
from analysis.sections.models import WinnerModel, winner_model
from analysis.sections.surface import MOST_IN_CSV, N_PIXELS, PAGE_HALF_WIDTH, Surface, surface
from analysis.sections.table import (
    TableStudy,
    best_baseline,
    metric_title,
    open_table_study,
    score_interval,
    warning_text,
)
from analysis.statistics.ablation import ablation
from analysis.statistics.beyond import BeyondPoints, beyond_points
from analysis.statistics.homework import (
    HomeworkRow,
    RangeRow,
    dataset_title,
    exact_text,
    homework_rows,
    range_rows,
    replay_command,
    setting_text,
    winner_record,
)
from analysis.statistics.intervals import Interval
from analysis.statistics.ranges import Box
from analysis.statistics.selection import LEAST_TRIALS_FOR_IMPORTANCE as ENOUGH
from analysis.statistics.why import (
    LEAST_TRIALS,
    ArmComparison,
    ChoiceArm,
    comparisons,
    edges,
    importance_is_weak,
    n_comparable,
)
from engine.playground.registry import DATASETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The answer"
SIZE = 1.75
MOST_EDGES = 3
MEANINGS = {
    "Training loss": "mean loss on the points trained on",
    "Test loss": "mean loss on points in reserve, of the same draw",
    "Pass rate": "share of draws with training and test loss below the goal",
    "Attainable": "pass rate of the best possible predictor, which knows the rule but not the noise",
    "Floor": "mean test loss of the best possible predictor: nothing can be lower on average",
    "In range": "mean loss on test points inside the box of the training inputs",
    "Out of range": "mean loss on points beyond that box, which no choice has seen",
    "Folds": "mean score on rows left out of training, by which the search chose",
    "Test rows": "score on rows that no search saw",
    "Simple model": "best simple model on the same test rows",
}


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    return Section("cards", TITLE, (Cards(tuple(cards_of(studies))),) if studies else ())


def cards_of(studies: Sequence[Study]) -> list[Card]:
    """Return one card for each study, under the names that the report gives them."""
    names = labels(studies)
    files = file_names("card", names)
    return [card_of(study, name, file) for study, name, file in zip(studies, names, files, strict=True)]


def card_of(study: Study, label: str = "", file_name: str = "card") -> Card:
    """Return a study's card; what it has no number for stands there as a sentence.

    Parameters
    ----------
    study : Study
        Of any kind that has trials.
    label : str
        What to call it; empty means its dataset's title.
    file_name : str
        Of the picture.
    """
    label = label or printable(dataset_title(study.header.dataset))
    table = open_table_study(study, label)
    winner = next((row for row in homework_rows([study]) if row.setting == "winner"), None)
    if winner is None:
        why = verdict_text(study, label).removeprefix(f"{label}: ")
        state = "no answer yet" if study.verdict is None else "not certified"
        nothing = Missing("not shown: no trial has given a loss")
        return Card(label, state, f"goal {study.header.goal:g}", Missing(why), (), nothing.reason + ".", nothing,
                    Missing("nothing to replay"), Missing("no setting to open"), (), ())  # fmt: skip
    model, changes = winner_model(study), change_sentences(study)
    page = next((row for row in homework_rows([study]) if row.setting == "page"), None)
    if table is None:
        facts, beyond = draw_facts(winner, range_rows([study])[0]), beyond_sentence(range_rows([study])[0], model)
        basis = f"goal {study.header.goal:g}, n = {winner.n_replicas} draws"
    else:
        warnings = [warning_text(text) for text in table.table.warnings]
        facts, beyond = table_facts(table), " ".join([*warnings, table_beyond(table)])
        basis = f"goal {table.table.goal}"
    return Card(
        dataset=label,
        verdict=winner.verdict,
        basis=basis,
        setting=setting_text(winner.record),
        facts=facts,
        beyond=beyond,
        picture=card_picture(study, model, label, file_name),
        command=replay_command(study, winner.record),
        link=card_link(study, winner, page),
        why=why_sentences(study, winner, besides=bool(changes)),
        next_steps=next_sentences(study, winner),
        changes=changes,
        changes_short=short_sentence(study),
    )


def fact(title: str, value: Interval | float | Missing) -> Fact:
    """Return one figure with its meaning."""
    return Fact(title, shown(value) if isinstance(value, Interval) else value, MEANINGS[title])


def draw_facts(row: HomeworkRow, sides: RangeRow) -> tuple[Fact, ...]:
    """Return the figures of data that are drawn afresh."""
    return (
        fact("Training loss", row.train_loss),
        fact("Test loss", row.test_loss),
        fact("Pass rate", row.pass_rate),
        fact("Attainable", optional(row.attainable_pass_rate, NO_FLOOR)),
        fact("In range", sides.in_range.loss),
        fact("Out of range", sides.out_of_range.loss),
        fact("Floor", optional(row.floor, NO_FLOOR)),
    )


def table_facts(one: TableStudy) -> tuple[Fact, ...]:
    """Return the figures of a table, in its own metric."""
    metric, network, best = one.table.metric, one.network, best_baseline(one, "test")
    missing = Missing("not measured")
    scores: list[tuple[str, Interval | Missing]] = [
        (title, missing if network is None else score_interval(network, part, metric))
        for title, part in (("Folds", "validation"), ("Test rows", "test"), ("Out of range", "out_of_range"))
    ]
    scores.append(("Simple model", missing if best is None else score_interval(best, "test", metric)))
    name = metric_title(one.table, metric)
    return tuple(
        Fact(title, shown(value) if isinstance(value, Interval) else value, f"{name}: {MEANINGS[title]}")
        for title, value in scores
    )


def table_beyond(one: TableStudy) -> str:
    """Return a table's loss out of range against in range, in its metric."""
    metric, network = one.table.metric, one.network
    if network is None:
        return "Not shown: no network has been chosen yet."
    inside, outside = (score_interval(network, part, metric) for part in ("validation", "out_of_range"))
    if inside.estimate is None or outside.estimate is None:
        return f"Not shown: {outside.reason or inside.reason}."
    name = metric_title(one.table, metric)
    return f"{name} {number_text(outside.estimate)} out of range, {number_text(inside.estimate)} in range."


def beyond_sentence(row: RangeRow, model: WinnerModel | Missing) -> str:
    """Return in range against out of range as one sentence, with what is known of the reason."""
    difference, inside, outside = row.difference, row.in_range.loss.estimate, row.out_of_range.loss.estimate
    if inside is None or outside is None:
        reason = (row.out_of_range.loss if outside is None else row.in_range.loss).reason or "not measured"
        return f"Out of range against in range {reason}."
    if difference.low is None or difference.high is None:
        told = "Out of range against in range is not decided"
    elif difference.low > 0:
        told = "Worse out of range"
    elif difference.high < 0:
        told = "Better out of range"
    else:
        told = "In range and out of range are not to be told apart"
    told += f", {number_text(outside)} against {number_text(inside)}"
    reasons = reasons_beyond(row, model)
    return f"{told}: {'; '.join(reasons)}." if reasons else f"{told}."


def reasons_beyond(row: RangeRow, model: WinnerModel | Missing) -> list[str]:
    """Return what makes the points out of range easier or harder, as clauses."""
    reasons = []
    if row.in_range.floor is not None and row.out_of_range.floor is not None:
        low, high = number_text(row.out_of_range.floor), number_text(row.in_range.floor)
        reasons.append(f"the floor there is {low} against {high}")
    if isinstance(model, Missing):
        return reasons
    draws = model.draws
    points, point_labels = points_beyond(model, model.stretch)
    found = beyond_points(draws.dataset, draws.noise, draws.train_points, points, point_labels)
    if found is not None:
        reasons += point_clauses(found)
    at = crossing(distance_bins(model))
    reasons.append("nowhere worse than a constant guess" if at is None else f"first worse than a constant guess {at}")
    return reasons


def point_clauses(found: BeyondPoints) -> list[str]:
    """Return where the points out of range lie and of which classes they are, as clauses."""
    clauses = []
    if found.farther is not None:
        clauses.append(
            f"{share_text(found.farther)} of those points lie farther from the true boundary than any training point"
        )
    if found.positive in (0.0, 1.0):
        clauses.append(f"only class {'+1' if found.positive else '-1'} occurs there")
    elif found.positive is not None:
        clauses.append(f"both classes occur there ({share_text(found.positive)} +1)")
    return clauses


def share_text(share: float) -> str:
    """Return a share in whole percent; only all is 100, only none is 0."""
    if 0.0 < share < 0.005 or 0.995 <= share < 1.0:
        return "under 1 %" if share < 0.5 else "over 99 %"
    return f"{100 * share:.0f} %"


def card_link(study: Study, winner: HomeworkRow, page: HomeworkRow | None) -> Link | Missing:
    """Return the link to the Playground page: with this setting, or with the best one that it can express."""
    if winner.playground_url:
        return replace_text(page_link(winner.playground_url), "this setting on the Playground page")
    if page is None or not page.playground_url:
        return Missing("the Playground page cannot show it")
    same = "the page's best setting, which is another one" if study.header.has_page else "Playground page"
    return replace_text(page_link(page.playground_url), same)


def replace_text(link: Link | Missing, text: str) -> Link | Missing:
    """Return a link under another text."""
    return replace(link, text=text) if isinstance(link, Link) else link


def why_sentences(study: Study, winner: HomeworkRow, *, besides: bool = False) -> tuple[str, ...]:
    """Return one sentence for each hyperparameter that these trials show to have mattered, or why there is none.

    Where changes of the winner were tried `besides`, nothing is said of what these trials cannot tell.
    """
    n = n_comparable(study)
    if besides and n < ENOUGH:
        return ()
    if n < LEAST_TRIALS:
        return (f"Not told: {n} trial{'' if n == 1 else 's'} can be compared; it takes {LEAST_TRIALS}.",)
    found = comparisons(study, winner.record)
    told = []
    for param in dict.fromkeys(one.param for one in found):
        mine = [one for one in found if one.param == param]
        if any(one.sign for one in mine):
            told.append(param_sentence(mine, n))
    if besides and not told:
        return ()
    return tuple(told) or (f"No hyperparameter can be told to have mattered in these {n} trials.",)


def param_sentence(found: Sequence[ArmComparison], n: int) -> str:
    """Return what one hyperparameter's comparisons say, those that decide nothing last."""
    title, mine = card_title(found[0].param), found[0].mine
    parts = []
    for one in found:
        if not one.sign:
            continue
        numbers = f"{number_text(one.ratio.estimate or 0)} times"
        if one.ratio.low is not None and one.ratio.high is not None:
            numbers += f" ({number_text(one.ratio.low)} to {number_text(one.ratio.high)})"
        sizes = f"n = {len(one.other.members)} against {len(mine.members)} trials"
        if one.sign > 0:
            lowest = f"the lowest of them {number_text(one.lowest)}"
            parts.append(f"with {arm_text(one.other)} the test loss was {numbers} as high, {lowest} ({sizes})")
        else:
            parts.append(f"with {arm_text(one.other)} it was lower, {numbers}, so the winner is an exception ({sizes})")
    if undecided := [arm_text(one.other) for one in found if not one.sign]:
        parts.append(f"against {' or '.join(undecided)}, these {n} trials do not decide")
    return f"{title} {arm_text(mine)}: {'; '.join(parts)}."


def card_title(param: str) -> str:
    """Return a hyperparameter's name at the start of a sentence: ``"Units of layer 2"``, ``"Learning rate"``."""
    layer = re.fullmatch(r"network\.hidden_layer(?:_sizes)?[._](\d+)", param)
    title = f"units of hidden layer {layer[1]}" if layer else param_title(param).removeprefix("n ")
    return title[:1].upper() + title[1:]


def arm_text(arm: ChoiceArm) -> str:
    """Return a value or a range of values for a reader."""
    low, high = value_text(arm.low), value_text(arm.high)
    return low if low == high else f"{low} to {high}"


def value_text(value: Scalar) -> str:
    """Return a hyperparameter's value for a reader."""
    return number_text(value) if isinstance(value, float) else printable(exact_text(value))


def next_sentences(study: Study, winner: HomeworkRow) -> tuple[str, ...]:
    """Return what is left to be tried."""
    told = []
    left = study.budget.n_trials - len(study.trials)
    if study.verdict is not None and study.verdict.stopped == "reached" and left > 0:
        plural = "s were" if left > 1 else " was"
        told.append(f"{left} trial{plural} not needed; with --until budget the search goes on.")
    for better in better_changes(study)[:MOST_EDGES]:
        told.append(f"{better} is shown to be better from here: a search around it may win more.")
    for edge in edges(study, winner.record)[:MOST_EDGES]:
        way = "lower" if edge.side == "lowest" else "higher"
        told.append(
            f"{card_title(edge.param)} {value_text(edge.value)} is the {edge.side} of {edge.n} trials: "
            f"{way} values are untried."
        )
    if importance_is_weak(study) and ablation(study, winner.record) is None:
        n = n_comparable(study)
        told.append(f"Which hyperparameters matter most is not told: {n} comparable trials; it takes {ENOUGH}.")
    return tuple(told)


def card_picture(study: Study, model: WinnerModel | Missing, label: str, file_name: str) -> Picture | Missing:
    """Return the decision surface in and beyond the range, or the curve where there is none to draw."""
    if isinstance(model, WinnerModel):
        return small_surface(model, label, file_name)
    block = curve_block(study, label, file_name)
    if not isinstance(block, Picture):
        return Missing("no picture: no curve was recorded")
    n = study.header.n_replicas if (record := winner_record(study)) is None else len(record.test_loss)
    return replace(
        block,
        caption="Loss by epoch: training, test, out of range (green, blue, orange).",
        alt=f"{label}: mean training, test and out-of-range loss by epoch, over n = {n} draws.",
        draw=lambda: small_curve(study),
    )


def small_surface(model: WinnerModel, label: str, file_name: str) -> Picture:
    """Return the mean prediction in the training box and three times as far, small."""
    box = Box.fit(model.draws.train_points[:1])
    far = surface(model, max(3.0, model.stretch) * PAGE_HALF_WIDTH, box)
    step = max(1, N_PIXELS // MOST_IN_CSV)
    line = np.linspace(-far.half_width, far.half_width, N_PIXELS)[::step]
    data = ReportTable(
        file_name,
        "",
        (ReportColumn("x1", "X1"), ReportColumn("x2", "X2"), ReportColumn("prediction", "Mean prediction")),
        tuple(
            (float(x), float(y), float(far.prediction[i * step, j * step]))
            for i, y in enumerate(line)
            for j, x in enumerate(line)
        ),
    )
    what = "right class" if DATASETS[model.draws.dataset].problem == "classification" else "right sign"
    return Picture(
        file_name,
        "Square: training range.",
        f"{label}: mean prediction of n = {model.n_replicas} networks in the training range (square) and beyond it; "
        f"outside the square {what} at {100 * far.correct:.0f} % of the plane.",
        lambda: draw_small(far, box),
        data,
        raster=True,
    )


def draw_small(far: Surface, box: Box) -> Figure:
    """Draw a surface without axes, the training box in it."""
    from analysis.formats.style import new_figure, playground_colors

    figure = new_figure(SIZE, SIZE)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(
        far.prediction,
        origin="lower",
        extent=(-far.half_width, far.half_width) * 2,
        cmap=playground_colors(),
        vmin=-1,
        vmax=1,
        interpolation="bilinear",
    )
    (x0, y0), (x1, y1) = box.low[0], box.high[0]
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="black", linewidth=1.2)
    axes.set_xlim(-far.half_width, far.half_width)
    axes.set_ylim(-far.half_width, far.half_width)
    axes.set_axis_off()
    return figure


def small_curve(study: Study) -> Figure:
    """Draw training, test and out-of-range loss by epoch, small."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, framed_axes, new_figure

    figure = new_figure(SIZE, SIZE)
    axes = framed_axes(figure, 0.05, 0.05, 0.05, 0.05)
    record = winner_record(study)
    if record is not None:
        for key, color in (("train_loss", GREEN), ("test_loss", BLUE), ("out_of_range_loss", ORANGE)):
            axes.plot(
                record.epoch_grid, curve_line(record, f"{key}_mean"), "o-", color=color, linewidth=1.5, markersize=3
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.minorticks_off()
    return figure
