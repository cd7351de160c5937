"""What ``--lang ko`` shows: no sentence of the English page is left on it, and what is recorded stays English."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import html5lib
import numpy as np
import pytest
from tiny import tiny_spec

from analysis.course.cells import level_text
from analysis.formats import drawing, style
from analysis.records.study import Study
from analysis.report import Pages, language_of, render, render_sections, write_pages
from analysis.sections import answer, cards, handed_in
from analysis.statistics.claimed import CheckedRow
from analysis.statistics.recorded import retold
from analysis.words import speaking
from sweeps.audit.figures import check_report
from sweeps.commands.main import main
from sweeps.run.kinds import load
from sweeps.run.study import run_sweep
from sweeps.spec.lesson import LessonSpec
from sweeps.spec.lesson_changes import with_setting
from sweeps.store.log import digest

XHTML = "{http://www.w3.org/1999/xhtml}"
ENGLISH_WORDS = re.compile(r"\b[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}\b")
FORMATS = re.compile("CSV|LaTeX|GIF|`[^`]*`")
COMMANDS = ("python -m sweeps", "--")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    return run_sweep(tiny_spec(), tmp_path_factory.mktemp("sweep"), workers=1)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Study:
    spec = load("batch_size")
    assert isinstance(spec, LessonSpec)
    for assignment in ("n_replicas=4", "epochs=3"):
        spec = with_setting(spec, assignment)
    (study,) = run_sweep(spec, tmp_path_factory.mktemp("lesson"), workers=1)
    return study


def checked_row() -> CheckedRow:
    draws = np.linspace(0.05, 0.4, 40)[None]
    return CheckedRow(
        source="hw.csv", line=2, dataset="XOR", setting="relu", rates=(0.03,),
        losses={"training loss": draws, "test loss": draws + 0.02}, claimed={"test loss": (0.001, 3)},
        sentences={}, notes=(), mistakes=(),
    )  # fmt: skip


def texts(page: bytes, keys: tuple[str, ...] = ()) -> set[str]:
    """Return the texts of a page, commands and style apart; of some sections alone where their keys are given."""
    tree = html5lib.parse(page)
    parts = [one for one in tree.iter(f"{XHTML}section") if one.get("id") in keys] if keys else [tree]
    found = set()
    for part in parts:
        for element in part.iter():
            if element.tag in (f"{XHTML}code", f"{XHTML}style", f"{XHTML}script"):
                continue
            found |= {" ".join(text.split()) for text in (element.text, element.get("alt")) if text}
    tails = {" ".join(one.tail.split()) for part in parts for one in part.iter() if one.tail}
    return {text for text in found | tails if text and not text.startswith(COMMANDS)}


QUOTED = re.compile(r"`[^`]+`")


def english(found: set[str]) -> set[str]:
    return {text for text in found if ENGLISH_WORDS.search(QUOTED.sub("", FORMATS.sub("", text)))}


def test_cards_and_the_table_of_answers_have_no_english_sentence(studies: list[Study]) -> None:
    keys = ("cards", "answer")

    def pages() -> Pages:
        return render_sections("", "", [cards.build(studies), answer.build(studies)])

    with speaking("ko"):
        korean = pages()
    found = texts(korean.files["index.html"], keys)
    assert english(found) == set()
    assert len(english(texts(pages().files["index.html"], keys))) > 20
    assert any("인증" in text for text in found)
    assert b'<html lang="ko">' in korean.files["index.html"]
    assert set(korean.files) == set(pages().files)  # file names are the same in every language


def test_a_lesson_has_no_english_sentence(lesson: Study) -> None:
    with speaking("ko"):
        korean = texts(render([lesson]).files["index.html"])
    assert english(korean) == set()
    assert len(english(texts(render([lesson]).files["index.html"]))) > 20


def csv_fields(pages: Pages) -> set[str]:
    """Return the fields of all of a report's CSV files, column names and commands apart."""
    files = [text.decode() for name, text in pages.files.items() if name.endswith(".csv")]
    fields = {field for text in files for row in list(csv.reader(io.StringIO(text)))[1:] for field in row}
    return {field for field in fields if not field.startswith(COMMANDS)}


def test_a_lessons_csv_files_have_no_english_sentence(lesson: Study) -> None:
    with speaking("ko"):
        korean = render([lesson])
    assert english(csv_fields(korean)) == set()
    assert len(english(csv_fields(render([lesson])))) > 5


def test_none_is_a_word_and_other_levels_are_not() -> None:
    levels = ("none", "5-4-4", 0.5, 3)
    assert [level_text(level) for level in levels] == ["none", "5-4-4", "0.5", "3"]
    with speaking("ko"):
        assert [level_text(level) for level in levels] == ["없음", "5-4-4", "0.5", "3"]


def test_a_homework_table_has_no_english_sentence() -> None:
    with speaking("ko"):
        korean = texts(render_sections("", "", handed_in.sections([checked_row()])).files["index.html"])
    assert english(korean) == set()
    assert any("나오기 어려움" in text for text in korean)


def test_records_are_the_same_whatever_the_language(tmp_path: Path, lesson: Study) -> None:
    assert lesson.path is not None
    command = ["run", "batch_size", "--set", "n_replicas=4", "--set", "epochs=3", "--tracking-uri", "none"]
    assert main([*command, "--results", str(tmp_path), "--lang", "ko", "--workers", "1"]) == 0
    (folder,) = (path.parent.parent for path in tmp_path.glob("*/*/log.jsonl"))
    assert digest(folder) == digest(lesson.path.parent.parent)
    assert language_of(folder / "report" / "index.html") == "ko"
    assert list(check_report(folder)) == []  # the auditor compares it with a report of its own language


@pytest.mark.parametrize(
    ("recorded", "korean"),
    [
        (
            "Certified: mean training loss 0.0800 and mean test loss 0.0900 over 1000 fresh draws are below 0.1, at "
            "level 0.05.",
            "인증됨: 새 추출 1000개의 평균 훈련 손실 0.0800, 평균 테스트 손실 0.0900이(가) 0.1 미만, 수준 0.05.",
        ),
        ("somebody's own words", "somebody's own words"),
    ],
)
def test_a_recorded_verdict_is_told_again(recorded: str, korean: str) -> None:
    assert retold(recorded) == recorded
    with speaking("ko"):
        assert retold(recorded) == korean


def test_without_a_font_all_pictures_are_english_and_the_page_says_so_once(
    lesson: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "has_glyph", lambda letter: False)
    assert not drawing.has_letters("ko")
    with speaking("ko"):
        pages = render([lesson])
    plain = render([lesson]).files
    pictures = [name for name in plain if name.startswith("pictures/")]
    assert pictures
    assert all(pages.files[name] == plain[name] for name in pictures)
    page = write_pages(pages, tmp_path).read_text("utf-8")
    assert page.count("이 컴퓨터에 한글 글꼴이 없습니다") == 1
