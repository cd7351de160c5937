"""The cards: what was found for each dataset, how surely, and what it is worth beyond the range, on one screen."""

from __future__ import annotations

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
    labels,
    number_text,
    optional,
    printable,
    shown,
    study_files,
)
from analysis.records.study import Study
from analysis.sections.ablation import change_sentences, short_sentence
from analysis.sections.answer import NO_FLOOR, page_link, verdict_text
from analysis.sections.curves import curve_block, curve_line
from analysis.sections.distance import crossing, distance_bins, points_beyond
from analysis.sections.models import WinnerModel, winner_model
from analysis.sections.next_steps import card_title, convergence_sentences, next_sentences, value_text
from analysis.sections.surface import MOST_IN_CSV, N_PIXELS, PAGE_HALF_WIDTH, Surface, surface
from analysis.sections.table import (
    TableStudy,
    best_baseline,
    metric_title,
    open_table_study,
    score_interval,
    warning_text,
)
from analysis.statistics.beyond import BeyondPoints, beyond_points
from analysis.statistics.homework import (
    HomeworkRow,
    RangeRow,
    dataset_title,
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
    n_comparable,
)
from analysis.words import later, plural, say, translated
from engine.playground.registry import DATASETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = later("The answer")
SIZE = 1.75
MEANINGS: dict[str, str] = {
    later("Training loss"): later("mean loss on the points trained on"),
    later("Test loss"): later("mean loss on points in reserve, of the same draw"),
    later("Pass rate"): later("share of draws with training and test loss below the goal"),
    later("Attainable"): later("pass rate of the best possible predictor, which knows the rule but not the noise"),
    later("Floor"): later("mean test loss of the best possible predictor: nothing can be lower on average"),
    later("In range"): later("mean loss on test points inside the box of the training inputs"),
    later("Out of range"): later("mean loss on points beyond that box, which no choice has seen"),
    later("Folds"): later("mean score on rows left out of training, by which the search chose"),
    later("Test rows"): later("score on rows that no search saw"),
    later("Simple model"): later("best simple model on the same test rows"),
}


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    return Section("cards", TITLE, (Cards(tuple(cards_of(studies))),) if studies else ())


def cards_of(studies: Sequence[Study]) -> list[Card]:
    """Return one card for each study, under the names that the report gives them."""
    names = labels(studies)
    files = study_files("card", studies)
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
        state = say("no answer yet") if study.verdict is None else say("not certified")
        nothing = Missing(say("not shown: no trial has given a loss"))
        basis = say("goal {goal:g}", goal=study.header.goal)
        return Card(label, state, basis, Missing(why), (), nothing.reason + ".", nothing,
                    Missing(say("nothing to replay")), Missing(say("no setting to open")), (),
                    convergence_sentences(study))  # fmt: skip
    model, changes = winner_model(study), change_sentences(study)
    page = next((row for row in homework_rows([study]) if row.setting == "page"), None)
    if table is None:
        facts, beyond = draw_facts(winner, range_rows([study])[0]), beyond_sentence(range_rows([study])[0], model)
        basis = say("goal {goal:g}, n = {n_replicas} draws", goal=study.header.goal, n_replicas=winner.n_replicas)
    else:
        warnings = [warning_text(text) for text in table.table.warnings]
        facts, beyond = table_facts(table), " ".join([*warnings, table_beyond(table)])
        basis = say("goal {goal}", goal=table.table.goal)
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
    return Fact(translated(title), shown(value) if isinstance(value, Interval) else value, str(MEANINGS[title]))


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
    missing = Missing(say("not measured"))
    scores: list[tuple[str, Interval | Missing]] = [
        (title, missing if network is None else score_interval(network, part, metric))
        for title, part in (
            ("Folds", "validation"),
            ("Test rows", "test"),
            ("Out of range", "out_of_range"),
        )
    ]
    scores.append(("Simple model", missing if best is None else score_interval(best, "test", metric)))
    name = metric_title(one.table, metric)
    return tuple(
        Fact(translated(title), shown(value) if isinstance(value, Interval) else value, f"{name}: {MEANINGS[title]}")
        for title, value in scores
    )


