"""The commands that search: ``run`` and ``resume``."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from analysis.words import say, speaking
from sweeps.commands.auditing import warn_of_findings
from sweeps.commands.compiling import compile_loop
from sweeps.commands.csv_options import add_table_options, is_table, table_spec
from sweeps.commands.options import (
    DEFAULT_RESULTS,
    DEFAULT_URI,
    PROGRAM,
    Commands,
    InputError,
    ablation_draws,
    add_command,
    add_driver_options,
    add_language_option,
    add_size_options,
    positive_int,
    size_of,
    sweep_folder,
    tracking_uri,
    usable_cores,
    whole_number,
)
from sweeps.toml import read_toml

if TYPE_CHECKING:
    from sweeps.run.kinds import Spec
    from sweeps.tracking.writer_process import TrackingProcess

DEFAULT_SPEC = "homework"
UNTIL = ("reached", "converged", "budget")
"""As `sweeps.spec.sections.UNTIL`, which is not imported before a command is called."""
P = ParamSpec("P")


def add_commands(commands: Commands) -> None:
    """Add ``run`` and ``resume``."""
    run = add_command(
        commands,
        "run",
        "search, certify and report; an unfinished sweep of the same spec is resumed",
        "run homework --trials 20 --results results",
    )
    run.add_argument(
        "spec",
        nargs="?",
        default=DEFAULT_SPEC,
        metavar="SPEC",
        help="built-in sweep or lesson, TOML file or data file (default: homework)",
    )
    run.add_argument("--trials", type=positive_int, metavar="N", help="budget of trials for each dataset")
    run.add_argument("--goal", metavar="GOAL", help="for instance 'test_loss < 0.1'; of a table 'rmse < 20000'")
    run.add_argument(
        "--until",
        choices=UNTIL,
        help="stop at three candidates, once 50 more trials may gain no more than their own noise, or at the budget",
    )
    run.add_argument("--replicas", type=positive_int, metavar="R", help="replicas of a search trial")
    run.add_argument("--seed", type=whole_number, metavar="N", help="seed of the sweep")
    run.add_argument("--name", metavar="NAME", help="of the sweep (default: that of the spec or the file)")
    run.add_argument(
        "--draws",
        metavar="NAME",
        help="common block of draws for finalists and certificates: sweeps of one seed that name it are compared "
        "draw by draw",
    )
    run.add_argument(
        "--ablation",
        type=ablation_draws,
        metavar="N|off",
        help="fresh draws on which the winner is set against itself with one hyperparameter changed; off: not at all",
    )
    run.add_argument(
        "--from",
        dest="origin",
        metavar="SWEEP[/DATASET]",
        help="an earlier sweep, whose best settings in this space are tried first",
    )
    add_size_options(run)
    add_language_option(run)
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a factor or fixed setting of a lesson, as in --set training.learning_rate=0.1",
    )
    add_driver_options(run)
    add_table_options(run)
    run.set_defaults(call=run_command)
    resume = add_command(commands, "resume", "go on with an unfinished sweep as its own spec says", "resume homework")
    resume.add_argument(
        "sweep", nargs="?", default=DEFAULT_SPEC, metavar="SWEEP", help="name below the results (default: homework)"
    )
    add_language_option(resume)
    add_driver_options(resume)
    resume.set_defaults(call=resume_command)
    extend = add_command(
        commands,
        "extend",
        "go on with a sweep: more trials, or another space that keeps the trials which lie in it",
        "extend homework --trials +100",
    )
    extend.add_argument("sweep", metavar="SWEEP", help="name below the results")
    extend.add_argument("--trials", metavar="+N", help="so many more trials for each dataset, or without + in all")
    extend.add_argument("--until", choices=UNTIL, help="what ends the search now: a later one than before")
    extend.add_argument("--space", type=Path, metavar="FILE", help="TOML file with another [space]")
    extend.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value by its place in the spec, as space.training.learning_rate.high=1.0; may be repeated",
    )
    add_language_option(extend)
    add_driver_options(extend)
    extend.set_defaults(call=extend_command)


def run_command(arguments: argparse.Namespace) -> int:
    """Run a sweep, or a study of another kind, from its spec."""
    _check_free(Path(arguments.results), arguments.spec if arguments.name is None else arguments.name)
    from sweeps.run.kinds import Changes, kind_of, load

    if is_table(arguments):
        return drive(_with_origin(table_spec(arguments), arguments), Path(arguments.results), arguments)
    spec = load(arguments.spec)
    changes = Changes(
        n_trials=arguments.trials,
        goal=arguments.goal,
        until=arguments.until,
        n_replicas=arguments.replicas,
        seed=arguments.seed,
        name=arguments.name,
        draws=arguments.draws,
        n_ablation=arguments.ablation,
        size=size_of(arguments),
        settings=tuple(arguments.set),
    )
    asked = at_hand(kind_of(spec).change(spec, changes))
    return drive(_with_origin(asked, arguments), Path(arguments.results), arguments)


def at_hand(spec: Spec) -> Spec:
    """Return a study's spec, that of a lesson without the datasets that cannot be had; say on stderr which and why."""
    from sweeps.spec.lesson import LessonSpec

    if not isinstance(spec, LessonSpec):
        return spec
    from sweeps.run.at_hand import with_data_at_hand  # loads pandas

    left, missing = with_data_at_hand(spec)
    for name, error in missing.items():
        print(f"lesson {spec.lesson}: {name} left out: {error}", file=sys.stderr, flush=True)
    return left


