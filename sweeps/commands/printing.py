"""The tables and figures that commands print, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.formats.blocks import number_text
from analysis.formats.plain import aligned_text, cards_text, interval_text
from analysis.records.events import Scalar
from analysis.records.lesson import CellRecord
from analysis.records.polynomial import NetworkRecord
from analysis.records.study import Study, StudyHeader, TrialRecord
from analysis.records.table import NO_SPLIT, ModelScores, TableRecord
from analysis.sections.cards import cards_of
from analysis.statistics.bounded import loss_interval
from analysis.statistics.homework import HomeworkRow, RangeRow, Side, homework_rows
from analysis.statistics.intervals import mean_interval
from analysis.words import later, plural, say, translated
from sweeps.data.table.metrics import METRICS

HOMEWORK_COLUMNS = (
    later("data type"),
    later("activation"),
    later("batch size"),
    later("# hidden layers"),
    later("# neurons"),
    later("epochs"),
    later("training loss"),
    later("test loss"),
)
MOST_LEFT_OUT = 12
MOST_NOTES = 3
PARTS = {
    "validation": "validation rows of the folds",
    "out_of_range": "held out, out of range",
    "test": "test rows",
    "test_in_range": "of these in range",
    "test_out_of_range": "of these out of range",
}
"""Parts of a table's rows as columns, by their names in `analysis.records.table.ModelScores`."""
_LAYER_SIZE = "network.hidden_layer_sizes."
RANGE_COLUMNS = (
    "data type",
    "setting",
    "n draws",
    "in range",
    "out of range",
    "difference",
    "floors in, out",
    "constant in, out",
)


def homework_text(studies: Sequence[Study]) -> str:
    """Return the homework table of the winners, then the cards: the same figures as in the report."""
    winners = [row for row in homework_rows(studies) if row.setting == "winner"]
    table = table_text(tuple(map(translated, HOMEWORK_COLUMNS)), [_homework_cells(row) for row in winners])
    return f"{table}\n\n{cards_text(cards_of(studies))}"


def certainty_text(row: HomeworkRow) -> str:
    """Return a sentence with the losses' intervals, pass rate, floor and verdict of one row."""
    parts = [
        f"training loss {interval_text(row.train_loss)}",
        f"test loss {interval_text(row.test_loss)}",
        f"pass rate {interval_text(row.pass_rate, 3)}",
    ]
    if row.attainable_pass_rate is not None:
        parts.append(f"attainable pass rate {row.attainable_pass_rate:.3f}")
    if row.floor is not None and row.excess is not None:
        parts.append(f"floor {row.floor:.4f} (excess {row.excess:.4f})")
    if row.search_value is not None:
        parts.append(f"the search had measured {row.search_value:.4f}")
    return f"{row.dataset}: {row.verdict} (goal {row.goal:g}, {row.n_replicas} draws)\n  " + ", ".join(parts)


def range_text(rows: Iterable[RangeRow]) -> str:
    """Return the table of in-range against out-of-range loss."""
    cells = [
        (
            row.dataset,
            row.setting,
            _draws_text(row),
            side_text(row.in_range),
            side_text(row.out_of_range),
            interval_text(row.difference),
            _pair(row.in_range.floor, row.out_of_range.floor),
            _pair(row.in_range.constant, row.out_of_range.constant),
        )
        for row in rows
    ]
    return table_text(RANGE_COLUMNS, cells)


def _draws_text(row: RangeRow) -> str:
    """Return the number of draws behind both sides, or that of each where some have no point on a side."""
    counts = dict.fromkeys(side.loss.n for side in (row.in_range, row.out_of_range))
    return ", ".join(map(str, counts))


def side_text(side: Side) -> str:
    """Return the loss on one side of the range with the number of points behind it."""
    text = interval_text(side.loss)
    return text if side.loss.estimate is None else f"{text} ({side.n_points} points)"


