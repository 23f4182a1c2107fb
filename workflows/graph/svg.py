"""From a drawing to SVG: text that can be selected, a title, a legend, and statuses not by colour alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from workflows.graph.layout import Box, Layout, Line, Point, layout
from workflows.graph.measure import FONT, LINE, SMALL, width
from workflows.graph.model import Drawing, Status

MARGIN, HEAD, FOOT = 24.0, 52.0, 40.0


@dataclass(frozen=True)
class Look:
    """Colours (each text has a contrast of 4.5 at least, by WCAG 2.2) and the path of a status's sign."""

    fill: str
    stroke: str
    text: str
    sign: str = ""


LOOKS = {
    Status.PLAIN: Look("#ffffff", "#57606a", "#1f2328"),
    Status.NOT_REACHED: Look("#f6f8fa", "#afb8c1", "#57606a"),
    Status.SUCCEEDED: Look("#dafbe1", "#1a7f37", "#0a3d19", "M-4,0 L-1,3 L4,-3"),
    Status.CAUGHT: Look("#fff3c4", "#9a6700", "#4d2d00", "M0,-4 L0,1 M0,3.6 L0,4"),
    Status.RUNNING: Look("#ddf4ff", "#0969da", "#0a3069", "M-2.5,-4 L3.5,0 L-2.5,4 Z"),
    Status.WAITING: Look("#ddf4ff", "#0969da", "#0a3069", "M0,-4 L0,0 L3,2"),
    Status.ABORTED: Look("#eaeef2", "#424a53", "#24292f", "M-4,0 L4,0"),
    Status.FAILED: Look("#ffebe9", "#cf222e", "#6e0c14", "M-3,-3 L3,3 M3,-3 L-3,3"),
}
EDGE, NOT_TAKEN = "#57606a", "#b6bec7"
STYLE = f"""
text {{ font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: {SMALL:g}px; }}
.name {{ font-size: {FONT:g}px; font-weight: 600; }}
.title {{ font-size: 17px; font-weight: 600; fill: #1f2328; }}
.note {{ fill: #57606a; }}
.middle {{ text-anchor: middle; }}
"""


def svg(drawing: Drawing) -> str:
    """The drawing as a document of its own, the same to the byte for the same drawing."""
    placed = layout(drawing.graph)
    legend = list(_legend_items(placed, drawing.execution))
    inside = max(
        placed.width,
        width(drawing.title, 17, bold=True),
        width(drawing.subtitle),
        sum(item_width for _, _, item_width in legend),
    )
    total, tall = inside + 2 * MARGIN, placed.height + HEAD + (FOOT if legend else 0) + 2 * MARGIN
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": _n(total),
            "height": _n(tall),
            "viewBox": f"0 0 {_n(total)} {_n(tall)}",
            "role": "img",
        },
    )
    _add(root, "title", text=f"{drawing.title}: {drawing.subtitle}" if drawing.subtitle else drawing.title)
    _add(root, "style", text=STYLE)
    _add(root, "rect", width=_n(total), height=_n(tall), rx="8", fill="#ffffff")
    _add(root, "text", text=drawing.title, x=_n(MARGIN), y=_n(MARGIN + 14), **{"class": "title"})
    _add(root, "text", text=drawing.subtitle, x=_n(MARGIN), y=_n(MARGIN + 34), **{"class": "note"})
    left = MARGIN + (inside - placed.width) / 2
    body = _add(root, "g", transform=f"translate({_n(left)} {_n(MARGIN + HEAD)})")
    _layout(body, placed, drawing.execution)
    foot = _add(root, "g", transform=f"translate({_n(MARGIN)} {_n(tall - MARGIN - 4)})")
    _legend(foot, legend)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _layout(parent: ElementTree.Element, placed: Layout, execution: bool) -> None:
    """Edges under boxes, and those that were taken over the others."""
    drawn: set[tuple[object, ...]] = set()
    for line in sorted(placed.lines, key=lambda line: line.edge.taken is not None):
        _line(parent, line, execution, drawn)
    for line in placed.lines:
        _label(parent, line)
    for box in placed.boxes:
        _box(parent, box, execution)


