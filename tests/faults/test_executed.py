"""Nothing of a report is run by the programs that it is opened with: a spreadsheet, a TeX engine with a shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_studies import hostile

from analysis.report import render

pytestmark = pytest.mark.faults
Tally = Callable[[str, float, float], None]
SPREADSHEET, TEX = shutil.which("soffice"), shutil.which("pdflatex")
FORMULAS = (
    "=1+1", "=HYPERLINK(\"http://evil.example\",\"x\")", "=WEBSERVICE(\"http://evil.example\")",
    "=cmd|' /C touch canary'!A0", "@SUM(1+1)*cmd|' /C touch canary'!A0", "+1+cmd|' /C touch canary'!A0",
    "-2+3+cmd|' /C touch canary'!A0", "\t=1+1", "\n=1+1", " =1+1", "'=1+1", "''=1+1", "\uff1d1+1", "\";=1+1;\"",
    "x\",=1+1,\"", "=\"a\"\n=1+1", "%0A=1+1", "\u200b=1+1", "=DDE(\"soffice\";\"/etc/passwd\";\"A1\")",
)  # fmt: skip
COMMANDS = (
    r"\immediate\write18{touch CANARY}", r"\input{|touch CANARY}", r"\input|\"touch CANARY\"",
    r"}}\end{tabular}\end{table}\immediate\write18{touch CANARY}", r"\input{/etc/passwd}",
    r"\newwrite\f\immediate\openout\f=CANARY\immediate\closeout\f", r"^^5cimmediate^^5cwrite18{touch CANARY}",
    r"\csname immediate\endcsname\csname write18\endcsname{touch CANARY}", r"\def\x{\x\x}\x", r"\loop\iftrue\repeat",
    r"$\frac{1}{0}", r"a & b \\ \hline", r"%", r"\catcode`\%=12", r"\\[9999pt]*", r"\end{document}", "#1", "{{{", "}}}",
    "~^_\\", "?`!`--- ``x''", "\u00df\u00e9\u4e2d\u202e\x00", r"\directlua{os.execute('touch CANARY')}",
)  # fmt: skip


def converted(tables: list[Path], out: Path, profile: Path) -> dict[str, str]:
    """Open CSV files as a spreadsheet program does that evaluates what it finds; return what it has read."""
    assert SPREADSHEET is not None
    evaluating = "CSV:44,34,76,1,,0,false,true,false,false,false,-1,true"
    subprocess.run(
        [
            *(SPREADSHEET, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to", "fods"),
            *(f"--infilter={evaluating}", "--outdir", str(out), *map(str, tables)),
        ],
        check=True,
        capture_output=True,
        timeout=600,
    )
    return {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*.fods")}


@pytest.mark.skipif(SPREADSHEET is None, reason="needs LibreOffice (Debian: libreoffice-calc)")
def test_no_cell_of_a_hostile_report_is_a_formula_to_libreoffice(tmp_path: Path, tally: Tally) -> None:
    planted = tmp_path / "planted.csv"
    planted.write_text('a\n=1+1\n"=2+2"\n')
    tables = [planted]
    for name, content in render([hostile(payload) for payload in FORMULAS]).files.items():
        if name.endswith(".csv"):
            tables.append(tmp_path / Path(name).name)
            tables[-1].write_bytes(content)
    sheets = converted(tables, tmp_path / "out", tmp_path / "profile")
    assert sheets.keys() == {path.stem for path in tables}
    assert sheets.pop("planted").count("table:formula=") == 2
    found, n_cells = list[str](), sum(sheet.count("office:value-type=") for sheet in sheets.values())
    for name, sheet in sheets.items():
        found += [f"{name}: {formula}" for formula in re.findall(r'table:formula="([^"]*)"', sheet)]
    found += [str(path) for path in tmp_path.rglob("canary")]
    tally("cells of reports with formulas in every name, opened by LibreOffice: run as formula", n_cells, len(found))
    assert found == []
    assert n_cells > 1000


@pytest.mark.skipif(TEX is None, reason="needs a TeX engine (Debian: texlive-latex-base)")
def test_no_table_of_a_hostile_report_runs_a_command_of_tex(tmp_path: Path, tally: Tally) -> None:
    assert TEX is not None
    canary = tmp_path / "canary"
    command = [TEX, "-shell-escape", "-halt-on-error", "-interaction=nonstopmode"]
    planted = tmp_path / "planted.tex"
    preamble = "\\documentclass{article}\\begin{document}\n"
    planted.write_text(f"{preamble}\\immediate\\write18{{touch {canary}}}x\\end{{document}}\n")
    subprocess.run([*command, planted.name], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert canary.exists()
    canary.unlink()
    payloads = [text.replace("CANARY", str(canary)) for text in COMMANDS]
    files = render([hostile(payload) for payload in payloads]).files
    tables = {Path(name).name: content for name, content in files.items() if name.endswith(".tex")}
    for name, content in tables.items():
        (tmp_path / name).write_bytes(content)

    def problem(names: list[str]) -> list[str]:
        document = tmp_path / "document.tex"
        inputs = "\\clearpage\n".join(f"\\input{{{name}}}" for name in names)
        document.write_text(f"{preamble}{inputs}\\end{{document}}\n")
        result = subprocess.run([*command, document.name], cwd=tmp_path, capture_output=True, timeout=300, check=False)
        output = result.stdout.decode(errors="replace")
        return [f"{names[0]}: {output[-400:]}"] if result.returncode or "\n!" in output else []

    found = problem(list(tables)) and [text for name in tables for text in problem([name])]
    found += [str(path) for path in (canary, tmp_path / "CANARY") if path.exists()]
    tally(
        f"LaTeX tables of reports with {len(COMMANDS)} commands in every name, set with a shell",
        len(tables),
        len(found),
    )
    assert found == []
    assert len(tables) > 10
