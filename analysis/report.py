"""Write the report of one or more sweeps: HTML, Markdown, CSV and LaTeX. The only file that knows a format."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from analysis.records.polynomial import RUNS_NAME, PolynomialStudy, read_polynomial_study
from analysis.records.study import Study, read_sweep
from analysis.records.table import is_table
from analysis.sections.blocks import (
    Animation,
    Block,
    Cell,
    Column,
    Heading,
    Link,
    Missing,
    Picture,
    Section,
    Stills,
    Table,
    Text,
    file_names,
    number_text,
    printable,
    sweep_names,
)
from analysis.sections.registry import OF_DRAWN_DATA, SECTIONS
from analysis.statistics.homework import homework_rows
from analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
PLAYGROUND = "https://playground.tensorflow.org/#"
DISTRIBUTION = "rangesweep"
GIF_COLORS = 32
PNG_COLORS = 128
# What a spreadsheet takes for a formula, behind any number of apostrophes (so that `read_csv` can undo the guard).
FORMULA = re.compile(r"^'*[=+\-@\t\r\0]")
MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
# What LaTeX takes for a command in text. Braces keep what follows from being swallowed, and "[" and "*" from becoming
# an argument of the line break before them.
LATEX_SIGNS: dict[str, str] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # a letter's accent in some languages
    **{sign: "\\" + sign for sign in "#$%&_{}"},
    **{sign: "{" + sign + "}" for sign in "[]*"},
    "\u2013": "--",
    "\u2014": "---",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u00b0": r"$^{\circ}$",
    "\u00b2": "$^{2}$",
    "\u00b3": "$^{3}$",
    "\u2026": r"\ldots{}",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
}
ICELANDIC = "\u00d0\u00de\u00f0\u00fe"  # the letters of Latin-1 that take another font encoding
LATEX_LIGATURES = re.compile(r"(?<=[-'`,?!])(?=[-'`,])")


@dataclass(frozen=True, slots=True)
class HtmlCell:
    """One table cell, ready for the page."""

    text: str
    range: str = ""
    css: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class HtmlBlock:
    """One block, ready for the page; `kind` says which fields are meant."""

    kind: str
    text: str = ""
    role: str = "plain"
    label: str = ""
    caption: str = ""
    csv: str = ""
    latex: str = ""
    gif: str = ""
    columns: tuple[tuple[str, bool], ...] = ()
    rows: tuple[tuple[HtmlCell, ...], ...] = ()
    source: str = ""
    alt: str = ""
    width: int = 0
    height: int = 0


@dataclass(slots=True)
class Pages:
    """The report as it grows: the page's blocks, the Markdown text, and the files beside them."""

    sections: list[tuple[str, str, list[HtmlBlock]]] = field(default_factory=list)
    markdown: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of some sweeps.

    Parameters
    ----------
    folders : sequence of Path
        ``results/<sweep>`` folders, at least one.
    out : Path or None
        Folder to write to; None means ``report`` in the first sweep's folder.

    Returns
    -------
    Path
        The page, ``index.html``. Beside it: ``report.md``, ``pictures/`` and ``data/`` with a CSV file for every
        table and picture, and a LaTeX file for every table. The same records give the same bytes.

    Raises
    ------
    ValueError
        If no folder is given.
    RecordError
        If a folder holds no log or a damaged one.
    """
    if not folders:
        raise ValueError("folders: none given; name a folder that `sweeps run` has written, such as results/homework")
    out = folders[0] / "report" if out is None else out
    polynomials = [read_polynomial_study(folder / RUNS_NAME) for folder in folders if (folder / RUNS_NAME).exists()]
    studies = [study for folder in folders if not (folder / RUNS_NAME).exists() for study in read_sweep(folder)]
    pages = render(studies, polynomials)
    for name, content in pages.files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return out / "index.html"


def render(studies: Sequence[Study], polynomials: Sequence[PolynomialStudy] = ()) -> Pages:
    """Return the report of some studies, nothing written yet: `Pages.files` holds every file by its relative name.

    Where polynomial studies stand beside others, their sections and files carry their names.
    """
    parts = [polynomial_report(study) for study in polynomials]
    if studies or not parts:
        names = dict.fromkeys(printable(name) for name in sweep_names(studies))
        own = Report(f"Sweep report: {', '.join(names)}", lead_sentence(studies), sections_of(studies))
        if not parts:
            return render_sections(own.title, own.lead, own.sections)
        parts.insert(0, own)
    elif len(parts) == 1:
        return render_sections(parts[0].title, parts[0].lead, parts[0].sections)
    sections = []
    slugs = ["", *file_names("study", [study.header.name for study in polynomials])][0 if studies else 1 :]
    for slug, part in zip(slugs, parts, strict=True):
        sections += [named(section, slug, part.title) if slug else section for section in part.sections]
    if side_by_side := beside_each_other(polynomials, parts[-len(polynomials) :]):
        sections.append(side_by_side)
    leads = " ".join(f"{part.title}. {part.lead}" for part in parts)
    return render_sections(f"{len(parts)} reports in one", leads, sections)


@dataclass(frozen=True, slots=True)
class Report:
    """One report's title, first sentences and sections."""

    title: str
    lead: str
    sections: Sequence[Section]


