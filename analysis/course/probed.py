"""What probes found, as a lesson's tables and pictures; nothing where the records are older than the probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, by_layer, level_text, losses, measured, traced
from analysis.course.comparing import over_levels
from analysis.course.curves import over_epochs
from analysis.formats.blocks import Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level, at_look, of_layer
from analysis.statistics.homework import setting_title
from analysis.statistics.verdicts import Kind, median_interval, share_interval
from analysis.words import say

Levels = Mapping[str, Level]


def at_end(cell: CellRecord, probe: str) -> FloatArray | None:
    """Return what a probe found in each network after training, NaN where nothing; None where it was not asked."""
    if probe in cell.measured:
        return measured(cell, probe)
    if cell.looks and at_look(probe, cell.looks[-1]) in cell.measured:
        return np.asarray(traced(cell, probe)[-1], np.float64)
    return np.asarray(losses(cell, probe)[-1], np.float64) if probe in cell.losses else None


def was_asked(cells: Cells, design: str, probe: str) -> bool:
    """Return whether all trained cells of a design have what a probe found."""
    group = cells.of(design)
    return bool(group) and all(at_end(cell, probe) is not None for cell in group)


def probe_table(
    name: str,
    caption: str,
    cells: Cells,
    design: str,
    rows: str,
    columns: str,
    probe: str,
    *,
    kind: Kind = "median",
    others: Levels | None = None,
) -> list[ReportTable]:
    """Return `analysis.course.comparing.over_levels` of what a probe found after training, or nothing."""
    if not was_asked(cells, design, probe):
        return []

    def value(cell: CellRecord) -> FloatArray:
        found = at_end(cell, probe)
        assert found is not None, probe
        return found

    return [over_levels(name, caption, cells, design, rows, columns, value, kind=kind, others=others)]


def probe_epochs(
    name: str,
    caption: str,
    alt: str,
    cells: Cells,
    design: str,
    colours: str,
    probe: str,
    label: str,
    *,
    levels: Sequence[Level] | None = None,
) -> list[Picture]:
    """Return a picture of the median over draws of what a probe found at each look, one line a level, or nothing.

    See `analysis.course.curves.over_epochs`.
    """
    if not was_asked(cells, design, probe):
        return []

    def curve(cell: CellRecord) -> FloatArray:
        rows = losses(cell, probe) if probe in cell.losses else traced(cell, probe)
        return np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in rows])

    return [over_epochs(name, caption, alt, cells, design, colours, curve, label, log_y=True, levels=levels)]


def layer_table(name: str, caption: str, cells: Cells, design: str, shapes: str, lines: str) -> list[ReportTable]:
    """Return a table of outputs, dead units and gradients of each hidden layer, or nothing.

    Parameters
    ----------
    name, caption : str
        As of `analysis.formats.blocks.ReportTable`.
    cells : Cells
    design : str
        Whose cells; it traces ``layer_variance``, ``layer_dead`` and ``gradient_size``.
    shapes, lines : str
        Factors whose levels are told apart: layers of units, and one more.
    """
    probes = ("layer_variance", "layer_dead", "gradient_size")
    rows: list[tuple[Cell, ...]] = []
    for shape in cells.levels(design, shapes):
        for line in cells.levels(design, lines):
            group = cells.of(design, {shapes: shape, lines: line})
            if not group or not all(at_look(of_layer(one, 1), cell.looks[0]) in cell.measured for cell in group
                                    for one in probes):  # fmt: skip
                continue
            found = {one: np.stack([by_layer(cell, one) for cell in group]) for one in probes}
            for layer in range(found["layer_dead"].shape[2]):
                variance, dead, gradient = (found[one][:, :, layer] for one in probes)
                rows.append(
                    (
                        level_text(shape),
                        level_text(line),
                        float(layer + 1),
                        _cell(variance[:, 0], median_interval),
                        _cell(variance[:, -1], median_interval),
                        _cell(gradient[:, 0], median_interval),
                        _cell(gradient[:, -1], median_interval),
                        _cell(dead[:, -1], share_interval),
                    )
                )
    columns = (
        ReportColumn("shape", setting_title(shapes), "text"),
        ReportColumn("line", setting_title(lines), "text"),
        ReportColumn("layer", say("Layer")),
        ReportColumn("variance_first", say("Variance, first look"), "interval"),
        ReportColumn("variance_last", say("Variance, end"), "interval"),
        ReportColumn("gradient_first", say("Gradient, first look"), "interval"),
        ReportColumn("gradient_last", say("Gradient, end"), "interval"),
        ReportColumn("dead", say("Dead units, end"), "interval"),
    )
    return [ReportTable(name, caption, columns, tuple(rows))] if rows else []


def _cell(values: FloatArray, interval: Callable[..., object]) -> Cell:
    """Return the interval of each draw's mean over the cells, of draws that have one in all of them."""
    mean = values.mean(axis=0)
    known = mean[~np.isnan(mean)]
    return shown(interval(known)) if len(known) else Missing(say("all diverged"))  # type: ignore[arg-type]
