"""All claims of all papers: of each, the tuple `CLAIMS` in the module `PAPER_claims`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fundus_lib.published.printed import PAPERS, info

if TYPE_CHECKING:
    import pandas as pd

    from fundus_lib.published.claim import Claim


def claims(paper: str | None = None) -> pd.DataFrame:
    """Every claim that was checked, and what speaks against it.

    Args:
        paper: Only this paper.

    Returns:
        Columns paper, place, says, holds (whether the printed digits allow it), against (what contradicts, or empty).

    Raises:
        UnknownNameError: There is no such paper.
    """
    import pandas as pd

    if paper is not None:
        info(paper, 1)  # refuses an unknown paper
    lines = []
    for name in PAPERS if paper is None else (paper,):
        made: tuple[Claim, ...] = import_module(f"fundus_lib.published.{name}_claims").CLAIMS
        for claim in made:
            against = claim.against()
            lines.append([name, claim.place, claim.says, not against, "; ".join(against)])
    return pd.DataFrame(lines, columns=["paper", "place", "says", "holds", "against"])
