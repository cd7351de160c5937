"""``check-homework``: a table in the terminal, a report, one line for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.formats.plain import columns_wide, fitted_text
from sweeps.commands.main import main

HEADER = "데이터 타입,활성화 함수,배치크기,은닉층 수,뉴런 수,에포크,훈련 손실,테스트 손실,학습률"

NO_MLFLOW = ("--tracking-uri", "none")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, *rows: str) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]), encoding="cp949")


def test_a_table_is_printed_within_100_columns_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    write("홍길동.csv", 'XOR,ReLU,30,2,"6, 2",10,0.05,0.09,0.1', "원,tanh,10,1,4,5,0.4,,0.03")
    assert main(["check-homework", "홍길동.csv", "--draws", "20", "--seed", "2", *NO_MLFLOW]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert max(map(columns_wide, lines)) <= 100
    assert "no loss is given" in " ".join(lines[5].split("|")[4].split() + lines[6].split("|")[4].split())
    assert lines[-1] == "report: results/checked/홍길동/index.html (open it in a browser)"
    folder = Path("results/checked/홍길동")
    assert {path.name for path in folder.iterdir()} == {"index.html", "report.md", "data", "pictures"}
    csv = (folder / "data/rows.csv").read_text("utf-8-sig")
    assert csv.count("\n") == 3
    assert "cheat" not in (folder / "index.html").read_text("utf-8") + printed.out


def test_a_cell_that_cannot_be_used_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    write("hw.csv", "XOR,ReLU,30,1,4,10,0.05,0.09,0.1", "XOR,Rellu,30,1,4,10,0.05,0.09,0.1")
    assert main(["check-homework", "hw.csv"]) == 2
    assert capsys.readouterr().err == (
        "python -m sweeps: hw.csv:3:2: activation: unknown 'Rellu'; did you mean 'relu'?\n"
    )
    assert not Path("results").exists()


def test_a_class_is_one_table_with_its_common_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    write("class/kim.csv", "XOR,ReLU,30,1,4,5,0.05,0.09,0.1", "원,Rellu,10,1,4,5,0.4,0.4,0.03")
    write("class/lee.csv", "XOR,Relux,30,1,4,5,0.5,3,0.1", "XOR,ReLU,30,1,4,5,0.5,0.5,")
    write("class/notes.md")
    assert main(["check-homework", "class", "--draws", "20", *NO_MLFLOW]) == 0
    out = capsys.readouterr().out
    assert "common mistakes" in out
    assert "\nlee.csv:3: no learning rate given: averaged over the page's menu; of its rates " in out
    table = Path("results/checked/class/data/mistakes.csv").read_text("utf-8-sig").splitlines()
    assert "activation: unknown name,2,2" in table
    assert "test loss: outside 0 to 2,1,1" in table
    students = Path("results/checked/class/data/class.csv").read_text("utf-8-sig").splitlines()
    assert students[1].startswith("kim.csv,2,1,")
    assert max(map(columns_wide, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty: no table in this folder; expected files that end in .csv, .tsv, .txt"),
        ("none.csv", "none.csv: not there; no .csv file is in '.'"),
    ],
)
def test_nothing_to_check_is_one_line(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["check-homework", name]) == 2
    assert capsys.readouterr().err == f"python -m sweeps: {message}\n"


def test_a_fitted_table_keeps_all_text_and_counts_wide_characters_twice() -> None:
    text = fitted_text(("a", "b"), [("한국어로 쓴 긴 문장입니다", "x" * 30)], 30)
    assert max(map(columns_wide, text.splitlines())) <= 30
    assert "".join(text.split("\n")[2:]).replace(" ", "").replace("|", "").count("x") == 30
