"""Back-propagation: the sources' graphs worked out number by number, and the engine's gradients held to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, measured
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, number_text
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample
from analysis.words import later, say
from engine.network import NetworkConfig
from engine.roads.memory import KEPT_NUMBERS, count_parameters, kept_bytes
from engine.scalar_graph import Node, total

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
W0, W1, W2, X0, X1 = 2.0, -3.0, -3.0, -1.0, -2.0
"""Inputs of the sigmoid graph. The source gives its result alone; these are chosen by us: their score is 1."""
RATE, PENALTY = 0.1, 0.1
CLOSE = 1e-10
"""Relative; the graph adds in another order than the engine."""
HALF_CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph that has been gone through forward and back.

    Parameters
    ----------
    title : str
    result : Node
    leaves : dict of str to Node
        Its inputs by name.
    """

    title: str
    result: Node
    leaves: dict[str, Node]

    def gradient(self, name: str) -> float:
        """Return the result's derivative by an input."""
        return self.leaves[name].gradient


def _leaves(values: dict[str, float]) -> dict[str, Node]:
    return {name: Node(value, name) for name, value in values.items()}


def _gone_through(title: str, result: Node, leaves: dict[str, Node]) -> Graph:
    result.backward()
    return Graph(title, result, leaves)


def simple_graph(x: float = -2.0, y: float = 5.0, z: float = -4.0) -> Graph:
    """Return f = (x + y) z."""
    leaves = _leaves({"x": x, "y": y, "z": z})
    return _gone_through("(x + y) z", (leaves["x"] + leaves["y"]) * leaves["z"], leaves)


def sigmoid_graph(w0: float = W0, w1: float = W1, w2: float = W2, x0: float = X0, x1: float = X1) -> Graph:
    """Return f = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2))), made of single steps."""
    leaves = _leaves({"w0": w0, "x0": x0, "w1": w1, "x1": x1, "w2": w2})
    score = leaves["w0"] * leaves["x0"] + leaves["w1"] * leaves["x1"] + leaves["w2"]
    return _gone_through("1 / (1 + exp(-(w0 x0 + w1 x1 + w2)))", score.sigmoid(), leaves)


def hidden_layer_graph() -> Graph:
    """Return the textbook's J = loss + (lambda / 2) (sum of squared weights) for two ReLU units with biases.

    One example x = (1, -2) with target 1, half its squared error; weights chosen by us, one unit on and one off.
    """
    leaves = _leaves(
        {
            "x1": 1.0,
            "x2": -2.0,
            "u11": 0.5,
            "u12": -0.4,
            "u21": 0.3,
            "u22": 0.6,
            "b1": 0.2,
            "b2": -0.1,
            "v1": 0.7,
            "v2": -0.5,
            "c": 0.1,
        }
    )
    n = leaves
    first = (n["x1"] * n["u11"] + n["x2"] * n["u12"] + n["b1"]).relu()
    second = (n["x1"] * n["u21"] + n["x2"] * n["u22"] + n["b2"]).relu()
    error = (first * n["v1"] + second * n["v2"] + n["c"]).plus(-1.0)
    weights = [n[name] for name in ("u11", "u12", "u21", "u22", "v1", "v2")]
    penalty = total([w * w for w in weights]).times(PENALTY / 2.0)
    return _gone_through(
        say("half squared error + (0.1 / 2) (sum of squared weights)"), (error * error).times(0.5) + penalty, leaves
    )


def step_of_the_sigmoid_graph() -> tuple[float, float]:
    """Return the sigmoid graph's result before and after one step of 0.1 down the gradient of its weights."""
    graph = sigmoid_graph()
    w0, w1, w2 = (graph.leaves[name].value - RATE * graph.gradient(name) for name in ("w0", "w1", "w2"))
    return graph.result.value, sigmoid_graph(w0, w1, w2).result.value


