"""The decision surface as the Playground draws it, in the training range and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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
    Stills,
    labels,
    study_files,
)
from analysis.records.study import Study
from analysis.sections.models import Frames, WinnerModel, winner_frames, winner_model
from analysis.statistics.ranges import Box
from engine.network import FloatArray
from engine.playground.registry import DATASETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE_HALF_WIDTH = 6.0  # the page draws -6 to 6
N_PIXELS = 100
N_BEYOND = 400
SEED_BEYOND = 20
MOST_IN_CSV = 25
FRAME_HALF_WIDTH = 2 * PAGE_HALF_WIDTH
N_FRAME_PIXELS = 96
FRAME_SCALE = 3
MOST_IN_FRAME_CSV = 12
N_STILLS = 6
LEAST_GAIN = 0.01
N_COLORS = 253


@dataclass(frozen=True, slots=True)
class Surface:
    """Mean predictions on a square grid of points.

    Parameters
    ----------
    half_width : float
        The grid spans -half_width to half_width in both coordinates.
    prediction : ndarray (n, n)
        Mean over replicas; rows from the lowest y up, columns from the lowest x.
    agreement : float
        Share of the grid's points at which at least nine tenths of the replicas give the same sign.
    correct : float
        Share of the grid's points at which the mean prediction has the sign of the dataset's true mean.
    """

    half_width: float
    prediction: npt.NDArray[np.float64]
    agreement: float
    correct: float


@lru_cache(maxsize=8)
def _answers(model: WinnerModel, half_width: float, n: int) -> tuple[FloatArray, ...]:
    """Return a grid's points (1, n * n, 2) with the networks' answers (R, n * n) and the true means (n * n,)."""
    line = np.linspace(-half_width, half_width, n)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(1, -1, 2)
    truth = DATASETS[model.draws.dataset].conditional_mean(points[0], model.draws.noise)
    return points, model.predict(points), truth


def surface(model: WinnerModel, half_width: float, outside: Box | None = None, n: int = N_PIXELS) -> Surface:
    """Return the mean prediction on a grid; with `outside`, agreement and correctness count points beyond it only."""
    points, predictions, truth = _answers(model, half_width, n)
    mean = predictions.mean(axis=0)
    counts = np.ones(n * n, bool) if outside is None else ~outside.contains(points)[0]
    same = np.abs(np.sign(predictions).mean(axis=0)) >= 0.8
    decided = counts & (np.abs(truth) > 1e-6)
    return Surface(
        half_width,
        mean.reshape(n, n),
        float(same[counts].mean()) if counts.any() else float("nan"),
        float((np.sign(mean) == np.sign(truth))[decided].mean()) if decided.any() else float("nan"),
    )


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "As on the Playground page: orange is -1, blue is +1, pale is undecided. The colour is the mean prediction "
            "of networks trained on different draws; the points are those of the first draw. Left the page's own "
            "window, right three times as far. The frame is the training box: everything outside it is out of range."
        )
    ]
    for study, name, file_name in zip(studies, names, study_files("surface", studies), strict=True):
        model = winner_model(study)
        if isinstance(model, Missing):
            blocks.append(Paragraph(f"{name}: {model.reason}.", "missing"))
            continue
        blocks.append(surface_block(model, name, file_name))
        frames = winner_frames(study, model)
        if isinstance(frames, Missing):
            blocks.append(Paragraph(f"{name}: {frames.reason}.", "missing"))
        else:
            blocks.append(frames_block(model, frames, name, file_name.replace("surface", "epochs", 1)))
    return Section("surface", "What the winners answer, in range and beyond", tuple(blocks))


def frames_block(model: WinnerModel, frames: Frames, name: str, file_name: str) -> Stills:
    """Return the animation of the first draw's network over epochs, twice as far as the page's window."""
    line = np.linspace(-FRAME_HALF_WIDTH, FRAME_HALF_WIDTH, N_FRAME_PIXELS)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(1, -1, 2)
    F = len(frames.epochs)
    predictions = replace(model, parameters=frames.parameters).predict(points)
    truth = DATASETS[model.draws.dataset].conditional_mean(points[0], model.draws.noise)
    outside = ~Box.fit(model.draws.train_points[:1]).contains(points)[0] & (np.abs(truth) > 1e-6)
    correct = (np.sign(predictions) == np.sign(truth))[:, outside].mean(axis=1) if outside.any() else np.full(F, np.nan)
    grid = predictions.reshape(F, N_FRAME_PIXELS, N_FRAME_PIXELS)
    told = (
        f"beyond the frame the sign is right at {100 * correct[0]:.0f} % of the plane before training and at "
        f"{100 * correct[-1]:.0f} % after epoch {frames.epochs[-1]}"
    )
    best = int(np.argmax(correct))
    if correct[best] - max(correct[0], correct[-1]) >= LEAST_GAIN:
        told += f", most of all ({100 * correct[best]:.0f} %) after epoch {frames.epochs[best]}"
    step = max(1, N_FRAME_PIXELS // MOST_IN_FRAME_CSV)
    rows = tuple(
        (epoch, float(x), float(y), float(grid[k, i * step, j * step]))
        for k, epoch in enumerate(frames.epochs)
        for i, y in enumerate(line[::step])
        for j, x in enumerate(line[::step])
    )
    columns = (
        ReportColumn("epoch", "Epoch"),
        ReportColumn("x1", "X1"),
        ReportColumn("x2", "X2"),
        ReportColumn("prediction", "Prediction"),
    )

    def images() -> list[npt.NDArray[np.uint8]]:
        return frame_images(model, grid, truth.reshape(grid.shape[1:]) > 0)

    chosen = sorted({round(k) for k in np.linspace(0, F - 1, N_STILLS)})
    return Stills(
        Picture(
            file_name,
            f"{name}: the network of the first draw while it learns (n = 1), {F} epochs in the animation; {told}. "
            "Square: training box. Dark line: where the true rule changes sign.",
            f"{name}: heat maps of the first network's prediction at {len(chosen)} epochs; {told}.",
            lambda: draw_stills([(f"epoch {frames.epochs[k]}", images()[k]) for k in chosen], name),
            ReportTable(file_name, "", columns, rows),
            raster=True,
        ),
        lambda: [titled(image, epoch) for image, epoch in zip(images(), frames.epochs, strict=True)],
        [(int(r), int(g), int(b)) for r, g, b in frame_palette()],
    )


def frame_images(
    model: WinnerModel, grid: npt.NDArray[np.float64], sign: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.uint8]]:
    """Return palette numbers of every frame, lowest row first, with the training box and the rule's own border."""
    images = np.rint((np.clip(np.nan_to_num(grid), -1, 1) + 1) / 2 * (N_COLORS - 1)).astype(np.uint8)
    border = np.zeros_like(sign)
    border[:-1] |= sign[:-1] != sign[1:]
    border[:, :-1] |= sign[:, :-1] != sign[:, 1:]
    images[:, border] = N_COLORS
    box = Box.fit(model.draws.train_points[:1])
    n = len(sign)
    low, high = (
        np.clip(np.rint((corner + FRAME_HALF_WIDTH) / (2 * FRAME_HALF_WIDTH) * (n - 1)), 0, n - 1).astype(int)
        for corner in (box.low[0], box.high[0])
    )
    images[:, low[1] : high[1] + 1, [low[0], high[0]]] = N_COLORS + 1
    images[:, [low[1], high[1]], low[0] : high[0] + 1] = N_COLORS + 1
    return list(images)


