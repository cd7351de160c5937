"""The winning network, drawn with line thickness by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.records import Study
from analysis.sections.blocks import (
    Block,
    Column,
    Missing,
    Picture,
    Section,
    Table,
    Text,
    file_names,
    labels,
    number_text,
)
from analysis.sections.models import winner_model
from engine.network import NetworkConfig, Parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_UNITS = 16
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
        Text(
            "One network of each winner, that of the first draw; other draws have other weights. Lines are "
            "connections: the thicker, the larger the weight; blue is positive, orange negative. Rings are units named "
            "by layer and place; they are filled with the bias in the same colours."
        )
    ]
    for study, name, file_name in zip(studies, names, file_names("network", names), strict=True):
        blocks.append(network_block(study, name, file_name))
    return Section("network", "The winning networks", tuple(blocks))


def network_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    model = winner_model(study)
    if isinstance(model, Missing):
        return Text(f"{name}: {model.reason}.", "missing")
    sizes = model.network.layer_sizes
    if max(sizes) > MOST_UNITS:
        return Text(f"{name}: not shown: a layer has {max(sizes)} units; at most {MOST_UNITS} can be drawn.", "missing")
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
    data = Table(
        file_name,
        "",
        (
            Column("from", "From", "text"),
            Column("to", "To", "text"),
            Column("weight", "Weight"),
            Column("bias_of_to", "Bias of that unit"),
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

    from analysis.sections.style import BLACK, NEGATIVE, POSITIVE, framed_axes, new_figure, playground_colors

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
