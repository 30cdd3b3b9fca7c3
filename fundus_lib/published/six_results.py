"""The six numbers that the book comes to: one of a plain network, and one of each paper, from records alone.

Each is what `headline` gives in `PAPER_verdict.py` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fundus_lib.published import benchmark_verdict
from fundus_lib.published.cards import as_html
from fundus_lib.published.printed import PAPERS
from fundus_lib.published.verdict import Result


@dataclass(frozen=True)
class SixResults:
    """Displays itself as a box; other pages show it with `{glue} six_results`."""

    results: Mapping[str, Result]

    def to_markdown(self) -> str:
        """A table, for the README."""
        lines = [f"| {where} | **{one.number}** | {one.words} |" for where, one in self.results.items()]
        return "\n".join(["| | result | what it is |", "| --- | --- | --- |", *lines])

    def __repr__(self) -> str:
        return "\n".join(f"{where}: {one.number}: {one.words}" for where, one in self.results.items())

    def _repr_html_(self) -> str:
        lines = {where: f"**{one.number}** {one.words}" for where, one in self.results.items()}
        return as_html("Six results", lines, "")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return shown, {"scrapbook": {"name": "six_results", "mime_prefix": ""}}


def six_results() -> SixResults:
    """All six, from the records of the library."""
    found = {paper: import_module(f"fundus_lib.published.{paper}_verdict").headline() for paper in PAPERS}
    return SixResults({"a plain network": benchmark_verdict.headline(), **found})