def _with_origin(spec: Spec, arguments: argparse.Namespace) -> Spec:
    """Return the spec with the best settings of the sweep that ``--from`` names."""
    from sweeps.run.lineage import with_first_of
    from sweeps.spec.sweep import SweepSpec

    if arguments.origin is None:
        return spec
    if not isinstance(spec, SweepSpec):
        raise InputError("--from: a study of a fixed list has no first settings; leave it out")
    name, _, dataset = arguments.origin.partition("/")
    folder = sweep_folder(arguments.results, name)
    if folder.name == spec.name:
        raise InputError(f"--from {arguments.origin}: the sweep itself; `{PROGRAM} extend {name}` goes on with it")
    new = with_first_of(spec, folder, dataset)
    n = len(new.search.first) - len(spec.search.first)
    print(f"{spec.name}: tries {n} settings of {new.origin} first", file=sys.stderr, flush=True)
    return new


def extend_command(arguments: argparse.Namespace) -> int:
    """Go on with a sweep beyond what its spec says."""
    from sweeps.store.log import check_free

    folder = sweep_folder(arguments.results, arguments.sweep)
    check_free(folder)
    from analysis.records.reading import read_sweep
    from sweeps.run.chapters import chapter_of
    from sweeps.run.kinds import load
    from sweeps.run.lineage import extended
    from sweeps.spec.sweep import SweepSpec

    old = load(folder / "spec.toml")
    if not isinstance(old, SweepSpec):
        raise InputError(f"extend {arguments.sweep}: a study of a fixed list is complete; run another one")
    studies = read_sweep(folder)
    new = extended(
        old,
        studies[0].header.n_trials,
        trials=arguments.trials,
        until=arguments.until,
        space=arguments.space,
        settings=arguments.settings,
    )
    if not new.extends(old):
        for study in studies:
            chapter = chapter_of(old, new, study)
            print(
                f"{study.header.dataset}: {len(chapter.kept)} of {chapter.first} trials lie in the new space and are"
                f" kept; {chapter.n_trials - chapter.first} more follow",
                file=sys.stderr,
                flush=True,
            )
    elif new.search.until == "reached" and all(s.verdict and s.verdict.stopped == "reached" for s in studies):
        raise InputError(
            f"extend {arguments.sweep}: its search ended at {old.search.n_candidates} candidates, not at its budget;"
            " add --until budget"
        )
    elif new.search.until == "converged" and all(s.verdict and s.verdict.stopped == "converged" for s in studies):
        raise InputError(f"extend {arguments.sweep}: its search has converged; add --until budget")
    return drive(new, folder.parent, arguments, may_reopen=True)


def resume_command(arguments: argparse.Namespace) -> int:
    """Go on with a sweep from the spec in its folder."""
    from sweeps.store.log import check_free

    folder = sweep_folder(arguments.results, arguments.sweep)
    check_free(folder)
    from sweeps.run.kinds import load  # takes seconds: only once nobody else holds the folder

    return drive(load(folder / "spec.toml"), folder.parent, arguments)


def _check_free(results: Path, spec: str) -> None:
    """Say at once that another driver holds the sweep: all that has to be loaded to run one takes seconds."""
    from sweeps.store.log import check_free

    name: object = spec
    if spec.endswith(".toml"):
        with contextlib.suppress(OSError, ValueError):  # for who reads the spec in earnest to tell
            name = read_toml(Path(spec).read_bytes(), spec).get("name")
    if isinstance(name, str) and "\0" not in name:
        check_free(results / name)


def drive(spec: Spec, results: Path, arguments: argparse.Namespace, *, may_reopen: bool = False) -> int:
    """Run a sweep, its display and its MLflow writer; print the answers."""
    from sweeps.commands.display import showing
    from sweeps.run.crews import check_executor
    from sweeps.run.kinds import kind_of
    from sweeps.run.study import run_sweep

    check_executor(arguments.executor)
    exporter = Exporter(results / spec.name, tracking_uri(arguments), arguments.log_runs)
    options = _options(arguments, results)
    for sentence in kind_of(spec).first_sentences(spec):
        print(sentence, file=sys.stderr, flush=True)

    def prepare() -> None:
        exporter.start()
        compile_loop(kind_of(spec).dtype(spec))

    try:
        with showing(sys.stderr) as show:
            run_sweep(
                spec,
                results,
                workers=arguments.workers or usable_cores(),
                executor=arguments.executor,
                timeout=arguments.timeout,
                on_event=starting_with(prepare, show),
                may_reopen=may_reopen,
            )
        with speaking(arguments.lang):
            print_answers(results / spec.name, exporter, options)
        status = warn_of_findings(results / spec.name)
    except KeyboardInterrupt:
        print(f"interrupted; `{PROGRAM} resume {spec.name}{options}` goes on", file=sys.stderr)
        raise
    finally:
        exporter.abandon()
    return status


