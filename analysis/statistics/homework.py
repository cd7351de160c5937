"""The two tables of a sweep as numbers: what it reached, and what that is worth beyond the training range.

The command line and the report print these rows, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from analysis.records.events import Scalar, Stage
from analysis.records.study import Study, TrialRecord
from analysis.records.table import is_table
from analysis.statistics.bounded import bounded_interval, loss_bound
from analysis.statistics.differences import BoundedLosses, bounded_difference
from analysis.statistics.intervals import Interval, clopper_pearson
from analysis.words import later, plural, say, translated
from engine.playground.registry import DATASETS

LEAST_POINTS = 10
# From the most to the least trustworthy draw: what a table shows where the better one is not there yet.
WINNER_STAGES: tuple[Stage, ...] = ("certificate", "finalist", "search")
PAGE_STAGES: tuple[Stage, ...] = ("page_certificate", "page_finalist", "page_search")


@dataclass(frozen=True, slots=True)
class HomeworkRow:
    """The setting that a study names, and how surely it reaches the goal.

    Parameters
    ----------
    study, dataset : str
        ``"homework/xor"`` and the name a reader knows, ``"XOR"``.
    setting : str
        ``"winner"`` (anything the space holds) or ``"page"`` (can be entered on the Playground page).
    stage : str
        Whose draws the figures rest on: ``"certificate"`` where there is one, else the best there is.
    activation : str
    batch_size : int
    hidden_layer_sizes : tuple of int
    epochs : int
    params : dict
        All of the trial's choices, by spec key.
    goal : float
        Loss that both losses must stay below.
    train_loss, test_loss : Interval
        Mean over replicas with its 95 % interval.
    pass_rate : Interval
        Share of replicas with both losses below the goal, with its Clopper-Pearson interval.
    attainable_pass_rate : float or None
        The same share for the best possible predictor on the same draws; None where the dataset declares none.
    floor : float or None
        Mean test loss of the best possible predictor: on the same draws, else as the dataset declares it.
    search_value : float or None
        What the search had measured for this setting, on its own draws.
    n_replicas : int
        Replicas behind every figure; each has its own data, split, weights and order.
    certified : bool
        Whether the study's verdict counts this setting as certified.
    verdict : str
        ``"certified"``, ``"not certified"``, or why there is no certificate.
    playground_url : str or None
        Page that opens replica 0, where the page can express the setting.
    record : TrialRecord
        The record behind the row.
    """

    study: str
    dataset: str
    setting: str
    stage: Stage
    activation: str
    batch_size: int
    hidden_layer_sizes: tuple[int, ...]
    epochs: int
    params: dict[str, Scalar]
    goal: float
    train_loss: Interval
    test_loss: Interval
    pass_rate: Interval
    attainable_pass_rate: float | None
    floor: float | None
    search_value: float | None
    n_replicas: int
    certified: bool
    verdict: str
    playground_url: str | None
    record: TrialRecord

    @property
    def n_hidden_layers(self) -> int:
        """Number of hidden layers."""
        return len(self.hidden_layer_sizes)

    @property
    def neurons(self) -> str:
        """Units of each hidden layer as the homework writes them: ``"6, 2"``."""
        return ", ".join(str(size) for size in self.hidden_layer_sizes) or say("none")

    @property
    def excess(self) -> float | None:
        """Mean test loss above the floor, or None where there is no floor."""
        estimate = self.test_loss.estimate
        return None if self.floor is None or estimate is None else estimate - self.floor


@dataclass(frozen=True, slots=True)
class Side:
    """Losses on the points of one side of the training range.

    Parameters
    ----------
    n_points : int
        Points of that side, summed over replicas.
    loss : Interval
        Mean over replicas with its 95 % interval; without estimate where its `reason` says why
        (``"not shown: 3 points out of range"``).
    floor, constant : float or None
        Mean loss there of the best possible predictor and of the mean training label.
    """

    n_points: int
    loss: Interval
    floor: float | None
    constant: float | None


@dataclass(frozen=True, slots=True)
class RangeRow:
    """A named setting in range and out of range.

    Parameters
    ----------
    study, dataset, setting : str
        As in `HomeworkRow`.
    stage : str
        As in `HomeworkRow`.
    in_range, out_of_range : Side
        Test points inside the training box, and points outside it.
    difference : Interval
        Out-of-range minus in-range loss, paired by replica, with its 95 % interval; without estimate where a side is.
    n_replicas : int
        Replicas of the record; those without a point on a side do not count there.
    """

    study: str
    dataset: str
    setting: str
    stage: Stage
    in_range: Side
    out_of_range: Side
    difference: Interval
    n_replicas: int


def dataset_title(name: str) -> str:
    """Return the name a reader knows a dataset by."""
    known = DATASETS.get(name)
    return name if known is None else translated(known.title)


def chosen_records(study: Study) -> list[tuple[str, TrialRecord]]:
    """Return ``(setting, record)`` of what a study names, the winner first.

    Before a verdict it is the best of the latest stage there is, so that a study in progress has a row, too. A table's
    certificate that no test row could score was measured on the very rows it trained on: its finalist speaks for it.
    """
    winner = study.winner
    if winner is None or (is_table(study) and winner.ensemble is None):
        winner = _best(study, WINNER_STAGES[1:] if winner else WINNER_STAGES) or winner
    page = study.page_winner or _best(study, PAGE_STAGES)
    chosen = [("winner", winner), ("page", page)]
    return [(setting, record) for setting, record in chosen if record is not None and record.state == "complete"]


def winner_record(study: Study) -> TrialRecord | None:
    """Return the record that speaks for a study, or None where every trial failed or diverged."""
    return next((record for setting, record in chosen_records(study) if setting == "winner"), None)


def few_points(n: int, side: str) -> str:
    """Return why a loss over fewer than `LEAST_POINTS` points ``"in range"`` or ``"out of range"`` is not shown."""
    return say("not shown: {n} point{s} {side}", n=n, s=plural(n), side=side)


def setting_text(record: TrialRecord) -> str:
    """Return a record's whole setting as it can be typed in again, epochs at the end.

    Every number stands as it was used, not rounded; what is at its default and not searched is left out, but for the
    optimizer and the regularizer.
    """
    training = record.training
    rate, penalty = training["learning_rate"], str(training.get("regularizer", "none"))
    sizes = ", ".join(str(size) for size in record.network["hidden_layer_sizes"]) or say("none")
    parts = [
        str(record.network["activation"]),
        say("hidden layers {sizes}", sizes=sizes),
        say("batch size {size}", size=training["batch_size"]),
        say("{optimizer}, learning rate {rate}", optimizer=training.get("optimizer", "sgd"), rate=exact_text(rate)),
        say("no regularizer")
        if penalty == "none"
        else f"{penalty.upper()} {exact_text(training['regularization_rate'])}",
    ]
    for key in FURTHER_SETTINGS:
        if training.get(key):
            parts.append(f"{setting_title(key)} {exact_text(training[key])}")
    if any(training.get("dropout", ())):
        parts.append(say("dropout {shares}", shares=" ".join(map(exact_text, training["dropout"]))))
    parts += [
        f"{setting_title(key)} {exact_text(value)}"
        for key, value in record.params.items()
        if key.startswith(("training.", "network.")) and not _is_told(key)
    ]
    return say("{parts}; {epochs} epochs", parts=", ".join(parts), epochs=record.epochs)


DATASET_TITLES = (later("two blobs"), later("circle"), later("spiral"), later("six cones"), later("plane"))
"""Titles of `engine.playground.registry`, which knows no language; those that are names stay (XOR)."""
SETTING_TITLES = (
    later("activation"),
    later("batch size"),
    later("beta 1"),
    later("beta 2"),
    later("dataset"),
    later("dropout"),
    later("epsilon"),
    later("feature"),
    later("features"),
    later("hidden layer sizes"),
    later("implementation"),
    later("initializer"),
    later("input dropout"),
    later("input noise"),
    later("inverted"),
    later("label noise"),
    later("learning rate"),
    later("loss"),
    later("max grad norm"),
    later("max norm"),
    later("momentum"),
    later("n hidden layers"),
    later("optimizer"),
    later("order"),
    later("output activation"),
    later("partial batch"),
    later("regularization rate"),
    later("regularizer"),
    later("sampler"),
    later("schedule"),
    later("schedule length"),
    later("schedule every"),
    later("schedule factor"),
    later("size"),
    later("stretch"),
    later("train share"),
    later("warmup epochs"),
    later("weight decay"),
)
"""Settings as `setting_title` reads them off their keys."""


def setting_title(key: str) -> str:
    """Return a spec key's last part as a reader says it: ``"learning rate"``."""
    return translated(WORDS.get(key, key.rpartition(".")[2].replace("_", " ")))