def models_text(study: Study, record: TableRecord, *, is_told: bool = False) -> str:
    """Return how a table's network did beside the simple models, in the unit of whoever brought the rows.

    Parameters
    ----------
    study : Study
    record : TableRecord
    is_told : bool
        Whether the same screen has its warnings and notes in full: then they are only counted.
    """
    metric = METRICS[record.metric]
    used = sum(column.used for column in record.columns)
    unit = f" (in the unit of {record.target.name})" if metric.has_unit else ""
    lines = _warning_lines(study.header.dataset, record.warnings, is_told)
    lines += [
        f"{study.header.dataset}: {record.target.task} of {record.target.name} ({record.target.reason}) from {used} "
        f"columns, {record.n_fold_rows} rows in {record.n_folds} {record.fold_kind} folds, "
        f"{record.n_test_rows} test rows",
    ]
    left_out = [f"{column.name} ({column.role})" for column in record.columns if not column.used]
    if left_out:
        shown = left_out if len(left_out) <= MOST_LEFT_OUT else [*left_out[:MOST_LEFT_OUT], "..."]
        lines.append(f"  left out: {', '.join(shown)}")
    lines += _note_lines(record.notes, is_told)
    if record.leaks:
        lines.append(f"  preprocessing: {record.preprocessing}")
    lines.append(f"  goal: {record.goal}{_goal_value(record)}; {metric.title}{unit}:")
    parts = [part for part in PARTS if any(part in model.parts for model in record.models)]
    cells = [
        (
            model.title if model.trial is None else f"{model.title} (trial {model.trial})",
            *(_part_text(model, part, record.metric) for part in parts),
        )
        for model in record.models
    ]
    table = aligned_text(("model", *(_part_title(record, part) for part in parts)), cells)
    lines += [f"  {line}" for line in table.splitlines()]
    alike = {model.title: dict.fromkeys(words for words in model.words if NO_SPLIT in words) for model in record.models}
    lines += [f"  {title}: {words}" for title, told in alike.items() for words in list(told)[:1]]  # once, not a fold
    titles = {model.name: model.title for model in record.models}
    for where, differences in (
        (say("in the folds"), record.fold_differences),
        (say("on the test rows"), record.test_differences),
    ):
        lines += [
            say(
                "  {where} the network is {words}: {loss} differs by {difference:.4g} [{low:.4g}, {high:.4g}]",
                where=where,
                words=one.words(titles[one.baseline]),
                loss=one.loss,
                difference=one.difference,
                low=one.low,
                high=one.high,
            )
            for one in differences
        ]
    looks = "once" if record.n_test_looks == 1 else f"{record.n_test_looks} times"
    lines.append(f"  the test rows were looked at {looks if record.n_test_looks else 'never'}")
    return "\n".join(lines)


def _warning_lines(dataset: str, warnings: Sequence[str], is_told: bool) -> list[str]:
    if not is_told:
        return [f"{dataset}: {warning}" for warning in warnings]
    n = len(warnings)
    text = say("{dataset}: {n} warning{s}, above, before the search", dataset=dataset, n=n, s=plural(n))
    return [text] if warnings else []


def _note_lines(notes: Sequence[str], is_told: bool) -> list[str]:
    if is_told and notes:
        return ["  " + say("{n} note{s}, in the report", n=len(notes), s=plural(len(notes)))]
    more = len(notes) - MOST_NOTES
    lines = [f"  {note}" for note in notes[:MOST_NOTES]]
    return [*lines, f"  ... and {more} more notes, in the report"] if more > 0 else lines


def _part_title(record: TableRecord, part: str) -> str:
    """Return what a part's rows are called, and how many there are: the models share them."""
    counts = dict.fromkeys(model.parts[part].n_rows for model in record.models if part in model.parts)
    return f"{PARTS[part]}, n = {' or '.join(map(str, counts))}"


def _part_text(model: ModelScores, part: str, metric: str) -> str:
    """Return a model's score on some rows with its interval, or why it has none."""
    scores = {} if part not in model.parts else model.parts[part].scores
    if metric not in scores:
        return "-"
    one = scores[metric]
    if one.value is None:
        return one.method
    ends = "no interval" if one.low is None or one.high is None else f"[{one.low:.4f}, {one.high:.4f}]"
    return f"{one.value:.4f} {ends}"


def _goal_value(record: TableRecord) -> str:
    is_known = record.goal_value is not None and record.goal.startswith("beat")
    return f", {record.goal_value:.6g}" if is_known else ""


