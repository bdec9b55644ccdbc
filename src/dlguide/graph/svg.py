"""A graph as an accessible SVG that takes the colour of the text around it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from html import escape
from itertools import pairwise
from typing import NamedTuple

from dlguide.graph.layout import Point, place
from dlguide.graph.model import Graph, Node
from dlguide.graph.text import caption, saved_text, shapes_of, to_text

CHAR, LINE, MARGIN = 7.3, 16, 14  # width of a character, height of a line, the border
TINT = {"result": "#e69f00", "operation": "#808080", "leaf": "#0072b2"}  # told apart by colour-blind eyes, too


def to_svg(graph: Graph, title: str = "Autograd graph", *, keeps: bool = True) -> str:
    """Draw a graph: rows from the result at the top to the leaves, arrows the way the gradient travels.

    Results are pills, operations rectangles and leaves hexagons. Lines and letters take `currentColor`, so that the
    drawing follows a light or dark page. Nodes of one kind share a tint, which says nothing that the shape does not.

    Args:
        graph: what `trace` returned.
        title: the drawing's title for screen readers, which also read the list of its nodes.
        keeps: whether operations show the tensors they keep for backward.

    Returns:
        The text of the SVG, well-formed XML.

    Example:
        ```python
        import torch
        from dlguide.graph import to_svg, trace

        w = torch.ones(2, requires_grad=True)
        svg = to_svg(trace(w * 3, names={"w": w}), title="3w")
        print(svg.startswith("<svg"), svg.count("<polygon class"))
        ```

        ``` {.text .output}
        True 2
        ```

    References:
        - K. Sugiyama, S. Tagawa, M. Toda (1981), *Methods for visual understanding of hierarchical system structures*.
    """
    lines = [_lines(node, keeps) for node in graph.nodes]
    sizes = [(_box_width(node, text), LINE * len(text) + 14.0) for node, text in zip(graph.nodes, lines, strict=True)]
    centres, bends = place(sizes, [(e.source, e.target) for e in graph.edges], {leaf.index for leaf in graph.leaves})
    boxes = [_Box(x, y, width, height) for (x, y), (width, height) in zip(centres, sizes, strict=True)]

    drawn = []
    for (start, end), number in Counter((edge.source, edge.target) for edge in graph.edges).items():
        for i in range(number):  # several edges between the same two nodes lie beside each other
            shift = 14 * (i - (number - 1) / 2)
            drawn.append(_edge(boxes[start], bends[start, end], boxes[end], shift))
    drawn += [_box(node, text, box) for node, text, box in zip(graph.nodes, lines, boxes, strict=True)]
    right = max([box.x + box.width / 2 for box in boxes] + [x for points in bends.values() for x, _ in points])
    top = min(box.y - box.height / 2 for box in boxes) - MARGIN
    bottom = max(box.y + box.height / 2 for box in boxes) + 30
    width, height = round(max(right, 330.0) + 2 * MARGIN), round(bottom + 22 - top)

    described = (
        f"Results: {len(graph.results)}, operations: {len(graph.operations)}, leaves: {len(graph.leaves)}. "
        f"Arrows show the way the gradient travels. {to_text(graph)}"
    )
    mark = "g" + hashlib.sha1(f"{title}{keeps}{described}".encode(), usedforsecurity=False).hexdigest()[:10]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{mark}-title {mark}-desc"'
            f' viewBox="{-MARGIN} {top:.0f} {width} {height}" width="{width}" height="{height}"'
            ' fill="none" stroke="currentColor" font-family="ui-monospace, monospace" font-size="12">',
            f'<title id="{mark}-title">{_clean(title)}</title>',
            f'<desc id="{mark}-desc">{_clean(described)}</desc>',
            *drawn,
            *_legend(bottom),
            "</svg>",
            "",
        ]
    )


class _Box(NamedTuple):
    x: float  # of the centre
    y: float
    width: float
    height: float


def _lines(node: Node, keeps: bool) -> list[str]:
    lines = [caption(node), shapes_of(node)]
    words = [saved_text(saved) for saved in node.saved] if keeps else []
    for i, word in enumerate(words):
        end = "," if i + 1 < len(words) else ""
        if i and len(lines[-1]) + len(word) < 40:
            lines[-1] += f" {word}{end}"
        else:
            lines.append(f"{word}{end}" if i else f"keeps {word}{end}")
    return lines


def _box_width(node: Node, lines: list[str]) -> float:
    return max(map(_width, lines)) + (44 if node.kind == "leaf" else 28)


def _width(text: str) -> float:
    return CHAR * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _box(node: Node, lines: list[str], box: _Box) -> str:
    parts = [_outline(node.kind, box)]
    y = box.y - LINE * (len(lines) - 1) / 2 + 4
    for i, line in enumerate(lines):
        weight = ' font-weight="600"' if i == 0 else ""
        size = ' font-size="11"' if i > 1 else ""
        parts.append(_text(box.x, y + LINE * i, line, weight + size))
    return f"<g>{''.join(parts)}</g>"


def _outline(kind: str, box: _Box) -> str:
    paint = f'class="{kind}" fill="{TINT[kind]}" fill-opacity="0.16"'
    x, y, w, h = box.x, box.y, box.width / 2, box.height / 2
    if kind == "leaf":
        cut = min(12.0, w / 2)
        corners = [(x - w, y), (x - w + cut, y - h), (x + w - cut, y - h)]
        corners += [(2 * x - a, 2 * y - b) for a, b in corners]  # the other half, point by point across the centre
        return f'<polygon {paint} points="{" ".join(_point(corner) for corner in corners)}"/>'
    radius = f"{h:.1f}" if kind == "result" else "2"
    thick = ' stroke-width="2.5"' if kind == "result" else ""
    return (
        f'<rect {paint} x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w:.1f}" height="{2 * h:.1f}" rx="{radius}"{thick}/>'
    )


def _edge(start: _Box, bends: list[Point], end: _Box, shift: float) -> str:
    points = [(start.x + shift, start.y + start.height / 2), *bends, (end.x + shift, end.y - end.height / 2 - 7)]
    path = f"M{_point(points[0])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        path += f"C{_point((x0, middle))} {_point((x1, middle))} {_point((x1, y1))}"
    x, y = points[-1]
    tip = f"M{_point((x - 4, y))}L{_point((x + 4, y))}L{_point((x, y + 7))}Z"
    return f'<path d="{path}" stroke-opacity="0.7"/><path d="{tip}" fill="currentColor" stroke="none"/>'


def _legend(y: float) -> list[str]:
    parts, x = [], 0.0
    for kind in ("result", "operation", "leaf"):
        parts.append(_outline(kind, _Box(x + 16, y, 30, 16)))
        parts.append(_text(x + 38, y + 4, kind, ' font-size="11"', "start"))
        x += 62 + CHAR * len(kind)
    return parts


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" stroke="none"{style}>'
        f"{_clean(text)}</text>"
    )


def _point(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _clean(text: str) -> str:
    """Escaped, without the control characters that XML cannot hold."""
    return escape("".join(c if c.isprintable() or c == "\n" else " " for c in text))