def named(section: Section, slug: str, title: str) -> Section:
    """Return a section whose place on the page, files and title are its study's own."""

    def table(one: Table) -> Table:
        return replace(one, name=f"{slug}-{one.name}")

    blocks: list[Block] = []
    for block in section.blocks:
        if isinstance(block, Table):
            blocks.append(table(block))
        elif isinstance(block, Picture | Animation):
            blocks.append(replace(block, name=f"{slug}-{block.name}", data=table(block.data)))
        elif isinstance(block, Stills):
            own = replace(block.picture, name=f"{slug}-{block.picture.name}", data=table(block.picture.data))
            blocks.append(replace(block, picture=own))
        else:
            blocks.append(block)
    return Section(f"{slug}-{section.key}", f"{title}: {section.title}", tuple(blocks))


def beside_each_other(studies: Sequence[PolynomialStudy], reports: Sequence[Report]) -> Section | None:
    """Return the errors of several polynomial studies in one table, or None where fewer than two have any."""
    found = [
        (printable(study.header.name), block)
        for study, report in zip(studies, reports, strict=True)
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Table) and block.name == "errors"
    ]
    if len(found) < 2 or len({table.columns for _, table in found}) > 1:
        return None
    columns = (Column("study", "Study", "text"), *found[0][1].columns)
    rows = tuple((name, *row) for name, table in found for row in table.rows)
    caption = "The errors of all polynomial studies by recipe, as in their own sections."
    return Section("polynomials", "Polynomial studies side by side", (Table("polynomials", caption, columns, rows),))


def sections_of(studies: Sequence[Study]) -> list[Section]:
    """Return the sections that have something to say about these studies, in reading order."""
    drawn = [study for study in studies if not is_table(study)]
    sections = []
    for key, build in SECTIONS.items():
        chosen = drawn if key in OF_DRAWN_DATA else studies
        if chosen or not studies:
            sections.append(build(chosen))
    # A section without blocks is about another kind of study.
    return [section for section in sections if section.blocks]


def polynomial_report(study: PolynomialStudy) -> Report:
    """Return the report of a polynomial study."""
    from analysis.polynomial_claims import Question
    from analysis.sections.polynomial import polynomial_text, sections

    header = study.header
    noise = f" with noise {header.noise_sd:g}" if header.noise_sd else ""
    lead = (
        f"{len(study.runs)} of {study.n_expected} networks trained: {header.n_hidden} sigmoid units, {header.n_seeds} "
        f"seeds a recipe, {header.n_rows} rows of {polynomial_text(header.coefficients)}{noise}. Can they be trusted "
        "outside the range they were trained on, and is that the merit of the constraint?"
    )
    return Report(f"Polynomial study: {printable(header.name)}", lead, sections(Question(study)))


def render_sections(title: str, lead: str, sections: Iterable[Section]) -> Pages:
    """Return a report of some sections, nothing written yet."""
    pages = Pages(markdown=[f"# {markdown(title)}", markdown(lead)])
    for section in sections:
        add_section(pages, section)
    style = (HERE / "report.css").read_text(encoding="utf-8")
    # Autoescaping is what keeps names, error texts and params from becoming markup; nothing is marked safe but the
    # project's own style sheet (in the template), whose hash the page's policy names.
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    html = environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead,
        first=pages.sections[0][0] if pages.sections else "",
        sections=[{"key": key, "title": name, "blocks": blocks} for key, name, blocks in pages.sections],
        style=style,
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        version=project_version(),
    )
    pages.files["index.html"] = html.encode()
    pages.files["report.md"] = ("\n\n".join(pages.markdown) + "\n").encode()
    return pages


