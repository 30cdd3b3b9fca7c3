"""Reading label files as text, whatever program saved them."""

from __future__ import annotations

import codecs
import difflib
from pathlib import Path

from fundus_lib.errors import LabelFormatError, MissingFileError, explain_os_error

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path, expected: str) -> str:
    """The text of a label file: UTF-8, or UTF-16 if the file begins with its mark, as some spreadsheets save it.

    Args:
        path: The file.
        expected: What it should hold, for messages.

    Raises:
        MissingFileError: There is no such file; the message names one of a similar name.
        FileAccessError: The system refuses to read it.
        LabelFormatError: It is no text in one of these encodings.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise _missing(path, expected) from None
    except OSError as error:
        raise explain_os_error(error, path) from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        if "\0" not in text:
            return text
        found = "the character NUL, as in UTF-16 without its mark"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} in line {line}, which is not {encoding.upper()}"
    raise LabelFormatError(
        path,
        "the label file is in another encoding",
        found=found,
        expected=f"{expected}, as text in UTF-8",
        remedy="restore the published file, or save it as UTF-8",
    )


def _missing(path: Path, expected: str) -> MissingFileError:
    there = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(path.name, there, n=1, cutoff=0.8)
    return MissingFileError(
        path,
        "this label file is missing",
        found=repr(similar[0]) if similar else "a folder of that name" if path.is_dir() else "no such file",
        expected=expected,
        remedy=f"rename it to {path.name!r}" if similar else "unpack the archive again",
    )
