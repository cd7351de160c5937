"""The winning network, drawn with line thickness by weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import (
    Block,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    study_files,
)
from analysis.records.study import Study
from analysis.sections.models import WinnerModel, winner_model
from analysis.statistics.ranges import Box
from engine.evaluation import predict
from engine.methods.activations import ACTIVATIONS
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.playground.draws import expand

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_UNITS = 16
UNIT_HALF_WIDTH = 12.0
N_UNIT_PIXELS = 64
MOST_IN_UNIT_CSV = 9
DEAD = 1e-6
FEATURE_TITLES = {
    "x": "X1",
    "y": "X2",
    "xSquared": "X1²",
    "ySquared": "X2²",
    "xTimesY": "X1X2",
    "sinX": "sin(X1)",
    "sinY": "sin(X2)",
}


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "One network of each winner, that of the first draw; other draws have other weights. Lines are "
            "connections: the thicker, the larger the weight; blue is positive, orange negative. Rings are units named "
            "by layer and place; they are filled with the bias in the same colours."
        )
    ]
    for study, name, file_name in zip(studies, names, study_files("network", studies), strict=True):
        model = winner_model(study)
        if isinstance(model, Missing):
            blocks.append(Paragraph(f"{name}: {model.reason}.", "missing"))
            continue
        blocks.append(network_block(model, name, file_name))
        if model.network.hidden_layer_sizes and max(model.network.layer_sizes) <= MOST_UNITS:
            blocks.append(units_block(model, name, file_name.replace("network", "units", 1)))
    return Section("network", "The winning networks", tuple(blocks))


def unit_outputs(model: WinnerModel, points: FloatArray) -> list[npt.NDArray[np.float64]]:
    """Return what the hidden units of the first draw's network put out at points (n, 2), (n, units) layer by layer."""
    one = model.parameters.select(slice(0, 1))
    activation = ACTIVATIONS[model.network.activation]
    fixed = model.network.activation_slope
    outputs = []
    for k in range(len(model.network.hidden_layer_sizes)):
        # The layers up to this one, as a network of their own without output activation.
        sizes = model.network.hidden_layer_sizes
        below = replace(model.network, hidden_layer_sizes=sizes[:k], n_outputs=sizes[k], output_activation="linear")
        parameters = Parameters(
            one.weights[: k + 1], one.biases[: k + 1], None if one.slopes is None else one.slopes[:, :k]
        )
        X = expand(points[None], model.features).astype(one.weights[0].dtype)
        slope = activation.default_slope if fixed is None else fixed
        own = slope if one.slopes is None else one.slopes[:, k, None, None]
        outputs.append(np.asarray(activation.function(predict(below, parameters, X), own)[0], np.float64))
    return outputs


def units_block(model: WinnerModel, name: str, file_name: str) -> Picture:
    """Return the picture of the hidden units one by one, in and beyond the training range."""
    line = np.linspace(-UNIT_HALF_WIDTH, UNIT_HALF_WIDTH, N_UNIT_PIXELS)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    layers = unit_outputs(model, points)
    titles = unit_titles(model.network, model.features)[1:-1]
    box = Box.fit(model.draws.train_points[:1])
    inside = box.contains(points[None])[0]
    n_dead = sum(int((np.ptp(layer[inside], axis=0) < DEAD).sum()) for layer in layers)
    n_units = sum(layer.shape[1] for layer in layers)
    told = f"{n_dead} of {n_units} hidden units do not vary in the training box"
    step = N_UNIT_PIXELS // MOST_IN_UNIT_CSV
    coarse = np.zeros((N_UNIT_PIXELS, N_UNIT_PIXELS), bool)
    coarse[::step, ::step] = True
    rows = tuple(
        (title, float(x), float(y), float(value))
        for layer, layer_titles in zip(layers, titles, strict=True)
        for title, values in zip(layer_titles, layer.T, strict=True)
        for (x, y), value in zip(points[coarse.ravel()], values[coarse.ravel()], strict=True)
    )
    columns = (
        ReportColumn("unit", "Unit", "text"),
        ReportColumn("x1", "X1"),
        ReportColumn("x2", "X2"),
        ReportColumn("output", "Output"),
    )
    return Picture(
        file_name,
        f"{name}: the hidden units of that network one by one, a row a layer, twice as far as the page's window: blue "
        f"is positive, orange negative, each unit on its own scale; square: training box. {told}.",
        f"{name}: heat maps of {n_units} hidden units; {told}.",
        lambda: draw_units(layers, titles, box, name),
        ReportTable(file_name, "", columns, rows),
        raster=True,
    )


def draw_units(
    layers: Sequence[npt.NDArray[np.float64]], titles: Sequence[Sequence[str]], box: Box, name: str
) -> Figure:
    """Draw every unit's output over the plane, a row a layer."""
    from analysis.formats.style import draw_tiles, playground_palette

    palette = playground_palette()
    n = N_UNIT_PIXELS
    low, high = (
        np.clip(np.rint((corner + UNIT_HALF_WIDTH) / (2 * UNIT_HALF_WIDTH) * (n - 1)), 0, n - 1).astype(int)
        for corner in (box.low[0], box.high[0])
    )
    rows = []
    for layer, layer_titles in zip(layers, titles, strict=True):
        tiles = []
        for values, title in zip(layer.T, layer_titles, strict=True):
            finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
            share = finite / (np.abs(finite).max() or 1.0)
            image = palette[np.rint((share + 1) / 2 * (len(palette) - 1)).astype(int)].reshape(n, n, 3)
            image[low[1] : high[1] + 1, [low[0], high[0]]] = 0
            image[[low[1], high[1]], low[0] : high[0] + 1] = 0
            tiles.append((title, image))
        rows.append(tiles)
    return draw_tiles(rows, name, min(0.95, 8.6 / max(len(tiles) for tiles in rows)))


