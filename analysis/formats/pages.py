"""A report as it grows: its blocks become the page, the Markdown text and the files beside them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.formats.blocks import (
    Animation,
    Block,
    Cards,
    ContentsList,
    Entry,
    Folded,
    Guess,
    Heading,
    Missing,
    Paragraph,
    Picture,
    ReportTable,
    Section,
    Stills,
    file_names,
    printable,
)
from analysis.formats.csv_files import csv_text
from analysis.formats.drawing import Drawing, Drawn, FigureFormat, draw_animation, figure_file
from analysis.formats.html import HtmlBlock, Shown, html_card, html_table
from analysis.formats.latex import latex_table
from analysis.formats.markdown import markdown, markdown_card, markdown_table
from analysis.formats.trial_rows import Workbench
from analysis.formats.workbench import workbench_json, workbench_table
from analysis.words import say


@dataclass(slots=True)
class Pages:
    """The report as it grows: the page's blocks, the Markdown text, and the files beside them.

    `groups` has the question that a section is folded away under, by its key. `figures` says as what every picture is
    written once more, as a file of its own. `english` has the pictures to draw where no font has a language's letters.
    `waiting` has the pictures that are still to be drawn, and where they are shown.
    """

    sections: list[tuple[str, str, list[HtmlBlock]]] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    markdown: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    figures: FigureFormat | None = None
    english: Mapping[str, Drawing] = field(default_factory=dict)
    waiting: list[tuple[Picture, Shown]] = field(default_factory=list)

    def shown(self, picture: Picture) -> Picture:
        """Return the picture to draw in the place of one."""
        found = self.english.get(picture.name, picture)
        assert isinstance(found, Picture)
        return found


def add_section(pages: Pages, section: Section) -> None:
    """Add one section to the page, the Markdown text and the files."""
    pages.markdown.append(f"## {markdown(section.title)}")
    blocks = [add_block(pages, block, section.key) for block in section.blocks]
    pages.sections.append((section.key, str(section.title), blocks))
    pages.groups[section.key] = section.group


def add_block(pages: Pages, block: Block, key: str) -> HtmlBlock:
    """Add one block of the section `key` to the Markdown text and the files; return it ready for the page."""
    match block:
        case Paragraph():
            pages.markdown.append(markdown(block.text))
            return HtmlBlock("text", text=printable(block.text), role=block.role)
        case Heading():
            pages.markdown.append(f"### {markdown(block.text)}")
            return HtmlBlock("heading", text=printable(block.text))
        case ReportTable():
            name = add_csv(pages, block)
            latex_name = f"data/{block.name}.tex"
            pages.files[latex_name] = latex_table(block).encode()
            pages.markdown.append(markdown_table(block))
            return html_table(block, name, latex_name)
        case Guess():
            pages.markdown.append(f"{markdown(block.question)} ({markdown(' / '.join(block.options))})")
            options = tuple(printable(option) for option in block.options)
            return HtmlBlock("guess", text=printable(block.question), label=key, options=options)
        case ContentsList():
            lines = [
                f"{i}. **{markdown(one.title)}**: {markdown(one.question)} {markdown(one.answer)}"
                for i, one in enumerate(block.entries, start=1)
            ]
            pages.markdown.append("\n".join(lines))
            return HtmlBlock("contents", entries=tuple(printable_entry(one) for one in block.entries))
        case Folded():
            pages.markdown.append(f"**{markdown(block.summary)}**")
            inner = tuple(add_block(pages, one, key) for one in block.blocks)
            return HtmlBlock("fold", text=printable(block.summary), blocks=inner)
        case Cards():
            return add_cards(pages, block)
        case Workbench():
            name = add_csv(pages, workbench_table(block))
            told = say("All {n} trials, with every setting and figure:", n=len(block.rows))
            pages.markdown.append(f"{told} [CSV]({name})")
            return HtmlBlock("workbench", label=key, csv=name, data=workbench_json(block, name))
        case Animation():
            return add_animation(pages, block)
        case Stills():
            return add_picture(pages, block.picture, add_gif(pages, block))
        case _:
            return add_picture(pages, block)


def printable_entry(entry: Entry) -> Entry:
    """Return an entry with characters that no page may hold replaced."""
    return Entry(printable(entry.key), printable(entry.title), printable(entry.question), printable(entry.answer))


def add_cards(pages: Pages, block: Cards) -> HtmlBlock:
    """Add the cards and their pictures' numbers."""
    cards = []
    places = file_names("card", [card.dataset for card in block.cards])
    for card, place in zip(block.cards, places, strict=True):
        pages.markdown.append(markdown_card(card))
        picture = None if isinstance(card.picture, Missing) else add_picture(pages, card.picture)
        if isinstance(card.picture, Missing):
            pages.markdown.append(markdown(f"{card.picture.reason}."))
        cards.append(html_card(card, place, picture))
    return HtmlBlock("cards", cards=tuple(cards))


def add_csv(pages: Pages, table: ReportTable) -> str:
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
    """Add a picture's numbers and its place; see `place`."""
    name = add_csv(pages, picture.data)
    if pages.figures is not None:
        pages.files[f"figures/{picture.name}.{pages.figures}"] = figure_file(pages.shown(picture), pages.figures)
        pages.files[f"figures/{picture.name}.csv"] = pages.files[name]
    shown = Shown()
    pages.waiting.append((picture, shown))
    ending = ending_of(picture)
    links = f"[CSV]({name})" + (f", [GIF]({gif})" if gif else "")
    pages.markdown.append(
        f"![{markdown(picture.alt)}](pictures/{picture.name}.{ending})\n\n{markdown(picture.caption)} {links}"
    )
    return HtmlBlock(
        "picture",
        shown=shown,
        alt=printable(picture.alt),
        caption=printable(picture.caption),
        csv=name,
        gif=gif,
    )


def ending_of(picture: Picture) -> str:
    """Return what a picture's file ends with."""
    return "png" if picture.raster else "svg"


def place(pages: Pages, drawn: Mapping[str, Drawn]) -> None:
    """Put the pictures, by name, to where they are waited for; add their files."""
    for picture, shown in pages.waiting:
        content, shown.width, shown.height = drawn[picture.name]
        pages.files[f"pictures/{picture.name}.{ending_of(picture)}"] = content
        media = "image/png" if picture.raster else "image/svg+xml"
        shown.source = f"data:{media};base64,{base64.b64encode(content).decode()}"
    pages.waiting.clear()


def add_animation(pages: Pages, animation: Animation) -> HtmlBlock:
    """Draw an animation; add it, its file and its numbers."""
    name = add_csv(pages, animation.data)
    drawn = pages.english.get(animation.name, animation)
    assert isinstance(drawn, Animation)
    content, width, height = draw_animation(drawn)
    pages.files[f"pictures/{animation.name}.gif"] = content
    pages.markdown.append(
        f"![{markdown(animation.alt)}](pictures/{animation.name}.gif)\n\n{markdown(animation.caption)} [CSV]({name})"
    )
    return HtmlBlock(
        "animation",
        shown=Shown(f"data:image/gif;base64,{base64.b64encode(content).decode()}", width, height),
        alt=printable(animation.alt),
        caption=printable(animation.caption),
        csv=name,
    )