def true_statements() -> dict[str, bool]:
    """Return what the notes say of their graphs, each with whether the graph agrees."""
    simple, sigmoid = simple_graph(), sigmoid_graph()
    s = 1.0 / (1.0 + math.exp(-1.0))
    local = s * (1.0 - s)
    expected = {"w0": local * X0, "x0": local * W0, "w1": local * X1, "x1": local * W1, "w2": local}
    return {
        say("f = (x + y) z at (-2, 5, -4) is -12"): simple.result.value == -12.0,
        say("its gradient is (-4, -4, 3)"): [simple.gradient(name) for name in "xyz"] == [-4.0, -4.0, 3.0],
        say("the sigmoid graph's result is 0.73"): round(sigmoid.result.value, 2) == 0.73,
        say("the gradient of its score is 0.1966, 0.2 in the notes"): round(sigmoid.gradient("w2"), 4) == 0.1966,
        say("its leaves' gradients are those of the closed form"): all(
            math.isclose(sigmoid.gradient(name), value, rel_tol=1e-12) for name, value in expected.items()
        ),
    }


def gates() -> tuple[FloatArray, FloatArray]:
    """Return for random numbers how far add gates are from passing the gradient, multiply gates from swapping it."""
    rng = np.random.default_rng(0)
    add: list[float] = []
    multiply: list[float] = []
    for a, b, upstream in rng.normal(size=(200, 3)).tolist():
        one, other = Node(a), Node(b)
        (one + other).times(upstream).backward()
        add.append(max(abs(one.gradient - upstream), abs(other.gradient - upstream)))
        (one * other).times(upstream).backward()
        multiply.append(max(abs(one.gradient - b * upstream), abs(other.gradient - a * upstream)))
    return np.array(add), np.array(multiply)


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about back-propagation."""
    stated = true_statements()
    add, multiply = gates()
    before, after = step_of_the_sigmoid_graph()
    found = [
        _exact(
            "63",
            say("The numbers of the simple graph and of the sigmoid graph"),
            say("of these statements the true ones: ") + "; ".join(stated),
            float(len(stated)),
            float(sum(stated.values())),
        ),
        _exact(
            "63",
            say("One step down the gradient lowers the sigmoid graph's result"),
            say(
                "whether {after} after a step of {rate:g} is below {before} before it",
                after=number_text(after),
                rate=RATE,
                before=number_text(before),
            ),
            1.0,
            float(after < before),
        ),
        _exact(
            "64",
            say("Add gates pass the gradient to both inputs"),
            say("of {n_add} random gates those that do", n_add=len(add)),
            float(len(add)),
            float((add == 0).sum()),
        ),
        _exact(
            "64",
            say("Multiply gates give each input the gradient times the other input"),
            say("of {n_multiply} random gates those that do, to 1e-15", n_multiply=len(multiply)),
            float(len(multiply)),
            float((multiply < 1e-15).sum()),
        ),
    ]
    kept = memory_statements()
    found += [
        _exact(
            "44",
            say("Training keeps what prediction can drop: memory in proportion to layers and batch"),
            say(
                "of these statements about {kept_numbers} numbers a hidden unit and example the true ones: ",
                kept_numbers=KEPT_NUMBERS,
            )
            + "; ".join(kept),
            float(len(kept)),
            float(sum(kept.values())),
        ),
        *_hessian_claims(cells),
    ]
    for number, words, probe, close in (
        ("63", say("The engine's gradients are the graph's, penalty included"), "graph_gap", CLOSE),
        ("45", say("Two half-batches give the gradient of the whole batch"), "half_batches", HALF_CLOSE),
    ):
        gaps = _gaps(cells, probe)
        if len(gaps):
            found.append(
                _exact(
                    number,
                    words,
                    say(
                        "of {n_gaps} networks those whose gradients differ by less than {close:g} of the largest",
                        n_gaps=len(gaps),
                        close=close,
                    ),
                    float(len(gaps)),
                    float((gaps < close).sum()),
                )
            )
    return found


def memory_statements() -> dict[str, bool]:
    """Return what is said of the memory that a backward pass needs, each with whether the engine's count agrees."""

    def kept(n_layers: int, batch: int) -> int:
        return kept_bytes(NetworkConfig(20, (64,) * n_layers, 5), batch, "float32")

    return {
        say("twice the examples keep twice as much"): kept(4, 400) == 2 * kept(4, 200),
        say("twice the layers of one width keep twice as much"): kept(8, 200) == 2 * kept(4, 200),
        say("no hidden layer keeps nothing"): kept(0, 200) == 0,
    }


