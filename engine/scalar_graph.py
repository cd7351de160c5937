"""A graph of single numbers with reverse-mode differentiation: slow, small, and independent of the engine's own rules.

Each node keeps its value, its parents and the local derivative by each of them. A gradient goes from the result back:
upstream times local is downstream, and what comes along several ways adds up.

References
----------
S. Linnainmaa, "Taylor expansion of the accumulated rounding error", BIT 16 (1976) 146-160.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray, NetworkConfig


@dataclass(slots=True, eq=False)
class Node:
    """A number of a graph.

    Parameters
    ----------
    value : float
    name : str
        ``"w0"``, ``"*"``, ``"exp"``.
    parents : tuple of (Node, float)
        What it is made of, each with the local derivative by it.
    gradient : float
        Derivative of the result by this number, once `backward` has run from there.
    """

    value: float
    name: str = ""
    parents: tuple[tuple[Node, float], ...] = ()
    gradient: float = field(default=0.0)

    def __add__(self, other: Node) -> Node:
        """Return the sum."""
        return Node(self.value + other.value, "+", ((self, 1.0), (other, 1.0)))

    def __sub__(self, other: Node) -> Node:
        """Return the difference."""
        return Node(self.value - other.value, "-", ((self, 1.0), (other, -1.0)))

    def __mul__(self, other: Node) -> Node:
        """Return the product."""
        return Node(self.value * other.value, "*", ((self, other.value), (other, self.value)))

    def times(self, factor: float) -> Node:
        """Return it times a constant."""
        return Node(factor * self.value, f"* {factor:g}", ((self, factor),))

    def plus(self, constant: float) -> Node:
        """Return it plus a constant."""
        return Node(self.value + constant, f"{constant:+g}", ((self, 1.0),))

    def exp(self) -> Node:
        """Return its exponential."""
        value = math.exp(self.value)
        return Node(value, "exp", ((self, value),))

    def reciprocal(self) -> Node:
        """Return one over it."""
        return Node(1.0 / self.value, "1/x", ((self, -1.0 / self.value**2),))

    def tanh(self) -> Node:
        """Return its hyperbolic tangent."""
        value = math.tanh(self.value)
        return Node(value, "tanh", ((self, 1.0 - value * value),))

    def relu(self) -> Node:
        """Return max(0, x)."""
        return Node(max(self.value, 0.0), "relu", ((self, float(self.value > 0.0)),))

    def sigmoid(self) -> Node:
        """Return the logistic function of it, made of single steps."""
        return self.times(-1.0).exp().plus(1.0).reciprocal()

    def maximum(self, other: Node) -> Node:
        """Return the larger of two: the gradient goes to that one alone."""
        first = self.value >= other.value
        return Node(max(self.value, other.value), "max", ((self, float(first)), (other, float(not first))))

    def order(self) -> list[Node]:
        """Return all nodes it is made of and itself, parents first."""
        found: list[Node] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            node, is_done = stack.pop()
            if is_done:
                found.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack += [(parent, False) for parent, _ in node.parents]
        return found

    def backward(self) -> None:
        """Give every node of the graph the derivative of this one by it."""
        nodes = self.order()
        for node in nodes:
            node.gradient = 0.0
        self.gradient = 1.0
        for node in reversed(nodes):
            for parent, local in node.parents:
                parent.gradient += node.gradient * local


def total(nodes: Sequence[Node]) -> Node:
    """Return the sum of nodes."""
    result = nodes[0]
    for node in nodes[1:]:
        result = result + node
    return result


def _activated(node: Node, name: str) -> Node:
    if name == "linear":
        return node
    if name in ("tanh", "relu", "sigmoid"):
        found: Node = getattr(node, name)()
        return found
    raise ValueError(f"network.activation: {name!r} has no form in the graph; use linear, relu, sigmoid or tanh")


def network_gradients(
    network: NetworkConfig,
    weights: Sequence[FloatArray],
    biases: Sequence[FloatArray],
    X: FloatArray,
    y: FloatArray,
    penalty: float,
) -> list[npt.NDArray[np.float64]]:
    """Return the gradient of half the mean squared error plus penalty / 2 times the sum of the squared weights.

    Parameters
    ----------
    network : NetworkConfig
        With linear, relu, sigmoid or tanh activations.
    weights, biases : sequence of ndarray (fan_in, fan_out), (fan_out,)
        Of one network.
    X, y : ndarray (n, n_inputs), (n, n_outputs)
        Points and targets.
    penalty : float
        Strength of the L2 branch; biases are not in it.

    Returns
    -------
    list of ndarray
        By each layer's weights, then by each layer's biases.
    """
    W = [[[Node(float(w), "w") for w in row] for row in layer] for layer in weights]
    b = [[Node(float(one), "b") for one in layer] for layer in biases]
    losses = []
    for x, target in zip(X, y, strict=True):
        row = [Node(float(value), "x") for value in x]
        for i, (layer, own) in enumerate(zip(W, b, strict=True)):
            name = network.output_activation if i == len(W) - 1 else network.activation
            sums = [
                total([*(x * links[j] for x, links in zip(row, layer, strict=True)), own[j]]) for j in range(len(own))
            ]
            row = [_activated(node, name) for node in sums]
        errors = [out.plus(-float(value)) for out, value in zip(row, target, strict=True)]
        losses.append(total([(error * error).times(0.5) for error in errors]))
    squares = [w * w for layer in W for links in layer for w in links]
    result = total(losses).times(1.0 / len(losses)) + total(squares).times(penalty / 2.0)
    result.backward()
    return [
        *(np.array([[w.gradient for w in links] for links in layer]) for layer in W),
        *(np.array([one.gradient for one in layer]) for layer in b),
    ]