def network_block(model: WinnerModel, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    sizes = model.network.layer_sizes
    if max(sizes) > MOST_UNITS:
        return Paragraph(
            f"{name}: not shown: a layer has {max(sizes)} units; at most {MOST_UNITS} can be drawn.", "missing"
        )
    one = model.parameters.select(slice(0, 1))
    titles = unit_titles(model.network, model.features)
    rows = tuple(
        (titles[k][i], titles[k + 1][j], float(W[0, i, j]), float(one.biases[k][0, j]))
        for k, W in enumerate(one.weights)
        for i in range(W.shape[1])
        for j in range(W.shape[2])
    )
    source, target, weight, _ = max(rows, key=lambda row: abs(row[2]))
    shape = "-".join(map(str, sizes))
    alt = (
        f"{name}: network {shape} with {model.network.activation} units; {len(rows)} weights, largest "
        f"{number_text(weight)} from {source} to {target}."
    )
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("from", "From", "text"),
            ReportColumn("to", "To", "text"),
            ReportColumn("weight", "Weight"),
            ReportColumn("bias_of_to", "Bias of that unit"),
        ),
        rows,
    )
    return Picture(
        file_name,
        f"{name}: {shape}, {model.network.activation}; weights of the first of {model.n_saved} networks at epoch "
        f"{model.record.epochs}.",
        alt,
        lambda: draw_network(one, titles, name),
        data,
    )


def unit_titles(network: NetworkConfig, features: Sequence[str]) -> list[list[str]]:
    """Return the name of every unit, layer by layer: inputs by feature, hidden units as ``"2.3"``, the output."""
    hidden = [[f"{k + 1}.{j + 1}" for j in range(size)] for k, size in enumerate(network.hidden_layer_sizes)]
    outputs = ["output"] if network.n_outputs == 1 else [f"output {j + 1}" for j in range(network.n_outputs)]
    return [[FEATURE_TITLES.get(feature, feature) for feature in features], *hidden, outputs]


def draw_network(parameters: Parameters, titles: Sequence[Sequence[str]], name: str) -> Figure:
    """Draw one network, inputs at the left."""
    from matplotlib.collections import LineCollection

    from analysis.formats.style import BLACK, NEGATIVE, POSITIVE, framed_axes, new_figure, playground_colors

    tallest = max(len(layer) for layer in titles)
    figure = new_figure(min(9.2, 2.0 + 1.5 * len(titles)), max(1.9, 0.42 * tallest + 0.7))
    axes = framed_axes(figure, 0.3, 0.1, 0.3, 0.4)
    places = [[(float(k), (len(layer) - 1) / 2 - j) for j in range(len(layer))] for k, layer in enumerate(titles)]
    largest = max(float(np.abs(W).max(initial=0)) for W in parameters.weights) or 1.0
    lines, widths, colors = [], [], []
    for k, W in enumerate(parameters.weights):
        for i in range(W.shape[1]):
            for j in range(W.shape[2]):
                weight = float(W[0, i, j])
                if np.isfinite(weight) and weight:
                    lines.append([places[k][i], places[k + 1][j]])
                    widths.append(0.3 + 5.2 * abs(weight) / largest)
                    colors.append(POSITIVE if weight > 0 else NEGATIVE)
    axes.add_collection(LineCollection(lines, linewidths=widths, colors=colors, capstyle="round", zorder=1))
    fills = [[0.0] * len(titles[0]), *([float(b) for b in biases[0]] for biases in parameters.biases)]
    flat = [place for layer in places for place in layer]
    axes.scatter(
        [x for x, _ in flat],
        [y for _, y in flat],
        c=[bias for layer in fills for bias in layer],
        cmap=playground_colors(),
        vmin=-largest,
        vmax=largest,
        s=430,
        edgecolors=BLACK,
        linewidths=1.2,
        zorder=2,
    )
    # Names of inputs and outputs are words and stand beside their rings, so that any fits.
    for (x, y), title in zip(places[0], titles[0], strict=True):
        axes.text(x - 0.14, y, title, ha="right", va="center", fontsize=9)
    for (x, y), title in zip(places[-1], titles[-1], strict=True):
        axes.text(x + 0.14, y, title, ha="left", va="center", fontsize=9)
    for layer, layer_titles, biases in zip(places[1:-1], titles[1:-1], fills[1:-1], strict=True):
        for (x, y), title, bias in zip(layer, layer_titles, biases, strict=True):
            color = "white" if bias > 0.6 * largest else BLACK
            axes.text(x, y, title, ha="center", va="center", fontsize=7.5, zorder=3, color=color)
    axes.set_xlim(-0.6, len(titles) - 0.4)
    axes.set_ylim(-(tallest - 1) / 2 - 0.6, (tallest - 1) / 2 + 0.6)
    axes.set_axis_off()
    axes.set_title(name)
    return figure
