"""Rows of the small tables have names that a reader understands, one each."""

import pytest

from fundus_lib.published import dual_branch_names, sunet_names
from fundus_lib.recipes import recipes


@pytest.mark.parametrize(
    ("paper", "names", "tables"),
    [
        ("dual_branch", dual_branch_names.NAMES, ("small", "paper_size", "ablations")),
        ("sunet", sunet_names.NAMES, ("lite", "lite_512", "small", "ablations")),
    ],
)
def test_every_row_has_a_name_of_its_own(paper, names, tables):
    rows = {table: [recipe.row for recipe in recipes(paper, table)] for table in tables}
    assert {row for found in rows.values() for row in found} == names.keys()  # none is missing, none is left over
    for table, found in rows.items():
        shown = [names[row] for row in found]
        assert len(set(shown)) == len(shown), table
        assert not any("_" in name for name in shown)
