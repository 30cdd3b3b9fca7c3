"""DDR as dual_branch prepares it, on files drawn here: a bright retina on black, lesions of a colour of their own."""

import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fundus_lib.data.ddr_whole import DDRWholeImages, long_side, retina, square
from fundus_lib.errors import ArgumentError, MaskSizeError, MissingFileError, UnreadableImageError
from helpers.small_ddr import EXUDATE, RETINA, drawn, write, write_all


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    write_all(tmp_path)
    return tmp_path


def is_exudate(image):
    """Where an image (3, h, w) has the colour of exudate: nearer to it than to retina and to black."""
    return (image[1] > (RETINA[1] + EXUDATE[1]) / 2).astype(np.uint8)


def disagreement(image, mask):
    return np.abs(is_exudate(image).astype(int) - mask).mean()


@pytest.mark.parametrize(("name", "bars"), [("wide", (0, 20)), ("tall", (1, 21))])
def test_training_image_is_cropped_and_padded_to_a_square(root, name, bars):
    data = DDRWholeImages(root, "train", side=64)
    sample = data[data.names.index(name)]
    assert sample["image"].shape == (3, 64, 64)
    assert sample["mask"].shape == (1, 64, 64)
    across, width = bars
    lit = (np.asarray(sample["image"]).max(0) > 20).any(1 - across)
    # wide: 60 of 160 rows are retina, 64·60/160 = 24; tall: 60 of 180 columns, 21.3
    assert lit.sum() == pytest.approx(64 - 2 * width, abs=1)
    assert lit[:: len(lit) - 1].tolist() == [False, False]
    assert (np.asarray(sample["image"]).max(0) > 20).any(across).all()


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("cache", [False, True])
def test_masks_lie_on_their_images(root, split, cache):
    data = DDRWholeImages(root, split, side=80, cache=cache)
    for name, sample in zip(data.names, data, strict=True):
        image, mask = np.asarray(sample["image"]), np.asarray(sample["mask"])[0]
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 1}
        assert mask.any() == (name != "black")
        # a pixel on an exudate's outline may fall on either side; the two of an image have 2·4·16 of them at full size
        assert disagreement(image, mask) <= 0.012
        assert name == "black" or disagreement(image, np.roll(mask, 4, axis=-1)) > 0.012


def test_whole_images_keep_their_aspect(root):
    data = DDRWholeImages(root, "val", side=80)
    sample = data[0]
    assert sample["image"].shape == (3, 45, 80)
    assert (np.asarray(sample["image"])[:, :, 0] < 20).all(), "the black border was cropped"
    portrait = DDRWholeImages(root, "test", side=80)[1]
    assert portrait["name"] == "portrait"
    assert portrait["image"].shape == (3, 80, 45)
    assert torch.equal(DDRWholeImages(root, "test", side=80).__getitem__(1)["mask"], portrait["mask"])


def test_small_photographs_grow(root):
    assert DDRWholeImages(root, "val", side=320)[0]["image"].shape == (3, 180, 320)


def test_full_mask_is_the_file(root):
    for split in ("train", "val", "test"):
        data = DDRWholeImages(root, split, side=64, lesions=("HE", "EX"))
        for i, name in enumerate(data.names):
            assert np.array_equal(data.full_mask(i)[1], drawn(name)[1])
            assert not data.full_mask(i)[0].any()
            assert data.full_size(i) == drawn(name)[1].shape


def test_images_without_the_lesion_are_named(root):
    data = DDRWholeImages(root, "train", side=64)
    assert (data.names, data.dropped) == (["tall", "wide"], ["healthy"])
    assert len(data) == 2
    with pytest.raises(IndexError):
        data[2]
    photograph = drawn("healthy")[0]
    red = np.zeros(photograph.shape[:2], np.uint8)
    red[50, 50] = 1
    write(root, "train", "healthy", photograph, HE=red)
    assert DDRWholeImages(root, "train", side=64).dropped == ["healthy"]
    assert DDRWholeImages(root, "train", side=64, lesions=("EX", "HE")).dropped == []
    assert DDRWholeImages(root, "train", side=64, lesions=("HE",)).dropped == ["tall", "wide"]
    assert DDRWholeImages(root, "test", side=64).dropped == []


def test_a_side_of_no_pixel_is_refused(root):
    with pytest.raises(ArgumentError, match="not a size"):
        DDRWholeImages(root, "train", side=0)


def test_photograph_without_retina(root):
    write(root, "train", "dark", np.full((40, 60, 3), 15, np.uint8), EX=np.eye(40, 60, dtype=np.uint8))
    data = DDRWholeImages(root, "train", side=64)
    with pytest.raises(ArgumentError, match=r"dark\.jpg: the image shows no retina\n.*15 of 255"):
        data.prepare()
    with pytest.raises(ArgumentError, match=r"dark\.jpg"):
        DDRWholeImages(root, "train", side=64, cache=False)[0]
    black = DDRWholeImages(root, "test", side=64)[0]
    assert black["name"] == "black"
    assert black["image"].shape == (3, 40, 64)


