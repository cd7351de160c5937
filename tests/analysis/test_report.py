"""The report as files: escaping, the page's policy, CSV guards, equal bytes, and studies that have little to show."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import pytest
import record_builders as build
from hostile_studies import hostile
from hypothesis import given
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.formats.blocks import Missing, ReportColumn, ReportTable, printable
from analysis.formats.csv_files import FORMULA, csv_text, guard, read_csv, unguard
from analysis.formats.latex import latex, latex_table
from analysis.formats.markdown import markdown
from analysis.records.lines import RecordError
from analysis.report import render, write_report
from analysis.statistics.intervals import Interval

XHTML = "{http://www.w3.org/1999/xhtml}"
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "{{7*7}}{% print(1) %}",
    "${alert(1)}",
    "a\u2028alert(1)\u2029",
    "\x00<b>\x1b[31m",
    "<!--<script>",
    "]]><script>alert(1)</script>",
    "&lt;script&gt;&#60;img src=x&#62;",
    '=HYPERLINK("http://evil.example","x")',
    "../../../../etc/passwd",
    "\u202egnp.exe",
    "$\\frac{1}{0}$",
    "| a | b |\n# heading [x](javascript:alert(1)) `code`",
)


@pytest.fixture(scope="module")
def homework(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.homework(tmp_path_factory.mktemp("results"), n_trials=12)


@pytest.fixture(scope="module")
def page(homework: Path) -> Path:
    return write_report([homework])


def parsed(html: str) -> list:
    document = html5lib.HTMLParser(strict=True).parse(html)
    return list(document.iter())


@pytest.fixture(scope="module")
def hostile_files() -> dict[str, bytes]:
    return render([hostile(payload) for payload in PAYLOADS]).files


def test_the_page_is_valid_html_with_every_section_in_reading_order(page: Path) -> None:
    elements = parsed(page.read_text("utf-8"))
    assert [e.get("id") for e in elements if e.tag == f"{XHTML}section"] == build.SHOWN_SECTIONS


def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    elements = parsed(page.read_text("utf-8"))
    ids = {e.get("id") for e in elements}
    for link in (e.get("href") for e in elements if e.tag == f"{XHTML}a"):
        if link.startswith("#"):
            assert link[1:] in ids
        elif not link.startswith("https://playground.tensorflow.org/#"):
            assert (page.parent / link).is_file(), link


def test_the_page_loads_nothing_from_outside(page: Path) -> None:
    elements = parsed(page.read_text("utf-8"))
    sources = [
        e.get(name) for e in elements for name in ("src", "srcset", "data", "action", "background") if e.get(name)
    ]
    assert sources
    assert all(source.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,")) for source in sources)
    assert not [e for e in elements if e.tag in (f"{XHTML}iframe", f"{XHTML}object")]
    assert [e.get("type") for e in elements if e.tag == f"{XHTML}script"] == ["application/json", None]


def test_the_policy_allows_this_style_sheet_and_this_script_and_nothing_else(page: Path) -> None:
    html = page.read_text("utf-8")
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert style is not None
    assert policy is not None
    script = re.search(r"<script>(.*?)</script>", html, re.S)
    assert script is not None
    digest, of_script = (
        base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode() for found in (style, script)
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{of_script}'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_every_picture_has_a_text_with_a_number_in_its_place(page: Path) -> None:
    pictures = [e for e in parsed(page.read_text("utf-8")) if e.tag == f"{XHTML}img"]
    assert len(pictures) >= 17
    assert all(re.search(r"\d", picture.get("alt")) for picture in pictures)


def test_every_table_has_a_caption_and_scoped_headings(page: Path) -> None:
    tables = [e for e in parsed(page.read_text("utf-8")) if e.tag == f"{XHTML}table"]
    assert tables
    for table in tables:
        assert table.find(f"{XHTML}caption") is not None
        assert all(heading.get("scope") in ("col", "row") for heading in table.iter(f"{XHTML}th"))


def test_hostile_text_never_becomes_markup(hostile_files: dict[str, bytes], page: Path) -> None:
    elements = parsed(hostile_files["index.html"].decode())
    harmless = parsed(page.read_text("utf-8"))
    assert {e.tag for e in elements if isinstance(e.tag, str)} <= {e.tag for e in harmless if isinstance(e.tag, str)}
    assert {name for e in elements for name in e.keys()} <= {name for e in harmless for name in e.keys()}  # noqa: SIM118
    for element in elements:
        assert str(element.get("href", "#")).startswith(("#", "data/", "data:,", "https://playground.tensorflow.org/#"))


def test_hostile_text_is_shown_as_text(hostile_files: dict[str, bytes]) -> None:
    text = "".join(html5lib.parse(hostile_files["index.html"].decode()).itertext())
    for payload in PAYLOADS:
        assert " ".join(printable(payload).split()) in " ".join(text.split())


def test_hostile_names_never_leave_the_report_folder(hostile_files: dict[str, bytes]) -> None:
    for name in hostile_files:
        assert re.fullmatch(r"(?:(?:data|pictures)/)?[a-z0-9-]+\.\w+", name), name


def test_no_csv_cell_is_a_formula(hostile_files: dict[str, bytes]) -> None:
    for name, content in hostile_files.items():
        if name.endswith(".csv"):
            for row in csv.reader(content.decode().splitlines()):
                for cell in row:
                    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", cell) or not re.match(r"[=+\-@\t\r\0]", cell)


@pytest.mark.parametrize("payload", ["$\\frac{1}{0}$", "\x00<b>\x1b[31m", "]]><script>alert(1)</script>"])
def test_hostile_text_inside_pictures_keeps_them_whole(payload: str) -> None:
    files = render([hostile(payload, n_trials=9, n_certificate=12)]).files
    pictures = [content for name, content in files.items() if name.endswith(".svg")]
    assert len(pictures) == 8
    for content in pictures:
        assert ElementTree.fromstring(content).tag.endswith("svg")


@given(st.text())
def test_guarding_a_cell_can_be_undone(text: str) -> None:
    assert unguard(guard(text)) == text
    assert not re.match(r"[=+\-@\t\r\0]", guard(text))
    assert guard(text) == text or FORMULA.match(text)


def test_numbers_need_no_guard() -> None:
    table = ReportTable("t", "", (ReportColumn("a", "A"),), ((-1.5,), (2,), (float("nan"),)))
    assert csv_text(table) == 'a\n-1.5\n2\n""\n'


def test_the_csv_of_the_homework_table_holds_its_numbers(page: Path) -> None:
    rows = read_csv(page.parent / "data" / "homework.csv")
    assert [row["dataset"] for row in rows] == ["two blobs", "XOR", "circle", "spiral"]
    for row in rows:
        assert float(row["test_loss_low"]) < float(row["test_loss"]) < float(row["test_loss_high"])
        assert int(row["test_loss_n"]) == int(row["n"]) == 200


def test_markdown_signs_lose_their_meaning() -> None:
    assert markdown("<a>|[x](y) *b*") == r"\<a\>\|\[x\](y) \*b\*"


def unlatex(text: str) -> str:
    """Read LaTeX text back as a compiler would set it; fail on any sign that it would take for a command."""
    words = {
        r"\textbackslash": "\\",
        r"\textasciitilde": "~",
        r"\textasciicircum": "^",
        r"\textless": "<",
        r"\textgreater": ">",
        r"\textbar": "|",
        r"\char34": '"',
    }
    result, rest = "", text
    while rest:
        if word := next((word for word in words if rest.startswith(word + "{}")), None):
            result, rest = result + words[word], rest[len(word) + 2 :]
        elif rest.startswith("{}"):
            rest = rest[2:]
        elif re.match(r"\{[\[\]*]\}", rest):
            result, rest = result + rest[1], rest[3:]
        elif re.match(r"\\[#$%&_{}]", rest):
            result, rest = result + rest[1], rest[2:]
        else:
            assert rest[0] not in '#$%&_{}\\~^<>|"[]*', (text, rest)
            result, rest = result + rest[0], rest[1:]
    return result


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_latex_sets_any_plain_text_as_it_is(text: str) -> None:
    assert unlatex(latex(text)) == text
    assert not re.search("--|''|``|,,|[?!]`", latex(text))


@given(st.text())
def test_latex_holds_nothing_that_standard_fonts_lack(text: str) -> None:
    assert all(sign.isascii() or "\u00c0" <= sign <= "\u00ff" for sign in latex(text))
    assert "\n" not in latex(text)


def test_signs_outside_the_standard_fonts_are_named() -> None:
    assert latex("é ß 螺 ð ≤ 3² −1") == "é ß U+87BA U+00F0 $\\leq$ 3$^{2}$ $-$1"


def test_a_table_as_latex_is_this() -> None:
    columns = (ReportColumn("a", "Who & what", "text"), ReportColumn("b", "Loss", "interval"), ReportColumn("c", "n"))
    rows = (
        ("[x]_1", Interval(-0.5, -1.0, 0.25, 8, "t"), -3),
        ("50 %", Missing("not shown: 3 points out of range"), 0.00012),
    )
    assert latex_table(ReportTable("t", "A 95 % interval.", columns, rows)).splitlines() == [
        r"\begin{table}",
        r"\caption{A 95 \% interval.}",
        r"\label{tab:t}",
        r"\begin{tabular}{lrr}",
        r"\hline",
        r"Who \& what & Loss & n \\",
        r"\hline",
        r"{[}x{]}\_1 & $-$0.500 ($-$1 to 0.250) & $-$3 \\",
        r"50 \% & \emph{not shown: 3 points out of range} & 0.00012 \\",
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_hostile_latex_keeps_its_rows_and_columns(hostile_files: dict[str, bytes]) -> None:
    for name, content in hostile_files.items():
        if not name.endswith(".tex"):
            continue
        lines = content.decode().splitlines()
        n_columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", lines[3])[1])
        rows = [line for line in lines[4:-2] if line != r"\hline"]
        assert all(line.endswith(r" \\") for line in rows)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {n_columns - 1}
        depth = 0
        for sign in re.sub(r"\\[#$%&_{}]", "", content.decode()):
            depth += (sign == "{") - (sign == "}")
            assert depth >= 0
        assert depth == 0


def test_every_table_and_picture_of_the_page_has_its_files(page: Path) -> None:
    elements = parsed(page.read_text("utf-8"))
    for tag, endings in (("caption", ["csv", "tex"]), ("figcaption", ["csv"])):
        captions = [e for e in elements if e.tag == f"{XHTML}{tag}"]
        assert captions
        for caption in captions:
            links = [link.get("href") for link in caption.iter(f"{XHTML}a")]
            assert [link.rpartition(".")[2] for link in links] == endings


def test_equal_records_give_equal_bytes(homework: Path, tmp_path: Path) -> None:
    first, second = (write_report([homework], tmp_path / name).parent for name in "ab")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_pictures_tell_nothing_of_the_machine(page: Path) -> None:
    for picture in (page.parent / "pictures").iterdir():
        content = picture.read_bytes()
        for secret in (b"dc:date", b"<dc:creator", b"Software", b"/home", b"/root", str(Path.cwd()).encode()):
            assert secret not in content, (picture.name, secret)


def test_the_page_is_small(page: Path) -> None:
    assert page.stat().st_size < 5_000_000


def test_missing_networks_are_named(page: Path) -> None:
    text = "".join(html5lib.parse(page.read_text("utf-8")).itertext())
    assert "XOR: not shown: the networks' file models/certificate-0.npz is missing." in text


def test_two_sweeps_are_told_apart(tmp_path: Path) -> None:
    folders = [
        build.write_study(build.finished_study(n_trials=6, n_certificate=8, sweep=sweep), tmp_path / sweep).parents[1]
        for sweep in ("first", "second")
    ]
    page = write_report(folders, tmp_path / "both")
    rows = read_csv(page.parent / "data" / "homework.csv")
    assert [row["dataset"] for row in rows] == ["first/XOR", "second/XOR"]


def test_names_in_any_script_are_drawn(tmp_path: Path) -> None:
    study = build.finished_study("螺旋 спираль ☃ \U0001f600", n_trials=6, n_certificate=12, floor=0.05)
    assert b"svg" in render([study]).files["pictures/trials-study-1.svg"]


def test_no_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="folders: none given"):
        write_report([])


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no <dataset>/log\.jsonl below it"):
        write_report([tmp_path])


def test_the_command_prints_where_the_page_is(homework: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(homework), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"0.", b"1.", 1), *lines[2:]], r"xor/log\.jsonl: line 2: altered"),
        (lambda lines: [lines[0], lines[1][:40] + b"\n", *lines[2:]], r"xor/log\.jsonl: line 2: not a log line"),
        (lambda lines: [b"\xff\n", *lines[1:]], r"xor/log\.jsonl: line 1: not UTF-8"),
        (lambda lines: lines[1:], r"xor/log\.jsonl: line 1: a 'asked' line; expected the study's header; restore it"),
        (lambda lines: [], r"xor/log\.jsonl: empty"),
    ],
    ids=["altered", "truncated", "not text", "no header", "empty"],
)
def test_a_damaged_record_is_named_by_file_and_line(
    damage: Callable[[list[bytes]], list[bytes]], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = build.write_study(build.finished_study(n_trials=3, n_certificate=8), tmp_path / "homework")
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    assert main([str(tmp_path / "homework")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "homework" / "report").exists()


def test_help_needs_no_drawing_library() -> None:
    code = (
        "import sys\nfrom analysis.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'matplotlib', 'jinja2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_report_loads_nothing_that_only_a_search_needs(tmp_path: Path) -> None:
    path = build.write_study(build.finished_study("xor", n_trials=10, n_certificate=40), tmp_path / "homework")
    code = (
        "import sys\nfrom sweeps.commands.main import main\n"
        f"main(['report', 'homework', '--results', {str(path.parents[2])!r}])\n"
        "heavy = {'mlflow', 'optuna', 'pandas', 'scipy.stats', 'scipy.optimize', 'numba', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "import os\n"
        "print(len(os.listdir('/proc/self/task')) if sys.platform == 'linux' else 1,"
        " {'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'} & set(os.environ))"
    )
    environment = {key: text for key, text in os.environ.items() if not key.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-2:] == ["[]", "1 set()"]


@pytest.mark.slow
def test_ten_thousand_trials_make_a_small_page_of_thinned_pictures(tmp_path: Path) -> None:
    study = build.finished_study("xor", n_trials=10, n_certificate=100)
    study.records["search"] = [
        dataclasses.replace(study.trials[i % 10], number=i, value=0.08 + 1.0 / (1 + i)) for i in range(10_000)
    ]
    path = build.write_study(study, tmp_path / "homework")
    page = write_report([path.parents[1]])
    assert page.stat().st_size < 5_000_000
    assert len(read_csv(page.parent / "data" / "trials-xor.csv")) == 10_000
    assert "marks are drawn; the CSV file has all" in page.read_text("utf-8")
