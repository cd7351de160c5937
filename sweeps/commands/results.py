"""The commands that look at what sweeps have left, in their folders and in MLflow."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.formats.collecting import rare_collections
from analysis.words import ENGLISH, speaking
from engine.names import unknown
from sweeps.commands.auditing import tell_findings, warn_of_findings
from sweeps.commands.options import (
    PROGRAM,
    Commands,
    InputError,
    add_command,
    add_language_option,
    add_log_runs_option,
    add_results_option,
    add_tracking_option,
    positive_int,
    run_sweeps,
    sweep_folder,
)

if TYPE_CHECKING:
    from sweeps.audit.finding import Finding

FIRST_PORT = 5000
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    report = add_command(commands, "report", "write the report of one or more sweeps", "report homework")
    report.add_argument("sweeps", nargs="*", default=["homework"], metavar="SWEEP", help="default: homework")
    report.add_argument("--out", type=Path, metavar="FOLDER", help="default: report/ in the first sweep's folder")
    report.add_argument(
        "--figures", choices=("pdf", "svg"), help="write every picture to figures/ as well, for a paper: pdf or svg"
    )
    add_language_option(report)
    add_results_option(report)
    report.set_defaults(call=report_command)

    listing = add_command(commands, "list", "list the built-in sweeps and what has been run", "list")
    add_results_option(listing)
    listing.set_defaults(call=list_command)

    show = add_command(commands, "show", "show a sweep's tables, a study's trials, or one trial", "show homework/xor 0")
    show.add_argument("what", nargs="?", default="homework", metavar="SWEEP[/DATASET]", help="default: homework")
    show.add_argument("number", nargs="?", type=int, metavar="TRIAL", help="number of a search trial")
    add_results_option(show)
    show.set_defaults(call=show_command)

    digest = add_command(
        commands, "digest", "print the hash of a sweep's log, by trial number and timing apart", "digest homework"
    )
    digest.add_argument("sweep", nargs="?", default="homework", metavar="SWEEP", help="default: homework")
    add_results_option(digest)
    digest.set_defaults(call=digest_command)

    sync = add_command(commands, "sync", "write to MLflow what the logs have and it has not", "sync --results results")
    add_results_option(sync)
    add_tracking_option(sync)
    add_log_runs_option(sync)
    sync.set_defaults(call=sync_command)

    importer = add_command(
        commands,
        "import",
        "make the records again from MLflow's runs and artifacts",
        "import --tracking-uri sqlite:///mlflow.db --results imported",
    )
    importer.add_argument("sweep", nargs="?", metavar="SWEEP", help="default: every sweep of the store")
    importer.add_argument("--id", metavar="ID", help="which one, where the store has several of that name")
    importer.add_argument(
        "--artifacts", type=Path, metavar="FOLDER", help="where an SQLite store's artifacts are (default: as it says)"
    )
    add_results_option(importer)
    add_tracking_option(importer)
    importer.set_defaults(call=import_command)

    schema = add_command(commands, "schema", "print the JSON Schema of a sweep's TOML file, for editors", "schema")
    schema.set_defaults(call=schema_command)

    ui = add_command(commands, "ui", "start the MLflow UI, for this machine only", f"ui --port {FIRST_PORT}")
    add_tracking_option(ui)
    ui.add_argument("--host", default="127.0.0.1", help="127.0.0.1, localhost or ::1 (default: 127.0.0.1)")
    ui.add_argument("--port", type=positive_int, metavar="N", help=f"default: {FIRST_PORT}, or the next free one")
    ui.set_defaults(call=ui_command)


def report_command(arguments: argparse.Namespace) -> int:
    """Write a report and print where it is."""
    with one_blas_thread(), rare_collections():
        return _write_report(arguments)


def _write_report(arguments: argparse.Namespace) -> int:
    from analysis.records.reading import read_sweep
    from analysis.report import render, report_folder, write_pages
    from sweeps.commands.drawers import all_drawers

    folders = [sweep_folder(arguments.results, name) for name in arguments.sweeps]
    findings: list[Finding] = []
    with rare_collections():  # once more: now all modules are there
        with speaking(arguments.lang):
            read = [read_sweep(folder) for folder in folders]

            def look() -> None:
                from sweeps.audit.records import check_studies

                with speaking(ENGLISH):  # as the verdicts are recorded
                    for folder, its in zip(folders, read, strict=True):
                        findings.extend(check_studies(folder, its))

            studies = [study for sweep in read for study in sweep]
            pages = render(studies, arguments.figures, all_drawers(look))
            print(write_pages(pages, report_folder(folders, arguments.out)))
        return tell_findings(findings)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let no BLAS that is loaded within start threads: a report has no use for any.

    Nothing changes where the user says how many.
    """
    told = [name for name in BLAS_THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(told, "1"))
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]


