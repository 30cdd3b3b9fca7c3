"""Write the README's table of results from the records: `python tools/readme.py`."""

import re
from pathlib import Path

from fundus_lib import records

README = Path(__file__).resolve().parent.parent / "README.md"
ASIDE = ("anywhere", "faster", "ablations")
"""Tables that repeat another one under other conditions: their chapter shows them, the README does not."""
PLACE = re.compile(r"(?<=lists them; a test holds this table to them\):\n\n).*?(?=\n\n## )", re.S)


def table() -> str:
    """The results on IDRiD as a Markdown table: mean AUPR over seeds, spread, time and device of each row."""
    runs = records.load()
    lines = [
        "| chapter, row | trained on | AUPR, hard exudates | guessing | training | device |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    runs = runs[(runs.dataset == "IDRiD") & ~runs.table.isin(ASIDE)]
    for (paper, _, row, trained_on), group in runs.groupby(["paper", "table", "row", "trained_on"]):
        aupr = group.EX_aupr
        spread = f" ({aupr.min():.3f}-{aupr.max():.3f}, {len(aupr)} seeds)" if len(aupr) > 1 else " (one seed)"
        lines.append(
            f"| {paper}, `{row}` | {trained_on} | {aupr.mean():.3f}{spread} | {group.EX_prevalence.mean():.4f} "
            f"| {group.train_seconds.mean():.0f} s | {' or '.join(sorted(set(group.device)))} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Replace the table in the README."""
    README.write_text(PLACE.sub(lambda _: table(), README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
