"""The four parts of a message, and the ways that an error travels between processes."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from fundus_lib import errors
from fundus_lib.errors import FundusError, MaskSizeError

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FundusError)]
MADE = {"problem": "too small", "found": 3, "expected": 4, "remedy": "add one"}


@pytest.mark.parametrize("kind", KINDS)
def test_message_has_four_parts_and_survives_pickling(kind: type[FundusError]) -> None:
    error = kind("a/b.tif", **MADE)
    assert str(error) == "a/b.tif: too small\n  found:    3\n  expected: 4\n  remedy:   add one"
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (str(back), back.found, back.remedy) == (str(error), 3, "add one")


class Broken(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise MaskSizeError("a/b.tif", **MADE)


def test_type_and_message_come_back_from_a_worker() -> None:
    with pytest.raises(MaskSizeError, match=r"(?s)a/b.tif: too small.*remedy:   add one"):
        next(iter(DataLoader(Broken(), num_workers=1)))
