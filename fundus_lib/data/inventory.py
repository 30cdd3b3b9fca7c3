"""Which files a copy of IDRiD must hold.

In IDRiD a lesion that an image does not have is a file that is not there. A loader therefore cannot tell an absent
lesion from a lost or misspelt file by looking at the folder; it needs a list. For a copy of the published data set the
list ships with the library; a copy that the library made (synthetic or shrunk) carries its own, `manifest.json`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fundus_lib import __version__
from fundus_lib.data.layout import PARTS, PUBLISHED_SIZE
from fundus_lib.data.recognise import advise
from fundus_lib.data.sample import Size
from fundus_lib.data.text import read_text
from fundus_lib.errors import (
    ArgumentError,
    LabelFormatError,
    MissingFileError,
    UnexpectedFileError,
    explain_os_error,
)

MANIFEST = "manifest.json"
DIGITS = 16
"""How many hexadecimal digits of a SHA-256 are kept: enough to notice any accident, small enough to ship."""

COLUMNS = {
    "overlap": ["segmentation_split", "segmentation", "grading_split", "grading"],
    "duplicates": ["first_split", "first", "second_split", "second", "labels"],
}
"""What a manifest says of images that come twice, see `splits`."""

Kind = Literal["published", "synthetic", "shrunk"]


@dataclass(frozen=True)
class Inventory:
    """The list of files of one copy of IDRiD.

    Attributes:
        kind: `"published"`, or what made the copy.
        files: From path (relative to the root, with `/`) to the first digits of the file's SHA-256.
        facts: Whatever else the manifest says; empty for the published list.
    """

    kind: Kind
    files: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder (relative to the root), sorted."""
        prefix = folder + "/"
        return sorted(p[len(prefix) :] for p in self.files if p.startswith(prefix) and "/" not in p[len(prefix) :])

    @property
    def coordinates_size(self) -> Size:
        """(height, width) of the image in whose pixels the localisation files give their coordinates."""
        height, width = self.facts.get("coordinates_size", PUBLISHED_SIZE)
        return int(height), int(width)

    @property
    def empty_masks(self) -> frozenset[str]:
        """Masks that are black and rightly so: shrinking left nothing of their lesions."""
        return frozenset(self.facts.get("empty_masks", ()))


@lru_cache(maxsize=1)
def published() -> Inventory:
    """The list of IDRiD as published: 972 files with their checksums."""
    files, folder = {}, ""
    for line in resources.files("fundus_lib.data").joinpath("idrid_published.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            folder = line.strip("[]")
        elif not line.startswith("#"):
            digest, name = line.split(" ", 1)
            files[f"{folder}/{name}"] = digest
    return Inventory("published", files)


def inventory(root: Path) -> Inventory:
    """The list that holds for the copy at `root`: its manifest if it has one, else the published list.

    Raises:
        LabelFormatError: There is a manifest, but it cannot be understood.
    """
    manifest = read_manifest(root)
    if manifest is None:
        return published()
    return Inventory(manifest["kind"], manifest["files"], manifest)


def title(root: Path) -> str:
    """What records call a copy of IDRiD: as published, shrunk, or synthetic.

    Raises:
        LabelFormatError: Its manifest cannot be understood.
    """
    manifest = read_manifest(root)
    return {"published": "IDRiD", "shrunk": "IDRiD, shrunk", "synthetic": "synthetic"}[
        manifest["kind"] if manifest else "published"
    ]


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest at `root`, or None if there is none.

    Raises:
        FileAccessError: The system refuses to read it.
        LabelFormatError: It is not JSON, lacks `kind`, `size` or `files`, or holds something else under a known key.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(read_text(path, "a manifest"))
        problem = _fault(manifest)
        if not problem:
            return dict(manifest)
    except (json.JSONDecodeError, RecursionError) as error:
        problem = f"not JSON: {error}"
    raise LabelFormatError(
        path,
        "the manifest cannot be understood",
        found=problem,
        expected="the manifest that `fundus data make` or `fundus data shrink` wrote",
        remedy="make the copy again; or delete the manifest if this is the published data set",
    )


def _fault(manifest: Any) -> str:
    """What is wrong with a manifest, or an empty text."""
    if not isinstance(manifest, dict) or manifest.get("kind") not in ("synthetic", "shrunk"):
        return "no kind 'synthetic' or 'shrunk'"
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        return "no files (an object from path to checksum)"
    outside = [path for path in files if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts]
    if outside:
        return f"the path {outside[0]!r}, which leads out of the copy"
    for key in ("size", "coordinates_size"):
        size = manifest.get(key, PUBLISHED_SIZE if key == "coordinates_size" else ())
        if not _is_list(size, int) or len(size) != 2 or min(size) < 1:
            return f"no {key} [height, width]"
    if not _is_list(manifest.get("empty_masks", []), str):
        return "empty_masks that are no list of paths"
    for key, columns in COLUMNS.items():
        rows = manifest.get(key, [])
        if not _is_list(rows, dict) or not all(isinstance(row.get(c), str) for row in rows for c in columns):
            return f"{key} that is no list of objects with {', '.join(columns)}"
    return ""


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, kind) for entry in value)


