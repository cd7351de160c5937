"""A homework table is read as it was meant, or refused in one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.data.sheet import Setting, column_of, read_sheet
from sweeps.data.sheet_cells import Claimed
from sweeps.data.table.table import TableError

ENGLISH = "data type,activation,batch size,# hidden layers,# neurons,epochs,training loss,test loss"
KOREAN = "데이터 타입,활성화 함수,배치크기,은닉층 수,뉴런 수,에포크,훈련 손실,테스트 손실"


def read(folder: Path, *lines: str, encoding: str = "utf-8"):
    path = folder / "hw.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return read_sheet(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize(
    ("header", "row"),
    [(ENGLISH, 'XOR,ReLU,30,2,"6, 2",156,0.05,0.09'), (KOREAN, '배타적 논리합,렐루,30,2,"6, 2",156,0.05,0.09')],
)
def test_the_sheet_is_read_in_both_languages_and_every_usual_encoding(tmp_path, header, row, encoding):
    (found,) = read(tmp_path, header, row, encoding=encoding)
    assert found.setting == Setting("xor", "relu", 30, (6, 2), 156)
    assert found.claimed == {"training loss": Claimed(0.05, 2), "test loss": Claimed(0.09, 2)}
    assert (found.troubles, found.notes, found.line) == ((), (), 2)


@pytest.mark.parametrize(
    ("row", "hidden", "epochs"),
    [
        ("xor;relu;30;2;6, 2;000,156;0,05;0,09", (6, 2), 156),
        ("two blobs;none;10;0;;10;0.05;0.09", (), 10),
        ("나선;하이퍼볼릭 탄젠트;10;3;[8 8 8];1500;5e-2;.09", (8, 8, 8), 1500),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, row, hidden, epochs):
    (found,) = read(tmp_path, ENGLISH.replace(",", ";"), row)
    assert found.setting is not None
    assert (found.setting.hidden, found.setting.epochs) == (hidden, epochs)
    assert found.claimed == {"training loss": Claimed(0.05, 2), "test loss": Claimed(0.09, 2)}


def test_layer_sizes_without_quotes_are_put_together_again(tmp_path):
    (found,) = read(tmp_path, ENGLISH, "xor,relu,30,3,6,4,2,156,0.05,0.09")
    assert found.setting is not None
    assert found.setting.hidden == (6, 4, 2)
    assert found.claimed["test loss"] == Claimed(0.09, 2)


def test_more_columns_are_read_and_others_left_out(tmp_path):
    header = f"name,{ENGLISH},학습률 (learning rate),noise,training share"
    first, second = read(
        tmp_path,
        header,
        "Kim,xor,relu,30,2,6-2,156,0.05,0.09,0.1,20,70%",
        "Lee,xor,relu,30,2,6-2,156,0.05,0.09,,0.35,0.5",
    )
    assert first.setting == Setting("xor", "relu", 30, (6, 2), 156, 0.1)
    assert second.setting == Setting("xor", "relu", 30, (6, 2), 156, None, 0.35, 0.5)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("xorr,relu,30,1,6,156,.05,.09", "hw.csv:2:1: data type: unknown 'xorr'; did you mean 'xor'?"),
        ("xor,rellu,30,1,6,156,.05,.09", "hw.csv:2:2: activation: unknown 'rellu'; did you mean 'relu'?"),
        ("xor,relu,0,1,6,156,.05,.09", "hw.csv:2:3: batch size: '0' is outside 1 to 350 training points; nearest: 1"),
        (
            "xor,relu,351,1,6,156,.05,.09",
            "hw.csv:2:3: batch size: '351' is outside 1 to 350 training points; nearest: 350",
        ),
        ("xor,relu,,1,6,156,.05,.09", "hw.csv:2:3: batch size: empty; expected a whole number from 1 to 350"),
        ("xor,relu,30,7,6,156,.05,.09", "hw.csv:2:4: # hidden layers: '7' is outside 0 to 6 of the page; nearest: 6"),
        (
            "xor,relu,30,1,9,156,.05,.09",
            "hw.csv:2:5: # neurons: '9': a layer of 9 units; the page has 1 to 8, nearest: 8",
        ),
        (
            "xor,relu,30,2,6,156,.05,.09",
            "hw.csv:2:5: # neurons: '6' with 2 hidden layers; expected the units of each, as in \"6, 2\"",
        ),
        (
            "xor,relu,30,2,06월 02일,156,.05,.09",
            "hw.csv:2:5: # neurons: '06월 02일' reads like a date that a spreadsheet made of 6-2; "
            'expected units by layer, as in "6, 2"',
        ),
        ("xor,relu,30,1,,156,.05,.09", 'hw.csv:2:5: # neurons: empty; expected units by layer, as in "6, 2"'),
        (
            "xor,relu,30,1,6,many,.05,.09",
            "hw.csv:2:6: epochs: 'many' is no whole number; expected a whole number from 1 to 20000",
        ),
        (
            "xor,relu,30,1,6,156,.05,.09,7,8",
            'hw.csv:2:5: # neurons: 10 cells, and the header has 8; write layer sizes in one quoted cell, "6, 2"',
        ),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_used_is_one_line_with_its_place(tmp_path, row, message):
    (found,) = read(tmp_path, ENGLISH, row)
    assert found.setting is None
    assert found.fatal is not None
    assert found.fatal.line == message


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (",0.09", "no loss is given"),
        ("low,0.09", "'low' is no number"),
        (
            "-0.05,0.09",
            "'-0.05' cannot be: half the squared error of outputs within -1 and 1 is from 0 to 2; did you mean 0.05?",
        ),
        (
            "2.5,0.09",
            "'2.5' cannot be: half the squared error of outputs within -1 and 1 is from 0 to 2; expected the page's "
            "number, as in 0.085",
        ),
    ],
)
def test_a_row_without_a_usable_loss_is_still_trained(tmp_path, losses, sentence):
    (found,) = read(tmp_path, ENGLISH, f"xor,relu,30,1,6,156,{losses}")
    assert found.setting is not None
    assert found.claimed == {"training loss": sentence, "test loss": Claimed(0.09, 2)}
    assert found.fatal is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "1,2"], "hw.csv:1:1: no column 'data type'; expected data type | activation | batch size | "
         "# hidden layers | # neurons | epochs | training loss | test loss"),
        ([ENGLISH.replace("epochs", "epochz"), "xor"], "hw.csv:1:1: no column 'epochs'; is it 'epochz'? rename it"),
        ([ENGLISH + ",epoch", "xor"], "hw.csv:1:9: 'epoch': a second column of epochs; leave one out"),
        ([ENGLISH], "hw.csv:1: no row below the header; expected at least one"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path, lines, message):
    with pytest.raises(TableError) as raised:
        read(tmp_path, *lines)
    assert str(raised.value) == message


def test_no_heading_means_two_columns():
    from sweeps.data.sheet import COLUMNS

    for column, others in COLUMNS.items():
        assert {column_of(name) for name in (column, *others)} == {column}
