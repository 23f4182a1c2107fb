"""From layers to coordinates, in pixels, of one graph and of those inside its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from workflows.graph.layers import Cell, Layers, Route, layered
from workflows.graph.measure import LINE, caption_size, label_lines, name_lines, size_of_text
from workflows.graph.model import Edge, Graph, Node

PASSES, PUSHES = 12, 60
NODE_GAP, EDGE_GAP = 22.0, 16.0  # between two nodes, and beside an edge
LAYER_GAP, GAP_PER_EDGE, LARGEST_GAP = 34.0, 2.5, 72.0
PADDING = 16.0
LOOP = 26.0  # how far an edge from a node to itself reaches out
PORT_GAP = 11.0  # between two edges at one side of a node

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A node's place: its upper left corner and size; `inner` are placed in the drawing's coordinates."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    inner: tuple[Layout, ...] = ()


@dataclass(frozen=True)
class Line:
    """An edge's way; between two points it is straight where x is the same, and curved elsewhere."""

    edge: Edge
    points: tuple[Point, ...]
    label: tuple[str, ...] = ()
    label_at: Point = (0.0, 0.0)


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def layout(graph: Graph) -> Layout:
    """Places everything in the graph, with its upper left corner at (0, 0)."""
    inner = {node.id: tuple(layout(part) for part in node.inner) for node in graph.nodes}
    own = {node.id: _size(node, inner[node.id]) for node in graph.nodes}
    looping = {edge.source for edge in graph.edges if edge.source == edge.target}
    # The room for a loop is on both sides, so that the node's middle stays the cell's.
    sizes = {name: (w + 2 * LOOP * (name in looping), h) for name, (w, h) in own.items()}
    layers = layered(graph, sizes, _label)
    width = _place_across(layers.cells)
    tops, bottoms = _place_down(layers.cells)
    cells = {cell.node: cell for row in layers.cells for cell in row if cell.node is not None}
    boxes = {
        node.id: _box(node, cells[node.id], own[node.id], inner[node.id], tops, bottoms)
        for node in graph.nodes
    }
    lines = (
        *_lines(layers, boxes, tops, bottoms),
        *(_loop(edge, boxes[edge.source]) for edge in layers.loops),
    )
    return Layout(width, bottoms[-1] if bottoms else 0.0, tuple(boxes.values()), lines)


def _label(edge: Edge) -> tuple[tuple[str, ...], tuple[float, float]]:
    lines = label_lines(edge.label)
    return lines, size_of_text(lines)


def _size(node: Node, inner: tuple[Layout, ...]) -> tuple[float, float]:
    if node.shape == "dot":
        return 18.0, 18.0
    lines = name_lines(node.name)
    width, height = size_of_text(lines, bold=True)
    caption = caption_size(node.caption)
    width = max(width, caption) + (44.0 if node.shape == "hexagon" else 28.0)
    height += 18.0 + (LINE if node.caption else 0.0)
    if inner:
        width = max(width, sum(part.width for part in inner) + PADDING * (len(inner) + 1))
        height += max(part.height for part in inner) + PADDING
    return max(width, 110.0), height


def _place_across(rows: list[list[Cell]]) -> float:
    """Sets each cell's x, near its neighbours and apart from those beside it; returns the width.

    What is to be straight is a chain, whose cells are pulled to one x by all that the chain is joined to.
    """
    for row in rows:
        _settle_row(row, [0.0] * len(row), [1.0] * len(row))
    chains = _chains(rows)
    chain_of = {cell: chain for chain in chains for cell in chain}
    for _ in range(PASSES):
        for chain in chains:
            _move(chain, _wish(chain, chain_of))
        _push_apart(rows, chains, chain_of)
    beside = _beside(rows)
    for turn in range(PASSES):
        for chain in chains if turn % 2 == 0 else chains[::-1]:
            low, high = _freedom(chain, beside)
            if low <= high:
                _move(chain, min(max(_wish(chain, chain_of), low), high))
    cells = [cell for row in rows for cell in row]
    left = min((cell.x - cell.width / 2 for cell in cells), default=0.0)
    for cell in cells:
        cell.x -= left
    return max((cell.x + cell.width / 2 for cell in cells), default=0.0)


def _move(chain: list[Cell], x: float) -> None:
    for cell in chain:
        cell.x = x


