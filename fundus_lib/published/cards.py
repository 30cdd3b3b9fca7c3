"""Cards: what a paper says, what is wrong with it or what its code does, what we do, and what that changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

NOT_MEASURED = "not measured"
"""The effect of what nobody has measured, in plain words."""

_LABELS = {
    "says": "the paper says",
    "doubt": "does not add up",
    "code": "its code does",
    "ours": "we do",
    "effect": "it changes the result by",
}


@dataclass(frozen=True)
class Card:
    """One point on which a paper is silent or contradicts itself, or its text and its code differ.

    It displays itself in a notebook and in the book. Texts are plain; what stands between backticks is shown as code. A
    line without text is left out.

    Attributes:
        title: What it is about.
        says: What the paper says, in our words.
        ours: What this library does.
        effect: By how much it changes the result: computed from records or on the page.
        doubt: What in the paper speaks against it.
        code: What its authors' code does, if there is any.
    """

    title: str
    says: str
    ours: str
    effect: str = NOT_MEASURED
    doubt: str = field(default="", kw_only=True)
    code: str = field(default="", kw_only=True)

    def _lines(self) -> list[str]:
        return [name for name in _LABELS if getattr(self, name)]

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"{_LABELS[name]}: {getattr(self, name)}" for name in self._lines())])

    def _repr_html_(self) -> str:
        return as_html(self.title, {_LABELS[name]: getattr(self, name) for name in self._lines()}, _LABELS["effect"])


def as_html(title: str, lines: Mapping[str, str], strong: str, below: Mapping[str, str] | None = None) -> str:
    """A box with a title and labelled lines: side by side where there is room, one below the other on a phone.

    Args:
        title: Plain text, as the others.
        lines: Label → text.
        strong: The label of the line that is marked.
        below: Label → HTML that follows its text.
    """
    rows = "".join(
        f'<div style="display:flex;flex-wrap:wrap;gap:0 1em;border-left:3px solid '
        f'{"#0072B2" if label == strong else "rgba(128,128,128,.3)"};padding-left:.7em;margin:.35em 0">'
        f'<dt style="flex:0 0 8em;font-weight:normal;opacity:.75;margin:0">{label}</dt>'
        f'<dd style="flex:1 1 16em;margin:0">{_inline(text)}{(below or {}).get(label, "")}</dd></div>'
        for label, text in lines.items()
    )
    return (
        '<div class="fundus-card" style="border:1px solid rgba(128,128,128,.5);border-radius:.4em;'
        'padding:.6em 1em;margin:.5em 0;text-align:left">'
        f'<p style="margin:0 0 .4em"><b>{_inline(title)}</b></p>'
        f'<dl style="margin:0">{rows}</dl></div>'
    )


def _inline(text: str) -> str:
    """Safe HTML of a plain text, with code between backticks and bold between double asterisks."""
    text = re.sub("`(.+?)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