def lead_sentence(studies: Sequence[Study]) -> str:
    """Return the report's first sentence: for how many datasets the question was answered."""
    tables = [study for study in studies if is_table(study)]
    drawn = [study for study in studies if not is_table(study)]
    sentences = []
    if drawn or not tables:
        certified = {row.study for row in homework_rows(drawn) if row.certified and row.setting == "winner"}
        goals = sorted({f"{study.header.goal:g}" for study in drawn})
        sentences.append(
            f"{len(certified)} of {len(drawn)} dataset{'' if len(drawn) == 1 else 's'} certified: training and test "
            f"loss below {', '.join(goals)} on fresh draws that no search had seen."
        )
    if tables:
        n_certified = sum(study.verdict is not None and study.verdict.certified for study in tables)
        sentences.append(
            f"{n_certified} of {len(tables)} table{'' if len(tables) == 1 else 's'} certified: the goal reached on "
            "test rows that no search had seen."
        )
    if unfinished := sum(study.verdict is None for study in studies):
        sentences.append(f"{unfinished} not finished yet.")
    return " ".join(sentences)


def add_section(pages: Pages, section: Section) -> None:
    """Add one section to the page, the Markdown text and the files."""
    blocks: list[HtmlBlock] = []
    pages.markdown.append(f"## {markdown(section.title)}")
    for block in section.blocks:
        if isinstance(block, Text):
            blocks.append(HtmlBlock("text", text=printable(block.text), role=block.role))
            pages.markdown.append(markdown(block.text))
        elif isinstance(block, Heading):
            blocks.append(HtmlBlock("heading", text=printable(block.text)))
            pages.markdown.append(f"### {markdown(block.text)}")
        elif isinstance(block, Table):
            name = add_csv(pages, block)
            latex_name = f"data/{block.name}.tex"
            pages.files[latex_name] = latex_table(block).encode()
            blocks.append(html_table(block, name, latex_name))
            pages.markdown.append(markdown_table(block))
        elif isinstance(block, Animation):
            blocks.append(add_animation(pages, block))
        elif isinstance(block, Stills):
            blocks.append(add_picture(pages, block.picture, add_gif(pages, block)))
        else:
            blocks.append(add_picture(pages, block))
    pages.sections.append((section.key, section.title, blocks))


def add_csv(pages: Pages, table: Table) -> str:
    """Add a table's CSV file; return its name relative to the page."""
    name = f"data/{table.name}.csv"
    if name in pages.files:
        raise ValueError(f"table: two named {table.name!r}; give each its own name")
    pages.files[name] = csv_text(table).encode(errors="replace")
    return name


def add_gif(pages: Pages, stills: Stills) -> str:
    """Add the animation's file; return its name relative to the page."""
    from PIL import Image

    palette = [part for color in stills.palette for part in color]
    images = []
    for frame in stills.frames():
        image = Image.fromarray(frame, mode="P")
        image.putpalette(palette)
        images.append(image)
    first, *rest = images
    durations = [stills.frame_ms] * len(rest) + [stills.last_ms]
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)
    name = f"pictures/{stills.picture.name}.gif"
    pages.files[name] = stream.getvalue()
    return name


def add_picture(pages: Pages, picture: Picture, gif: str = "") -> HtmlBlock:
    """Draw a picture; add it, its file and its numbers."""
    name = add_csv(pages, picture.data)
    content, width, height = draw(picture)
    ending = "png" if picture.raster else "svg"
    pages.files[f"pictures/{picture.name}.{ending}"] = content
    media = "image/png" if picture.raster else "image/svg+xml"
    source = f"data:{media};base64,{base64.b64encode(content).decode()}"
    links = f"[CSV]({name})" + (f", [GIF]({gif})" if gif else "")
    pages.markdown.append(
        f"![{markdown(picture.alt)}](pictures/{picture.name}.{ending})\n\n{markdown(picture.caption)} {links}"
    )
    return HtmlBlock(
        "picture",
        source=source,
        alt=printable(picture.alt),
        caption=printable(picture.caption),
        csv=name,
        gif=gif,
        width=width,
        height=height,
    )


def add_animation(pages: Pages, animation: Animation) -> HtmlBlock:
    """Draw an animation; add it, its file and its numbers."""
    name = add_csv(pages, animation.data)
    content, width, height = draw_animation(animation)
    pages.files[f"pictures/{animation.name}.gif"] = content
    pages.markdown.append(
        f"![{markdown(animation.alt)}](pictures/{animation.name}.gif)\n\n{markdown(animation.caption)} [CSV]({name})"
    )
    return HtmlBlock(
        "animation",
        source=f"data:image/gif;base64,{base64.b64encode(content).decode()}",
        alt=printable(animation.alt),
        caption=printable(animation.caption),
        csv=name,
        width=width,
        height=height,
    )


