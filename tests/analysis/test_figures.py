"""Pictures as files of their own: their size, their letters, their numbers, and that nothing is cut."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import record_builders as build
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from analysis.formats.blocks import Block, Cards, Missing, Picture, Stills
from analysis.formats.drawing import COLUMN_INCHES, SILENT, drawing, figure_file, svg_bytes
from analysis.formats.style import COLORS
from analysis.records.reading import read_sweep
from analysis.report import render, sections_of, write_report

POINTS = 72
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "homework"
    build.study_with_networks(folder, "gauss")
    long_name = dataclasses.replace(build.finished_study("xor", 1, n_trials=45, n_certificate=40))
    build.write_study(long_name, folder)
    return folder


def pictures_of(block: Block) -> list[Picture]:
    if isinstance(block, Cards):
        return [card.picture for card in block.cards if not isinstance(card.picture, Missing)]
    return [block] if isinstance(block, Picture) else [block.picture] if isinstance(block, Stills) else []


@pytest.fixture(scope="module")
def pictures(sweep: Path) -> list[Picture]:
    sections = sections_of(read_sweep(sweep))
    return [picture for section in sections for block in section.blocks for picture in pictures_of(block)]


@pytest.fixture(scope="module")
def a_picture(pictures: list[Picture]) -> Picture:
    return next(picture for picture in pictures if picture.name == "trials-xor")


def test_no_title_legend_or_label_is_cut(pictures: list[Picture]) -> None:
    assert len(pictures) > 15
    for picture in pictures:
        with drawing(picture):
            figure = picture.draw()
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            box, (width, height) = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
        inside = (box.x0 >= -0.005, box.y0 >= -0.005, box.x1 <= width + 0.005, box.y1 <= height + 0.005)
        assert all(inside), picture.name


def test_texts_laid_out_once_leave_every_picture_as_matplotlib_writes_it(pictures: list[Picture]) -> None:
    drawn = [picture for picture in pictures if not picture.raster]
    assert len(drawn) > 8
    for picture in [*drawn, *drawn[:2]]:  # the last ones with every text at hand
        with drawing(picture):
            stream = io.BytesIO()
            FigureCanvasSVG(picture.draw()).print_svg(stream, metadata=dict.fromkeys(SILENT))
            assert svg_bytes(picture.draw()) == stream.getvalue(), picture.name


def test_a_pdf_has_the_width_of_a_column_and_its_fonts_in_it(a_picture: Picture) -> None:
    content = figure_file(a_picture, "pdf")
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
    assert box is not None
    width, height = float(box[1]), float(box[2])
    with drawing(a_picture):
        drawn = a_picture.draw().get_size_inches()
    assert width == COLUMN_INCHES * POINTS
    assert height / width == pytest.approx(drawn[1] / drawn[0], rel=1e-6)
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert figure_file(a_picture, "pdf") == content
    assert b"/CreationDate" not in content


def test_an_svg_has_the_width_of_a_column_and_its_letters_as_outlines(a_picture: Picture) -> None:
    root = ElementTree.fromstring(figure_file(a_picture, "svg"))
    assert root.get("width") == f"{COLUMN_INCHES:.4f}in"
    assert root.get("viewBox", "").startswith("0 0 619.2 ")
    assert not list(root.iter(f"{SVG}text"))
    assert list(root.iter(f"{SVG}use"))


def test_a_small_picture_is_not_enlarged(pictures: list[Picture]) -> None:
    card = next(picture for picture in pictures if picture.name.startswith("card-"))
    root = ElementTree.fromstring(figure_file(card, "svg"))
    assert root.get("width") == "1.7500in"


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_every_picture_is_there_with_its_numbers_beside_it(sweep: Path, tmp_path: Path, kind: str) -> None:
    write_report([sweep], tmp_path, kind)  # type: ignore[arg-type]
    drawn = {path.stem for path in (tmp_path / "pictures").iterdir() if path.suffix != ".gif"}
    assert {path.stem for path in (tmp_path / "figures").glob(f"*.{kind}")} == drawn
    for path in (tmp_path / "figures").glob("*.csv"):
        assert len(list(csv.reader(io.StringIO(path.read_text("utf-8"))))) > 1
    assert len(list((tmp_path / "figures").glob("*.csv"))) == len(drawn)


def test_no_figures_unless_they_are_asked_for() -> None:
    files = render([build.finished_study("xor", n_trials=3, n_certificate=5)]).files
    assert not [name for name in files if name.startswith("figures/")]


def test_colours_differ_to_readers_without_red_or_green_cones() -> None:
    """Machado, Oliveira and Fernandes (2009), severity 1, in linear RGB; 10 in CIE76 is told at a glance."""
    matrices = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for matrix in matrices.values():
        seen = lab(np.clip(linear @ np.array(matrix).T, 0, 1))
        distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(distances) > 10


def lab(linear: np.ndarray) -> np.ndarray:
    """Return CIELAB of linear sRGB, D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