def write_manifest(root: Path, kind: Literal["synthetic", "shrunk"], *, size: Size, **extra: Any) -> Path:
    """List the files below `root` in `manifest.json`, so that loaders and the doctor know what belongs to this copy.

    Args:
        root: Root of a finished copy in IDRiD's layout.
        kind: What made it.
        size: (height, width) of its images in pixels.
        **extra: Further keys, JSON-able. These have a meaning: `coordinates_size` [height, width] (of what image the
            localisation files speak; 2848×4288 if not given), `overlap` (list of objects with the columns of
            `splits.overlap`), `duplicates` (the same for `splits.duplicates`), `empty_masks` (paths).

    Returns:
        The manifest's path. Keys: kind, size, made_by, files (path → start of SHA-256), and the further ones.
    """
    paths = [p for folder in PARTS.values() for p in sorted((root / folder).rglob("*")) if p.is_file()]
    files = {p.relative_to(root).as_posix(): h for p, h in zip(paths, hash_files(paths), strict=True)}
    manifest = {"kind": kind, "size": list(size), "made_by": f"fundus_lib {__version__}", **extra, "files": files}
    path = root / MANIFEST
    path.write_text(json.dumps(manifest, indent=1, sort_keys=False) + "\n", "utf-8")
    return path


def check_folders(root: Path, files: Inventory, folders: Iterable[str]) -> None:
    """Check that each folder holds exactly the files of the list. Hidden files and those of Windows do not count.

    Raises:
        MissingFileError: A listed file is not there; the message names a similar one that is.
        UnexpectedFileError: A file is there that the list does not name.
    """
    source = "the published list" if files.kind == "published" else f"the list in {MANIFEST}"
    for folder in folders:
        listed, there = set(files.names(folder)), set(files_in(root / folder))
        missing, stray = sorted(listed - there), sorted(there - listed)
        if missing:
            path, advice = root / folder / missing[0], "" if set(listed) & there else advise(root, folder)
            similar = difflib.get_close_matches(missing[0], stray, n=1, cutoff=0.6)
            found = f"{similar[0]!r}, which no list names" if similar else "no such file"
            if path.is_dir():
                found = "a folder of that name"
            more = f" ({len(missing)} of {len(listed)} files of this folder are missing)" if len(missing) > 1 else ""
            again = "unpack the archive again; `fundus data check` lists all faults"
            raise MissingFileError(
                path,
                "this file is missing",
                found=found + more,
                expected=f"every file of {source}; an image without a lesion is one for which the list has no mask",
                remedy=advice or ("rename the file" if similar else again),
            )
        if stray:
            raise UnexpectedFileError(
                root / folder / stray[0],
                "this file does not belong here",
                found=f"{len(stray)} file(s) that {source} does not name",
                expected=f"the {len(listed)} listed files and no other",
                remedy="move it elsewhere, or correct its name",
            )


def files_in(folder: Path) -> list[str]:
    """Names of the files in a folder, without hidden ones and those of Windows; empty if there is no such folder.

    Raises:
        FileAccessError: The system refuses to list it.
    """
    if not folder.is_dir():
        return []
    try:
        names = [p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return sorted(name for name in names if name not in ("Thumbs.db", "desktop.ini"))


def hash_files(paths: Iterable[Path]) -> list[str]:
    """The first digits of the SHA-256 of each file, computed in threads.

    Raises:
        MissingFileError: A file is not there.
        FileAccessError: The system refuses to read one.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(hash_file, paths))


def hash_file(path: Path) -> str:
    """The first digits of the SHA-256 of one file; see `hash_files`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except FileNotFoundError:
        raise MissingFileError(
            path,
            "this file is not there",
            found="no such file",
            expected="every file of the data set",
            remedy="unpack the archive again",
        ) from None
    except OSError as error:
        raise explain_os_error(error, path) from error


def fingerprint(root: Path, part: str) -> str:
    """Hash of the content of a part of a copy, 12 hexadecimal digits: alike on all machines, other for a changed bit.

    Args:
        root: Root of the copy.
        part: `"segmentation"`, `"grading"` or `"localization"`.

    Raises:
        ArgumentError: There is no such part.
        MissingFileError: A listed file is not there.
    """
    if part not in PARTS:
        raise ArgumentError(
            "part", "IDRiD has no such part", found=repr(part), expected=", ".join(PARTS), remedy="name one of these"
        )
    files = inventory(root)
    listed = [p for p in files.files if p.startswith(PARTS[part] + "/")]
    check_folders(root, files, sorted({p.rpartition("/")[0] for p in listed}))
    return fingerprint_files(root, (root / p for p in listed))


def fingerprint_files(root: Path, paths: Iterable[Path]) -> str:
    """Hash of names (relative to `root`) and content of files in any order, 12 hexadecimal digits."""
    ordered = sorted(set(paths))
    lines = (f"{d} {p.relative_to(root).as_posix()}\n" for p, d in zip(ordered, hash_files(ordered), strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]