def table_beyond(one: TableStudy) -> str:
    """Return a table's loss out of range against in range, in its metric."""
    metric, network = one.table.metric, one.network
    if network is None:
        return say("Not shown: no network has been chosen yet.")
    inside, outside = (score_interval(network, part, metric) for part in ("validation", "out_of_range"))
    if inside.estimate is None or outside.estimate is None:
        return say("Not shown: {reason}.", reason=outside.reason or inside.reason)
    name = metric_title(one.table, metric)
    return say(
        "{name} {estimate} out of range, {estimate_2} in range.",
        name=name,
        estimate=number_text(outside.estimate),
        estimate_2=number_text(inside.estimate),
    )


def beyond_sentence(row: RangeRow, model: WinnerModel | Missing) -> str:
    """Return in range against out of range as one sentence, with what is known of the reason."""
    difference, inside, outside = row.difference, row.in_range.loss.estimate, row.out_of_range.loss.estimate
    if inside is None or outside is None:
        reason = (row.out_of_range.loss if outside is None else row.in_range.loss).reason or say("not measured")
        return say("Out of range against in range {reason}.", reason=reason)
    if difference.low is None or difference.high is None:
        finding = say("Out of range against in range is not decided")
    elif difference.low > 0:
        finding = say("Worse out of range")
    elif difference.high < 0:
        finding = say("Better out of range")
    else:
        finding = say("In range and out of range are not to be told apart")
    finding += say(", {outside} against {inside}", outside=number_text(outside), inside=number_text(inside))
    reasons = reasons_beyond(row, model)
    return f"{finding}: {'; '.join(reasons)}." if reasons else f"{finding}."


def reasons_beyond(row: RangeRow, model: WinnerModel | Missing) -> list[str]:
    """Return what makes the points out of range easier or harder, as clauses."""
    reasons = []
    if row.in_range.floor is not None and row.out_of_range.floor is not None:
        low, high = number_text(row.out_of_range.floor), number_text(row.in_range.floor)
        reasons.append(say("the floor there is {low} against {high}", low=low, high=high))
    if isinstance(model, Missing):
        return reasons
    draws = model.draws
    points, point_labels = points_beyond(model, model.stretch)
    found = beyond_points(draws.dataset, draws.noise, draws.train_points, points, point_labels)
    if found is not None:
        reasons += point_clauses(found)
    at = crossing(distance_bins(model))
    reasons.append(
        say("nowhere worse than a constant guess")
        if at is None
        else say("first worse than a constant guess {at}", at=at)
    )
    return reasons


def point_clauses(found: BeyondPoints) -> list[str]:
    """Return where the points out of range lie and of which classes they are, as clauses."""
    clauses = []
    if found.farther is not None:
        clauses.append(
            say(
                "{farther} of those points lie farther from the true boundary than any training point",
                farther=share_text(found.farther),
            )
        )
    if found.positive in (0.0, 1.0):
        clauses.append(say("only class {positive} occurs there", positive="+1" if found.positive else "-1"))
    elif found.positive is not None:
        clauses.append(say("both classes occur there ({positive} +1)", positive=share_text(found.positive)))
    return clauses


def share_text(share: float) -> str:
    """Return a share in whole percent; only all is 100, only none is 0."""
    if 0.0 < share < 0.005 or 0.995 <= share < 1.0:
        return say("under 1 %") if share < 0.5 else say("over 99 %")
    return f"{100 * share:.0f} %"


