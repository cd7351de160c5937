"""Where the figures come from: versions, seeds, spec, how often test draws were looked at, cost, how to replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
)
from analysis.records.events import Stage
from analysis.records.lineage import lineage
from analysis.records.study import STAGES, Study
from analysis.statistics.homework import replay_command, winner_record
from analysis.statistics.looks import level_of_all, same_draws

COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("seed", "Seed"),
    ReportColumn("goal", "Goal"),
    ReportColumn("n_trials", "Budget of trials"),
    ReportColumn("n_finished", "Trials finished"),
    ReportColumn("stopped", "Search ended by", "text"),
    ReportColumn("n_replicas", "Draws a trial"),
    ReportColumn("max_epochs", "Longest training, epochs"),
    ReportColumn("spec", "Digest of the spec", "text"),
    ReportColumn("road", "Engine", "text"),
    ReportColumn("cost_s", "Training time, all stages, s"),
)
FRESH_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("stage", "Stage", "text"),
    ReportColumn("look", "Look"),
    ReportColumn("draws", "Block of draws", "text"),
    ReportColumn("n_trials", "Search trials before it"),
    ReportColumn("n_records", "Settings"),
    ReportColumn("n_draws", "Draws each"),
    ReportColumn("level", "Level of the whole look"),
    ReportColumn("shared", "Same draws looked at by", "text"),
)
LOG_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("proves", "What the log says of itself", "text"),
    ReportColumn("digest", "Digest of its records", "text"),
)
LINEAGE_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("step", "Step"),
    ReportColumn("what", "What", "text"),
)
LOOK_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("stage", "Stage", "text"),
    ReportColumn("n_records", "Settings trained"),
    ReportColumn("n_draws", "Draws each"),
    ReportColumn("n_looks", "Looks at their test points"),
    ReportColumn("use", "What the looks decide", "text"),
)
STAGE_USE: MappingProxyType[Stage, str] = MappingProxyType(
    {
        "search": "what is tried next and the epoch: flattering",
        "finalist": "who is certified: slightly flattering",
        "certificate": "the verdict only",
        "page_search": "which of them become finalists for the page: flattering",
        "page_finalist": "who is certified for the page: slightly flattering",
        "page_certificate": "the verdict only",
        "ablation": "what one change of the winner does",
    }
)


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        ReportTable(
            "studies",
            "What was asked of each dataset. Equal spec, seed, versions and processor type give equal figures, for "
            "any number of workers; only the times differ.",
            COLUMNS,
            tuple(study_cells(study, name) for study, name in zip(studies, names, strict=True)),
        ),
        *lineage_blocks(studies, names),
        log_table(studies, names),
        ReportTable(
            "looks",
            "How often test points were looked at. One look: the test loss of all draws at one epoch of one "
            "setting. The more looks decide something, the more the best of them flatters; a certificate's draws are "
            "fresh and its epoch is fixed before, so that its one verdict does not. Points out of range were "
            "measured beside the test points and decided nothing.",
            LOOK_COLUMNS,
            tuple(row for study, name in zip(studies, names, strict=True) for row in look_rows(study, name)),
        ),
        *fresh_look_blocks(studies, names),
        version_table(studies, names),
        Paragraph("To train a trial again from its record and compare every bit:"),
        *(Paragraph(replay_text(study, name)) for study, name in zip(studies, names, strict=True)),
    ]
    return Section("provenance", "Where the figures come from", tuple(blocks))


def network_provenance(study: Study) -> Section:
    """Return where the figures of a polynomial study come from."""
    names = labels([study])
    header = study.header
    blocks: list[Block] = [log_table([study], names), version_table([study], names)]
    if study.networks:
        command = f"python -m sweeps replay {header.sweep}/{header.dataset} {study.networks[0].number}"
        blocks.append(Paragraph(f"To train a network again from its record and compare every bit: {command}"))
    return Section("provenance", "Where the figures come from", tuple(blocks))


def log_table(studies: Sequence[Study], names: Sequence[str]) -> ReportTable:
    """Return by which logs the figures can be known again."""
    return ReportTable(
        "logs",
        "By which logs these figures can be known again. The digest is over all records by their numbers, times "
        "apart; MLflow's parent runs have it, too, as tag sweep.digest, and python -m sweeps audit compares.",
        LOG_COLUMNS,
        tuple(log_cells(study, name) for study, name in zip(studies, names, strict=True)),
    )


def lineage_blocks(studies: Sequence[Study], names: Sequence[str]) -> list[Block]:
    """Return how studies have grown, and what they came of; nothing where none has a history."""
    rows = tuple(
        (name, i, line)
        for study, name in zip(studies, names, strict=True)
        if study.extensions or study.header.origin
        for i, line in enumerate(lineage(study), start=1)
    )
    if not rows:
        return []
    return [
        ReportTable(
            "lineage",
            "What these searches came of and how they have grown. Trials of an earlier space that lie in the later one "
            "were kept; winners are chosen among those. Each extension is followed by another look, on other draws.",
            LINEAGE_COLUMNS,
            rows,
        )
    ]


def version_table(studies: Sequence[Study], names: Sequence[str]) -> ReportTable:
    """Return the versions behind the figures."""
    return ReportTable(
        "versions",
        "Versions that touch the numbers.",
        (
            ReportColumn("what", "What", "text"),
            ReportColumn("version", "Version", "text"),
            ReportColumn("where", "Where", "text"),
        ),
        version_rows(studies, names),
    )


def study_cells(study: Study, name: str) -> tuple[Cell, ...]:
    """Return one row of the table of studies."""
    header = study.header
    records = [record for stage in STAGES for record in study.records[stage]]
    roads = sorted({record.road for record in records if record.road})
    return (
        name,
        str(header.seed),
        header.goal,
        study.budget.n_trials,
        len(study.trials),
        Missing("not finished") if study.verdict is None else study.verdict.stopped,
        header.n_replicas,
        header.max_epochs,
        study.budget.spec_sha256[:12],
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
        once = stage in ("certificate", "page_certificate", "ablation")
        looks = len(records) if once else sum(len(record.epoch_grid) for record in records)
        rows.append((name, stage.replace("_", " "), len(records), draws.most_common(1)[0][0], looks, STAGE_USE[stage]))
    return rows


def fresh_look_blocks(studies: Sequence[Study], names: Sequence[str]) -> list[Block]:
    """Return the looks at fresh draws that are on record, and what level holds over them."""
    rows = tuple(
        row for study, name in zip(studies, names, strict=True) for row in fresh_look_rows(study, name, studies, names)
    )
    if not rows:
        return []
    claimed = [look for study in studies for look in study.looks if look.level]
    everything = level_of_all(claimed)
    told = (
        "A level holds for one data set and one answer: the winner, or the setting for the page. "
        f"The {len(claimed)} looks of this report that claim something find a goal reached that is not with a chance "
        f"of at most {number_text(everything)} together: the sum of their levels."
    )
    return [
        ReportTable(
            "fresh-looks",
            "Looks at fresh draws: each was written to the log before it was taken, and has draws that no search and "
            "no earlier look of its study had. Looks at one block of draws (or at the same test rows) count for each "
            "other: a setting that was chosen in the knowledge of another's result there is not certified by it.",
            FRESH_COLUMNS,
            rows,
        ),
        Paragraph(told),
    ]


def fresh_look_rows(study: Study, name: str, studies: Sequence[Study], names: Sequence[str]) -> list[tuple[Cell, ...]]:
    """Return one row a look, with who else in this report has looked at the same draws."""
    rows: list[tuple[Cell, ...]] = []
    for look in study.looks:
        others = [
            label
            for other, label in zip(studies, names, strict=True)
            if other is not study and any(same_draws(study, look, other, one) for one in other.looks)
        ]
        total: Cell = look.level * look.n_records if look.level else Missing("claims nothing")
        if look.stage == "ablation":
            total = Missing("claims nothing of the goal; its changes have a level of their own")
        rows.append(
            (
                name,
                look.stage.replace("_", " "),
                look.number,
                look.draws,
                look.n_trials,
                look.n_records,
                look.n_draws,
                total,
                ", ".join(others) or "nobody in this report",
            )
        )
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
    setting = ", ".join(
        f"{key} = {number_text(value) if isinstance(value, float) else value}" for key, value in record.params.items()
    )
    return f"{name}: {replay_command(study, record)}   ({setting})"