def draw_animation(animation: Animation) -> tuple[bytes, int, int]:
    """Return a GIF's bytes and its width and height on the page in CSS pixels."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    frames = []
    size = (0, 0)
    with drawing(animation):
        for figure in animation.frames():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            frames.append(Image.fromarray(pixels[..., :3].copy()))
            size = page_size(figure)
    # One palette for all frames: what does not move is then stored once.
    palette = frames[-1].quantize(GIF_COLORS)
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [animation.frame_ms] * len(rest) + [animation.last_ms]
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    return stream.getvalue(), *size


@contextmanager
def drawing(picture: Picture | Animation) -> Iterator[None]:
    """Draw under the report's style, with fonts for what the picture says."""
    import matplotlib as mpl

    from analysis.sections.style import STYLE, fonts_for

    style: dict[Any, Any] = {**STYLE, "font.family": fonts_for(picture_text(picture))}
    with mpl.rc_context(style), warnings.catch_warnings():
        # A name in a script that no installed font has is drawn as boxes; that must not stop a report.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def draw(picture: Picture) -> tuple[bytes, int, int]:
    """Return a picture's bytes and its width and height on the page in CSS pixels.

    The bytes hold no date, path or name of the machine.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from PIL import Image

    with drawing(picture):
        figure = picture.draw()
        stream = io.BytesIO()
        # The canvases' own writers draw once; savefig would draw everything twice.
        if picture.raster:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()  # type: ignore[no-untyped-call]
            pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
            image = Image.fromarray(pixels[..., :3].copy())
            # A third of the size: these pictures have few colours, and a page holds many of them.
            image.quantize(PNG_COLORS, dither=Image.Dither.NONE).save(stream, "PNG", optimize=False)
        else:
            silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            FigureCanvasSVG(figure).print_svg(stream, metadata=silent)  # type: ignore[no-untyped-call]
    return stream.getvalue(), *page_size(figure)


def picture_text(picture: Picture | Animation) -> str:
    """Return all text that a picture may draw."""
    cells = (cell for row in picture.data.rows for cell in row if isinstance(cell, str))
    return "".join([picture.caption, picture.alt, *cells])


def page_size(figure: Figure) -> tuple[int, int]:
    """Return a figure's width and height in CSS pixels, 96 to the inch."""
    width, height = figure.get_size_inches()
    return round(96 * width), round(96 * height)


