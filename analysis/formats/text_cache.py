"""Letters as outlines, laid out once a text: axes of many pictures say the same numbers and names."""

from __future__ import annotations

from typing import Any

from matplotlib.textpath import TextToPath

MOST_TEXTS = 20_000


class OutlinesOnce(TextToPath):
    """Matplotlib's own outlines and sizes of texts, each computed once.

    Give it to a renderer in the place of its own; all may share one. Laying out a text again is a tenth of a report.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[Any, tuple[float, float, float]] = {}
        self._outlines: dict[Any, tuple[list[Any], dict[str, Any], list[Any]]] = {}

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        """Return a text's size in points."""
        key = (s, hash(prop), ismath)  # properties change; their hash is of what they are now
        found = self._sizes.get(key)
        if found is None:
            _make_room(self._sizes)
            size = super().get_text_width_height_descent(s, prop, ismath)  # type: ignore[no-untyped-call]
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
            found = self._outlines[key] = super().get_glyphs_with_font(font, s, **how)  # type: ignore[no-untyped-call]
        places, outlines, rectangles = found
        known = {} if glyph_map is None else glyph_map
        new = {name: outline for name, outline in outlines.items() if name not in known}
        return places, new if return_new_glyphs_only else known | new, rectangles


def _make_room(texts: dict[Any, Any]) -> None:
    if len(texts) >= MOST_TEXTS:
        texts.clear()
