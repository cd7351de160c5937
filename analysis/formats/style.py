"""The look of every picture: readable type, colours that colour-blind readers can tell apart, nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

# Okabe and Ito's palette: distinct under the common kinds of colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, GRAY, BLACK = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#9a4f83",
    "#6b7680",
    "#1c2733",
)
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, "#56b4e9")
# The Playground's own: orange for -1, blue for +1, pale gray between.
NEGATIVE, MIDDLE, POSITIVE = "#f59322", "#e8eaeb", "#0877bd"
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "UnDotum",
)  # fmt: skip
STYLE: MappingProxyType[str, Any] = MappingProxyType(
    {
        "figure.dpi": 110,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "axes.edgecolor": GRAY,
        "axes.labelcolor": BLACK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titley": 1.0,  # a fixed place: finding a free one costs as much as the axes
        "axes.labelsize": 10,
        "grid.color": "#e3e7ea",
        "grid.linewidth": 0.8,
        "font.size": 10,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 2.0,
        "savefig.facecolor": "white",
        "text.color": BLACK,
        "text.parse_math": False,  # a "$" in a dataset's name is a dollar sign
        "xtick.color": BLACK,
        "ytick.color": BLACK,
        "svg.fonttype": "path",
        "pdf.fonttype": 42,  # TrueType: letters can be searched, and journals take them
        "svg.hashsalt": "rangesweep",  # ids inside an SVG are then the same every time
        "svg.id": None,
        "path.simplify": True,
    }
)


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[str, ...]:
    """Return those of `FONTS` this machine has."""
    from matplotlib import font_manager

    names = set(font_manager.get_font_names())
    return tuple(font for font in FONTS if font in names) or ("sans-serif",)


@lru_cache(maxsize=8)
def has_glyph(letter: str) -> bool:
    """Return whether one of the installed `FONTS` can draw a letter."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    paths = (font_manager.findfont(name) for name in installed_fonts())
    return any(FT2Font(path).get_char_index(ord(letter)) for path in paths)


def fonts_for(text: str) -> list[str]:
    """Return the fonts to draw `text` with: one for Latin, Greek and Cyrillic, else every one that may have a glyph."""
    fonts = list(installed_fonts())
    return (
        fonts[:1]
        if text.isascii() or all(ord(sign) < 0x530 or 0x2000 <= ord(sign) < 0x2300 for sign in text)
        else fonts
    )


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure that belongs to no global state.

    Parameters
    ----------
    width, height : float
        Size in inches; the page shows 96 pixels an inch.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def framed_axes(
    figure: Figure, left: float, bottom: float, right: float, top: float, column: int = 0, n_columns: int = 1
) -> Axes:
    """Return axes with margins in inches (a fixed layout draws three times as fast as a fitted one).

    Parameters
    ----------
    figure : Figure
        The figure.
    left, bottom, right, top : float
        Margins round the axes; with several columns, of each column.
    column, n_columns : int
        Place among columns of equal width.
    """
    width, height = figure.get_size_inches()
    own = width / n_columns
    return figure.add_axes(
        (
            (column * own + left) / width,
            bottom / height,
            (own - left - right) / width,
            (height - bottom - top) / height,
        )
    )


def playground_colors() -> LinearSegmentedColormap:
    """Return the Playground's colour map, from -1 (orange) to +1 (blue)."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("playground", [NEGATIVE, MIDDLE, POSITIVE])


def playground_palette(n: int = 253) -> npt.NDArray[np.uint8]:
    """Return `n` colours of the Playground's map from -1 to +1, (n, 3), for images drawn without axes."""
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (NEGATIVE, MIDDLE, POSITIVE)])
    places = np.linspace(0.0, 2.0, n)
    parts = [np.interp(places, [0.0, 1.0, 2.0], stops[:, k]) for k in range(3)]
    return np.asarray(np.rint(np.stack(parts, axis=1)), np.uint8)


def draw_tiles(rows: Sequence[Sequence[tuple[str, npt.NDArray[np.uint8]]]], name: str, tile: float) -> Figure:
    """Draw square images with a title each, row by row, in one axes (axes of their own would cost a hundred times).

    Parameters
    ----------
    rows : sequence of sequence of (str, ndarray (n, n, 3))
        Titles and images, rows of pixels from the lowest up.
    name : str
        Title of the figure.
    tile : float
        Side of a tile in inches.
    """
    n_columns = max(len(row) for row in rows)
    gap = 0.28
    figure = new_figure(0.2 + n_columns * (tile + 0.12), 0.35 + len(rows) * (tile + gap))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    width, height = figure.get_size_inches()
    for i, row in enumerate(rows):
        for j, (title, image) in enumerate(row):
            left, bottom = 0.15 + j * (tile + 0.12), height - 0.3 - (i + 1) * (tile + gap) + 0.05
            axes.imshow(
                image, origin="lower", extent=(left, left + tile, bottom, bottom + tile), interpolation="nearest"
            )
            axes.text(left, bottom + tile + 0.04, title, fontsize=8, va="bottom")
    axes.text(0.15, height - 0.08, name, fontsize=11, fontweight="bold", va="top")
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return figure


def plain_ticks(axes: Axes, which: str) -> None:
    """Write the ticks of a logarithmic axis as plain numbers (1, 10, 0.05), not as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = np.log10(max(high, 1e-300)) - np.log10(max(low, 1e-300))
    axis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def horizontal(axes: Axes, value: float, color: str, label: str, dash: Sequence[float] = (4, 2)) -> None:
    """Draw a labelled horizontal line across the axes."""
    axes.axhline(value, color=color, linewidth=1.4, linestyle=(0, tuple(dash)), label=label, zorder=2)
