"""Reading and resizing one image or mask."""

import numpy as np
import pytest
from PIL import Image

from fundus_lib.data.images import read_image, read_mask, resize_image, resize_mask
from fundus_lib.errors import MaskSizeError, MaskValueError, MissingFileError, UnreadableImageError

MASK = np.zeros((20, 30), np.uint8)
MASK[4:10, 6:18] = 1


def saved(tmp_path, array, name="m.tif", mode=None, **options):
    picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def palette(tmp_path, colours):
    picture = Image.fromarray(MASK).convert("P")
    picture.putpalette(colours)
    picture.save(tmp_path / "p.tif")
    return tmp_path / "p.tif"


def rgba(alpha=255, channel=0, value=255):
    array = np.zeros((*MASK.shape, 4), np.uint8)
    array[..., channel] = MASK * value
    array[..., 3] = alpha
    return array


@pytest.mark.parametrize("value", [1, 76, 255])
def test_grey_masks_of_any_value_are_zero_and_one(tmp_path, value):
    mask = read_mask(saved(tmp_path, MASK * np.uint8(value)))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, MASK)


def test_palette_mask(tmp_path):
    assert np.array_equal(read_mask(palette(tmp_path, [0, 0, 0, 255, 0, 0])), MASK)


def test_one_bit_mask(tmp_path):
    assert np.array_equal(read_mask(saved(tmp_path, MASK * np.uint8(255), mode="1")), MASK)


def test_sixteen_bit_mask_does_not_wrap_to_black(tmp_path):
    assert np.array_equal(read_mask(saved(tmp_path, MASK.astype(np.uint16) * 256)), MASK)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_rgba_mask_counts_red_and_not_alpha(tmp_path, options):
    assert np.array_equal(read_mask(saved(tmp_path, rgba(), **options)), MASK)


def test_green_mask_is_an_error_and_not_black(tmp_path):
    path = saved(tmp_path, rgba(channel=1))
    with pytest.raises(MaskValueError, match="coloured pixels") as caught:
        read_mask(path)
    assert str(path) in str(caught.value)


def test_third_value_is_an_error(tmp_path):
    grey = MASK * np.uint8(255)
    grey[0, 0] = 128
    with pytest.raises(MaskValueError, match="0, 128, 255"):
        read_mask(saved(tmp_path, grey))


def test_inverted_mask_is_an_error_and_not_one_large_lesion(tmp_path):
    with pytest.raises(MaskValueError, match=r"lesion in 88 % of the pixels[\s\S]*invert the mask"):
        read_mask(saved(tmp_path, (1 - MASK) * np.uint8(255)))


def test_black_mask_is_an_error_where_it_must_not_be(tmp_path):
    path = saved(tmp_path, np.zeros_like(MASK))
    assert not read_mask(path).any()
    with pytest.raises(MaskValueError, match="marks no lesion"):
        read_mask(path, may_be_empty=False)


def test_mask_of_another_size_names_both(tmp_path):
    with pytest.raises(MaskSizeError, match=r"20×30[\s\S]*40×60"):
        read_mask(saved(tmp_path, MASK), image_size=(40, 60))


def test_missing_file(tmp_path):
    for read in (read_image, read_mask):
        with pytest.raises(MissingFileError, match=r"nowhere\.jpg"):
            read(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("keep", [0, 3, 700])
def test_photograph_cut_short_is_an_error(tmp_path, keep):
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    path = saved(tmp_path, noise, "a.jpg")
    assert read_image(path).shape == (64, 96, 3)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableImageError, match=f"{keep} bytes"):
        read_image(path)


def test_mask_cut_short_is_an_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 2, (200, 300), dtype=np.uint8)
    path = saved(tmp_path, noise)
    path.write_bytes(path.read_bytes()[:-30000])
    with pytest.raises(UnreadableImageError):
        read_mask(path)


def test_text_is_not_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("404 not found")
    with pytest.raises(UnreadableImageError, match="13 bytes"):
        read_image(tmp_path / "a.jpg")


def test_exif_orientation_does_not_turn_the_image(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = saved(tmp_path, np.zeros((20, 30, 3), np.uint8), "a.jpg", exif=exif)
    assert read_image(path).shape == (20, 30, 3)


def test_shrunk_mask_is_lesion_where_half_the_area_is():
    mask = np.array([[1, 1, 1, 0, 0, 0, 1, 0], [1, 1, 0, 1, 1, 0, 0, 0]], np.uint8)
    assert resize_mask(mask, (1, 4)).tolist() == [[1, 1, 0, 0]]
    assert resize_mask(mask, (1, 2)).tolist() == [[1, 0]]


def test_resizing_to_the_same_size_changes_nothing():
    assert np.array_equal(resize_mask(MASK, MASK.shape), MASK)
    assert np.array_equal(resize_mask(MASK, None), MASK)


def test_shrunk_image_is_the_mean_of_its_area():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    expected = image.reshape(2, 2, 3, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (2, 3)) - expected).max() <= 0.5


def test_enlarged_mask_stays_zero_and_one():
    large = resize_mask(MASK, (40, 60))
    assert set(np.unique(large)) == {0, 1}
    assert large.mean() == pytest.approx(MASK.mean(), rel=0.1)
