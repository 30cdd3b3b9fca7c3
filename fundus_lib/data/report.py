"""What the validation of a copy of a data set found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

SHOWN = 12
"""How many files and how many problems are printed."""


@dataclass(frozen=True)
class Report:
    """What the validation of a copy found.

    Attributes:
        root: The folder.
        dataset: What it is, in words.
        exit_code: 0: as published, or as the library made it; 1: usable, but not as published; 2: not usable.
        parts: One row for each part: how many files are complete, resized, altered, …; the last column sums it up.
        files: One row for each file that is not as listed: part, file and state.
        counts: How many images and masks each split holds.
        grades: How many images have each grade; empty where there are no grades.
        duplicates: Images that are twice in the grading part.
        overlap: Images that are in two parts.
        problems: What makes it unusable, each as the loader says it.
        next_steps: What to do, in plain words.
    """

    root: Path
    dataset: str
    exit_code: int
    parts: pd.DataFrame = field(default_factory=pd.DataFrame)
    files: pd.DataFrame = field(default_factory=pd.DataFrame)
    counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    grades: pd.DataFrame = field(default_factory=pd.DataFrame)
    duplicates: pd.DataFrame = field(default_factory=pd.DataFrame)
    overlap: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = ("fine", "usable, but not as published", "not usable")[self.exit_code]
        blocks = [f"{self.root}\n{self.dataset}: {verdict}"]
        blocks += [f"{title}\n{_indent(t.to_string(na_rep='-'))}" for title, t in self._tables() if len(t)]
        if len(self.files):
            shown = self.files[~self.files.state.isin(["resized"])].head(SHOWN)
            if len(shown):
                more = len(self.files) - len(shown)
                text = shown.to_string(index=False, header=False, justify="left")
                blocks.append(f"Files\n{_indent(text)}" + (f"\n  and {more} more" if more else ""))
        if len(self.overlap):
            pairs = Counter(zip(self.overlap.segmentation_split, self.overlap.grading_split, strict=True))
            lines = [f"{n} of the segmentation {a} set are in the grading {b} set" for (a, b), n in pairs.items()]
            blocks.append(f"The same photograph in two parts: {len(self.overlap)}\n{_indent(chr(10).join(lines))}")
        if self.problems:
            left = len(self.problems) - SHOWN
            lines = [_indent(p) for p in self.problems[:SHOWN]] + ([f"  and {left} more"] if left > 0 else [])
            blocks.append("What is wrong\n" + "\n".join(lines))
        if self.next_steps:
            blocks.append("What to do next\n" + "\n".join(f"  - {step}" for step in self.next_steps))
        return "\n\n".join(blocks)

    def _tables(self) -> list[tuple[str, pd.DataFrame]]:
        return [
            ("Parts (number of files)", self.parts),
            ("Photographs and masks", self.counts),
            ("Photographs with each grade", self.grades),
            ("The same photograph twice in the grading part", self.duplicates),
        ]


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