def starting_with(action: Callable[[], None], show: Callable[P, None]) -> Callable[P, None]:
    """Return `show` with an action before its first event, which comes when the sweep's folder has been accepted."""
    waiting = [action]

    def on_event(*args: P.args, **kwargs: P.kwargs) -> None:
        if waiting:
            waiting.pop()()
        show(*args, **kwargs)

    return on_event


class Exporter:
    """The MLflow writer of one sweep, or none.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    tracking_uri : str or None
        None leaves MLflow out.
    log_runs : str or None
        As in `sweeps.tracking.writer_process.TrackingProcess`.
    """

    def __init__(self, folder: Path, tracking_uri: str | None, log_runs: str | None = None) -> None:
        self._folder = folder
        self.tracking_uri = tracking_uri
        self._log_runs = log_runs
        self._process: TrackingProcess | None = None

    def start(self) -> None:
        """Start the writer, where MLflow is wanted."""
        if self.tracking_uri is not None:
            from sweeps.tracking.writer_process import TrackingProcess

            self._process = TrackingProcess(self._folder, self.tracking_uri, self._log_runs)

    def finish(self) -> str | None:
        """Wait for the writer; return what to tell the user where runs are missing."""
        if self._process is None:
            return None
        result = self._process.finish()
        self._process = None
        if not result.n_waiting and result.problem is None:
            return None
        n = "some" if result.n_waiting is None else str(result.n_waiting)
        return f"{n} runs not exported ({result.problem})"

    def abandon(self) -> None:
        """Let a writer that is still at work end by itself."""
        if self._process is not None:
            self._process.abandon()
            self._process = None


def print_answers(folder: Path, exporter: Exporter, options: str) -> None:
    """Print the tables, write the report, and say where everything is and how to open it."""
    from analysis.records.reading import read_sweep
    from analysis.report import write_report
    from analysis.statistics.recorded import retold
    from sweeps.commands.answers import ANSWERS, kind_of_data, told_table_answer
    from sweeps.commands.drawers import all_drawers
    from sweeps.commands.neighbours import neighbour_sentences
    from sweeps.commands.printing import homework_text

    studies = read_sweep(folder)
    # What was said on stderr before the search stands on the same screen, or else nowhere beside these figures.
    on_one_screen = sys.stdout.isatty() and sys.stderr.isatty()
    answers = {**ANSWERS, "table": told_table_answer} if on_one_screen else ANSWERS
    drawn = [study for study in studies if kind_of_data(study) not in ANSWERS]
    if any(study.trials for study in drawn):
        print(f"{homework_text(drawn)}\n")
    for study in studies:
        answer = answers.get(kind_of_data(study))
        text = None if answer is None else answer(study)
        if text is not None:
            print(f"{text}\n")
    for study in studies:
        if study.verdict is None:
            command = f"{PROGRAM} resume {folder.name}{options}"
            print(say("{dataset}: unfinished; `{command}` goes on", dataset=study.header.dataset, command=command))
        elif study.verdict.claims is None and (not study.verdict.certified or study not in drawn):
            print(f"{study.header.dataset}: {retold(study.verdict.text)}")
    for sentence in neighbour_sentences(folder, studies):
        print(sentence)
    page = write_report([folder], drawers=all_drawers())
    print(say("report: {page} (open it in a browser)", page=page))
    print_tracking(exporter, options)


def print_tracking(exporter: Exporter, options: str) -> None:
    """Wait for the MLflow writer; print where the runs are, and what is missing of them."""
    sys.stdout.flush()
    problem = exporter.finish()
    uri = exporter.tracking_uri
    if uri is not None:
        if uri.startswith("http"):
            print(say("MLflow runs: {uri} (open it in a browser)", uri=uri))
        else:
            print(say("MLflow runs: {uri} (`{command}` shows them)", uri=uri, command=f"{PROGRAM} ui{_ui_option(uri)}"))
    if problem is not None:
        print(f"{problem}; run `{PROGRAM} sync{options}`", file=sys.stderr)


def _ui_option(uri: str) -> str:
    from sweeps.tracking.database import resolve_uri

    return "" if uri == resolve_uri(DEFAULT_URI, Path.cwd()) else f" --tracking-uri {shlex.quote(uri)}"


def _options(arguments: argparse.Namespace, results: Path) -> str:
    """Return the options that bring another command to the same folder and store, as typed; empty for the defaults."""
    given = [("--results", str(results), DEFAULT_RESULTS), ("--tracking-uri", arguments.tracking_uri, DEFAULT_URI)]
    return "".join(f" {name} {shlex.quote(value)}" for name, value, default in given if value != default)