def _wish(chain: list[Cell], chain_of: dict[Cell, list[Cell]]) -> float:
    """Where its neighbours in other chains pull it to."""
    pulls = [
        (other.x, weight * _straightness(cell, other))
        for cell in chain
        for other, weight in cell.up + cell.down
        if chain_of[other] is not chain
    ]
    return _median(pulls) if pulls else chain[0].x


def _push_apart(rows: list[list[Cell]], chains: list[list[Cell]], chain_of: dict[Cell, list[Cell]]) -> None:
    """Rows push their cells apart, and what they push, they push along with the rest of its chain."""
    for _ in range(PUSHES):
        for chain in chains:
            _move(chain, sum(cell.x for cell in chain) / len(chain))
        straight = {cell: cell.x for chain in chains for cell in chain}
        for row in rows:
            _settle_row(row, [cell.x for cell in row], [float(len(chain_of[cell]) ** 2) for cell in row])
        if all(abs(cell.x - x) < 0.1 for cell, x in straight.items()):
            return


def _beside(rows: list[list[Cell]]) -> dict[Cell, tuple[Cell | None, Cell | None]]:
    """The cells to the left and to the right of each."""
    found: dict[Cell, tuple[Cell | None, Cell | None]] = {}
    for row in rows:
        for left, cell, right in zip([None, *row], row, [*row[1:], None], strict=False):
            found[cell] = left, right
    return found


def _freedom(chain: list[Cell], beside: dict[Cell, tuple[Cell | None, Cell | None]]) -> tuple[float, float]:
    """Between which x the chain may be without coming too near to anything."""
    low, high = float("-inf"), float("inf")
    for cell in chain:
        left, right = beside[cell]
        low = max(low, left.x + _distance(left, cell)) if left else low
        high = min(high, right.x - _distance(cell, right)) if right else high
    return low, high


