"""A homework table with what cannot be: one line that says where, and advises nothing that the command has not."""

from pathlib import Path

import pytest

from sweeps.data.sheet import read_sheet
from sweeps.data.sheet_cells import CellError, sizes
from sweeps.data.table.table import TableError


@pytest.mark.parametrize("text", ["6, -2", "-6", "6;-2", "-6, 2"])
def test_a_layer_of_less_than_no_unit_is_no_list_of_units(text: str) -> None:
    with pytest.raises(CellError) as caught:
        sizes(text, 6, 8)
    assert str(caught.value) == f"'{text}'; expected units by layer, as in \"6, 2\""


@pytest.mark.parametrize("text", ["6-2", "6 - 2", "6, 2", "[6 2]"])
def test_a_minus_between_two_layers_separates_them(text: str) -> None:
    assert sizes(text, 6, 8) == (6, 2)


def test_a_file_that_is_no_text_is_to_be_saved_as_text(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(b"data type\nX\0R\n")
    with pytest.raises(TableError) as caught:
        read_sheet(path)
    assert str(caught.value) == (f"{path}: line 2: control character U+0000 at character 2; save it as UTF-8 text")
