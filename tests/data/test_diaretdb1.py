"""DiaRetDB1 2.1 and 1.1, on small files in their real layouts; areas of regions against geometry."""

import numpy as np
import pytest

from fundus_lib.data import DiaRetDB1, diaretdb1
from fundus_lib.data.regions import Ellipse, Polygon, paint, read_markings
from fundus_lib.errors import (
    ArgumentError,
    DatasetNotFoundError,
    LabelFormatError,
    MaskSizeError,
    MissingFileError,
    UnexpectedFileError,
    UnknownNameError,
)
from helpers.small_diaretdb1 import ELLIPSE, SURE, disc, marking, polygon, write, xml


def test_a_pixel_is_lesion_where_the_mean_confidence_is_three_quarters(v21):
    data = DiaRetDB1(v21, "train", lesions=("EX",))
    assert data.names == ["diaretdb1_image001", "diaretdb1_image003"]
    confidence = data._confidence(data.items[0], "EX")
    # Three are sure; four are likely, of whom one also drew it with less; and (0.25 + 1 + 1 + 0.25) / 4.
    assert confidence[40, 20] == pytest.approx(0.75)
    assert confidence[40, 60] == pytest.approx(0.75)
    assert confidence[40, 100] == pytest.approx(0.625)
    assert confidence[5, 5] == 0
    expected = disc(20, 40, 9) | disc(60, 40, 9)
    assert np.array_equal(data[0]["mask"][0].numpy(), expected)
    assert not data[1]["mask"].any()


def test_lesions_and_their_order(v21, monkeypatch):
    monkeypatch.setattr(diaretdb1, "AGREEMENT", 0.25)
    mask = DiaRetDB1(v21, "train", lesions=("MA", "HE", "EX", "SE"))[0]["mask"].numpy()
    assert np.array_equal(mask[0], disc(60, 40, 9))
    assert np.array_equal(mask[1], disc(20, 40, 9))
    assert not mask[3].any()


def test_sample(v21):
    sample = DiaRetDB1(v21, "test", size=(23, 30))[0]
    assert sample["name"] == "diaretdb1_image002"
    assert sample["image"].shape == (3, 23, 30)
    assert sample["mask"].shape == (4, 23, 30)
    assert (sample["dr"], sample["dme"]) == (-1, -1)
    assert (sample["image"] == 2).all()


def test_a_part_has_the_marks_of_its_own_images(v21):
    data = DiaRetDB1(v21, "train")
    turned = data.part(range(len(data))[::-1])
    assert len(data) > 1 and not np.array_equal(data.mask(0), data.mask(len(data) - 1))
    for index in range(len(data)):
        assert np.array_equal(turned.mask(index), data.mask(len(data) - 1 - index))


def test_changed_mark_is_seen_by_the_cache(v21):
    assert DiaRetDB1(v21, "train", size=(23, 30))[0]["mask"].any()
    for path in (v21 / "groundtruth").glob("*001_0*"):
        path.write_text(xml())
    assert not DiaRetDB1(v21, "train", size=(23, 30))[0]["mask"].any()


def area(shape, size=(400, 500)):
    canvas = np.zeros(size, np.float32)
    paint(canvas, shape, 1.0)
    return canvas.sum()


@pytest.mark.parametrize("centre", [(250, 200), (250.3, 199.6)])
@pytest.mark.parametrize("radius", [3, 10, 57.5])
def test_area_of_a_circle(centre, radius):
    assert area(Ellipse(centre, (radius, radius))) == pytest.approx(np.pi * radius**2, rel=0.03)


@pytest.mark.parametrize("angle", [0, 30, 90, 137])
def test_area_of_an_ellipse_whatever_its_angle(angle):
    assert area(Ellipse((250, 200), (90, 25), angle)) == pytest.approx(np.pi * 90 * 25, rel=0.005)


def test_ellipse_turns_anticlockwise_on_the_screen():
    canvas = np.zeros((400, 500), np.float32)
    paint(canvas, Ellipse((250, 200), (90, 20), 45), 1.0)
    assert canvas[200 - 55, 250 + 55] == 1  # up and to the right
    assert canvas[200 + 55, 250 + 55] == 0


@pytest.mark.parametrize("shift", [0, 0.4])
def test_area_of_polygons(shift):
    triangle = np.array([(30, 40), (230, 90), (80, 300)]) + shift
    star = (
        np.array([(100, 10), (130, 100), (220, 110), (140, 160), (160, 260), (100, 190), (30, 250), (60, 150)]) + shift
    )
    for corners in (triangle, star, star[::-1]):
        x, y = corners.T
        exact = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert area(Polygon(tuple(map(tuple, corners)))) == pytest.approx(exact, rel=0.005)


def test_square_of_whole_corners_has_its_exact_area():
    assert area(Polygon(((10, 10), (30, 10), (30, 25), (10, 25)))) == 20 * 15


def test_region_beyond_the_edge_is_cut():
    assert area(Ellipse((0, 0), (50, 50))) == pytest.approx(np.pi * 50**2 / 4, rel=0.05)
    assert area(Ellipse((-300, 0), (50, 50))) == 0


def test_smallest_mark_is_a_pixel():
    assert area(Ellipse((20, 20), (0, 0))) == 1


