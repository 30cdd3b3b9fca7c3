"""Diagrams of networks: boxes and arrows as one SVG that follows the page's colours and scales down to a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import hypot
from typing import Any

from fundus_lib.errors import ArgumentError

COLUMN, ROW = 186, 76
"""Distance of neighbouring boxes' centres in pixels; two columns are as wide as a phone."""

LINE, MARGIN = 18, 8


@dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
        column: Of its centre; 0.5 is halfway between the first two columns.
        row: Of its centre.
        text: Its text; a line break starts a new line.
        colour: A thin fill as `#rrggbb`; none for plain boxes.
        columns: Its width in columns.
    """

    column: float
    row: float
    text: str
    colour: str = ""
    columns: float = 1

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels; the first box's column and row are 0."""
        half_width = (self.columns * COLUMN - 14) / 2
        half_height = (LINE * (self.text.count("\n") + 1) + 14) / 2
        x, y = self.column * COLUMN, self.row * ROW
        return x - half_width, y - half_height, x + half_width, y + half_height


class Diagram:
    """A diagram; displays itself in a notebook and in the book.

    The same boxes give the same bytes: it has no generated identifiers.

    Attributes:
        svg: The self-contained SVG.
        alt: Its description.
    """

    def __init__(self, svg: str, alt: str):
        self.svg, self.alt = svg, alt

    def _repr_html_(self) -> str:
        return f'<div class="fundus-diagram" style="text-align:center;margin:1em 0">{self.svg}</div>'

    def __repr__(self) -> str:
        return f"Diagram: {self.alt}"


def diagram(boxes: Mapping[str, Box | tuple[Any, ...]], arrows: Sequence[tuple[str, ...]], alt: str) -> Diagram:
    """Draw boxes and arrows.

    Args:
        boxes: Name → column, row, text, and where needed colour and number of columns (see :class:`Box`).
        arrows: Pairs of names, from and to; a third text is written beside the arrow. An arrow starts where the line
            between two centres leaves the box; it runs straight up or down where the boxes overlap in width.
        alt: Description of the diagram for screen readers.

    Returns:
        The diagram; end the cell with it.

    Raises:
        ArgumentError: There is no box, or an arrow names one that does not exist.

    Example:
        >>> diagram({"a": (0, 0, "image"), "b": (0, 1, "network")}, [("a", "b")], "An image enters a network.")
        Diagram: An image enters a network.
    """
    placed = {name: box if isinstance(box, Box) else Box(*box) for name, box in boxes.items()}
    unknown = [name for arrow in arrows for name in arrow[:2] if name not in placed]
    if not placed or unknown:
        raise ArgumentError(
            "diagram",
            "boxes and arrows do not match",
            found=f"an arrow to or from {unknown[0]!r}" if unknown else "no box",
            expected=", ".join(placed) or "at least one box",
            remedy="name existing boxes",
        )
    edges = list(zip(*(box.corners for box in placed.values()), strict=True))
    left, top = min(edges[0]) - MARGIN, min(edges[1]) - MARGIN
    width, height = max(edges[2]) + MARGIN - left, max(edges[3]) + MARGIN - top
    parts = [_draw_arrow(placed[arrow[0]], placed[arrow[1]], "".join(arrow[2:])) for arrow in arrows]
    parts += [_draw_box(box) for box in placed.values()]
    svg = (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="{left:g} {top:g} {width:g} {height:g}" '
        f'width="{width:g}" style="max-width:100%;height:auto;color:inherit" font-family="sans-serif" '
        f'font-size="14" text-anchor="middle" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
    return Diagram(svg, alt)


def _draw_box(box: Box) -> str:
    left, top, right, bottom = box.corners
    fill = f'fill="{box.colour}" fill-opacity=".25"' if box.colour else 'fill="none"'
    lines = box.text.split("\n")
    first = (top + bottom) / 2 - LINE * (len(lines) - 1) / 2 + 5
    x = (left + right) / 2
    text = "".join(f'<tspan x="{x:g}" y="{first + LINE * k:g}">{escape(line)}</tspan>' for k, line in enumerate(lines))
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" rx="6" {fill} '
        f'stroke="currentColor"/><text fill="currentColor">{text}</text>'
    )


def _draw_arrow(source: Box, target: Box, label: str) -> str:
    a, b = source.corners, target.corners
    low, high = max(a[0], b[0]), min(a[2], b[2])
    if low < high and source.row != target.row:  # straight, through the middle of their overlap
        x0 = x1 = (low + high) / 2
        y0, y1 = (a[3], b[1]) if source.row < target.row else (a[1], b[3])
    else:
        x0, y0 = _find_edge(source, target)
        x1, y1 = _find_edge(target, source)
    length = hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    tip = [(x1, y1), (x1 - 8 * dx - 4 * dy, y1 - 8 * dy + 4 * dx), (x1 - 8 * dx + 4 * dy, y1 - 8 * dy - 4 * dx)]
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in tip)
    text = ""
    if label:
        position = f'x="{(x0 + x1) / 2 + 6:.1f}" y="{(y0 + y1) / 2 + 5:.1f}"'
        text = f'<text {position} text-anchor="start" fill="currentColor">{escape(label)}</text>'
    line = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1 - 6 * dx:.1f}" y2="{y1 - 6 * dy:.1f}"'
    return f'<line {line} stroke="currentColor"/><polygon points="{head}" fill="currentColor"/>{text}'


def _find_edge(box: Box, towards: Box) -> tuple[float, float]:
    """Find where the line to another box's centre leaves this one."""
    left, top, right, bottom = box.corners
    x, y = (left + right) / 2, (top + bottom) / 2
    dx, dy = towards.column * COLUMN - x, towards.row * ROW - y
    fraction = min(
        (right - left) / 2 / abs(dx) if dx else float("inf"), (bottom - top) / 2 / abs(dy) if dy else float("inf")
    )
    return x + fraction * dx, y + fraction * dy