def frame_palette() -> npt.NDArray[np.uint8]:
    """Return the colours of `frame_images`, (256, 3): the Playground's, the rule's border, the training box, white."""
    from analysis.formats.style import playground_palette

    extra = np.array([[74, 85, 96], [0, 0, 0], [255, 255, 255]], np.uint8)
    return np.concatenate([playground_palette(N_COLORS), extra])


def draw_stills(stills: Sequence[tuple[str, npt.NDArray[np.uint8]]], name: str) -> Figure:
    """Draw some frames side by side."""
    from analysis.formats.style import draw_tiles

    palette = frame_palette()
    return draw_tiles([[(title, palette[image]) for title, image in stills]], name, 1.4)


def titled(image: npt.NDArray[np.uint8], epoch: int) -> npt.NDArray[np.uint8]:
    """Return a frame for the animation: highest row first, enlarged, its epoch written above."""
    from PIL import Image, ImageDraw

    large = np.repeat(np.repeat(image[::-1], FRAME_SCALE, axis=0), FRAME_SCALE, axis=1)
    page = Image.fromarray(np.full((16, large.shape[1]), N_COLORS + 2, np.uint8), mode="L")
    ImageDraw.Draw(page).text((4, 2), f"epoch {epoch}", fill=N_COLORS + 1)
    # Letters are smoothed; in a palette there is nothing between white and black.
    title = np.where(np.asarray(page) == N_COLORS + 2, N_COLORS + 2, N_COLORS + 1)
    return np.concatenate([title.astype(np.uint8), large])