FURTHER_SETTINGS = ("weight_decay", "input_dropout", "input_noise", "label_noise", "max_norm", "max_grad_norm")
WORDS: Mapping[str, str] = MappingProxyType({"training.max_epochs": later("schedule length")})
_TOLD = frozenset(
    (
        "network.activation",
        "network.n_hidden_layers",
        "training.learning_rate",
        "training.batch_size",
        "training.optimizer",
        "training.regularizer",
        "training.regularization_rate",
        "training.dropout",
        *(f"training.{key}" for key in FURTHER_SETTINGS),
    )
)


def _is_told(key: str) -> bool:
    return key in _TOLD or key.startswith(("network.hidden_layer", "training.dropout"))


def exact_text(value: Scalar) -> str:
    """Return a value in the fewest digits that give it again: ``"0.01"``, ``"10"``."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e9 else str(value)


def replay_command(study: Study, record: TrialRecord) -> str:
    """Return the command that trains the search trial behind a record again and compares every bit."""
    number = record.number if record.stage == "search" or record.source is None else record.source
    return f"python -m sweeps replay {study.header.sweep}/{study.header.dataset} {number}"


def homework_rows(studies: Iterable[Study]) -> list[HomeworkRow]:
    """Return the homework table: per study the winner and the best setting of the Playground page.

    A study in which no trial is complete gives no row: what diverged counts with a cap, which is no loss.
    """
    return [_homework_row(study, setting, record) for study in studies for setting, record in chosen_records(study)]


def range_rows(studies: Iterable[Study]) -> list[RangeRow]:
    """Return in range against out of range, one row for each row of `homework_rows`."""
    return [_range_row(study, setting, record) for study in studies for setting, record in chosen_records(study)]


def n_passed(record: TrialRecord, goal: float) -> int:
    """Return how many replicas have training and test loss below `goal`."""
    return sum(a < goal and b < goal for a, b in zip(record.train_loss, record.test_loss, strict=True))


def attainable_pass_rate(record: TrialRecord, goal: float) -> float | None:
    """Return the share of replicas in which the best possible predictor would pass, or None if it is not known."""
    if record.floor_train_loss is None or record.floor_test_loss is None:
        return None
    pairs = [
        (a, b)
        for a, b in zip(record.floor_train_loss, record.floor_test_loss, strict=True)
        if a is not None and b is not None
    ]
    return sum(a < goal and b < goal for a, b in pairs) / len(pairs) if pairs else None


def _best(study: Study, stages: Sequence[Stage]) -> TrialRecord | None:
    for stage in stages:
        records = [record for record in study.records[stage] if record.state == "complete"]
        if records:
            return min(records, key=lambda record: (record.value, record.number))
    return None


def _homework_row(study: Study, setting: str, record: TrialRecord) -> HomeworkRow:
    goal = study.header.goal
    n, bound = len(record.test_loss), loss_bound(study.header, record)
    floor = known_mean(record.floor_test_loss)
    certified = _is_certified(study, setting, record)
    searched = next((trial for trial in study.trials if trial.number == record.source), None)
    return HomeworkRow(
        study=record.study,
        dataset=dataset_title(study.header.dataset),
        setting=setting,
        stage=record.stage,
        activation=str(record.network["activation"]),
        batch_size=int(record.training["batch_size"]),
        hidden_layer_sizes=tuple(int(size) for size in record.network["hidden_layer_sizes"]),
        epochs=record.epochs,
        params=record.params,
        goal=goal,
        train_loss=bounded_interval(record.train_loss, bound),
        test_loss=bounded_interval(record.test_loss, bound),
        pass_rate=clopper_pearson(n_passed(record, goal), n),
        attainable_pass_rate=attainable_pass_rate(record, goal),
        floor=study.header.floor if floor is None else floor,
        search_value=searched.value if searched is not None and record.stage != "search" else None,
        n_replicas=n,
        certified=certified,
        verdict=_verdict(study, record, certified),
        playground_url=record.playground_url,
        record=record,
    )


def _is_certified(study: Study, setting: str, record: TrialRecord) -> bool:
    if study.verdict is None or record.stage not in ("certificate", "page_certificate"):
        return False
    return study.verdict.page_certified if setting == "page" else study.verdict.certified


def _verdict(study: Study, record: TrialRecord, certified: bool) -> str:
    if certified:
        return say("certified")
    if record.stage in ("certificate", "page_certificate") and study.verdict is not None:
        return say("not certified")
    return (
        say("not certified: no candidate")
        if study.verdict is not None
        else say("unfinished: best {stage} so far", stage=record.stage)
    )


def _range_row(study: Study, setting: str, record: TrialRecord) -> RangeRow:
    bound = loss_bound(study.header, record)
    in_range = _side(
        say("in range"),
        bounded_interval(record.in_range_loss, bound),
        record.n_in_range,
        record.floor_in_range_loss,
        record.constant_in_range_loss,
    )
    out_of_range = _side(
        say("out of range"),
        bounded_interval(record.out_of_range_loss, bound),
        record.n_out_of_range,
        record.floor_out_of_range_loss,
        record.constant_out_of_range_loss,
    )
    unshown = next((side.loss for side in (in_range, out_of_range) if side.loss.estimate is None), None)
    return RangeRow(
        study=record.study,
        dataset=dataset_title(study.header.dataset),
        setting=setting,
        stage=record.stage,
        in_range=in_range,
        out_of_range=out_of_range,
        difference=unshown
        or bounded_difference(
            BoundedLosses(record.out_of_range_loss, bound), BoundedLosses(record.in_range_loss, bound), paired=True
        ),
        n_replicas=len(record.test_loss),
    )


def _side(
    name: str,
    loss: Interval,
    n_points: Sequence[int],
    floors: Sequence[float | None] | None,
    constant: float | None,
) -> Side:
    total = sum(n_points)
    if total < LEAST_POINTS:
        return Side(total, Interval(None, None, None, 0, loss.method, few_points(total, name)), None, None)
    return Side(total, loss, known_mean(floors), constant)


def known_mean(values: Sequence[float | None] | None) -> float | None:
    """Return the mean of the values that are known, or None where none is."""
    known = [value for value in values or () if value is not None]
    return sum(known) / len(known) if known else None
