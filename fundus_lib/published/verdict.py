"""A verdict: what a paper claims, what was run here, and what that says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from fundus_lib.published.cards import as_html
from fundus_lib.records import load
from fundus_lib.records.rows import check_row, newest

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.metrics.bootstrap import Estimate

ENOUGH = 3
"""Seeds from which on a comparison says something about other trainings."""


@dataclass(frozen=True)
class Evidence:
    """The differences that an answer rests on, as a table.

    Attributes:
        caption: What minus what, over which images, and what the interval is.
        lines: Networks and scale → score → difference with its interval and how many seeds.
    """

    caption: str
    lines: Mapping[str, Mapping[str, str]]

    def __repr__(self) -> str:
        lines = (f"  {where}: {score} {found}" for where, own in self.lines.items() for score, found in own.items())
        return "\n".join([self.caption, *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th colspan="2" scope="colgroup">{escape(where[:1].upper() + where[1:])}</th></tr>'
            + "".join(f"<tr><td>{escape(score)}</td><td>{escape(found)}</td></tr>" for score, found in own.items())
            for where, own in self.lines.items()
        )
        return f'<table class="fundus-evidence"><caption>{escape(self.caption)}</caption>{rows}</table>'


@dataclass(frozen=True)
class Verdict:
    """What became of a paper's claim; displays itself in a notebook and in the book.

    Attributes:
        claim: In one sentence, with the paper's number.
        ran: What was run here, and how far that is from the paper.
        answer: Whether the claim holds, does not hold or cannot be told yet, in sentences.
        sure: How sure that is, and what would change it.
        evidence: What the answer rests on, if anything was run.
    """

    claim: str
    ran: str
    answer: str
    sure: str
    evidence: Evidence | None = None

    def lines(self) -> dict[str, str]:
        """Label → text."""
        return {"the claim": self.claim, "what was run": self.ran, "the answer": self.answer, "how sure": self.sure}

    def __repr__(self) -> str:
        lines = [f"{label}: {text}" for label, text in self.lines().items()]
        return "\n".join([*lines, *([repr(self.evidence)] if self.evidence else [])])

    def _repr_html_(self) -> str:
        table = self.evidence._repr_html_() if self.evidence else ""
        return as_html("Verdict", self.lines(), "the answer", {"the answer": table})

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """The same under the name by which other pages show this output, with `{glue} verdict`."""
        shown = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return shown, {"scrapbook": {"name": "verdict", "mime_prefix": ""}}


NOT_YET = "–"
"""In place of a number that nobody has measured."""


@dataclass(frozen=True)
class Result:
    """A number with what it is of.

    Attributes:
        number: With its interval, where it is a difference; :data:`NOT_YET` without one.
        words: What it is, beside what the paper prints; with the scale and how many seeds.
    """

    number: str
    words: str


@dataclass(frozen=True)
class Brief:
    """A claim and the answer in short; displays itself, and other pages show it with `{glue} verdict_PAPER`.

    Attributes:
        paper: Its name.
        claim: In one sentence.
        answer: Whether it holds, in a sentence or two.
    """

    paper: str
    claim: str
    answer: str

    def __repr__(self) -> str:
        return f"{self.paper}: {self.claim} Our runs: {self.answer}"

    def _repr_html_(self) -> str:
        return as_html(self.paper, {"the paper claims": self.claim, "our runs say": self.answer}, "our runs say")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return shown, {"scrapbook": {"name": f"verdict_{self.paper}", "mime_prefix": ""}}


def judge_gain(difference: Estimate) -> tuple[str, str, str]:
    """What the interval of a gain says of the claim, of the gain where it was measured, and where the interval lies."""
    if difference.low > 0:
        return "Holds", "a gain is shown", "is above zero"
    if difference.high < 0:
        return "Does not hold", "a loss is shown", "is below zero"
    return "No gain is shown", "no gain is shown", "contains zero"


def find_runs(paper: str, table: str, rows: Collection[str], dataset: str = "IDRiD") -> pd.DataFrame:
    """The newest runs of some rows of a table on a data set, or on several, separated by commas."""
    runs = load()
    for row in rows:
        check_row(runs, paper, table, row)
    own = newest(runs[(runs.paper == paper) & (runs.dataset == dataset)], table)
    return own[own.row.isin(list(rows))]


def count_seeds(runs: pd.DataFrame) -> str:
    """How many seeds each row of :func:`find_runs` has at least, in words."""
    seeds = int(runs.groupby("row").seed.nunique().min())
    return f"{seeds} seed{'s' * (seeds > 1)} of each"


def tell_seeds(seeds: Sized) -> str:
    """How many seeds, in words."""
    return "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
