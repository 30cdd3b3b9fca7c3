"""Data sets of which one file is not as it should be: the right content or an error of this library; and the doctor.

Each copy is written once; a file in it is changed, everything is read, the doctor is asked, and the file is restored.
"""

import numpy as np
import pytest

from fundus_lib.data import DDRGrading, DDRSegmentation, DiaRetDB1, IDRiDGrading, IDRiDSegmentation, doctor
from fundus_lib.errors import FundusError
from helpers import mutations, small_ddr, small_diaretdb1, small_idrid


def idrid(root):
    small_idrid.write(root)
    return [
        *(lambda s=s: IDRiDSegmentation(root, s, lesions=("MA", "HE", "EX", "SE", "OD")) for s in ("train", "test")),
        *(lambda s=s: IDRiDGrading(root, s) for s in ("train", "test")),
    ]


def ddr(root):
    small_ddr.write_both_parts(root)
    splits = ("train", "val", "test")
    return [
        *(lambda s=s: DDRSegmentation(root, s) for s in splits),
        *(lambda s=s: DDRGrading(root, s, ungradable="keep") for s in splits),
    ]


def v21(root):
    small_diaretdb1.write_v21(root)
    return [lambda s=s: DiaRetDB1(root, s) for s in ("train", "test")]


def v11(root):
    small_diaretdb1.write_v11(root)
    return [lambda s=s: DiaRetDB1(root, s, version="1.1") for s in ("train", "test")]


def contents(data):
    """Everything that a data set yields, by a key that names the file it comes from."""
    found = {}
    for sample in data:
        key = (type(data).__name__, data.split, sample["name"])
        found[*key, "image"] = sample["image"].numpy()
        found[*key, "grades"] = np.array([sample["dr"], sample["dme"]])
        for lesion, mask in zip(data.lesions, sample["mask"].numpy(), strict=True):
            assert mask.dtype == np.uint8 and mask.max(initial=0) <= 1
            assert mask.shape == sample["image"].shape[-2:]
            found[*key, lesion] = mask
        for point in ("optic_disc", "fovea"):
            if point in sample:
                found[*key, point] = sample[point].numpy()
    return found


def outcome(openings, root):
    """What is read, what is refused, and the doctor's exit code; anything but a library's error is let through."""
    found, errors = {}, []
    for opening in openings:
        try:
            found |= contents(opening())
        except FundusError as error:
            errors.append(error)
    try:
        report = doctor.check(root)
        assert str(report)
        code = report.exit_code
    except FundusError:
        code = 2
    return found, errors, code


def comes_from(key, path):
    """Whether a change of a file may change what is found under a key."""
    if path.suffix == ".txt" and key[0] == "DiaRetDB1":
        return True  # the lists say which image is in which split
    if path.suffix in mutations.TEXTS:
        return key[3] != "image"
    return (path.suffix == ".tif" or "groundtruth" in str(path)) != (key[3] == "image")


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize(("write", "count"), [(idrid, 180), (ddr, 160), (v21, 130), (v11, 70)])
def test_the_right_content_or_an_error_and_the_doctor_agrees(write, count, tmp_path):
    root = tmp_path / "root"
    openings = write(root)
    files = mutations.snapshot(root)
    before, errors, code = outcome(openings, root)
    assert before and not errors and code < 2
    rng = np.random.default_rng(len(files))
    usable = 0
    for number in range(count):
        path = sorted(files)[rng.integers(len(files))]
        if number % 25 == 0:
            with mutations.refused(path):
                found, errors, code = outcome(openings, root)
            what, same = "refused", True
        else:
            kinds = mutations.kinds(path)
            mutate, same = kinds[rng.integers(len(kinds))]
            mutate(path, rng)
            what = mutate.__qualname__
            found, errors, code = outcome(openings, root)
        case = f"{number}: {what} {path.relative_to(root)}, doctor {code}, {errors}"
        assert code == 2 or not errors, case
        for key, value in found.items():
            equal = key in before and np.array_equal(value, before[key])
            image = (*key[:3], "image")
            resized = image in before and found[image].shape != before[image].shape  # points and regions go with it
            assert equal or (not same and (resized or comes_from(key, path))), (case, key)
        usable += code < 2
        mutations.restore(root, files)
    assert count / 20 < usable < count * 19 / 20  # both outcomes are tried