def _hessian_claims(cells: Cells) -> list[Claim]:
    drawn = [cell for cell in cells.of("hessian") if cell.measured]
    if not drawn:
        return []
    asymmetry = np.concatenate([measured(cell, "hessian_asymmetry") for cell in drawn])
    counts = np.concatenate([measured(cell, "hessian_gradients") for cell in drawn])
    symmetric = float((asymmetry < 1e-6).sum())
    return [
        _exact(
            "44",
            say("Differences of gradients are the Hessian: it comes out symmetric"),
            say(
                "of {n_asymmetry} networks those whose Hessian is symmetric to 1e-6 of its largest entry",
                n_asymmetry=len(asymmetry),
            ),
            float(len(asymmetry)),
            symmetric,
        ),
        Claim(
            "44",
            say("Second derivatives cost more: as many gradients as there are weights, and more"),
            say(
                "gradients that a Hessian takes for each that a step takes, over the number of weights and biases; "
                "from {counts:g} gradients on",
                counts=counts.min(),
            ),
            "above",
            1.0,
            (Sample("", "exact", np.array([float(np.mean([_a_weight(cell) for cell in drawn]))])),),
            budget="exact",
        ),
    ]


def _a_weight(cell: CellRecord) -> float:
    """Return the gradients a Hessian takes, a weight or bias."""
    network = NetworkConfig(int(cell.network["n_inputs"]), tuple(cell.network["hidden_layer_sizes"]))
    return float(measured(cell, "hessian_gradients")[0]) / count_parameters(network)


def _exact(number: str, words: str, measure: str, expected: float, value: float) -> Claim:
    return Claim(number, words, measure, "equals", expected, (Sample("", "exact", np.array([value])),), budget="exact")


def _gaps(cells: Cells, probe: str) -> FloatArray:
    found = [measured(cell, probe) for cell in cells.of("engine")]
    values = np.concatenate(found) if found else np.array([])
    return np.asarray(values[~np.isnan(values)], np.float64)


GRAPHS: tuple[Callable[[], Graph], ...] = (simple_graph, sigmoid_graph, hidden_layer_graph)


def blocks(cells: Cells) -> list[Block]:
    """Return pictures and tables."""
    before, after = step_of_the_sigmoid_graph()
    return [
        _picture(),
        *(
            _node_table(f"backprop-{name}", make())
            for name, make in zip(("simple", "sigmoid", "hidden"), GRAPHS, strict=True)
        ),
        Paragraph(
            say(
                "One step of {rate:g} down the gradient of w0, w1 and w2 takes the sigmoid graph's result from "
                "{before} to {after}.",
                rate=RATE,
                before=number_text(before),
                after=number_text(after),
            )
        ),
        _engine_table(cells),
    ]


def _node_table(name: str, graph: Graph) -> ReportTable:
    nodes = graph.result.order()
    numbers = {id(node): i + 1 for i, node in enumerate(nodes)}
    rows = []
    for node in nodes:
        made = ", ".join(f"{numbers[id(parent)]}" for parent, _ in node.parents) or "given"
        local = ", ".join(number_text(value) for _, value in node.parents) or "-"
        down = ", ".join(number_text(node.gradient * value) for _, value in node.parents) or "-"
        rows.append((str(numbers[id(node)]), node.name, made, node.value, node.gradient, local, down))
    return ReportTable(
        name,
        say(
            "{title}, node by node: upstream is the result's derivative by the node; times each local derivative it "
            "goes downstream to the nodes it is made of, where what comes along several ways adds up.",
            title=graph.title,
        ),
        (
            ReportColumn("number", say("Node"), "text"),
            ReportColumn("name", say("What"), "text"),
            ReportColumn("of", say("Made of"), "text"),
            ReportColumn("value", say("Value")),
            ReportColumn("upstream", say("Upstream")),
            ReportColumn("local", say("Local"), "text"),
            ReportColumn("downstream", say("Downstream"), "text"),
        ),
        tuple(rows),
    )


