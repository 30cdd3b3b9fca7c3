"""DiaRetDB1's regions: what an expert drew on an image, read from XML and turned into pixels.

A pixel belongs to a region if its centre does; pixel (column x, row y) has its centre at (x, y). Measured so, the area
of a drawn circle, ellipse or polygon is right on average, which it is not if a border is drawn around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from fundus_lib.errors import LabelFormatError, MissingFileError, explain_os_error

MARKINGS = {"Red_small_dots": "MA", "Haemorrhages": "HE", "Hard_exudates": "EX", "Soft_exudates": "SE"}
"""From the experts' words to ours. Other marks (Disc, IRMA, Neovascularisation) are not read."""

CONFIDENCE = {"High": 1.0, "Medium": 0.75, "Low": 0.25}
"""How sure an expert was: certain, more than half, less than half."""

FARTHEST = 1e6
"""Pixels; a coordinate beyond lies on no image."""

Point = tuple[float, float]

_REGIONS = ("circleregion", "ellipseregion", "polygonregion")


@dataclass(frozen=True)
class Ellipse:
    """An ellipse; a circle if both radii are equal.

    Attributes:
        centre: (x, y) in pixels.
        radii: Half axes along x and y before the rotation, in pixels.
        angle: Rotation in degrees, anticlockwise as seen on the screen.
    """

    centre: Point
    radii: Point
    angle: float = 0.0

    def box(self) -> tuple[Point, Point]:
        """Corners (least x, least y) and (greatest x, greatest y) of a box around it."""
        (x, y), reach = self.centre, max(*self.radii, 0.5)
        return (x - reach, y - reach), (x + reach, y + reach)

    def inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points, x (1, W) and y (H, 1), lie inside: (H, W)."""
        dx, dy, turn = x - self.centre[0], y - self.centre[1], np.deg2rad(self.angle)
        along = dx * np.cos(turn) - dy * np.sin(turn)  # y points down on the screen
        across = dx * np.sin(turn) + dy * np.cos(turn)
        a, b = (max(r, 0.5) for r in self.radii)  # a radius of 0 means one pixel
        inside: NDArray[np.bool_] = (along / a) ** 2 + (across / b) ** 2 <= 1
        return inside


@dataclass(frozen=True)
class Polygon:
    """A closed polygon.

    Attributes:
        corners: (x, y) in pixels, at least three.
    """

    corners: tuple[Point, ...]

    def box(self) -> tuple[Point, Point]:
        """Corners (least x, least y) and (greatest x, greatest y) of a box around it."""
        xs, ys = zip(*self.corners, strict=True)
        return (min(xs), min(ys)), (max(xs), max(ys))

    def inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points, x (1, W) and y (H, 1), lie inside by the even-odd rule: (H, W)."""
        inside = np.zeros((y.shape[0], x.shape[1]), dtype=np.bool_)
        for (x1, y1), (x2, y2) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if y1 != y2:
                crossing = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
                inside ^= ((y1 <= y) != (y2 <= y)) & (x > crossing)
        return inside


def paint(canvas: NDArray[np.float32], shape: Ellipse | Polygon, value: float) -> None:
    """Raise the pixels of a canvas (H, W) that lie inside a shape to at least `value`; what lies beyond is cut."""
    (left, top), (right, bottom) = shape.box()
    x0, y0 = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
    x1, y1 = min(canvas.shape[1], int(np.ceil(right)) + 1), min(canvas.shape[0], int(np.ceil(bottom)) + 1)
    if x0 < x1 and y0 < y1:
        inside = shape.inside(np.arange(x0, x1, dtype=float)[None, :], np.arange(y0, y1, dtype=float)[:, None])
        window = canvas[y0:y1, x0:x1]
        np.maximum(window, value, out=window, where=inside)


@dataclass(frozen=True)
class Marking:
    """One region that one expert marked.

    Attributes:
        lesion: One of MA, HE, EX, SE.
        confidence: 1, 0.75 or 0.25.
        shape: Where.
    """

    lesion: str
    confidence: float
    shape: Ellipse | Polygon


def read_markings(path: Path) -> list[Marking]:
    """The lesions that one expert marked on one image.

    Args:
        path: A file `…_plain.xml`.

    Raises:
        MissingFileError: There is no such file.
        FileAccessError: The system refuses to read it.
        LabelFormatError: It is not XML, or a marking lacks its kind, its confidence or its region.
    """
    try:
        tree = ElementTree.parse(path)
    except FileNotFoundError:
        raise MissingFileError(
            path,
            "the marks of an expert are missing",
            found="no such file",
            expected="one file for each of four experts, also if an expert found nothing",
            remedy="unpack the archive again",
        ) from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: an encoding that nobody knows
        raise _format(path, f"not XML: {error}", "a complete XML file") from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    markings = []
    if tree.find(".//markinglist") is None:
        raise _format(path, f"<{tree.getroot().tag}> without <markinglist>", "a <markinglist>")
    for number, node in enumerate(tree.iterfind(".//markinglist/marking"), start=1):
        kind = (node.findtext("markingtype") or "").strip()
        level = (node.findtext("confidencelevel") or "").strip()
        if not kind or (kind in MARKINGS and level not in CONFIDENCE):
            found = f"marking {number}: kind {kind!r}, confidence {level!r}"
            raise _format(path, found, f"a kind, and a confidence among {', '.join(CONFIDENCE)}")
        if kind not in MARKINGS:
            continue
        try:
            shape = _shape(node)
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            found = f"marking {number}: {', '.join(c.tag for c in node)} ({error})"
            raise _format(path, found, "a circleregion, ellipseregion or polygonregion with its numbers") from error
        markings.append(Marking(MARKINGS[kind], CONFIDENCE[level], shape))
    return markings


def _shape(marking: ElementTree.Element) -> Ellipse | Polygon:
    region = next((child for tag in _REGIONS if (child := marking.find(tag)) is not None), None)
    if region is None:
        raise ValueError("no region")
    points = [_point(node) for node in region.iter("coords2d")]
    if region.tag == "polygonregion":
        if len(points) < 4:
            raise ValueError(f"{len(points)} points, where a centroid and three corners are the least")
        return Polygon(tuple(points[1:]))  # the first point is the centroid, not a corner
    radii = {node.get("direction", "x"): _number(node.text) for node in region.iter("radius")}
    if region.tag == "circleregion":
        return Ellipse(points[0], (radii["x"], radii["x"]))
    return Ellipse(points[0], (radii["x"], radii["y"]), _number(region.findtext("angle")))


def _point(node: ElementTree.Element) -> Point:
    x, y = (node.text or "").split(",")
    return _number(x), _number(y)


def _number(text: str | None) -> float:
    number = float(text or "")
    if not abs(number) < FARTHEST:  # nor NaN
        raise ValueError(f"the number {number}")
    return number


def _format(path: Path, found: str, expected: str) -> LabelFormatError:
    return LabelFormatError(
        path, "the marks cannot be understood", found=found, expected=expected, remedy="restore the published file"
    )