def schema_command(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Print what a sweep's TOML file may say, as JSON Schema."""
    import json

    from sweeps.spec.schema import spec_schema

    print(json.dumps(spec_schema(), indent=2))
    return 0


def list_command(arguments: argparse.Namespace) -> int:
    """Print the built-in sweeps and the state of what has been run."""
    from analysis.records.reading import read_sweep
    from analysis.records.study import CELL, NETWORK
    from sweeps.spec.builtin import LESSONS, POLYNOMIALS, TABLES, builtin_specs

    print(f"built-in sweeps: {', '.join(builtin_specs())}")
    print(f"built-in polynomial studies: {', '.join(builtin_specs(POLYNOMIALS))}")
    print(f"built-in tables: {', '.join(builtin_specs(TABLES))}")
    print(f"built-in lessons: {', '.join(builtin_specs(LESSONS))} (`{PROGRAM} lessons` says what they ask)")
    folders = run_sweeps(Path(arguments.results))
    if not folders:
        print(f"{arguments.results}: nothing has been run yet")
    for folder in folders:
        for study in read_sweep(folder):
            state = "unfinished" if study.verdict is None else study.verdict.text
            n = len(study.of_stage(study.first))
            noun = {NETWORK: "networks", CELL: "cells"}.get(study.first, "trials")
            print(f"{folder.name}/{study.header.dataset}: {n} {noun}, {state}")
    return 0


def show_command(arguments: argparse.Namespace) -> int:
    """Print a sweep's tables, a study's trials, or one trial's record."""
    from analysis.records.lesson import CellRecord
    from analysis.records.polynomial import NetworkRecord
    from analysis.records.reading import read_study, read_sweep
    from sweeps.commands.printing import cell_text, cells_text, network_text, networks_text, record_text, trials_text

    sweep, _, dataset = arguments.what.partition("/")
    folder = sweep_folder(arguments.results, sweep)
    if not dataset:
        if arguments.number is not None:
            names = [study.header.dataset for study in read_sweep(folder)]
            raise InputError(f"show {sweep} {arguments.number}: name the dataset too, as in {sweep}/{names[0]}")
        _show_sweep(folder)
        return 0
    study = read_study(study_log(folder, dataset))
    found = study.of_stage(study.first)
    if arguments.number is None:
        if study.is_lesson:
            print(cells_text(study.cells))
        else:
            print(networks_text(study.networks) if study.is_polynomial else trials_text(study.trials))
        return 0
    record = next((one for one in found if one.number == arguments.number), None)
    if record is None:
        raise InputError(f"{arguments.what}: no finished trial {arguments.number}; it has {len(found)}")
    if isinstance(record, CellRecord):
        print(cell_text(record))
    else:
        print(network_text(record) if isinstance(record, NetworkRecord) else record_text(study.header, record))
    return 0


def _show_sweep(folder: Path) -> None:
    """Print the tables of a sweep, and the answers of kinds of data that have their own."""
    from analysis.records.reading import read_sweep
    from sweeps.commands.answers import lesson_answer, polynomial_answer, table_answer
    from sweeps.commands.printing import homework_text

    studies = read_sweep(folder)
    answers = {study.header.dataset: table_answer(study) for study in studies}
    trials = [study for study in studies if study.first == "search" and answers[study.header.dataset] is None]
    parts = [text for text in answers.values() if text is not None]
    parts += [polynomial_answer(study) for study in studies if study.is_polynomial]
    parts += [lesson_answer(study) for study in studies if study.is_lesson]
    if trials:
        parts = [homework_text(trials), *parts]
    print("\n\n".join(parts))


def digest_command(arguments: argparse.Namespace) -> int:
    """Print the hash of a sweep's canonical form."""
    from sweeps.store.log import digest

    print(digest(sweep_folder(arguments.results, arguments.sweep)))
    return 0


def sync_command(arguments: argparse.Namespace) -> int:
    """Bring MLflow level with the logs."""
    from sweeps.tracking.database import resolve_uri
    from sweeps.tracking.projection import sync

    results = Path(arguments.results)
    if not run_sweeps(results):
        raise InputError(
            f"--results {results}: no <sweep>/<dataset>/log.jsonl below it; name a folder `run` has written"
        )
    report = sync(results, resolve_uri(arguments.tracking_uri, Path.cwd()), arguments.log_runs)
    print(
        f"{report.n_written} runs written, {report.n_present} were there, {report.n_repaired} half-written replaced,"
        f" {report.n_deleted} deleted by a user left alone"
        + (f", {report.n_left_out} left out as --log-runs says" if report.n_left_out else "")
    )
    return max(map(warn_of_findings, run_sweeps(results)))


def import_command(arguments: argparse.Namespace) -> int:
    """Make sweeps' folders again from MLflow."""
    from sweeps.tracking.database import resolve_uri
    from sweeps.tracking.importing import import_sweeps

    imported = import_sweeps(
        resolve_uri(arguments.tracking_uri, Path.cwd()),
        Path(arguments.results),
        sweep=arguments.sweep,
        identity=arguments.id,
        artifacts=arguments.artifacts,
    )
    for sweep in imported:
        print(
            f"{sweep.folder}: {sweep.n_studies} logs of {sweep.n_lines} lines, {sweep.n_model_files} model files;"
            f" {sweep.n_new} files written"
        )
    return max((warn_of_findings(sweep.folder) for sweep in imported), default=0)


def ui_command(arguments: argparse.Namespace) -> int:
    """Serve the MLflow UI until it is interrupted."""
    from sweeps.tracking.database import resolve_uri
    from sweeps.tracking.ui import serve

    uri = resolve_uri(arguments.tracking_uri, Path.cwd())
    return serve(uri, arguments.host, arguments.port or FIRST_PORT, or_next=arguments.port is None)


def study_log(folder: Path, dataset: str) -> Path:
    """Return the log of one of a sweep's datasets.

    Raises
    ------
    InputError
        If the sweep has no such dataset.
    """
    path = folder / dataset / "log.jsonl"
    if not path.exists():
        names = sorted(log.parent.name for log in folder.glob("*/log.jsonl"))
        raise InputError(f"{folder}: {unknown('dataset', dataset, names)}")
    return path
