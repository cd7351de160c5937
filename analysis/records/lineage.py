"""What a study came of and how it has grown, in words."""

from __future__ import annotations

from analysis.records.study import Study


def lineage(study: Study) -> list[str]:
    """Return a line for what a study came of, its first budget, and each extension and chapter in order."""
    header = study.header
    lines = [f"best settings of {header.origin} first"] if header.origin else []
    lines.append(f"{header.n_trials} trials, until {header.until}, spec {header.spec_sha256[:12]}")
    chapters = {chapter.spec_sha256: chapter for chapter in study.chapters}
    for extension in study.extensions:
        budget = f"{extension.n_trials} trials, until {extension.until}, spec {extension.spec_sha256[:12]}"
        chapter = chapters.get(extension.spec_sha256)
        if chapter is None:
            lines.append(f"extended to {budget}")
        else:
            kept = f"{len(chapter.kept)} of {chapter.first} earlier trials lie in it"
            lines.append(f"another space from trial {chapter.first} ({kept}): {budget}")
    return lines