def surface_block(model: WinnerModel, name: str, file_name: str) -> Picture:
    """Return the picture of one study's winner in the page's window and beyond."""
    box = Box.fit(model.draws.train_points[:1])
    near = surface(model, PAGE_HALF_WIDTH)
    far = surface(model, max(3.0, model.stretch) * PAGE_HALF_WIDTH, box)
    what = "the sign" if DATASETS[model.draws.dataset].problem == "classification" else "the sign of the label"
    told = (
        f"outside the frame the mean prediction has {what} that the true rule has at {100 * far.correct:.0f} % of the "
        f"plane, against {100 * near.correct:.0f} % of the page's window; at least nine in ten networks agree on it "
        f"at {100 * far.agreement:.0f} % of the plane outside"
    )
    step = max(1, N_PIXELS // MOST_IN_CSV)
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("x1", "X1"),
            ReportColumn("x2", "X2"),
            ReportColumn("prediction", "Mean prediction"),
            ReportColumn("part", "Part", "text"),
        ),
        tuple(
            (float(x), float(y), float(part.prediction[i * step, j * step]), title)
            for part, title in ((near, "window"), (far, "beyond"))
            for i, y in enumerate(_line(part)[::step])
            for j, x in enumerate(_line(part)[::step])
        ),
    )
    n_train, n_test = model.draws.train_points.shape[1], model.draws.test_points.shape[1]
    return Picture(
        file_name,
        f"{name}: mean prediction of n = {model.n_replicas} networks, each trained on a draw of its own; "
        f"{n_train} training and {n_test} test points of the first draw. Right: {told}.",
        f"{name}: heat map of the winner's mean prediction in the page's window and three times as far; {told}.",
        lambda: draw_surfaces(model, box, near, far, name),
        data,
        raster=True,
    )


def _line(part: Surface) -> npt.NDArray[np.float64]:
    return np.linspace(-part.half_width, part.half_width, len(part.prediction))


def draw_surfaces(model: WinnerModel, box: Box, near: Surface, far: Surface, name: str) -> Figure:
    """Draw the page's window with the first draw's points, and the wider view with points beyond the range."""
    from analysis.formats.style import framed_axes, new_figure, playground_colors

    figure = new_figure(9.2, 4.5)
    left = framed_axes(figure, 0.6, 0.55, 0.45, 0.4, 0, 2)
    right = framed_axes(figure, 0.35, 0.55, 0.7, 0.4, 1, 2)
    for axes, part in ((left, near), (right, far)):
        image = axes.imshow(
            part.prediction,
            origin="lower",
            extent=(-part.half_width, part.half_width) * 2,
            cmap=playground_colors(),
            vmin=-1,
            vmax=1,
            interpolation="bilinear",
        )
        _draw_box(axes, box)
        axes.set_xlim(-part.half_width, part.half_width)
        axes.set_ylim(-part.half_width, part.half_width)
        axes.grid(visible=False)
        axes.set_xlabel("X1")
    left.set_ylabel("X2")
    draws = model.draws
    _draw_points(left, draws.train_points[0], draws.train.y[0, :, 0], "training", 13, "white", 0.6)
    _draw_points(left, draws.test_points[0], draws.test.y[0, :, 0], "test", 16, "black", 0.9)
    rng = np.random.default_rng(SEED_BEYOND)
    points, point_labels = DATASETS[draws.dataset].beyond(rng, N_BEYOND, draws.noise, model.stretch)
    outside = ~box.contains(points[None])[0]
    _draw_points(right, points[outside], point_labels[outside], "out of range", 13, "black", 0.7)
    left.set_title(name)
    right.set_title("three times as far")
    for axes in (left, right):
        axes.legend(loc="upper right", frameon=True, framealpha=0.85, fontsize=8, handletextpad=0.2)
    bar = figure.add_axes((0.945, 0.125, 0.013, 0.78))
    figure.colorbar(image, cax=bar, ticks=[-1, 0, 1])
    bar.tick_params(labelsize=8, length=2)
    return figure


def _draw_box(axes: Axes, box: Box) -> None:
    (x0, y0), (x1, y1) = box.low[0], box.high[0]
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="black", linewidth=1.4, label="training box")


def _draw_points(
    axes: Axes,
    points: npt.NDArray[np.floating],
    values: npt.NDArray[np.floating],
    label: str,
    size: float,
    edge: str,
    width: float,
) -> None:
    from analysis.formats.style import playground_colors

    axes.scatter(
        points[:, 0],
        points[:, 1],
        c=values,
        s=size,
        cmap=playground_colors(),
        vmin=-1,
        vmax=1,
        edgecolors=edge,
        linewidths=width,
        label=label,
    )
