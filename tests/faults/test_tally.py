"""The table of what was tried names tests that exist, and a count anew takes the place of the one before."""

from __future__ import annotations

from pathlib import Path

from tally import DOCUMENT, WHOLE, Row, parts, rows_of, summed, with_rows

TESTS = Path(__file__).resolve().parents[1]


def test_every_row_names_a_test_that_exists() -> None:
    rows = rows_of(DOCUMENT.read_text(encoding="utf-8"))
    assert rows
    for row in rows:
        path, _, name = row.test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8"), row


def test_a_row_is_written_in_the_place_of_the_same_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    first, *others = rows_of(text)
    assert with_rows(text, []) == text
    again = Row(first.what, "1", "0", first.test)
    new = Row("something else", "2", "0", first.test)
    assert rows_of(with_rows(text, [again, new])) == [again, *others, new]


def test_cases_of_one_test_are_counted_together() -> None:
    cases = [Row("cuts at 3 places", "1 200", "0", "t"), Row("cuts at 4 places", "30", "2", "t")]
    share = Row("speed", "97 %", "0", "t")
    assert summed([*cases, share, share]) == [Row("cuts at 3 places", "1 230", "2", "t"), share]


def test_parts_of_a_long_test_are_all_of_it() -> None:
    assert parts(200, 4) == [50, 50, 50, 50]
    assert parts(40, 3) == [13, 13, 14]
    assert parts(1, 4) == [1]
    assert [row.tried for row in summed([Row("pairs", str(n), "0", "t") for n in parts(300, 6)])] == ["300"]


def test_a_test_that_went_through_takes_away_the_row_of_its_breakdown() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    first, *others = rows_of(text)
    broken = Row(WHOLE, "1", "1", first.test)
    assert broken in rows_of(with_rows(text, [broken]))
    assert rows_of(with_rows(with_rows(text, [broken]), [first])) == [first, *others]
    assert broken in rows_of(with_rows(text, [first, broken]))