def card_link(study: Study, winner: HomeworkRow, page: HomeworkRow | None) -> Link | Missing:
    """Return the link to the Playground page: with this setting, or with the best one that it can express."""
    if winner.playground_url:
        return replace_text(page_link(winner.playground_url), say("this setting on the Playground page"))
    if page is None or not page.playground_url:
        return Missing(say("the Playground page cannot show it"))
    same = say("the page's best setting, which is another one") if study.header.has_page else say("Playground page")
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
        return (
            say(
                "Not told: {n} trial{s} can be compared; it takes {least_trials}.",
                n=n,
                s=plural(n),
                least_trials=LEAST_TRIALS,
            ),
        )
    found = comparisons(study, winner.record)
    sentences = []
    for param in dict.fromkeys(one.param for one in found):
        mine = [one for one in found if one.param == param]
        if any(one.sign for one in mine):
            sentences.append(param_sentence(mine, n))
    if besides and not sentences:
        return ()
    return tuple(sentences) or (say("No hyperparameter can be told to have mattered in these {n} trials.", n=n),)


def param_sentence(found: Sequence[ArmComparison], n: int) -> str:
    """Return what one hyperparameter's comparisons say, those that decide nothing last."""
    title, mine = card_title(found[0].param), found[0].mine
    parts = []
    for one in found:
        if not one.sign:
            continue
        numbers = say("{estimate} times", estimate=number_text(one.ratio.estimate or 0))
        if one.ratio.low is not None and one.ratio.high is not None:
            numbers += say(" ({low} to {high})", low=number_text(one.ratio.low), high=number_text(one.ratio.high))
        sizes = say(
            "n = {n_members} against {n_members_2} trials",
            n_members=len(one.other.members),
            n_members_2=len(mine.members),
        )
        if one.sign > 0:
            lowest = say("the lowest of them {lowest}", lowest=number_text(one.lowest))
            parts.append(
                say(
                    "with {other} the test loss was {numbers} as high, {lowest} ({sizes})",
                    other=arm_text(one.other),
                    numbers=numbers,
                    lowest=lowest,
                    sizes=sizes,
                )
            )
        else:
            parts.append(
                say(
                    "with {other} it was lower, {numbers}, so the winner is an exception ({sizes})",
                    other=arm_text(one.other),
                    numbers=numbers,
                    sizes=sizes,
                )
            )
    if undecided := [arm_text(one.other) for one in found if not one.sign]:
        parts.append(
            say("against {undecided}, these {n} trials do not decide", undecided=say(" or ").join(undecided), n=n)
        )
    return f"{title} {arm_text(mine)}: {'; '.join(parts)}."


def arm_text(arm: ChoiceArm) -> str:
    """Return a value or a range of values for a reader."""
    low, high = value_text(arm.low), value_text(arm.high)
    return low if low == high else say("{low} to {high}", low=low, high=high)


def card_picture(study: Study, model: WinnerModel | Missing, label: str, file_name: str) -> Picture | Missing:
    """Return the decision surface in and beyond the range, or the curve where there is none to draw."""
    if isinstance(model, WinnerModel):
        return small_surface(model, label, file_name)
    block = curve_block(study, label, file_name)
    if not isinstance(block, Picture):
        return Missing(say("no picture: no curve was recorded"))
    n = study.header.n_replicas if (record := winner_record(study)) is None else len(record.test_loss)
    return replace(
        block,
        caption=say("Loss by epoch: training, test, out of range (green, blue, orange)."),
        alt=say("{label}: mean training, test and out-of-range loss by epoch, over n = {n} draws.", label=label, n=n),
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
        (ReportColumn("x1", "X1"), ReportColumn("x2", "X2"), ReportColumn("prediction", say("Mean prediction"))),
        tuple(
            (float(x), float(y), float(far.prediction[i * step, j * step]))
            for i, y in enumerate(line)
            for j, x in enumerate(line)
        ),
    )
    what = say("right class") if DATASETS[model.draws.dataset].problem == "classification" else say("right sign")
    return Picture(
        file_name,
        say("Square: training range."),
        say(
            "{label}: mean prediction of n = {n_replicas} networks in the training range (square) and beyond it; "
            "outside the square {what} at {correct:.0f} % of the plane.",
            label=label,
            n_replicas=model.n_replicas,
            what=what,
            correct=100 * far.correct,
        ),
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