def _engine_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = []
    for activation in cells.levels("engine", "network.activation"):
        for shape in cells.levels("engine", "network.hidden_layer_sizes"):
            levels = {"network.activation": activation, "network.hidden_layer_sizes": shape}
            gaps = [
                np.concatenate([measured(cell, probe) for cell in cells.of("engine", levels)])
                for probe in ("graph_gap", "half_batches")
            ]
            rows.append((str(activation), str(shape), *(float(np.nanmax(gap)) for gap in gaps)))
    return ReportTable(
        "backprop-engine",
        say(
            "Largest difference over the largest entry of a gradient: the engine's from the graph's (three points, L2 "
            "branch of 0.1), and the mean of two half-batches' from the whole batch's."
        ),
        (
            ReportColumn("activation", say("Activation"), "text"),
            ReportColumn("units", say("Units"), "text"),
            ReportColumn("graph", say("Engine against graph")),
            ReportColumn("halves", say("Halves against whole")),
        ),
        tuple(rows),
    )


def _picture() -> Picture:
    graph = sigmoid_graph()
    rows = tuple((node.name, node.value, node.gradient) for node in graph.result.order())
    return Picture(
        "backprop-graph",
        say(
            "The sigmoid graph: above each node its value, below it the gradient that comes back; inputs chosen by us."
        ),
        say("Gradients of the inputs: ")
        + ", ".join(f"{name} {number_text(node.gradient)}" for name, node in graph.leaves.items())
        + ".",
        lambda: _draw(graph),
        ReportTable(
            "backprop-graph",
            "",
            (
                ReportColumn("node", say("Node"), "text"),
                ReportColumn("value", say("Value")),
                ReportColumn("gradient", say("Gradient")),
            ),
            rows,
        ),
    )


def _places(graph: Graph) -> dict[int, tuple[float, float]]:
    """Return where each node is drawn: as far right as it has steps behind it, inputs one under the other."""
    places: dict[int, tuple[float, float]] = {}
    row = 0.0
    for node in graph.result.order():
        if node.parents:
            behind = [places[id(parent)] for parent, _ in node.parents]
            places[id(node)] = (max(x for x, _ in behind) + 1.0, float(np.mean([y for _, y in behind])))
        else:
            places[id(node)] = (0.0, -row)
            row += 1.0
    return places


def _draw(graph: Graph) -> Figure:
    from analysis.formats.style import COLORS, GRAY, new_figure

    places = _places(graph)
    width = max(x for x, _ in places.values())
    height = -min(y for _, y in places.values())
    figure = new_figure(1.05 * width + 1.2, 0.75 * height + 1.2)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    for node in graph.result.order():
        x, y = places[id(node)]
        for parent, _ in node.parents:
            px, py = places[id(parent)]
            axes.plot([px + 0.22, x - 0.22], [py, y], color=GRAY, linewidth=0.9)
        axes.text(x, y, node.name, ha="center", va="center", fontsize=9)
        axes.text(x, y + 0.22, f"{node.value:.3g}", ha="center", va="bottom", fontsize=8, color=COLORS[0])
        axes.text(x, y - 0.22, f"{node.gradient:.3g}", ha="center", va="top", fontsize=8, color=COLORS[1])
    axes.set_xlim(-0.5, width + 0.5)
    axes.set_ylim(-height - 0.7, 0.7)
    axes.set_axis_off()
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    graph, halves = _gaps(cells, "graph_gap"), _gaps(cells, "half_batches")
    held = (
        say(
            " The engine's gradients differ from the graph's by at most {graph:.1e} of the largest, "
            "two half-batches from the whole by {halves:.1e}.",
            graph=graph.max(),
            halves=halves.max(),
        )
        if len(graph) and len(halves)
        else ""
    )
    return say(
        "Each node hands what comes from above, times its local derivative, to what it is made of: add gates pass it, "
        "multiply gates swap it; the sigmoid graph's score gets {gradient:.4f}.{held}",
        gradient=sigmoid_graph().gradient("w2"),
        held=held,
    )


LESSON = Lesson(later("Back-propagation"), claims, blocks, answer)