def table_text(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table with its header exactly ``" | ".join(columns)``; longer cells push their row to the right."""
    lines = [" | ".join(columns)]
    for row in rows:
        padded = [cell.ljust(len(column)) for column, cell in zip(columns, row, strict=True)]
        lines.append(" | ".join(padded).rstrip())
    return "\n".join(lines)


def trials_text(trials: Iterable[TrialRecord]) -> str:
    """Return one line for each search trial."""
    columns = ("trial", "state", "candidate", "epochs", "training loss", "test loss", "out of range", "setting")
    rows = [
        (
            str(trial.number),
            trial.state if trial.pruned_at is None else f"pruned at epoch {trial.pruned_at}",
            "yes" if trial.candidate else "no",
            str(trial.epochs),
            *(
                "-" if trial.state == "diverged" else mean_text(losses)
                for losses in (trial.train_loss, trial.test_loss, trial.out_of_range_loss)
            ),
            setting_text(trial),
        )
        for trial in trials
    ]
    return aligned_text(columns, rows)


def record_text(header: StudyHeader, record: TrialRecord) -> str:
    """Return everything about one record that fits a screen."""
    lines = [f"{record.study} {record.stage} {record.number}: {record.state}"]
    lines += [f"  {record.reason}"] if record.reason else []
    lines += [f"  {key} = {value}" for key, value in record.params.items()]
    lines.append(f"  epochs {record.epochs} of {max(record.epoch_grid, default=0)}, {len(record.seeds)} replicas")
    sides: dict[str, Sequence[float | None]] = {
        "training loss": record.train_loss,
        "test loss": record.test_loss,
        "in range": record.in_range_loss,
        "out of range": record.out_of_range_loss,
    }
    if record.state != "diverged":
        lines += [f"  {name} {interval_text(loss_interval(header, record, losses))}" for name, losses in sides.items()]
        lines.append(f"  bounds that stop a search {record.train_upper:.4f} (training), {record.test_upper:.4f} (test)")
    lines.append(f"  engine {record.road}, digest {record.sha256}")
    lines += [f"  {record.playground_url}"] if record.playground_url else []
    return "\n".join(lines)


def guess_sentences(study: Study, record: TrialRecord) -> list[str]:
    """Return where a setting is worse than always guessing the mean training label, or cannot be told from it."""
    told = []
    for where, losses, constant in (
        ("on test points", record.test_loss, record.constant_loss),
        ("out of range", record.out_of_range_loss, record.constant_out_of_range_loss),
    ):
        loss = loss_interval(study.header, record, losses)
        if constant is None or loss.low is None or loss.high is None or loss.high < constant:
            continue
        how = "worse than" if loss.low > constant else "not to be told from"
        numbers = f"{interval_text(loss)} against {constant:.4f}"
        told.append(f"{where}: {how} always guessing the mean training label ({numbers})")
    return told


def each_text(record: TrialRecord) -> str:
    """Return one line for each replica of a trial."""
    columns = ("replica", "seed", "training loss", "test loss", "in range", "out of range", "")
    sides = (record.train_loss, record.test_loss, record.in_range_loss, record.out_of_range_loss)
    rows = [
        (
            str(r),
            seed,
            *("-" if side[r] is None else f"{side[r]:.4f}" for side in sides),
            "" if record.diverged_at[r] is None else f"diverged by epoch {record.diverged_at[r]}",
        )
        for r, seed in enumerate(record.seeds)
    ]
    return aligned_text(columns, rows)


def setting_text(record: TrialRecord) -> str:
    """Return a trial's choices on one line: the layer sizes together, the rest by name."""
    layers = [value for key, value in record.params.items() if key.startswith(_LAYER_SIZE)]
    hidden = f"hidden {','.join(map(str, layers)) or 'none'}"
    rest = [
        f"{key.rpartition('.')[2]} {_short(value)}"
        for key, value in record.params.items()
        if not key.startswith(_LAYER_SIZE) and key != "network.n_hidden_layers"
    ]
    return ", ".join([hidden, *rest])


def mean_text(values: Sequence[float | None]) -> str:
    """Return a mean with four digits, or a dash."""
    estimate = mean_interval(values).estimate
    return "-" if estimate is None else f"{estimate:.4f}"


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _homework_cells(row: HomeworkRow) -> tuple[str, ...]:
    return (
        row.dataset,
        row.activation,
        str(row.batch_size),
        str(row.n_hidden_layers),
        row.neurons,
        str(row.epochs),
        number_text(row.train_loss.estimate or 0.0),
        number_text(row.test_loss.estimate or 0.0),
    )


def _pair(a: float | None, b: float | None) -> str:
    return ", ".join("-" if value is None else f"{value:.4f}" for value in (a, b))


def networks_text(networks: Iterable[NetworkRecord]) -> str:
    """Return one line for each network of a polynomial study."""
    rows = [
        (str(one.number), one.arm, f"{one.learning_rate:.3g}", str(one.seed), f"{one.loss[-1]:.5g}") for one in networks
    ]
    return aligned_text(("network", "arm", "rate", "seed", "training error"), rows)


def network_text(record: NetworkRecord) -> str:
    """Return everything a reader may want to know of one network of a polynomial study."""
    H = len(record.parameters[-1]) // 3
    names = [f"{name}{i}" for name in ("w", "b", "W") for i in range(1, H + 1)] + ["B"]
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in zip(names, record.parameters[-1], strict=True))
    return (
        f"{record.study} {record.number}: {record.arm}, rate {record.learning_rate:.3g}, seed {record.seed}\n"
        f"  training error {record.loss[-1]:.6g}, lowest since the look before {record.lowest[-1]:.6g}\n"
        f"  {numbers}"
    )


def cells_text(cells: Iterable[CellRecord]) -> str:
    """Return a lesson's cells, one a line."""
    rows = [(str(one.number), _levels_text(one), one.state, f"{one.value:.4g}") for one in cells]
    return aligned_text(("cell", "levels", "state", "test loss"), rows)


def cell_text(record: CellRecord) -> str:
    """Return everything a reader may want to know of one cell of a lesson."""
    lines = [f"{record.study} {record.number}: {_levels_text(record)}"]
    for split, rows in record.losses.items():
        known = [loss for loss in rows[-1] if loss is not None]
        mean = f"{sum(known) / len(known):.4g}" if known else "-"
        lines.append(f"  {split} loss at epoch {record.looks[-1]}: mean {mean} over {len(known)} of {len(rows[-1])}")
    for name, values in record.measured.items():
        if "@" in name and name.partition("@")[2] != str(record.looks[-1]):
            continue  # the way there has a line for every look
        known = [value for value in values if value is not None]
        lines.append(f"  {name}: mean {f'{sum(known) / len(known):.4g}' if known else '-'} over {len(known)}")
    lines += [f"  {record.reason}"] if record.reason else []
    lines += [f"  {record.playground_url}"] if record.playground_url else []
    return "\n".join(lines)


def _levels_text(record: CellRecord) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in record.params.items())
