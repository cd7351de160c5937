"""The networks that a lesson kept of its best setting: their layers, what they predict, and where their weights are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable
from analysis.records.lesson import CellRecord, cell_file
from analysis.words import say
from engine.evaluation import predict
from engine.model_files import ModelFileError, SavedModel, load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
FAR, N_ON_LINE = 2.0, 241
"""How far beyond its points a function of one input is drawn, over their range; and at how many places."""


def n_parameters(widths: Sequence[int]) -> int:
    """Return how many weights and biases a network of these layers has."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(widths))


def kept_networks(cells: Cells, cell: CellRecord) -> tuple[Path, SavedModel] | str:
    """Return the networks kept of a cell and their file, or why there are none."""
    if cells.study.path is None:
        return say("The networks are not shown: nothing lies beside these records.")
    path = cells.study.path.parent / "models" / f"{cell_file(cell.number)}.npz"
    place = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        return say("The networks are not shown: {place} is not there. Running the lesson again writes it.", place=place)
    try:
        return path, load_model(path)
    except ModelFileError as error:
        return say("The networks are not shown: {error}. Running the lesson again writes them.", error=error)


def kept_blocks(name: str, cells: Cells, cell: CellRecord) -> list[Block]:
    """Return the kept networks of a cell: function, layers, and where the file is; or why not.

    Parameters
    ----------
    name : str
        What the names of files begin with.
    cells : Cells
    cell : CellRecord
        Whose networks.
    """
    found = kept_networks(cells, cell)
    if isinstance(found, str):
        return [Paragraph(found, "missing")]
    path, model = found
    said = say(
        "All weights of its {n} networks: {place} beside the log (engine.model_files.load_model reads it, without "
        "pickle).",
        n=model.parameters.n_replicas,
        place=f"{path.parent.name}/{path.name}",
    )
    picture = [_function(f"{name}-function", model)] if model.network.n_inputs == model.network.n_outputs == 1 else []
    return [*picture, _layers(f"{name}-layers", model), Paragraph(said)]


def _layers(name: str, model: SavedModel) -> ReportTable:
    widths = (model.network.n_inputs, *model.network.hidden_layer_sizes, model.network.n_outputs)
    rows: list[tuple[Cell, ...]] = []
    for i, (W, b) in enumerate(zip(model.parameters.weights, model.parameters.biases, strict=True), start=1):
        sizes = (float(W[0].std()), float(np.abs(W[0]).max()), float(np.abs(b[0]).max()))
        rows.append((i, f"{W.shape[1]} x {W.shape[2]}", int(W[0].size), int(b[0].size), *sizes))
    return ReportTable(
        name,
        say("Layers of the best setting, {n} parameters in all; sizes of the first replica's weights.",
            n=n_parameters(widths)),
        (ReportColumn("layer", say("Layer")), ReportColumn("shape", say("Shape"), "text"),
         ReportColumn("weights", say("Weights")), ReportColumn("biases", say("Biases")),
         ReportColumn("spread", say("Weights, standard deviation")),
         ReportColumn("largest", say("Largest weight, absolute")),
         ReportColumn("largest_bias", say("Largest bias, absolute"))),
        tuple(rows),
    )  # fmt: skip


def _line(model: SavedModel) -> tuple[FloatArray, FloatArray]:
    """Return inputs (n,) over `FAR` times the range of the points, and what each replica predicts there, (R, n)."""
    low, high = _range(model)
    middle, half = (low + high) / 2, FAR * (high - low) / 2
    x = np.linspace(middle - half, middle + half, N_ON_LINE)
    points = x[None, :, None].astype(model.parameters.weights[0].dtype)
    return x, np.asarray(predict(model.network, model.parameters, points), np.float64)[..., 0]


def _range(model: SavedModel) -> tuple[float, float]:
    low, high = model.extra["train_range"]
    return float(low), float(high)


def _function(name: str, model: SavedModel) -> Picture:
    x, y = _line(model)
    middle, lowest, highest = np.median(y, axis=0), y.min(axis=0), y.max(axis=0)
    rows = tuple(tuple(map(float, row)) for row in zip(x, middle, lowest, highest, strict=True))
    return Picture(
        name,
        say("What the best setting's {n} networks predict: the median, between the lowest and the highest of them, to "
            "twice the range of their training points (grey), and the first replica's points.", n=len(y)),
        say("The median with a band from the lowest to the highest network, the range of the training points in grey."),
        lambda: _draw(model),
        ReportTable(name, "", (ReportColumn("x", "x"), ReportColumn("median", say("Median")),
                    ReportColumn("lowest", say("Lowest")), ReportColumn("highest", say("Highest"))), rows),
    )  # fmt: skip


def _draw(model: SavedModel) -> Figure:
    from analysis.formats.style import BLACK, BLUE, GRAY, ORANGE, framed_axes, new_figure

    x, y = _line(model)
    low, high = _range(model)
    figure = new_figure(5.5, 2.8)
    axes = framed_axes(figure, 0.6, 0.55, 0.1, 0.1)
    axes.axvspan(low, high, color=GRAY, alpha=0.15, linewidth=0)
    axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(x, np.median(y, axis=0), color=BLUE, linewidth=1.3, label=say("networks"))
    for split, color, label in (("train", BLACK, say("training points")), ("test", ORANGE, say("test points"))):
        points = np.array(model.extra[f"{split}_points"], np.float64)
        axes.plot(points[:, 0], points[:, 1], ".", color=color, markersize=3, label=label)
    axes.set_xlabel("x", fontsize=8)
    axes.set_ylabel("y", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)
    return figure
