"""What is drawn: nodes, edges, graphs within nodes, and how each fared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How a node fared; the value is the legend's word for it."""

    PLAIN = "defined"  # only the definition is drawn, or the node ran where this history does not show it
    NOT_REACHED = "not reached"
    SUCCEEDED = "succeeded"
    CAUGHT = "error caught"
    RUNNING = "running"
    WAITING = "waiting"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        id: no other node of the whole drawing has it.
        shape: box, hexagon (a decision), pill (an end) or dot (where the graph starts or ends).
        caption: small, under the name.
        tooltip: what a browser says of it on hovering.
        inner: graphs inside, side by side: the branches of a Parallel, the processor of a Map.
    """

    id: str
    name: str
    shape: str = "box"
    caption: str = ""
    tooltip: str = ""
    status: Status = Status.PLAIN
    inner: tuple[Graph, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes of one graph, by their ids.

    Attributes:
        dashed: an error's way.
        taken: the status that it is drawn in, where an execution went this way.
    """

    source: str
    target: str
    label: str = ""
    tooltip: str = ""
    dashed: bool = False
    taken: Status | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of reading, and edges between them; cycles are allowed."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Drawing:
    """A graph with what is written over it, and whether it shows an execution."""

    title: str
    subtitle: str
    graph: Graph
    execution: bool = False
