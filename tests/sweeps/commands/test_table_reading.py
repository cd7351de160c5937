"""How a table is written can be said on the command line, and what was read otherwise than it stands is said first."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from sweeps.commands.main import build_parser, main
from sweeps.commands.table_reading import reading_changes
from sweeps.spec.sweep import load_spec
from sweeps.toml import SpecError

PAGE = "https://playground.tensorflow.org/"


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["--missing", "?,unknown"], {"missing": ["NA.", "?", "unknown"]}),
        (["--missing", "-200", "--missing=-,x"], {"missing": ["NA.", "-200", "-", "x"]}),
        (["--separator", "tab", "--decimal", ","], {"separator": "\t", "decimal": ","}),
        (["--separator", "blanks", "--thousands", "."], {"separator": " ", "thousands": "."}),
        (["--no-header", "--skip-rows", "2", "--comment", "#"], {"header": False, "skip_rows": 2, "comment": "#"}),
        (["--units-row", "--text-column", "a"], {"units_row": True, "text_columns": ["a"]}),
        ([], {}),
    ],
)
def test_what_the_command_line_says_of_a_file(words: list[str], changes: dict[str, object]) -> None:
    for command in (["run", "t.csv"], ["predict", "model", "t.csv"]):
        arguments = build_parser()[0].parse_args([*command, *words])
        assert reading_changes(arguments, {"missing": ["NA."]}) == changes


@pytest.mark.parametrize("names", [["heat", "cool"], ["a", "b", "c"]])
def test_several_targets_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    options = [word for name in names for word in ("--target", name)]
    assert main(["run", str(tmp_path / "t.csv"), *options]) == 2
    apart = "".join(f" --role {name}=identifier" for name in names[1:])
    assert capsys.readouterr().err == (
        f"python -m sweeps: {' '.join(f'--target {name}' for name in names)}: a sweep predicts one column, and the "
        f"others "
        f"would be inputs; run it once for each, for instance --target {names[0]}{apart} --name {names[0]}\n"
    )


@pytest.mark.parametrize(("n", "listed"), [(2, "'c0', 'c1'"), (14, "'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', ")])
def test_without_a_target_the_columns_to_choose_from_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int, listed: str
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(";".join(f"c{k}" for k in range(n)) + "\n" + ";".join("1" * n) + "\n")
    assert main(["run", str(file)]) == 2
    end = "" if n == 2 else "'c8', 'c9', 'c10', 'c11', ... (14)"
    assert capsys.readouterr().err == (
        f"python -m sweeps: run {file}: name the column to predict: --target COLUMN, one of {listed}{end}\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.cvs", "--target", "y"], "data.cvs: not there; nearest: 'data.csv'"),
        (["dat.csv", "--target", "y"], "dat.csv: not there; nearest: 'data.csv'"),
        (["dat.csv"], "dat.csv: not there; nearest: 'data.csv'"),
        (["data", "--target", "y"], "data: not there; nearest: 'data.csv'"),
        (["no/data.csv", "--target", "y"], "no/data.csv: not there, nor is the folder 'no'; paths are from {here!r}"),
        (["my.toml"], "my.toml: not there; no .toml file is in '.'"),
        (
            ["homework", "--target", "x"],
            "run homework --target x: homework comes with its own data; leave --target out, or name a data file "
            "instead",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("x,y\n1,2\n")
    assert main(["run", *words]) == 2
    assert capsys.readouterr().err == f"python -m sweeps: {message.format(here=str(tmp_path))}\n"


def test_several_targets_in_a_spec_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.toml").write_text('[dataset]\nfile = "t.csv"\ntarget = ["heat", "cool"]\n')
    assert main(["run", str(tmp_path / "two.toml")]) == 2
    assert capsys.readouterr().err == (
        'python -m sweeps: two.toml: dataset: target: ["heat", "cool"]; a sweep predicts one column, and the others '
        "would be inputs: write a spec for each, with the others under [dataset.roles], for instance "
        'cool = "identifier"\n'
    )


def small_spec() -> str:
    return (Path(__file__).parents[2] / "cases" / "tiny.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_spec_with_a_byte_order_mark_is_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "tiny.toml"
    path.write_bytes(codecs.BOM_UTF8 + small_spec().replace("\n", end).encode())
    assert load_spec(path).name == "tiny"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-32-be", "UTF-32"),
        ("utf-32-le", "UTF-32"),
    ],
)
@pytest.mark.parametrize("content", ["sweep", "table"])
def test_a_spec_in_wide_letters_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, name: str, content: str
) -> None:
    text = small_spec() if content == "sweep" else '[dataset]\nfile = "t.csv"\ntarget = "y"\n'
    path = tmp_path / "wide.toml"
    path.write_bytes(f"\ufeff{text}".encode(encoding) if encoding.endswith("be") else text.encode(encoding))
    assert main(["run", str(path)]) == 2
    assert capsys.readouterr().err == f"python -m sweeps: wide.toml: {name} text; TOML is UTF-8: save it as UTF-8\n"
    with pytest.raises(SpecError, match=name):
        load_spec(path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"{PAGE}?dataset=xor&amp;networkShape=4,2&amp;seed=0.5&amp;noise=10", [
            "address: HTML's &amp; read as &", "address: ? read as #",
            "trains xor: noise 10%, 50% of the points; inputs x,y; hidden layers 4,2, tanh; learning rate 0.03, "
            "batches of "
            "10; seed 0.5; 1 epochs"]),
        (f"{PAGE}#dataset=Spiral&regularization=L2&regularizationRate=0.1&seed=a&networkShape=", [
            "address: dataset=Spiral is none of gauss, xor, circle, spiral: the page takes circle",
            "trains circle: noise 0%, 50% of the points; inputs x,y; hidden layers none, tanh; learning rate 0.03, "
            "batches "
            "of 10, l2 0.1; seed a; 1 epochs"]),
    ],
)  # fmt: skip
def test_playground_says_what_it_trains(url: str, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playground", url, "--epochs", "1"]) == 0
    output = capsys.readouterr()
    assert [line for line in output.err.splitlines() if "compiling" not in line] == said
    assert output.out.count("\n") == 1


def test_another_sites_address_trains_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playground", "https://example.com/#dataset=xor"]) == 2
    assert capsys.readouterr().err == (
        f"python -m sweeps: URL: example.com is another site; give an address of {PAGE}, or only what stands after "
        f"its #\n"
    )
