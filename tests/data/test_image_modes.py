"""Images and masks in every mode, format and EXIF orientation: the right pixels, or an error that names the file."""

import io
import itertools
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fundus_lib.data import pictures
from fundus_lib.data.images import read_image, read_levels, read_mask
from fundus_lib.errors import FundusError, MaskValueError, UnreadableImageError

MODES = ("1", "L", "LA", "P", "P transparent", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
FORMATS = ("png", "tif", "jpg", "webp", "bmp")
H, W = 24, 40
TURNED = {  # what a viewer shows, from what is stored: EXIF 2.3, tag 274
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def picture(mode):
    """A picture in a mode, and what it shows on black, (H, W, 3): smooth, so that JPEG keeps it."""
    rows, columns = np.mgrid[:H, :W].astype(np.float64)
    rgb = np.stack([60 + 4 * columns, 40 + 5 * rows, 90 + 2 * columns + rows], axis=-1).astype(np.uint8)
    grey = np.ascontiguousarray(rgb[..., 0])
    alpha = np.where(columns < 10, 0, 255).astype(np.uint8)
    grey3 = np.repeat(grey[..., None], 3, axis=-1)
    hidden = (alpha[..., None] > 0).astype(np.uint8)
    if mode == "1":
        bits = grey > 120
        return Image.fromarray(bits), np.repeat(bits[..., None], 3, axis=-1) * np.uint8(255)
    if mode == "L":
        return Image.fromarray(grey), grey3
    if mode in ("LA", "PA"):
        made = Image.fromarray(grey).convert(mode)
        made.putalpha(Image.fromarray(alpha))
        return made, grey3 * hidden
    if mode.startswith("P"):
        indices = (columns // 8).astype(np.uint8)
        colours = np.array([[10 * i, 200 - 30 * i, 90] for i in range(5)], np.uint8)
        made = Image.fromarray(indices)
        made = Image.frombytes("P", made.size, made.tobytes())
        made.putpalette(colours.ravel().tolist())
        shown = colours[indices]
        if "transparent" in mode:
            made.info["transparency"] = 2
            shown[indices == 2] = 0
        return made, shown
    if mode == "RGB":
        return Image.fromarray(rgb), rgb
    if mode == "RGBA":
        return Image.fromarray(np.dstack([rgb, alpha])), rgb * hidden
    if mode == "CMYK":
        return Image.merge(
            "CMYK", [Image.fromarray(255 - p) for p in np.rollaxis(rgb, 2)] + [Image.new("L", (W, H))]
        ), rgb
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257), grey3
    return Image.fromarray(grey.astype({"I": np.int32, "F": np.float32}[mode])), grey3


def save(path, made, orientation=1):
    """Whether Pillow writes this mode in this format; losslessly where the format can."""
    exif = Image.Exif()
    exif[274] = orientation
    more = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True, "exact": True}}.get(path.suffix, {})
    if made.mode == "I;16" and path.suffix == ".webp":
        return False  # Pillow writes it clipped
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.save(path, **({} if path.suffix == ".bmp" else {"exif": exif}), **more)
    except (OSError, KeyError, ValueError):
        return False
    return True


@pytest.mark.parametrize("mode", MODES)
def test_an_image_is_right_or_refused(mode, tmp_path):
    made, shown = picture(mode)
    outcomes = []
    for kind, turn, upright in itertools.product(FORMATS, TURNED, (False, True)):
        path = tmp_path / f"{mode.replace(';', '')}_{turn}.{kind}"
        if not save(path, made, turn):
            continue
        try:
            found = read_image(path, upright=upright)
        except FundusError as error:
            assert str(path) in str(error) and mode in ("I", "F"), (path, error)
            outcomes.append("refused")
            continue
        with Image.open(path) as again:
            kept = "A" in again.getbands() or "transparency" in again.info or again.mode == "P"
        right = shown if kept or "A" not in made.getbands() else None  # the format dropped alpha
        turned = (upright or kind == "tif") and kind != "bmp"
        if right is not None and (mode != "P transparent" or kind in ("png", "webp")):
            right = TURNED[turn](right) if turned else right
            assert found.shape == right.shape
            assert np.abs(found.astype(int) - right).max() <= (6 if kind == "jpg" else 1), path
        outcomes.append("right")
    assert len(outcomes) >= 16
    assert set(outcomes) == ({"right", "refused"} if mode in ("I", "F") else {"right"})


