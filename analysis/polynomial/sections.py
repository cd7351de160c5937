"""The sections of a polynomial study's report, in reading order."""

from __future__ import annotations

from analysis.formats.blocks import (
    Block,
    Paragraph,
    Section,
)
from analysis.polynomial.answer import answer_section
from analysis.polynomial.baselines import baselines_section
from analysis.polynomial.claims import claims
from analysis.polynomial.pictures import landscape_section, pictures_section, training_section
from analysis.polynomial.question import (
    Question,
)
from analysis.polynomial.tables import claims_section, errors_section, evidence_section, fits_section
from engine.roads.blas import one_blas_thread


def sections(question: Question) -> list[Section]:
    """Return all sections, in reading order."""
    if not question.study.networks:
        return [Section("claims", "The claims", (Paragraph("No network has been trained yet.", "missing"),))]
    if missing := question.study.header.n_trials - len(question.study.networks):
        note: tuple[Block, ...] = (
            Paragraph(
                f"{missing} of {question.study.header.n_trials} networks are not trained yet; nothing is judged.",
                "missing",
            ),
        )
        return [Section("claims", "The claims", note)]
    with one_blas_thread():
        return _sections(question)


def _sections(question: Question) -> list[Section]:
    found = claims(question)
    return [
        answer_section(question),
        claims_section(question, found),
        errors_section(question),
        baselines_section(question),
        pictures_section(question),
        fits_section(question),
        training_section(question),
        landscape_section(question),
        evidence_section(question, found),
    ]
