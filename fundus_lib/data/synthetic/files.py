"""The files of IDRiD, with the peculiarities that a loader must handle: one-bit palette masks, spreadsheet CSVs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fundus_lib.data.synthetic.canvas import Layer

Row = tuple[str, int, int]


def write_palette_tif(path: Path, mask: Layer) -> None:
    """Write a mask as nearly all of IDRiD's are: TIFF, one bit per pixel, uncompressed, palette black and red.

    Pillow cannot write a one-bit palette, so the file is composed here (TIFF 6.0, section 5).

    Args:
        path: File to write.
        mask: uint8 {0, 1} (height, width).
    """
    height, width = mask.shape
    data = np.packbits(mask, axis=1).tobytes()
    palette = struct.pack("<6H", 0, 65535, 0, 0, 0, 0)
    palette_at, directory_at = 8 + len(data), 8 + len(data) + len(palette)
    directory_at += directory_at % 2
    entries = (  # tag, type (3 short, 4 long), count, value or offset
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 1),  # bits per sample
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 3),  # palette colour
        (273, 4, 1, 8),  # the one strip
        (277, 3, 1, 1),  # samples per pixel
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
        (320, 3, 6, palette_at),
    )
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + b"\0\0\0\0"
    content = struct.pack("<2sHI", b"II", 42, directory_at) + data + palette
    path.write_bytes(content.ljust(directory_at, b"\0") + directory)


def write_rgba_tif(path: Path, mask: Layer) -> None:
    """Write a mask as the one odd file of IDRiD is: RGBA, red where the lesion is, alpha 255 everywhere, LZW."""
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = mask * 255, 255
    Image.fromarray(rgba, "RGBA").save(path, compression="tiff_lzw")


def write_grades(path: Path, rows: Sequence[Row], *, empty_columns: int) -> None:
    """Write a grading CSV: a header with a trailing blank, CRLF, names without suffix, empty columns.

    Args:
        path: File to write.
        rows: (name, grade of retinopathy, risk of macular edema).
        empty_columns: Number of empty columns that follow.
    """
    tail = "," * empty_columns
    lines = [f"Image name,Retinopathy grade,Risk of macular edema {tail}"]
    lines += [f"{name},{dr},{dme}{tail}" for name, dr, dme in rows]
    _write_crlf(path, lines)


def write_centres(path: Path, rows: Sequence[Row], *, blank_rows: int) -> None:
    """Write a localisation CSV: 45 empty columns, and blank rows at the end.

    Args:
        path: File to write.
        rows: (name, x, y).
        blank_rows: Number of blank rows that follow.
    """
    tail = "," * 45
    lines = [f"Image No,X- Coordinate,Y - Coordinate{tail}"]
    lines += [f"{name},{x},{y}{tail}" for name, x, y in rows]
    lines += ["," * 47] * blank_rows
    _write_crlf(path, lines)


def _write_crlf(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes("".join(line + "\r\n" for line in lines).encode())