def _line(parent: ElementTree.Element, line: Line, execution: bool, drawn: set[tuple[object, ...]]) -> None:
    """An edge as far as it is not drawn yet: where it joins others of its kind, theirs leads on."""
    edge = line.edge
    colour = LOOKS[edge.taken].stroke if edge.taken else NOT_TAKEN if execution else EDGE
    group = _add(parent, "g", **{"class": "edge", "data-from": edge.source, "data-to": edge.target})
    if edge.tooltip:
        _add(group, "title", text=edge.tooltip)
    points = [line.points[0]]
    for before, after in pairwise(line.points):
        segment = (edge.target, edge.dashed, colour, before, after)
        if segment in drawn:
            break
        drawn.add(segment)
        points.append(after)
    attributes = {"fill": "none", "stroke": colour, "stroke-width": "2.2" if edge.taken else "1.3"}
    if edge.dashed:
        attributes["stroke-dasharray"] = "5 4"
    if len(points) == len(line.points):
        _arrow(group, line, colour)
    _add(group, "path", d=_path(points), **attributes)


def _arrow(parent: ElementTree.Element, line: Line, colour: str) -> None:
    """Its head, in the direction that the edge arrives in: down, up, or from the right into a loop's node."""
    x, y = line.points[-1]
    if abs(line.points[-2][1] - y) < 0.05 and line.points[-2][0] > x:
        head = f"M{_n(x)},{_n(y)} l8,-4.5 v9 Z"
    else:
        back = -8 if y > line.points[0][1] else 8
        head = f"M{_n(x)},{_n(y)} l-4.5,{back} h9 Z"
    _add(parent, "path", d=head, fill=colour)


