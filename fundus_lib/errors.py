"""What can be wrong with an input: one exception type per cause, each saying where, what, and what to do.

Every message has the same four parts, so that a reader who sees one for the first time can act on it::

    .../1. Microaneurysms/IDRiD_07_MA.tif: mask and image differ in size
      found:    480×720
      expected: 2848×4288, the size of IDRiD_07.jpg
      remedy:   unpack the archive again, or shrink image and mask together with `fundus data shrink`
"""

from __future__ import annotations

from os import PathLike


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


class DatasetNotFoundError(FundusError):
    """The folder is not the root of the data set that was asked for."""


class MissingFileError(FundusError):
    """A file that the data set must have is not there."""


class UnexpectedFileError(FundusError):
    """A file is there that belongs to no image of the data set, most often because its name is misspelt."""


class FileAccessError(FundusError):
    """The system refuses to read, make or write a file or a folder: no permission, no room, or not of that kind."""


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
