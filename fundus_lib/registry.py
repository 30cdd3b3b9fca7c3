"""Modules by name: what models and losses have in common."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fundus_lib.errors import ArgumentError, UnknownNameError, suggest

if TYPE_CHECKING:
    from torch import nn


def create(kind: str, classes: Mapping[str, str], name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """Make one of the modules that a table names.

    Args:
        kind: What the table holds, such as ``"model"``: for the messages.
        classes: Name (lower case, no separators) to ``module:class``; the module is imported only now.
        name: One of the table's names.
        kwargs: Arguments of the class.

    Raises:
        UnknownNameError: The table has no such name.
        ArgumentError: The class has no such argument, or an argument's value is not possible.
    """
    if name not in classes:
        raise UnknownNameError(
            f"create_{kind}",
            f"there is no {kind} of that name",
            found=repr(name),
            expected=", ".join(sorted(classes)),
            remedy=suggest(name, classes, f"names are lower case without separators, such as {min(classes)!r}"),
        )
    module, _, attribute = classes[name].partition(":")
    made_from = getattr(import_module(module), attribute)
    try:
        made: nn.Module = made_from(**kwargs)
    except TypeError as error:
        raise ArgumentError(
            f"create_{kind}({name!r})",
            f"the {kind} cannot be made with these settings",
            found=f"{dict(kwargs)} ({error})",
            expected=f"the arguments of {module}.{attribute}",
            remedy=f"see help({module}.{attribute})",
        ) from error
    return made
