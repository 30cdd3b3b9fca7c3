"""What can be wrong with an input: one exception type per cause, each saying where, what, and what to do.

Every message has the same four parts, so that a reader who sees one for the first time can act on it::

    .../1. Microaneurysms/IDRiD_07_MA.tif: mask and image differ in size
      found:    480×720
      expected: 2848×4288, the size of IDRiD_07.jpg
      remedy:   unpack the archive again, or shrink image and mask together with `fundus data shrink`
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


class FundusError(Exception):
    """Base of all errors that this library raises for bad input.

    Args:
        where: The file, folder, name or argument at fault.
        problem: What is wrong, in one phrase.
        found: What was there.
        expected: What should have been there.
        remedy: What to do about it.
    """

    def __init__(
        self,
        where: str | PathLike[str],
        problem: str = "",
        *,
        found: object = "",
        expected: object = "",
        remedy: str = "",
    ):
        self.where, self.problem, self.found, self.expected, self.remedy = str(where), problem, found, expected, remedy
        message = f"{where}: {problem}\n  found:    {found}\n  expected: {expected}\n  remedy:   {remedy}"
        # a worker of torch's DataLoader passes on an error as its type and one text, which is then the whole message
        super().__init__(message if problem else str(where))

    def __reduce__(self):  # type: ignore[no-untyped-def]
        """Survive the trip back from a data-loading worker process, which pickles what it raises."""
        return _rebuild, (type(self), self.where, self.problem, self.found, self.expected, self.remedy)


def _rebuild(kind: type[FundusError], where: str, problem: str, found: object, expected: object, remedy: str):  # type: ignore[no-untyped-def]
    return kind(where, problem, found=found, expected=expected, remedy=remedy)


def suggest(found: object, names: Iterable[str], otherwise: str = "choose one of these") -> str:
    """A remedy for a name that does not exist: the one that is meant, those that are spelt like it, or what is given.

    Case and separators do not count, and a plus may stand for "p" or "plus": UNet++ is `unetpp`.
    """

    def plain(name: object, plus: str = "") -> str:
        return re.sub(r"[^a-z0-9]", "", str(name).lower().replace("+", plus))

    by_form = {plain(name): name for name in names}
    meant = [by_form[form] for plus in ("p", "plus") if (form := plain(found, plus)) in by_form]
    close = meant[:1] or [by_form[form] for form in difflib.get_close_matches(plain(found, "p"), by_form)]
    return f"did you mean {' or '.join(close)}?" if close else otherwise


class DatasetNotFoundError(FundusError):
    """The folder is not the root of the data set that was asked for."""


class MissingFileError(FundusError):
    """A file that the data set must have is not there."""


class UnexpectedFileError(FundusError):
    """A file is there that belongs to no image of the data set, most often because its name is misspelt."""


class UnreadableImageError(FundusError):
    """An image or a mask cannot be decoded."""


class MaskSizeError(FundusError):
    """A mask does not have the size of its image."""


class MaskValueError(FundusError):
    """A mask holds other values than background and lesion."""


class LabelFormatError(FundusError):
    """A label file does not have the columns, the rows or the syntax that it should have."""


class GradeRangeError(FundusError):
    """A grade lies outside its scale."""


class ArgumentError(FundusError, ValueError):
    """An argument has a value that the function cannot work with."""


class ImageIndexError(FundusError, IndexError):
    """A data set has no image of that number."""


class UnknownNameError(ArgumentError):
    """A name (of a model, a recipe, a split, a lesion) is not among those that exist."""


class CheckpointError(FundusError):
    """A checkpoint is missing, damaged, or of another kind than expected."""


class RecordError(FundusError):
    """A record cannot be read or lacks a field."""


class WeightsError(FundusError):
    """Weights that were trained on ImageNet cannot be had: no network, or none exist for the architecture."""


class MissingPackageError(FundusError, ImportError):
    """A package that this library does not install by itself is needed."""


class FileAccessError(FundusError):
    """A file or folder cannot be read or written: no permission, a full disk, a file where a folder is meant."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says of a full disk, a used-up quota, and a limit on the size of files."""


@contextmanager
def naming(where: str | PathLike[str], remedy: str = "") -> Iterator[None]:
    """Let what the operating system refuses within the block say which file or folder it is about.

    Args:
        where: The file or folder that the block reads or writes.
        remedy: What to do instead of the advice that fits the error.

    Raises:
        FileAccessError: The operating system refused something.
    """
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, where, remedy) from error


def explain_os_error(error: OSError, where: str | PathLike[str], remedy: str = "") -> FileAccessError:
    """What the operating system refused, as an error of this library.

    Args:
        error: As Python raised it.
        where: The file or folder that it is about.
        remedy: What to do instead of the advice that fits the error.
    """
    path = Path(where).absolute()
    parents = (path, *path.parents)
    there = next((p for p in parents if os.path.exists(p)), path)  # noqa: PTH110 (Path.exists raises EACCES)
    found = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        problem, expected = "there is no room to write this", "room on the disk"
        found = f"{found}; {shutil.disk_usage(there).free / 1e6:.0f} MB are free"
        advice = "delete what is not needed, or name a folder on another disk"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        problem, expected = "you may not read or write this", "a file or folder that you have the permission for"
        advice = "change its permissions, or name another one"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST) and not there.is_dir():
        problem, expected, found = "a file is where a folder is meant", "a folder", f"the file {there}"
        advice = "name another folder, or move the file away"
    elif error.errno == errno.EISDIR:
        problem, expected, advice = "a folder is where a file is meant", "a file", "name a file"
    elif error.errno == errno.ENOENT:
        problem, expected, advice = "there is no such file or folder", "one that exists", "correct the path"
    else:
        problem, expected, advice = "this cannot be read or written", "a file system that answers", "look at the disk"
    return FileAccessError(where, problem, found=found, expected=expected, remedy=remedy or advice)
