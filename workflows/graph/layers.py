"""From a graph to layers of cells: every edge leads from a layer to the next one, through cells.

Sugiyama, Tagawa, Toda (1981): cycles are broken, nodes get the layer of their longest path, edges over
several layers get a cell in each between, and each layer is ordered by its cells' barycentres: few crossings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from workflows.graph.model import Edge, Graph

SWEEPS = 16
# How much an edge wants to be straight and uncrossed: the first way on from a node most, errors least.
FIRST, SOLID, DASHED = 12, 4, 1


@dataclass(eq=False)
class Cell:
    """A place in a layer: a node, a label, or a point that an edge passes.

    Attributes:
        node: the node's id; None for what belongs to edges.
        x: of its middle; set by the layout.
    """

    layer: int
    width: float
    height: float
    node: str | None = None
    label: tuple[str, ...] = ()
    x: float = 0.0
    up: list[tuple[Cell, int]] = field(default_factory=list)
    down: list[tuple[Cell, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Route:
    """An edge and its cells from the upper node to the lower one; `upwards` if the edge points up."""

    edge: Edge
    cells: tuple[Cell, ...]
    upwards: bool


@dataclass(frozen=True)
class Layers:
    cells: list[list[Cell]]
    routes: tuple[Route, ...]
    loops: tuple[Edge, ...]  # from a node to itself


Size = tuple[float, float]


def layered(
    graph: Graph, sizes: dict[str, Size], label: Callable[[Edge], tuple[tuple[str, ...], Size]]
) -> Layers:
    """The graph's cells in ordered layers.

    Args:
        sizes: width and height of each node by its id.
        label: an edge's lines of text, and their size.
    """
    loops = tuple(edge for edge in graph.edges if edge.source == edge.target)
    edges = [edge for edge in graph.edges if edge.source != edge.target]
    order, backward = _depth_first(graph, edges)
    ranks = _ranks(order, edges, backward)
    rows: list[list[Cell]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    cells = {}
    for name in order:
        cells[name] = Cell(ranks[name], *sizes[name], node=name)
        rows[ranks[name]].append(cells[name])
    shared: dict[tuple[str, bool, bool, int], Cell] = {}
    routes = tuple(_route(edge, edge in backward, cells, rows, shared, label) for edge in edges)
    on: set[str] = set()
    for route in routes:
        weight = DASHED if route.edge.dashed else SOLID if route.edge.source in on else FIRST
        on.add(route.edge.source)
        for upper, lower in pairwise(route.cells):
            if all(cell is not lower for cell, _ in upper.down):
                upper.down.append((lower, weight))
                lower.up.append((upper, weight))
    return Layers(_ordered(rows), routes, loops)


def _depth_first(graph: Graph, edges: list[Edge]) -> tuple[list[str], set[Edge]]:
    """A topological order without the edges that close a cycle, and those edges."""
    following: dict[str, list[Edge]] = {node.id: [] for node in graph.nodes}
    for each in sorted(edges, key=lambda edge: edge.dashed):
        following[each.source].append(each)
    backward: set[Edge] = set()
    finished: list[str] = []
    state: dict[str, bool] = {}  # False while on the path, True when finished
    for root in graph.nodes:
        if root.id in state:
            continue
        state[root.id] = False
        stack = [(root.id, iter(following[root.id]))]
        while stack:
            name, rest = stack[-1]
            if (edge := next(rest, None)) is None:
                state[name] = True
                finished.append(name)
                stack.pop()
            elif edge.target not in state:
                state[edge.target] = False
                stack.append((edge.target, iter(following[edge.target])))
            elif state[edge.target] is False:
                backward.add(edge)
    return finished[::-1], backward


def _ranks(order: list[str], edges: list[Edge], backward: set[Edge]) -> dict[str, int]:
    """The longest path to each node. Labels, edges that point up and parallel ones take a layer between."""
    leaving: dict[str, list[tuple[str, int]]] = {name: [] for name in order}
    pairs = Counter((edge.source, edge.target) for edge in edges)
    for edge in edges:
        upper, lower = (edge.target, edge.source) if edge in backward else (edge.source, edge.target)
        leaving[upper].append(
            (lower, 2 if edge.label or edge in backward or pairs[edge.source, edge.target] > 1 else 1)
        )
    ranks = dict.fromkeys(order, 0)
    for name in order:
        for lower, length in leaving[name]:
            ranks[lower] = max(ranks[lower], ranks[name] + length)
    return ranks


def _route(
    edge: Edge,
    upwards: bool,
    nodes: dict[str, Cell],
    rows: list[list[Cell]],
    shared: dict[tuple[str, bool, bool, int], Cell],
    label: Callable[[Edge], tuple[tuple[str, ...], Size]],
) -> Route:
    """The edge's cells. Edges of a kind to one node share theirs: many ways to an error are one trunk."""
    upper, lower = nodes[edge.source], nodes[edge.target]
    if upwards:
        upper, lower = lower, upper
    between = list(range(upper.layer + 1, lower.layer))
    labelled = (between[-1] if upwards else between[0]) if edge.label else None
    path = [upper]
    for layer in between:
        key = (edge.target, edge.dashed, upwards, layer)
        if layer == labelled:
            lines, (width, height) = label(edge)
            cell = Cell(layer, width, height, label=lines)
        elif key in shared:
            path.append(shared[key])
            continue
        else:
            cell = shared[key] = Cell(layer, 2, 0)
        rows[layer].append(cell)
        path.append(cell)
    return Route(edge, (*path, lower), upwards)


def _ordered(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The best order of a number of sweeps down and up."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        indices = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
        for index in indices:
            fixed = {cell: place for place, cell in enumerate(rows[index - 1 if downwards else index + 1])}
            row = rows[index]
            keys = {cell: _barycentre(cell, place, fixed, downwards) for place, cell in enumerate(row)}
            row.sort(key=keys.__getitem__)
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _barycentre(cell: Cell, place: int, fixed: dict[Cell, int], downwards: bool) -> float:
    neighbours = cell.up if downwards else cell.down
    total = sum(weight for _, weight in neighbours)
    return sum(fixed[other] * weight for other, weight in neighbours) / total if total else float(place)


def _crossings(rows: list[list[Cell]]) -> int:
    """Crossings between neighbouring layers, each as dear as its edges' weights multiplied."""
    count = 0
    for upper, lower in pairwise(rows):
        places = {cell: place for place, cell in enumerate(lower)}
        ends = [
            (place, places[other], weight) for place, cell in enumerate(upper) for other, weight in cell.down
        ]
        for index, (a, b, weight) in enumerate(ends):
            count += sum(weight * v for c, d, v in ends[index + 1 :] if (a - c) * (b - d) < 0)
    return count
