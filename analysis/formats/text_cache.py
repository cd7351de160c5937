"""Letters as outlines, laid out once a text: axes of many pictures say the same numbers and names."""

from __future__ import annotations

from typing import Any

from matplotlib import font_manager
from matplotlib.textpath import TextToPath

_Heights = tuple[float, float, float] | tuple[None, None, None]
MOST_TEXTS = 20_000


class OutlinesOnce(TextToPath):
    """Matplotlib's own outlines and sizes of texts, each computed once.

    Give it to a renderer in the place of its own; all may share one. Laying out a text again is a tenth of a report.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[Any, tuple[float, float, float]] = {}
        self._outlines: dict[Any, tuple[list[Any], dict[str, Any], list[Any]]] = {}

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        """Return a text's size in points."""
        key = (s, hash(prop), ismath)  # properties change; their hash is of what they are now
        found = self._sizes.get(key)
        if found is None:
            _make_room(self._sizes)
            size = super().get_text_width_height_descent(s, prop, ismath)
            found = self._sizes[key] = size
        return found

    def get_glyphs_with_font(
        self,
        font: Any,
        s: str,
        glyph_map: dict[str, Any] | None = None,
        return_new_glyphs_only: bool = False,
        **how: Any,
    ) -> tuple[list[Any], dict[str, Any], list[Any]]:
        """Return a text's glyphs with their places, and the outlines of them (or of those not in `glyph_map` yet)."""
        key = (font, s, tuple(sorted(how.items())))
        found = self._outlines.get(key)
        if found is None:
            _make_room(self._outlines)
            found = self._outlines[key] = super().get_glyphs_with_font(font, s, **how)
        places, outlines, rectangles = found
        known = {} if glyph_map is None else glyph_map
        new = {name: outline for name, outline in outlines.items() if name not in known}
        return places, new if return_new_glyphs_only else known | new, rectangles


class HeightsOnce:
    """Heights of fonts at one resolution, each read from the font's tables once.

    Matplotlib asks a renderer for them, by the name `_get_font_height_metrics`, before it reads the tables for itself:
    for every text. A version that does not ask draws the same, slower.

    Parameters
    ----------
    dpi : float
        Dots per inch of what is drawn.
    """

    def __init__(self, dpi: float) -> None:
        self._dpi = dpi
        self._heights: dict[int, _Heights] = {}

    def __call__(self, properties: Any) -> _Heights:
        """Return ascent, descent and line gap in dots, or None three times for a font that does not say."""
        key = hash(properties)  # of what they are now, as above
        found = self._heights.get(key)
        if found is None:
            found = self._heights[key] = self._read(properties)
        return found

    def _read(self, properties: Any) -> _Heights:
        manager: Any = font_manager
        font = manager.get_font(manager.fontManager._find_fonts_by_props(properties))
        for table_name, *names in (
            ("OS/2", "sTypoAscender", "sTypoDescender", "sTypoLineGap"),
            ("hhea", "ascent", "descent", "lineGap"),
        ):
            table = font.get_sfnt_table(table_name)
            if table is not None:
                scale = 1 / font.get_sfnt_table("head")["unitsPerEm"] * properties.get_size_in_points() * self._dpi / 72
                ascent, descent, gap = (table[name] for name in names)
                return ascent * scale, -descent * scale, gap * scale
        return None, None, None


def _make_room(texts: dict[Any, Any]) -> None:
    if len(texts) >= MOST_TEXTS:
        texts.clear()
