"""The committed notebooks are in step with their twins, fresh, executed, synthetic, and speak of one repository."""

import notebook_checks as checks
import notebook_store as store
import pytest

NOTEBOOKS = store.paths()


def ids(paths):
    return [path.relative_to(store.ROOT).as_posix() for path in paths]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids(NOTEBOOKS))
@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=checks.CHECKS)
def test_committed_notebook(path, check):
    problem = check(path, store.read(path))
    assert problem is None, f"{path.relative_to(store.ROOT)} {problem}"


def test_every_notebook_is_in_the_table_of_contents():
    contents = (store.ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert not [name for name in ids(NOTEBOOKS) if name not in contents]


def test_all_notebooks_together_are_light():
    assert checks.weight(NOTEBOOKS) is None


def test_one_address():
    assert checks.address() == []
