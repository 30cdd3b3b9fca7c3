"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from fundus_lib.errors import naming


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it when it is complete; make its folder if need be.

    Raises:
        FileAccessError: The file or its folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Make a folder and write a file into it for a moment, before hours are spent on what shall be kept there.

    Raises:
        FileAccessError: The folder cannot be made or written into.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.write_bytes(b"content")
        probe.unlink()