def test_first_point_of_a_polygon_is_its_centroid_and_no_corner(tmp_path):
    corners = [(10, 10), (60, 10), (60, 40), (10, 40)]
    nested = marking(polygon(*corners))
    flat = nested.replace("<centroid>", "").replace("</centroid>", "")
    for text in (nested, flat):
        (tmp_path / "a.xml").write_text(xml(text))
        (found,) = read_markings(tmp_path / "a.xml")
        assert found.shape == Polygon(tuple((float(x), float(y)) for x, y in corners))


def test_ellipse_is_read(tmp_path):
    (tmp_path / "a.xml").write_text(
        xml(marking(ELLIPSE.format(x=70, y=50, a=30, b=10, angle=25), "Low", "Soft_exudates"))
    )
    (found,) = read_markings(tmp_path / "a.xml")
    assert (found.lesion, found.confidence) == ("SE", 0.25)
    assert found.shape == Ellipse((70, 50), (30, 10), 25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not XML"),
        ("<a><b></a>", "not XML"),
        ("<html></html>", "markinglist"),
        (xml(marking(SURE, "Certain")), "'Certain'"),
        (xml(marking(SURE, kind="")), "kind ''"),
        (xml(marking("<squareregion/>")), "no region"),
        (xml(marking(SURE.replace("20,40", "20;40"))), "marking 1"),
        (xml(marking(SURE.replace("9</radius>", "</radius>"))), "marking 1"),
        (xml(marking(polygon((1, 1), (5, 5)))), "3 points"),
        (xml(marking(SURE.replace("20,40", "nan,40"))), "number nan"),
        (xml(marking(SURE.replace("20,40", "20,1e300"))), "number 1e"),
        (xml(marking(SURE.replace("<coords2d>20,40</coords2d>", ""))), "marking 1"),
        (xml(marking(SURE)).replace("UTF-8", "shift_jis"), "not XML"),
        (xml(marking(ELLIPSE.format(x=1, y=1, a=3, b=2, angle="").replace("<angle></angle>", ""))), "marking 1"),
    ],
)
def test_marks_with_a_fault(v21, text, words):
    path = v21 / "groundtruth" / "diaretdb1_image003_02_plain.xml"
    path.write_text(text)
    with pytest.raises(LabelFormatError, match=words) as caught:
        DiaRetDB1(v21, "train")[1]
    assert path.name in str(caught.value)


@pytest.mark.parametrize("file", ["images/diaretdb1_image003.png", "groundtruth/diaretdb1_image003_04_plain.xml"])
def test_missing_file(v21, file):
    (v21 / file).unlink()
    with pytest.raises(MissingFileError, match=file.rpartition("/")[2]):
        DiaRetDB1(v21, "train")


def test_photograph_in_no_list(v21):
    (v21 / "images" / "diaretdb1_image099.png").touch()
    with pytest.raises(UnexpectedFileError, match=r"diaretdb1_image099\.png"):
        DiaRetDB1(v21, "train")


@pytest.mark.parametrize("text", ["", "images/diaretdb1_image001.png\n", "a b c d e\n"])
def test_list_with_a_fault(v21, text):
    (v21 / "ddb1_v02_01_train_plain.txt").write_text(text)
    with pytest.raises(LabelFormatError, match="ddb1_v02_01_train_plain"):
        DiaRetDB1(v21, "train")


def test_lists_that_name_an_image_twice(v21):
    train, test = (v21 / f"ddb1_v02_01_{split}_plain.txt" for split in ("train", "test"))
    line, published = train.read_text().splitlines()[0], test.read_text()
    test.write_text(f"{published}{line}\n")
    with pytest.raises(LabelFormatError, match="in both splits"):
        DiaRetDB1(v21, "train")
    test.write_text(published * 2)
    with pytest.raises(LabelFormatError, match="two lines for"):
        DiaRetDB1(v21, "test")
    test.write_text(published.replace(" groundtruth", " ../groundtruth", 1))
    with pytest.raises(LabelFormatError):
        DiaRetDB1(v21, "test")


def test_wrong_root_version_and_split(v21, v11, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=f"name {v21}"):
        DiaRetDB1(tmp_path, "train")
    with pytest.raises(DatasetNotFoundError, match=r"pass version='1\.1'"):
        DiaRetDB1(v11, "train")
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        DiaRetDB1(tmp_path / "nowhere", "train")
    with pytest.raises(UnknownNameError):
        DiaRetDB1(v21, "val")
    with pytest.raises(ArgumentError, match=r"'2\.1' or '1\.1'"):
        DiaRetDB1(v21, "train", version="2.0")


def test_version_1_1(v11):
    data = DiaRetDB1(v11, "test", version="1.1")
    assert data.names == ["image002", "image005"]
    mask = data[0]["mask"].numpy()
    assert mask[2].all(axis=0).nonzero()[0].tolist() == list(range(60, 120))
    assert not mask[[0, 1, 3]].any()
    small = DiaRetDB1(v11, "test", version="1.1", lesions=("EX",), size=(23, 30))[1]["mask"].numpy()
    assert small[0].all(axis=0).nonzero()[0].tolist() == list(range(12, 24))


def test_version_1_1_with_a_fault(v11):
    levels = v11 / "resources/images/ddb1_groundtruth/hemorrhages"
    write(levels / "image002.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(MaskSizeError, match=r"hemorrhages/image002\.png"):
        DiaRetDB1(v11, "test", version="1.1")[0]
    (levels / "image002.png").unlink()
    with pytest.raises(MissingFileError, match=r"hemorrhages/image002\.png"):
        DiaRetDB1(v11, "test", version="1.1")
