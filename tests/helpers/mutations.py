"""What happens to the files of a data set: lost, cut short, renamed, saved by another program, exchanged, refused.

A mutation changes one file. With each goes whether whoever reads the file afterwards must find what was there before or
refuse it; otherwise something else may be read too, which is then what the file says.
"""

import builtins
import codecs
import io
import shutil
from contextlib import contextmanager

import numpy as np
from PIL import Image

CELLS = ("", " ", "9", "-1", "2.0", "1.5", "1e400", "nan", "x", "²", "1" * 30, '"', "0x1", "\u0661", "1;2")
TABLES = (".csv", ".txt")
TEXTS = (*TABLES, ".xml", ".json")


def remove(path, rng):
    path.unlink()


def empty(path, rng):
    path.write_bytes(b"")


def truncate(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def damage(path, rng):
    content = bytearray(path.read_bytes())
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        content[place] = rng.integers(256)
    path.write_bytes(content)


def noise(path, rng):
    path.write_bytes(rng.bytes(300))


def misspell(path, rng):
    path.rename(path.with_name(path.name.replace("_", "-", 1) + "~"))


def shout(path, rng):
    path.rename(path.with_suffix(path.suffix.upper()))


def make_folder(path, rng):
    path.unlink()
    path.mkdir()


def loop(path, rng):
    path.unlink()
    path.symlink_to(path.name)


def dangle(path, rng):
    path.unlink()
    path.symlink_to("nowhere")


def add_stray(path, rng):
    shutil.copy(path, path.with_name("stray" + path.suffix))


def exchange(path, rng):
    others = sorted(p for p in path.parent.iterdir() if p.suffix == path.suffix and p != path and p.is_file())
    if others:
        other = others[rng.integers(len(others))]
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        other.write_bytes(mine)


def resize(path, rng):
    with Image.open(path) as picture:
        size = rng.integers(1, 90, 2).tolist()
        changed = picture.convert("RGB").resize(size)
    changed.save(path, format="PNG")


def save_as_jpeg(path, rng):
    with Image.open(path) as picture:
        changed = picture.convert("RGB")
    changed.save(path, format="JPEG", quality=int(rng.integers(20, 80)))


def save_as_webp(path, rng):
    with Image.open(path) as picture:
        changed = picture.convert("RGB")
    changed.save(path, format="WEBP", lossless=True)


def save_in_mode(path, rng):
    mode = rng.choice(["L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "1"])
    with Image.open(path) as picture:
        grey = picture.convert("RGB").convert("L" if mode in ("I", "F", "I;16", "1", "LA") else "RGB")
    changed = Image.fromarray(np.asarray(grey).astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
    changed.save(path, format="TIFF")


def add_values(path, rng):
    with Image.open(path) as picture:
        values = np.array(picture.convert("L"))
    values.flat[rng.integers(values.size, size=9)] = rng.integers(256)
    Image.fromarray(values).save(path, format="TIFF")


def invert_palette(path, rng):
    with Image.open(path) as picture:
        changed = Image.fromarray((np.asarray(picture.convert("L")) == 0).astype(np.uint8)).convert("P")
    changed.putpalette([255, 0, 0, 0, 0, 0])
    changed.save(path, format="TIFF")


def blacken(path, rng):
    with Image.open(path) as picture:
        Image.new("L", picture.size).save(path, format="TIFF")


def encode(encoding, mark=b""):
    def change(path, rng):
        path.write_bytes(mark + path.read_text("utf-8").encode(encoding))

    return change


def add_umlaut(path, rng):
    path.write_bytes(path.read_bytes().replace(b"a", b"\xe4", 1))


def edit_cell(path, rng):
    text = path.read_text("utf-8")
    comma = "," if "," in text else " "
    lines = text.split("\n")
    row = rng.integers(len(lines))
    cells = lines[row].split(comma)
    cells[rng.integers(min(len(cells), 4))] = CELLS[rng.integers(len(CELLS))]
    lines[row] = comma.join(cells)
    path.write_text("\n".join(lines), "utf-8")


def drop_line(path, rng):
    lines = path.read_text("utf-8").splitlines()
    del lines[rng.integers(len(lines))]
    path.write_text("\n".join(lines), "utf-8")


def double_line(path, rng):
    lines = path.read_text("utf-8").splitlines()
    lines.append(lines[rng.integers(len(lines))])
    path.write_text("\n".join(lines), "utf-8")


def add_blank_lines(path, rng):
    path.write_text(path.read_text("utf-8") + "\r\n \r\n\r\n", "utf-8")


def use_semicolons(path, rng):
    path.write_text(path.read_text("utf-8").replace(",", ";"), "utf-8")


def change_character(path, rng):
    text = path.read_text("utf-8")
    place = rng.integers(len(text))
    path.write_text(text[:place] + rng.choice(list('09-.,[]{}<>"x\0')) + text[place + 1 :], "utf-8")


FILES = (
    (remove, True),
    (empty, True),
    (truncate, False),
    (damage, False),
    (noise, True),
    (misspell, True),
    (shout, True),
    (make_folder, True),
    (loop, True),
    (dangle, True),
    (add_stray, True),
    (exchange, False),
)
PICTURES = ((resize, False), (save_as_jpeg, False), (save_as_webp, True), (save_in_mode, False))
MASKS = ((add_values, False), (invert_palette, False), (blacken, False))
WORDS = (
    (encode("utf-8", codecs.BOM_UTF8), True),
    (encode("utf-16"), True),
    (encode("utf-16-be"), True),
    (add_umlaut, False),
    (edit_cell, False),
    (drop_line, False),
    (double_line, False),
    (add_blank_lines, True),
    (use_semicolons, True),
    (change_character, False),
)


def kinds(path):
    """The mutations that a file can have, each with `same`."""
    if path.suffix in TEXTS:
        return (*FILES, *WORDS)
    return (*FILES, *PICTURES, *(MASKS if path.suffix == ".tif" else ()))


def snapshot(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def restore(root, files):
    """Bring a folder back to a snapshot; the folders that held files are still there."""
    for path in root.rglob("*"):
        if path.is_symlink() or (path.is_file() and path not in files):
            path.unlink()
        elif path in files and path.is_dir():
            path.rmdir()
    for path, content in files.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


@contextmanager
def refused(path):
    """The system refuses to open a file, as if its permissions said so; they bind no superuser."""
    opening = io.open

    def refuse(file, *args, **kwargs):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return opening(file, *args, **kwargs)

    builtins.open = io.open = refuse
    try:
        yield
    finally:
        builtins.open = io.open = opening
