"""Every text that a person reads has a Korean one, and the catalogue has nothing else.

``RANGESWEEP_WRITE_CATALOGUE=1 python -m pytest tests/analysis/test_catalogue.py`` writes the catalogue again: new texts
empty, those that are gone left out.
"""

from __future__ import annotations

import os
import re

import catalogue
import polib
import pytest

from analysis.words import ENGLISH, later, plural, say, speaking, translated

HANGUL = re.compile("[가-힣]")
ENDINGS = {"s"}
"""Placeholders of English endings, which a translation leaves out."""
NAMES = {"XOR", "ReLU", "tanh", "GELU", "SGD", "RMSprop", "Adam"}
"""Texts that are names in both languages."""
PENDING: frozenset[str] = frozenset()
"""Files whose texts may still be English in Korean; empty once all are translated."""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    found = catalogue.all_texts()
    if os.environ.get("RANGESWEEP_WRITE_CATALOGUE"):
        catalogue.write(found)
    return found


@pytest.fixture(scope="module")
def entries(texts: dict[str, str]) -> dict[str, str]:
    return {entry.msgid: entry.msgstr for entry in polib.pofile(str(catalogue.CATALOGUE), check_for_duplicates=True)}


def test_every_text_has_an_entry_and_every_entry_a_text(texts: dict[str, str], entries: dict[str, str]) -> None:
    assert {text: where for text, where in texts.items() if text not in entries} == {}
    assert [text for text in entries if text not in texts] == []


def test_every_entry_is_translated_into_korean(texts: dict[str, str], entries: dict[str, str]) -> None:
    lacking = {text: texts[text] for text, korean in entries.items() if not korean and texts[text] not in PENDING}
    assert lacking == {}
    letters = {text: re.sub(r"\{[^}]*\}|\W|\d", "", korean) for text, korean in entries.items()}
    assert {text for text, left in letters.items() if left and not HANGUL.search(left)} == NAMES


def test_files_that_wait_for_translation_still_lack_one(texts: dict[str, str], entries: dict[str, str]) -> None:
    waiting = {texts[text] for text, korean in entries.items() if not korean}
    assert waiting == PENDING


def test_every_entry_fills_in_what_the_text_does(entries: dict[str, str]) -> None:
    wrong = {
        text: korean
        for text, korean in entries.items()
        if korean and (found := catalogue.placeholders(korean)) != (wanted := catalogue.placeholders(text))
        if found != wanted - ENDINGS
    }
    assert wrong == {}


def test_every_entry_begins_and_ends_with_blanks_where_the_text_does(entries: dict[str, str]) -> None:
    def edges(text: str) -> tuple[bool, bool, int]:
        return text[0].isspace(), text[-1].isspace(), text.count("\n")

    # What goes on after a number may be joined to it in Korean.
    wrong = [text for text, korean in entries.items() if korean and text[0] != " " and edges(text) != edges(korean)]
    assert wrong == []


def test_a_text_that_is_no_literal_is_an_error() -> None:
    with pytest.raises(catalogue.NotLiteralError, match=re.escape("page.py:2: text is no literal")):
        list(catalogue.texts_of("\nsay(text, n=3)\n", "page.py"))
    assert list(catalogue.texts_of("say('a' if x else 'b', n=n)\nlater('c')\nother('d')", "page.py")) == ["a", "b", "c"]


def test_texts_are_english_where_no_language_is_asked_for() -> None:
    assert say("goal {goal:g}", goal=0.1) == "goal 0.1"
    assert f"{later('Activation')}" == str(later("Activation")) == "Activation"
    assert say("{no values} stay") == "{no values} stay"
    assert (plural(1), plural(2)) == ("", "s")


def test_a_language_lasts_as_long_as_its_context() -> None:
    with speaking("ko"):
        assert say("goal {goal:g}", goal=0.1) == "목표 0.1"
        assert f"{later('Activation')}" == str(later("Activation")) == "활성화 함수"
        assert later("Activation") == "Activation"
        assert translated("a name of somebody's own") == "a name of somebody's own"
        with speaking(ENGLISH):
            assert say("goal {goal:g}", goal=0.1) == "goal 0.1"
    assert say("goal {goal:g}", goal=0.1) == "goal 0.1"


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("language: unknown 'kr'; known: en, ko")), speaking("kr"):
        pass