@pytest.mark.parametrize("factor", [256, 257])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_give_what_eight_give(factor, kind, tmp_path):
    grey = (np.arange(H * W) % 256).astype(np.uint8).reshape(H, W)
    Image.fromarray(grey).save(tmp_path / f"8.{kind}")
    Image.fromarray(grey.astype(np.uint16) * factor).save(tmp_path / f"16.{kind}")
    np.testing.assert_array_equal(read_image(tmp_path / f"16.{kind}"), read_image(tmp_path / f"8.{kind}"))
    np.testing.assert_array_equal(read_levels(tmp_path / f"16.{kind}", (H, W)), grey)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bit_colours(kind, tmp_path):
    rgb = picture("RGB")[1]
    cv2.imwrite(str(tmp_path / f"a.{kind}"), rgb[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{kind}"), rgb)
    mask = np.zeros((H, W, 3), np.uint16)
    mask[:5] = 1  # Pillow's eight bits would show nothing
    cv2.imwrite(str(tmp_path / f"m.{kind}"), mask)
    with pytest.raises(MaskValueError, match="16 bits"):
        read_mask(tmp_path / f"m.{kind}")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_are_refused(bits, tmp_path):
    grey = picture("L")[1][..., 0].astype(np.uint16) << (bits - 8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match=r"a\.png: the range of this 16-bit image"):
        read_image(tmp_path / "a.png")


def test_white_may_be_zero(tmp_path):
    grey = picture("L")[1][..., 0]
    Image.fromarray(~(grey.astype(np.uint16) * 257)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as made:
        assert made.tag_v2[262] == 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], grey)


MASK = np.zeros((H, W), np.uint8)
MASK[4:10, 6:11] = 1


def masks():
    """Names, pictures and whether the mask is understood; its lesion is always the same."""
    on, clear = MASK * np.uint8(255), np.zeros_like(MASK)
    full = np.full_like(MASK, 255)
    bands = {name: Image.fromarray(value) for name, value in {"on": on, "off": ~on, "0": clear, "1": full}.items()}

    def merge(mode, names):
        return Image.merge(mode, [bands[name] for name in names.split()])

    def palette(colours, transparent=None):
        made = Image.frombytes("P", (W, H), MASK.tobytes())
        made.putpalette(colours)
        if transparent is not None:
            made.info["transparency"] = transparent
        return made

    values = MASK.astype(np.float32)
    bad = values.copy()
    bad[0, 0] = np.nan
    blurred = values * 0.5
    blurred[4] *= 0.5
    return {
        "1": (Image.fromarray(MASK > 0), True),
        "L": (bands["on"], True),
        "I;16": (Image.fromarray(MASK.astype(np.uint16)), True),
        "I": (Image.fromarray(MASK.astype(np.int32) * 70000), True),
        "I negative": (Image.fromarray(-MASK.astype(np.int32)), False),
        "F": (Image.fromarray(values), True),
        "F of another value": (Image.fromarray(values * np.float32(0.3)), True),
        "F interpolated": (Image.fromarray(blurred), False),
        "F with NaN": (Image.fromarray(bad), False),
        "P": (palette([0, 0, 0, 255, 0, 0]), True),
        "P green": (palette([0, 0, 0, 0, 9, 0]), True),
        "P inverted": (palette([255, 255, 255, 0, 0, 0]), False),
        "P white background": (palette([255, 255, 255, 255, 0, 0]), False),
        "P transparent background": (palette([255, 255, 255, 255, 0, 0], 0), True),
        "P transparent lesion": (palette([0, 0, 0, 255, 0, 0], 1), False),
        "LA": (merge("LA", "on 1"), True),
        "LA on transparent white": (merge("LA", "1 on"), True),
        "LA black on transparent": (merge("LA", "0 on"), False),
        "RGB": (merge("RGB", "on on on"), True),
        "RGB red": (merge("RGB", "on 0 0"), True),
        "RGBA": (merge("RGBA", "on 0 0 1"), True),
        "RGBA on transparent white": (merge("RGBA", "1 1 1 on"), True),
        "RGBA on transparent black": (merge("RGBA", "on on on on"), True),
        "RGBA black on transparent white": (merge("RGBA", "off off off on"), False),
        "RGBA all transparent": (merge("RGBA", "on 0 0 0"), False),
        "CMYK": (merge("CMYK", "0 on on off"), True),
    }


@pytest.mark.parametrize("name", masks())
def test_a_mask_is_right_or_refused(name, tmp_path):
    made, understood = masks()[name]
    outcomes = []
    for kind, turn in itertools.product(("png", "tif", "webp", "bmp"), TURNED):
        path = tmp_path / f"m{turn}.{kind}"
        if not save(path, made, turn):
            continue
        with Image.open(path) as again:
            if again.mode != made.mode or again.info.get("transparency") != made.info.get("transparency"):
                understood_here = None  # the format changed what the mask says
            else:
                understood_here = understood and (turn == 1 or kind == "bmp")
        try:
            found = read_mask(path)
        except FundusError as error:
            assert str(path) in str(error)
            assert not understood_here, (path, error)
            continue
        assert understood_here is not False, path
        if understood_here:
            np.testing.assert_array_equal(found, MASK)
            outcomes.append(path)
    assert bool(outcomes) == understood


def test_a_mask_as_jpeg_is_refused(tmp_path):
    Image.fromarray(MASK * np.uint8(255)).save(tmp_path / "m.jpg", quality=80)
    with pytest.raises(MaskValueError, match=r"m\.jpg"):
        read_mask(tmp_path / "m.jpg")


def test_several_pages_are_refused_but_not_a_thumbnail(tmp_path):
    first, second = Image.fromarray(MASK * 0), Image.fromarray(MASK * np.uint8(255))
    first.save(tmp_path / "m.tif", save_all=True, append_images=[second])
    for read in (read_image, read_mask):
        with pytest.raises(UnreadableImageError, match="several pictures"):
            read(tmp_path / "m.tif")
    thumbnail = second.resize((4, 3))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    second.save(tmp_path / "t.tif", save_all=True, append_images=[thumbnail])
    np.testing.assert_array_equal(read_mask(tmp_path / "t.tif"), MASK)


def test_a_narrow_image_is_refused(tmp_path):
    Image.new("RGB", (1, 60000), (200, 90, 40)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match="60000×1"):
        read_image(tmp_path / "a.png")


def test_a_large_jpeg_is_read_at_a_fraction_and_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 3000)
    monkeypatch.setattr(pictures, "MAX_JPEG_PIXELS", 40_000)
    rows, columns = np.mgrid[:160, :240]
    large = np.stack([columns, rows, rows + columns // 4], axis=-1).astype(np.uint8)
    for kind, shape in (("jpg", (40, 60, 3)), ("png", None), ("tif", None), ("bmp", None), ("webp", None)):
        Image.fromarray(large).save(tmp_path / f"a.{kind}")
        if shape is None:
            with pytest.raises(UnreadableImageError, match=r"too large[\s\S]*160×240"):
                read_image(tmp_path / f"a.{kind}")
            with pytest.raises(UnreadableImageError, match="too large"):
                read_mask(tmp_path / f"a.{kind}")
        else:
            found = read_image(tmp_path / "a.jpg")
            assert found.shape == shape
            assert np.abs(found - large.reshape(40, 4, 60, 4, 3).mean((1, 3))).max() < 8
    Image.fromarray(large.repeat(2, 0)).save(tmp_path / "b.jpg")
    with pytest.raises(UnreadableImageError, match="too large"):
        read_image(tmp_path / "b.jpg")


def test_what_pillow_calls_a_bomb_is_refused_without_a_warning(tmp_path):
    written = io.BytesIO()
    Image.new("1", (8, 8)).save(written, "png")
    for side in (10_000, 60_000):  # a header alone: nothing is decoded
        content = bytearray(written.getvalue())
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        (tmp_path / "a.png").write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UnreadableImageError, match=f"{side}×{side}"):
                read_image(tmp_path / "a.png")


def test_errors_about_one_image_do_not_speak_of_data_sets(tmp_path):
    (tmp_path / "text.jpg").write_text("nothing")
    for path in (tmp_path / "no.jpg", tmp_path / "no" / "no.jpg", tmp_path, tmp_path / "text.jpg", tmp_path / "a\0"):
        with pytest.raises(FundusError) as caught:
            read_image(path)
        assert str(path) in str(caught.value)
        assert not any(word in str(caught.value) for word in ("unpack", "archive", "data check", "published"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_refused_or_right(tmp_path):
    made, rng = picture("RGB")[0], np.random.default_rng(0)
    for kind in FORMATS:
        made.save(tmp_path / f"a.{kind}")
        content = (tmp_path / f"a.{kind}").read_bytes()
        for _ in range(30):
            bad = bytearray(content)
            for place in rng.integers(0, min(len(bad), 400), 3):
                bad[place] = rng.integers(256)
            path = tmp_path / f"b.{kind}"
            path.write_bytes(bad[: int(rng.integers(1, len(bad) + 1))] if rng.random() < 0.3 else bad)
            try:
                found = read_image(path, upright=True)
            except FundusError as error:
                assert str(path) in str(error)
            else:
                assert found.ndim == 3 and found.dtype == np.uint8


def test_red_on_white_is_no_mask_that_is_all_lesion(tmp_path):
    pixels = np.full((60, 100, 3), 255, np.uint8)
    pixels[10:15, 20:26] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(MaskValueError, match="several colours"):
        read_mask(tmp_path / "mask.png")
