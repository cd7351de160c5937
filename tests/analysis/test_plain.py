"""Text for a terminal is parted where a reader would part it."""

from __future__ import annotations

import pytest

from analysis.formats.blocks import Card, Fact, Missing
from analysis.formats.plain import HEADING_WIDTH, WIDTH, cards_text, columns_wide, fitted_text, wrapped
from analysis.statistics.intervals import Interval

NOTHING = Missing("-")


def card(value: Interval | str) -> Card:
    return Card(
        "a", "certified", "goal 0.1", "-", (Fact("Test loss", value, ""),), "", NOTHING, NOTHING, NOTHING, (), ()
    )


def column(text: str, i: int) -> list[str]:
    return [line.split(" | ")[i].strip() for line in text.splitlines() if line.count(" | ") >= i]


def test_an_interval_wider_than_its_column_is_parted_before_its_bracket_and_at_blanks() -> None:
    assert len("(0.00130 to 0.00785)") > (WIDTH - HEADING_WIDTH - 12) // 4
    cards = [card(Interval(0.00187, 0.0013, 0.00785, 64, "t"))] * 4
    lines = [line for line in column(cards_text(cards), 4) if line]
    assert lines[-3:] == ["0.00187", "(0.00130 to", "0.00785)"]


@pytest.mark.parametrize("width", range(8, 40))
@pytest.mark.parametrize("end", ["", "가나다"])
def test_no_word_is_cut_that_fits_a_line(width: int, end: str) -> None:
    text = f"loss 0.00187 (0.00130 to 0.00785); rate 1e-05, out-of-range {end}".strip()
    lines = wrapped(text, width)
    assert all(columns_wide(line) <= width for line in lines)
    long = [word for word in text.split() if columns_wide(word) > width]
    assert [word for line in lines for word in line.split()] == text.split() or long
    assert "".join(" ".join(lines).split()) == "".join(text.split())


def test_columns_with_blanks_give_way_before_a_word_is_cut() -> None:
    text = fitted_text(("what", "value"), [("some words that can be parted", "0.00187(0.00130to0.00785)")], 51)
    assert "0.00187(0.00130to0.00785)" in text
    assert all(len(line) <= 51 for line in text.splitlines())
