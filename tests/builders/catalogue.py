"""Every text that a person reads, found in the source, beside the catalogue that translates it."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jinja2
import polib
from jinja2 import nodes

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "analysis" / "ko.po"
TEMPLATE = ROOT / "analysis" / "report.html.jinja"
LESSONS = ROOT / "sweeps" / "specs" / "lessons"
READ_FROM_LESSONS = ("question", "guess", "options", "source", "done", "would_change")
MARKS = ("say", "later")


class NotLiteralError(Exception):
    """A text that the catalogue cannot be made from."""


def texts_of(source: str, path: str) -> Iterator[str]:
    """Yield the texts that a file's calls of `say` and `later` begin with, in their order.

    Raises
    ------
    NotLiteralError
        If one is neither a literal nor a choice of two; the message says where.
    """
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS
    ]
    for call in sorted(calls, key=lambda one: (one.lineno, one.col_offset)):
        yield from _literals(call.args[0], f"{path}:{call.lineno}")


def _literals(node: ast.expr, where: str) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body, where)
        yield from _literals(node.orelse, where)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        raise NotLiteralError(f"{where}: {ast.unparse(node)} is no literal")


def template_texts(source: str) -> Iterator[str]:
    """Yield the texts that a template's calls of `say` begin with."""
    for call in jinja2.Environment(autoescape=True).parse(source).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "say":
            text = call.args[0]
            if not isinstance(text, nodes.Const):
                raise NotLiteralError(f"{TEMPLATE.name}:{call.lineno}: no literal")
            yield text.value


def lesson_texts(path: Path) -> Iterator[str]:
    """Yield what a lesson's TOML file says to a reader; options without a letter are numbers."""
    read = tomllib.loads(path.read_text("utf-8"))
    for key in READ_FROM_LESSONS:
        found = read.get(key, "")
        yield from (one for one in ([found] if isinstance(found, str) else found) if re.search("[A-Za-z]", one))


def all_texts() -> dict[str, str]:
    """Return every text with the first file that has it."""
    found: dict[str, str] = {}
    files = [path for room in ("analysis", "sweeps") for path in sorted((ROOT / room).rglob("*.py"))]
    for path in files:
        where = path.relative_to(ROOT).as_posix()
        for text in texts_of(path.read_text("utf-8"), where):
            found.setdefault(text, where)
    for text in template_texts(TEMPLATE.read_text("utf-8")):
        found.setdefault(text, TEMPLATE.relative_to(ROOT).as_posix())
    for path in sorted(LESSONS.glob("*.toml")):
        for text in lesson_texts(path):
            found.setdefault(text, path.relative_to(ROOT).as_posix())
    return found


def placeholders(text: str) -> set[str]:
    """Return the placeholders of a text with their formats: ``{"n", "goal:g"}``."""
    return {
        f"{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}"
        for _, name, spec, conversion in string.Formatter().parse(text)
        if name is not None
    }


def write(texts: dict[str, str], path: Path = CATALOGUE) -> None:
    """Write the catalogue again: texts by their files, new ones empty, those that no file has left out."""
    old = {entry.msgid: entry.msgstr for entry in polib.pofile(str(path))} if path.exists() else {}
    new = polib.POFile(wrapwidth=110)
    new.metadata = {"Language": "ko", "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "8bit"}
    for text, where in sorted(texts.items(), key=lambda item: item[1]):
        new.append(polib.POEntry(msgid=text, msgstr=old.get(text, ""), occurrences=[(where, "")]))
    new.save(str(path))
