"""Diagrams: boxes where they were put, arrows that end on them, nothing that a page cannot take."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from fundus_lib.errors import ArgumentError
from fundus_lib.viz import Box, diagram

BOXES = {
    "image": Box(0, 0, "image"),
    "trunk": Box(0.5, 1, "shared <layers>", columns=2),
    "head": Box(1, 2, "own\nhead", "#0072B2"),
    "beside": Box(0, 2, "other"),
}
ARROWS = [("image", "trunk"), ("trunk", "head", "twice"), ("beside", "head")]


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(diagram(BOXES, ARROWS, "Two & two").svg)


def numbers(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def test_every_box_and_every_line_of_text_is_inside() -> None:
    svg = drawn()
    left, top, width, height = map(float, svg.attrib["viewBox"].split())
    rectangles = svg.findall("{*}rect")
    assert len(rectangles) == len(BOXES)
    for rectangle in rectangles:
        x, y, wide, high = numbers(rectangle, "x", "y", "width", "height")
        assert left < x and top < y and x + wide < left + width and y + high < top + height
    texts = [span.text for span in svg.iter("{http://www.w3.org/2000/svg}tspan")]
    assert texts == ["image", "shared <layers>", "own", "head", "other"]
    assert svg.attrib["aria-label"] == "Two & two" and svg.attrib["role"] == "img"
    assert width < 400  # two columns fit on a phone


def test_boxes_do_not_overlap_and_arrows_end_on_their_box() -> None:
    svg = drawn()
    image, trunk, head, beside = (numbers(r, "x", "y", "width", "height") for r in svg.findall("{*}rect"))
    assert image[1] + image[3] < trunk[1] < trunk[1] + trunk[3] < head[1]
    assert beside[0] + beside[2] < head[0]
    tips = [list(map(float, re.split("[ ,]", polygon.attrib["points"])[:2])) for polygon in svg.findall("{*}polygon")]
    for (x, y), box in zip(tips[:2], (trunk, head), strict=True):  # straight down onto the upper edge
        assert box[0] < x < box[0] + box[2] and y == pytest.approx(box[1], abs=0.1)
    assert tips[2] == pytest.approx([head[0], head[1] + head[3] / 2], abs=0.1)  # sideways
    starts = [numbers(line, "x1", "x2") for line in svg.findall("{*}line")]
    assert all(a == b for a, b in starts[:2]) and starts[2][0] < starts[2][1]
    assert numbers(svg.findall("{*}line")[0], "y1") == pytest.approx([image[1] + image[3]])  # from the lower edge
    labels = [text.text for text in svg.findall("{*}text") if text.text]
    assert labels == ["twice"]


def test_the_page_decides_on_colours_and_the_same_boxes_give_the_same_bytes() -> None:
    made = diagram(BOXES, ARROWS, "x")
    assert made.svg == diagram(BOXES, ARROWS, "x").svg
    assert " id=" not in made.svg and "script" not in made.svg
    assert set(re.findall('stroke="(.*?)"', made.svg)) == {"currentColor"}
    assert 'fill="#0072B2"' in made.svg and made._repr_html_().count("<svg") == 1
    assert repr(made) == "Diagram: x"


@pytest.mark.parametrize(("boxes", "arrows"), [(BOXES, [("image", "nowhere")]), ({}, [])])
def test_what_does_not_fit_is_refused(boxes, arrows) -> None:
    with pytest.raises(ArgumentError, match=r"nowhere|no box"):
        diagram(boxes, arrows, "x")
