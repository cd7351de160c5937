"""Where the figures come from: versions, seeds, spec, how often test draws were looked at, cost, how to replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

from analysis.formats.blocks import Block, Cell, Column, Missing, Section, Table, Text, labels, number_text
from analysis.records.study import STAGES, Stage, Study
from analysis.statistics.homework import winner_record

COLUMNS = (
    Column("dataset", "Data type", "text"),
    Column("seed", "Seed"),
    Column("goal", "Goal"),
    Column("n_trials", "Budget of trials"),
    Column("n_finished", "Trials finished"),
    Column("stopped", "Search ended by", "text"),
    Column("n_replicas", "Draws a trial"),
    Column("max_epochs", "Longest training, epochs"),
    Column("spec", "Digest of the spec", "text"),
    Column("road", "Engine", "text"),
    Column("cost_s", "Training time, all stages, s"),
)
LOG_COLUMNS = (
    Column("dataset", "Data type", "text"),
    Column("proves", "What the log says of itself", "text"),
    Column("digest", "Digest of its records", "text"),
)
LOOK_COLUMNS = (
    Column("dataset", "Data type", "text"),
    Column("stage", "Stage", "text"),
    Column("n_records", "Settings trained"),
    Column("n_draws", "Draws each"),
    Column("n_looks", "Looks at their test points"),
    Column("use", "What the looks decide", "text"),
)
STAGE_USE: MappingProxyType[Stage, str] = MappingProxyType(
    {
        "search": "what is tried next and the epoch: flattering",
        "finalist": "who is certified: slightly flattering",
        "certificate": "the verdict only",
        "page_search": "which of them become finalists for the page: flattering",
        "page_finalist": "who is certified for the page: slightly flattering",
        "page_certificate": "the verdict only",
    }
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Table(
            "studies",
            "What was asked of each dataset. Equal spec, seed, versions and processor type give equal figures, for "
            "any number of workers; only the times differ.",
            COLUMNS,
            tuple(study_cells(study, name) for study, name in zip(studies, names, strict=True)),
        ),
        Table(
            "logs",
            "By which logs these figures can be known again. The digest is over all records by their numbers, times "
            "apart; MLflow's parent runs have it, too, as tag sweep.digest, and python -m sweeps audit compares.",
            LOG_COLUMNS,
            tuple(log_cells(study, name) for study, name in zip(studies, names, strict=True)),
        ),
        Table(
            "looks",
            "How often test points were looked at. One look: the test loss of all draws at one epoch of one "
            "setting. The more looks decide something, the more the best of them flatters; a certificate's draws are "
            "fresh and its epoch is fixed before, so that its one verdict does not. Points out of range were "
            "measured beside the test points and decided nothing.",
            LOOK_COLUMNS,
            tuple(row for study, name in zip(studies, names, strict=True) for row in look_rows(study, name)),
        ),
        Table(
            "versions",
            "Versions that touch the numbers.",
            (Column("what", "What", "text"), Column("version", "Version", "text"), Column("where", "Where", "text")),
            version_rows(studies, names),
        ),
        Text("To train a trial again from its record and compare every bit:"),
        *(Text(replay_text(study, name)) for study, name in zip(studies, names, strict=True)),
    ]
    return Section("provenance", "Where the figures come from", tuple(blocks))


def study_cells(study: Study, name: str) -> tuple[Cell, ...]:
    """Return one row of the table of studies."""
    header = study.header
    records = [record for stage in STAGES for record in study.records[stage]]
    roads = sorted({record.road for record in records if record.road})
    return (
        name,
        str(header.seed),
        header.goal,
        header.n_trials,
        len(study.trials),
        Missing("not finished") if study.verdict is None else study.verdict.stopped,
        header.n_replicas,
        header.max_epochs,
        header.spec_sha256[:12],
        ", ".join(roads) if roads else Missing("nothing trained"),
        round(sum(record.duration_s for record in records), 1),
    )


def log_cells(study: Study, name: str) -> tuple[Cell, ...]:
    """Return one row of the table of logs."""
    if study.chain is None:
        return name, Missing("no log"), Missing("no log")
    return name, study.chain.proves, study.digest


def look_rows(study: Study, name: str) -> list[tuple[Cell, ...]]:
    """Return, for each stage that has records, how often it looked at test points."""
    rows: list[tuple[Cell, ...]] = []
    for stage in STAGES:
        records = study.records[stage]
        if not records:
            continue
        draws = Counter(len(record.seeds) for record in records)
        # Certificates keep their curve for the picture; what decides is the one epoch fixed before.
        once = stage in ("certificate", "page_certificate")
        looks = len(records) if once else sum(len(record.epoch_grid) for record in records)
        rows.append((name, stage.replace("_", " "), len(records), draws.most_common(1)[0][0], looks, STAGE_USE[stage]))
    return rows


def version_rows(studies: Sequence[Study], names: Sequence[str]) -> tuple[tuple[Cell, ...], ...]:
    """Return each version once, with the datasets it holds for where they differ."""
    where: dict[tuple[str, str], list[str]] = {}
    for study, name in zip(studies, names, strict=True):
        for what, version in study.header.versions.items():
            where.setdefault((what, str(version)), []).append(name)
    return tuple(
        (what, version, "everywhere" if len(holders) == len(studies) else ", ".join(holders))
        for (what, version), holders in sorted(where.items())
    )


def replay_text(study: Study, name: str) -> str:
    """Return the command that trains the winner's search trial again."""
    record = winner_record(study)
    if record is None:
        return f"{name}: nothing to replay."
    number = record.number if record.stage == "search" or record.source is None else record.source
    setting = ", ".join(
        f"{key} = {number_text(value) if isinstance(value, float) else value}" for key, value in record.params.items()
    )
    return f"{name}: python -m sweeps replay {study.header.sweep}/{study.header.dataset} {number}   ({setting})"