def _path(points: Sequence[Point]) -> str:
    """Straight where x or y stays, else a curve that leaves and arrives vertically."""
    parts = [f"M{_n(points[0][0])},{_n(points[0][1])}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        if abs(x0 - x1) < 0.5 or abs(y0 - y1) < 0.5:
            parts.append(f"L{_n(x1)},{_n(y1)}")
        else:
            middle = _n((y0 + y1) / 2)
            parts.append(f"C{_n(x0)},{middle} {_n(x1)},{middle} {_n(x1)},{_n(y1)}")
    return " ".join(parts)


def _label(parent: ElementTree.Element, line: Line) -> None:
    if not line.label:
        return
    x, y = line.label_at
    wide, tall = max(width(text) for text in line.label) + 8, len(line.label) * LINE
    _add(
        parent,
        "rect",
        x=_n(x - wide / 2),
        y=_n(y - tall / 2),
        width=_n(wide),
        height=_n(tall),
        rx="3",
        fill="#ffffff",
    )
    for index, text in enumerate(line.label):
        place = y - tall / 2 + LINE * (index + 0.75)
        _add(parent, "text", text=text, x=_n(x), y=_n(place), **{"class": "note middle"})


def _box(parent: ElementTree.Element, box: Box, execution: bool) -> None:
    node, look = box.node, LOOKS[box.node.status]
    group = _add(parent, "g", **{"class": "node", "data-id": node.id, "data-status": node.status.value})
    if node.tooltip:
        _add(group, "title", text=node.tooltip)
    centre = box.x + box.width / 2
    if node.shape == "dot":
        _add(group, "circle", cx=_n(centre), cy=_n(box.y + 9), r="8", fill=look.stroke)
        _add(group, "circle", cx=_n(centre), cy=_n(box.y + 9), r="3", fill="#ffffff")
        return
    fill = "#ffffff" if box.inner and node.status is Status.PLAIN else look.fill
    _add(group, "path", d=_outline(box), fill=fill, stroke=look.stroke, **{"stroke-width": "1.6"})
    y = box.y + 9
    for line in box.lines:
        _add(group, "text", text=line, x=_n(centre), y=_n(y + 13), fill=look.text, **{"class": "name middle"})
        y += LINE
    if node.caption:
        _add(
            group,
            "text",
            text=node.caption,
            x=_n(centre),
            y=_n(y + 11),
            fill=look.text,
            **{"class": "middle"},
        )
    if look.sign:
        _sign(group, look, box.x + box.width - 4, box.y + 2)
    for inner in box.inner:
        _layout(group, inner, execution)


def _outline(box: Box) -> str:
    x, y, w, h = box.x, box.y, box.width, box.height
    if box.node.shape == "hexagon":
        cut = 14.0
        corners = ((x + cut, y), (x + w - cut, y), (x + w, y + h / 2), (x + w - cut, y + h), (x + cut, y + h))
        return "M" + " L".join(f"{_n(a)},{_n(b)}" for a, b in (*corners, (x, y + h / 2))) + " Z"
    r = min(h / 2, 22.0) if box.node.shape == "pill" else 7.0
    return (
        f"M{_n(x + r)},{_n(y)} h{_n(w - 2 * r)} a{_n(r)},{_n(r)} 0 0 1 {_n(r)},{_n(r)} v{_n(h - 2 * r)} "
        f"a{_n(r)},{_n(r)} 0 0 1 {_n(-r)},{_n(r)} h{_n(2 * r - w)} a{_n(r)},{_n(r)} 0 0 1 {_n(-r)},{_n(-r)} "
        f"v{_n(2 * r - h)} a{_n(r)},{_n(r)} 0 0 1 {_n(r)},{_n(-r)} Z"
    )


def _sign(parent: ElementTree.Element, look: Look, x: float, y: float) -> None:
    sign = _add(parent, "g", transform=f"translate({_n(x)} {_n(y)})")
    _add(sign, "circle", r="8", fill=look.stroke, stroke="#ffffff", **{"stroke-width": "1.5"})
    _add(
        sign,
        "path",
        d=look.sign,
        fill="none",
        stroke="#ffffff",
        **{"stroke-width": "1.8", "stroke-linecap": "round", "stroke-linejoin": "round"},
    )


def _legend_items(placed: Layout, execution: bool) -> Iterator[tuple[str, Status | None, float]]:
    """Text, status and width of each entry; an entry without status is of an edge."""
    entries: list[tuple[str, Status | None]] = []
    if execution:
        entries = [(status.value, status) for status in Status if status is not Status.PLAIN]
    if _has_dashed(placed):
        entries += [("next", None), ("error caught by", None)]
    for text, status in entries:
        yield text, status, width(text) + 46


def _has_dashed(placed: Layout) -> bool:
    return any(line.edge.dashed for line in placed.lines) or any(
        _has_dashed(inner) for box in placed.boxes for inner in box.inner
    )


def _legend(parent: ElementTree.Element, items: list[tuple[str, Status | None, float]]) -> None:
    x = 0.0
    for text, status, wide in items:
        if status is None:
            dash = {"stroke-dasharray": "5 4"} if text != "next" else {}
            _add(parent, "path", d=f"M{_n(x)},0 h22", stroke=EDGE, **{"stroke-width": "1.3"}, **dash)
        else:
            look = LOOKS[status]
            rect = {"x": _n(x), "y": "-8", "width": "22", "height": "16", "rx": "4"}
            _add(parent, "rect", fill=look.fill, stroke=look.stroke, **rect)
            if look.sign:
                sign = {"fill": "none", "stroke": look.stroke, "stroke-width": "1.8"}
                _add(parent, "path", d=look.sign, transform=f"translate({_n(x + 11)} 0)", **sign)
        _add(parent, "text", text=text, x=_n(x + 28), y="4", **{"class": "note"})
        x += wide


def _add(
    parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: str
) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, tag, {name: _clean(value) for name, value in attributes.items()})
    if text is not None:
        made.text = _clean(text)
    return made


# What XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _n(number: float) -> str:
    """With one decimal at most: a tenth of a pixel is enough, and files stay small."""
    return f"{round(number, 1) + 0:g}" if abs(number) < 1e5 else f"{number:.1f}"
