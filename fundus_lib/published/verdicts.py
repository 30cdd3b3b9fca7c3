"""The verdict on each paper: `PAPER_verdict.py` beside this file makes it from the records that there are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fundus_lib.published.verdict import Brief

if TYPE_CHECKING:
    from fundus_lib.published.verdict import Verdict


def verdict(paper: str) -> Verdict:
    """The verdict on a paper."""
    made: Verdict = import_module(f"fundus_lib.published.{paper}_verdict").judge()
    return made


def brief(paper: str) -> Brief:
    """The same in two lines, for pages that show all papers."""
    made = verdict(paper)
    return Brief(paper, made.claim, made.answer)
