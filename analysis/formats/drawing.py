"""Drawings as bytes: for the page, and as files of their own for a paper or a lesson."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from analysis.formats.blocks import Animation, Picture
from analysis.words import ENGLISH, language, speaking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.formats.text_cache import HeightsOnce, OutlinesOnce

GIF_COLORS = 32
PNG_COLORS = 128
COLUMN_INCHES = 6.5
"""Widest figure of its own: the text width of a page of A4 or letter paper with usual margins."""
FigureFormat = Literal["pdf", "svg"]
Drawing = Picture | Animation
Drawn = tuple[bytes, int, int]
"""A picture's bytes, and its width and height on the page in CSS pixels."""
LETTERS = {"ko": "\ud55c"}
"""A letter of each language that only a font made for it has."""
SILENT = ("Date", "Creator", "Format", "Type")
SILENT_PDF = ("Creator", "Producer", "CreationDate")


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


def has_letters(name: str) -> bool:
    """Return whether an installed font has the letters of a language."""
    if name not in LETTERS:
        return True
    from analysis.formats.style import has_glyph

    return has_glyph(LETTERS[name])


@contextmanager
def drawing(picture: Picture | Animation) -> Iterator[None]:
    """Draw under the report's style, with fonts for what the picture says."""
    import matplotlib as mpl

    from analysis.formats.style import STYLE, fonts_for

    # Without a font the whole picture is the English one, see `analysis.report.pictures_without_font`.
    spoken = language() if has_letters(language()) else ENGLISH
    style: dict[Any, Any] = {**STYLE, "font.family": fonts_for(picture_text(picture) + LETTERS.get(spoken, ""))}
    with speaking(spoken), mpl.rc_context(style), warnings.catch_warnings():
        # A name in a script that no installed font has is drawn as boxes; that must not stop a report.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def draw(picture: Picture) -> Drawn:
    """Return a picture as the page shows it.

    The bytes hold no date, path or name of the machine.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    with drawing(picture):
        figure = picture.draw()
        stream = io.BytesIO()
        # The canvases' own writers draw once; savefig would draw everything twice.
        if picture.raster:
            canvas: Any = FigureCanvasAgg(figure)
            canvas.get_renderer()._get_font_height_metrics = heights_once(figure.dpi)
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())
            image = Image.fromarray(pixels[..., :3].copy())
            # A third of the size: these pictures have few colours, and a page holds many of them. (An octree would take
            # an eighth of the time, and draws steps where a surface is smooth.)
            image.quantize(PNG_COLORS, dither=Image.Dither.NONE).save(stream, "PNG", optimize=False)
        else:
            return svg_bytes(figure), *page_size(figure)
    return stream.getvalue(), *page_size(figure)


def svg_bytes(figure: Figure) -> bytes:
    """Return what Matplotlib's own SVG canvas writes, each text laid out once a process."""
    from matplotlib.backends import backend_mixed, backend_svg

    svg: Any = backend_svg  # its parts have no types
    mixed: Any = backend_mixed
    text = io.StringIO()
    image_dpi = figure.dpi
    figure.dpi = 72  # there are 72 points to an inch
    width, height = figure.get_size_inches()
    on_page = svg.RendererSVG(width * 72, height * 72, text, image_dpi=image_dpi, metadata=dict.fromkeys(SILENT))
    on_page._text2path = outlines_once()
    on_page._get_font_height_metrics = heights_once(figure.dpi)
    renderer = mixed.MixedModeRenderer(figure, width, height, image_dpi, on_page)
    figure.draw(renderer)
    renderer.finalize()
    return text.getvalue().encode()


@lru_cache(maxsize=1)
def outlines_once() -> OutlinesOnce:
    """Return the outlines that all pictures of this process share."""
    from analysis.formats.text_cache import OutlinesOnce

    return OutlinesOnce()


@lru_cache(maxsize=8)
def heights_once(dpi: float) -> HeightsOnce:
    """Return the heights of fonts that all pictures of this process share."""
    from analysis.formats.text_cache import HeightsOnce

    return HeightsOnce(dpi)


def picture_text(picture: Picture | Animation) -> str:
    """Return all text that a picture may draw."""
    cells = (cell for row in picture.data.rows for cell in row if isinstance(cell, str))
    return "".join([picture.caption, picture.alt, *cells])


def page_size(figure: Figure) -> tuple[int, int]:
    """Return a figure's width and height in CSS pixels, 96 to the inch."""
    width, height = figure.get_size_inches()
    return round(96 * width), round(96 * height)


def figure_file(picture: Picture, kind: FigureFormat) -> bytes:
    """Return a picture as a file of its own, drawn again as lines, at most `COLUMN_INCHES` wide.

    Letters are embedded: in a PDF as the parts of the fonts that are used, in an SVG as outlines. The bytes hold no
    date, path or name of the machine.
    """
    with drawing(picture):
        figure = picture.draw()
        width, height = figure.get_size_inches()
        scale = min(1.0, COLUMN_INCHES / width)
        return _pdf(figure, scale) if kind == "pdf" else _svg(figure, width * scale, height * scale)


def _svg(figure: Figure, width: float, height: float) -> bytes:
    head, svg, rest = svg_bytes(figure).partition(b"<svg ")
    opening, end, body = rest.partition(b">")
    # What is drawn stays as it is: its box is shown in another size.
    for name, inches in ((b"width", width), (b"height", height)):
        opening = re.sub(rb"\b%s=\"[^\"]*\"" % name, b'%s="%.4fin"' % (name, inches), opening, count=1)
    return head + svg + opening + end + body


def _pdf(figure: Figure, scale: float) -> bytes:
    """Return what Matplotlib's own PDF canvas writes, on a smaller page, everything on it smaller alike."""
    from matplotlib.backends import backend_mixed, backend_pdf

    pdf: Any = backend_pdf  # its parts have no types
    mixed: Any = backend_mixed
    stream = io.BytesIO()
    image_dpi = 300
    figure.dpi = 72  # there are 72 points to an inch
    width, height = figure.get_size_inches()
    file = pdf.PdfFile(stream, metadata=dict.fromkeys(SILENT_PDF))
    file.newPage(width * scale, height * scale)
    file.output(scale, 0, 0, scale, 0, 0, pdf.Op.concat_matrix)
    on_page = pdf.RendererPdf(file, image_dpi, height, width)
    renderer = mixed.MixedModeRenderer(figure, width, height, image_dpi, on_page)
    figure.draw(renderer)
    renderer.finalize()
    file.finalize()
    file.close()
    return stream.getvalue()