def test_retina_is_what_is_brighter_than_20_grey():
    picture = np.zeros((10, 12, 3), np.uint8)
    picture[2:5, 3:9] = 21
    picture[7:, 9:] = 20
    picture[0, 0] = (0, 0, 170)  # grey 0.114 · 170 = 19.4
    assert retina(picture) == (slice(2, 5), slice(3, 9))
    picture[0, 0] = (0, 0, 190)  # 21.7
    assert retina(picture) == (slice(0, 5), slice(0, 9))


@pytest.mark.parametrize("shape", [(5, 8, 3), (8, 5, 3), (7, 7, 3), (5, 8)])
def test_square_agrees_with_a_border_of_opencv(shape):
    pixels = np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)
    tall, wide = max(shape[1] - shape[0], 0), max(shape[0] - shape[1], 0)
    edges = tall // 2, tall - tall // 2, wide // 2, wide - wide // 2
    assert np.array_equal(square(pixels), cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=0))


@pytest.mark.parametrize(
    ("size", "prepared"),
    [((2848, 4288), (680, 1024)), ((512, 512), (1024, 1024)), ((3000, 2000), (1024, 683)), ((1, 4096), (1, 1024))],
)
def test_long_side(size, prepared):
    assert long_side(size, 1024) == prepared


def test_decoded_once(root, tmp_path, monkeypatch):
    first = DDRWholeImages(root, "train", side=64)
    first.prepare()
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "arrays").glob("*.npy")}
    monkeypatch.setattr("fundus_lib.data.ddr_whole.read_image", lambda *_: pytest.fail("decoded again"))
    again = DDRWholeImages(root, "train", side=64)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["mask"], b["mask"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "arrays").glob("*.npy")} == stored


def test_channels_are_in_the_order_asked_for(root):
    photograph, exudates = drawn("wide")
    most = np.ones_like(exudates)
    most[: len(most) // 3] = 0
    write(root, "train", "wide", photograph, EX=exudates, HE=most)
    data = DDRWholeImages(root, "train", side=64, lesions=("HE", "EX"))
    first, second = data[data.names.index("wide")]["mask"]
    assert first.sum() > 8 * second.sum() > 0


def test_no_cache_leaves_nothing_on_disk(root, tmp_path):
    data = DDRWholeImages(root, "train", side=64, cache=False)
    data.prepare()
    assert data[0]["image"].any()
    assert not list(tmp_path.glob("cache/**/*.npy"))


def test_cached_and_decoded_are_the_same(root):
    for split in ("train", "val", "test"):
        for a, b in zip(
            DDRWholeImages(root, split, side=80), DDRWholeImages(root, split, side=80, cache=False), strict=True
        ):
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["mask"], b["mask"])


def test_a_changed_file_is_read_again(root):
    data = DDRWholeImages(root, "train", side=64)
    before, digest = data[1]["mask"].clone(), data.fingerprint()
    photograph, exudates = drawn("wide")
    write(root, "train", "wide", photograph, EX=np.roll(exudates, 12, axis=1))
    again = DDRWholeImages(root, "train", side=64)
    assert not torch.equal(again[1]["mask"], before)
    assert again.fingerprint() != digest
    # a border that is not black any more moves the crop, and with it a mask whose own file is as it was
    moved = again[1]["mask"].clone()
    photograph[0, 0:8] = photograph[0:8, 0] = 255
    Image.fromarray(photograph).save(root / "lesion_segmentation" / "train" / "image" / "wide.jpg", quality=100)
    assert not torch.equal(DDRWholeImages(root, "train", side=64)[1]["mask"], moved)


def test_a_new_lesion_brings_back_what_was_dropped(root):
    data = DDRWholeImages(root, "train", side=64)
    digest = data.fingerprint()
    photograph = drawn("healthy")[0]
    write(root, "train", "healthy", photograph, EX=np.eye(*photograph.shape[:2], dtype=np.uint8))
    again = DDRWholeImages(root, "train", side=64)
    assert (again.dropped, again.names) == ([], ["healthy", "tall", "wide"])
    assert again.fingerprint() != digest


@pytest.mark.parametrize("cache", [False, True])
def test_bad_files(root, cache):
    folder = root / "lesion_segmentation" / "train"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "label" / "EX" / "tall.tif")
    with pytest.raises(MaskSizeError, match=r"tall\.tif[\s\S]*9×9[\s\S]*200×120"):
        DDRWholeImages(root, "train", side=64, cache=cache)
    (folder / "label" / "EX" / "tall.tif").unlink()
    with pytest.raises(MissingFileError, match=r"tall\.tif"):
        DDRWholeImages(root, "train", side=64, cache=cache)
    image = root / "lesion_segmentation" / "valid" / "image" / "landscape.jpg"
    os.truncate(image, image.stat().st_size // 2)
    with pytest.raises(UnreadableImageError, match=r"landscape\.jpg"):
        DDRWholeImages(root, "val", side=64, cache=cache)[0]


def test_says_what_it_is(root):
    assert repr(DDRWholeImages(root, "train", side=64)) == "DDRWholeImages(train, 2 images, 64×64, lesions EX)"
    assert repr(DDRWholeImages(root, "val")) == "DDRWholeImages(val, 1 images, long side 1024, lesions EX)"