def html_table(table: Table, csv_name: str, latex_name: str) -> HtmlBlock:
    """Return a table ready for the page."""
    return HtmlBlock(
        "table",
        label=table.name.replace("-", " "),
        caption=printable(table.caption),
        csv=csv_name,
        latex=latex_name,
        columns=tuple((printable(column.title), column.kind != "text") for column in table.columns),
        rows=tuple(
            tuple(html_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
            for row in table.rows
        ),
    )


def html_cell(cell: Cell, column: Column) -> HtmlCell:
    """Return a cell ready for the page."""
    if isinstance(cell, Missing):
        return HtmlCell(printable(cell.reason), css="why")
    if isinstance(cell, Interval):
        estimate, ends = interval_text(cell)
        return HtmlCell(estimate, range=ends, css="number")
    if isinstance(cell, Link):
        safe = cell.url.startswith(PLAYGROUND)
        return HtmlCell(printable(cell.text if safe else cell.url), url=printable(cell.url) if safe else "")
    if isinstance(cell, str):
        return HtmlCell(printable(cell), css="" if len(cell) < 30 else "long")
    return HtmlCell(number_text(cell), css="number" if column.kind != "text" else "")


def interval_text(interval: Interval) -> tuple[str, str]:
    """Return an interval's estimate and its ends as text."""
    estimate = "not measured" if interval.estimate is None else number_text(interval.estimate)
    if interval.low is None or interval.high is None:
        return estimate, f"(n = {interval.n}; {interval.reason or 'no interval'})"
    return estimate, f"({number_text(interval.low)} to {number_text(interval.high)})"


def markdown(text: str) -> str:
    """Return `text` with everything escaped that Markdown, or HTML inside it, would take for markup."""
    return MARKDOWN_SIGNS.sub(r"\\\1", printable(text))


def markdown_cell(cell: Cell) -> str:
    """Return a cell as Markdown."""
    if isinstance(cell, Missing):
        return f"*{markdown(cell.reason)}*"
    if isinstance(cell, Interval):
        return markdown(" ".join(interval_text(cell)))
    if isinstance(cell, Link):
        if not cell.url.startswith(PLAYGROUND):
            return markdown(cell.url)
        address = re.sub(
            r"[^\w#=&.,:/-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), cell.url
        )
        return f"[{markdown(cell.text)}]({address})"
    return markdown(cell if isinstance(cell, str) else number_text(cell))


def markdown_table(table: Table) -> str:
    """Return a table as Markdown, its caption above it."""
    lines = [
        f"{markdown(table.caption)} [CSV](data/{table.name}.csv), [LaTeX](data/{table.name}.tex)",
        "",
        "| " + " | ".join(markdown(column.title) for column in table.columns) + " |",
        "|" + "|".join(" :-- " if column.kind == "text" else " --: " for column in table.columns) + "|",
    ]
    lines += ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def latex(text: str) -> str:
    r"""Return `text` so that LaTeX, any engine without a package, sets it as it is.

    What plain pdfLaTeX has no letter for is written as its code point, ``U+87BA``: a table must not stop a document.
    """
    plain = unicodedata.normalize("NFC", printable(text))
    # Signs that would melt into one ("--", "?`") are kept apart; the group is empty, so nothing else changes.
    parts = LATEX_LIGATURES.split(plain)
    return "{}".join(
        "".join(LATEX_SIGNS.get(sign) or (sign if latin(sign) else f"U+{ord(sign):04X}") for sign in part)
        for part in parts
    )


def latin(sign: str) -> bool:
    """Return whether LaTeX's standard fonts have a letter or sign: ASCII, and the accented letters of Latin-1."""
    return sign.isascii() or (
        "\u00c0" <= sign <= "\u00ff" and sign.isalpha() and sign not in "\u00d0\u00de\u00f0\u00fe"
    )


def latex_cell(cell: Cell) -> str:
    """Return a cell as LaTeX."""
    if isinstance(cell, Missing):
        return rf"\emph{{{latex(cell.reason)}}}"
    if isinstance(cell, Interval):
        return " ".join(latex_number(part) for part in interval_text(cell))
    if isinstance(cell, Link):
        return latex(cell.url)
    return latex(cell) if isinstance(cell, str) else latex_number(number_text(cell))


def latex_number(text: str) -> str:
    """Return text made of numbers as LaTeX, its minus signs as long as they should be."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", latex(text))


def latex_table(table: Table) -> str:
    r"""Return a table as a LaTeX float that needs no package: ``\input{homework.tex}``.

    Its label is ``tab:`` and the file's name.
    """
    alignment = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    rows = [[latex(column.title) for column in table.columns]]
    rows += [[latex_cell(cell) for cell in row] for row in table.rows]
    head, *body = [" & ".join(row) + r" \\" for row in rows]
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        *(r"\hline", head, r"\hline", *body, r"\hline"),
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def csv_text(table: Table) -> str:
    """Return a table as CSV: full precision, an interval in four columns, text that looks like a formula guarded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names: list[str] = []
    for column in table.columns:
        names += [column.key]
        if column.kind == "interval":
            names += [f"{column.key}_low", f"{column.key}_high", f"{column.key}_n"]
    writer.writerow([guard(name) for name in names])
    for row in table.rows:
        cells: list[str] = []
        for cell, column in zip(row, table.columns, strict=True):
            cells += csv_cells(cell, column)
        writer.writerow(cells)
    return stream.getvalue()


def csv_cells(cell: Cell, column: Column) -> list[str]:
    """Return the fields one cell fills."""
    n_fields = 4 if column.kind == "interval" else 1
    if isinstance(cell, Interval):
        ends = ["" if value is None else repr(value) for value in (cell.estimate, cell.low, cell.high)]
        return [*ends, str(cell.n)]
    if isinstance(cell, Missing):
        text = guard(cell.reason)
    elif isinstance(cell, Link):
        text = guard(cell.url)
    elif isinstance(cell, str):
        text = guard(cell)
    else:
        text = repr(cell) if isinstance(cell, int) or math.isfinite(cell) else ""
    return [text, *[""] * (n_fields - 1)]


def guard(text: str) -> str:
    """Return text that no spreadsheet runs: an apostrophe before whatever looks like a formula. Numbers are exempt."""
    return "'" + text if FORMULA.match(text) else text


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file of the report back, the guards against formulas removed.

    Returns
    -------
    list of dict of str to str
        One a row, by column name.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        return [{unguard(key): unguard(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def unguard(text: str) -> str:
    """Undo `guard`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def project_version() -> str:
    """Return the installed version of the project."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"