def _chains(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The cells in chains: each cell with its heaviest neighbour below, unless another has it already."""
    chains: dict[Cell, list[Cell]] = {}
    for row in rows:
        for cell in row:
            chain = chains.setdefault(cell, [cell])
            free = [(weight, other) for other, weight in cell.down if other not in chains]
            if not free:
                continue
            weight, lower = max(free, key=lambda item: item[0] * _straightness(cell, item[1]))
            if weight == max(weight for _, weight in cell.down):
                chain.append(lower)
                chains[lower] = chain
    return list({id(chain): chain for chain in chains.values()}.values())


def _median(pulls: list[tuple[float, int]]) -> float:
    """The weighted median: unlike the mean, it has the heaviest edges exactly straight."""
    pulls = sorted(pulls)
    half, below = sum(weight for _, weight in pulls) / 2, 0
    for (x, weight), (after, _) in pairwise([*pulls, pulls[-1]]):
        below += weight
        if below == half:
            return (x + after) / 2
        if below > half:
            return x
    return pulls[-1][0]


def _straightness(cell: Cell, other: Cell) -> int:
    """Long edges want to be straight most (Gansner et al., 1993: 1, 2 and 8)."""
    return (1, 2, 8)[(cell.node is None) + (other.node is None)]


def _settle_row(row: list[Cell], wanted: list[float], weights: list[float]) -> None:
    gaps = [_distance(a, b) for a, b in pairwise(row)]
    for cell, x in zip(row, settle(wanted, weights, gaps), strict=True):
        cell.x = x


def _distance(left: Cell, right: Cell) -> float:
    """How far apart the middles of two cells side by side are at least."""
    return (left.width + right.width) / 2 + (NODE_GAP if left.node and right.node else EDGE_GAP)


def settle(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Positions nearest the wanted ones by least squares, each `gaps[i]` at least after the one before.

    Pool adjacent violators: with the gaps taken off, it is an isotonic regression.
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for want, weight, offset in zip(wanted, weights, offsets, strict=False):
        mean, total, members = want - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, many = blocks.pop()
            mean = (before * heavy + mean * total) / (heavy + total)
            total, members = heavy + total, many + members
        blocks.append((mean, total, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _place_down(rows: list[list[Cell]]) -> tuple[list[float], list[float]]:
    """The upper and the lower y of each layer's band. Where many edges run, there is more room for them."""
    tops, bottoms = [], []
    y = 0.0
    for row in rows:
        tops.append(y)
        y += max((cell.height for cell in row), default=0.0)
        bottoms.append(y)
        aside = sum(abs(cell.x - other.x) > 4 for cell in row for other, _ in cell.down)
        y += min(LAYER_GAP + GAP_PER_EDGE * aside, LARGEST_GAP)
    return tops, bottoms


def _box(
    node: Node,
    cell: Cell,
    size: tuple[float, float],
    inner: tuple[Layout, ...],
    tops: list[float],
    bottoms: list[float],
) -> Box:
    width, height = size
    x = cell.x - width / 2
    y = (tops[cell.layer] + bottoms[cell.layer] - height) / 2
    lines = name_lines(node.name)
    used = sum(part.width for part in inner) + PADDING * max(len(inner) - 1, 0)
    left, placed = x + (width - used) / 2, []
    head = height - PADDING - max((part.height for part in inner), default=0.0)
    for part in inner:
        placed.append(_moved(part, left, y + head))
        left += part.width + PADDING
    return Box(node, x, y, width, height, lines, tuple(placed))


def _moved(part: Layout, dx: float, dy: float) -> Layout:
    boxes = tuple(
        Box(
            box.node,
            box.x + dx,
            box.y + dy,
            box.width,
            box.height,
            box.lines,
            tuple(_moved(inner, dx, dy) for inner in box.inner),
        )
        for box in part.boxes
    )
    lines = tuple(
        Line(
            line.edge,
            tuple((x + dx, y + dy) for x, y in line.points),
            line.label,
            (line.label_at[0] + dx, line.label_at[1] + dy),
        )
        for line in part.lines
    )
    return Layout(part.width, part.height, boxes, lines)


def _lines(
    layers: Layers, boxes: dict[str, Box], tops: list[float], bottoms: list[float]
) -> tuple[Line, ...]:
    leaving = _ports([(route.cells[0], route.cells[1]) for route in layers.routes], boxes)
    arriving = _ports([(route.cells[-1], route.cells[-2]) for route in layers.routes], boxes)
    lines = []
    for route in layers.routes:
        first, last = route.cells[0], route.cells[-1]
        start, end = leaving[first, route.cells[1]], arriving[last, route.cells[-2]]
        upper, lower = boxes[first.node or ""], boxes[last.node or ""]
        points = [(start, upper.y + upper.height), (start, bottoms[first.layer])]
        for cell in route.cells[1:-1]:
            points += [(cell.x, tops[cell.layer]), (cell.x, bottoms[cell.layer])]
        points += [(end, tops[last.layer]), (end, lower.y)]
        lines.append(_line(route, points, tops, bottoms))
    return tuple(lines)


def _line(route: Route, points: list[Point], tops: list[float], bottoms: list[float]) -> Line:
    label = next((cell for cell in route.cells if cell.label), None)
    way = tuple(reversed(points)) if route.upwards else tuple(points)
    if label is None:
        return Line(route.edge, way)
    return Line(route.edge, way, label.label, (label.x, (tops[label.layer] + bottoms[label.layer]) / 2))


def _ports(pairs: list[tuple[Cell, Cell]], boxes: dict[str, Box]) -> dict[tuple[Cell, Cell], float]:
    """Where along a node's side the edges to its neighbouring cells begin: as near those as there is room."""
    neighbours: dict[Cell, list[Cell]] = {}
    for node, other in pairs:
        known = neighbours.setdefault(node, [])
        if other not in known:
            known.append(other)
    ports = {}
    for node, others in neighbours.items():
        others.sort(key=lambda cell: cell.x)
        box = boxes[node.node or ""]
        reach = 0.0 if box.node.shape == "dot" else box.width / 2 - 24
        gap = min(PORT_GAP, 2 * reach / max(len(others) - 1, 1))
        # Two nodes want to meet halfway, where the edge between them is straight.
        meeting = [(cell.x + node.x) / 2 if cell.node else cell.x for cell in others]
        wanted = [min(max(x, node.x - reach), node.x + reach) for x in meeting]
        joined = dict(node.up + node.down)
        weights = [float(joined[cell] ** 3) for cell in others]
        room = gap * (len(others) - 1)
        for index, x in enumerate(settle(wanted, weights, [gap] * (len(others) - 1))):
            low, high = node.x - reach, node.x + reach - room
            ports[node, others[index]] = min(max(x - index * gap, low), high) + index * gap
    return ports


def _loop(edge: Edge, box: Box) -> Line:
    """From the right side and back to it."""
    x, y = box.x + box.width, box.y + box.height / 2
    points = ((x, y + 8), (x + LOOP - 6, y + 8), (x + LOOP - 6, y - 8), (x, y - 8))
    return Line(edge, points)
