"""What is true of the real IDRiD, and that the library reads it so. Needs the data set: fixture `idrid_root`."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation, layout, splits, stats, summary
from fundus_lib.data.doctor import check
from fundus_lib.data.images import read_image, read_mask
from fundus_lib.data.inventory import inventory, write_manifest
from fundus_lib.data.shrink import shrink

pytestmark = pytest.mark.real_data
TABLE1 = (960, 1440)


@pytest.fixture(scope="module")
def published(idrid_root):
    """Full-size tests make no sense on a shrunk copy."""
    if inventory(idrid_root).kind != "published":
        pytest.skip(f"{idrid_root} is a shrunk or drawn copy")
    return idrid_root


@pytest.fixture(scope="module")
def native_masks(published):
    """Per image and lesion, of all 81 images at 2848×4288: share of the image, number of components; decoded once."""

    def measure(job):
        data, i = job
        rows = []
        for lesion, path in data.items[i].masks.items():
            mask = read_mask(path, may_be_empty=False)
            count = stats.component_areas(mask).size if lesion in ("MA", "EX") else 0
            rows.append((data.split, data.names[i], lesion, mask.shape, mask.mean(), count))
        return rows

    sets = [IDRiDSegmentation(published, split, lesions=tuple(layout.MASKS)) for split in layout.SPLITS]
    with ThreadPoolExecutor(2) as pool:
        rows = [row for part in pool.map(measure, [(d, i) for d in sets for i in range(len(d))]) for row in part]
    return pd.DataFrame(rows, columns=["split", "name", "lesion", "shape", "area", "components"])


@pytest.fixture(scope="module")
def at_table1_size(published):
    return stats.lesion_statistics(*stats.open_all(published))


def test_number_of_masks(published):
    expected = {"train": [54, 53, 54, 26, 54], "test": [27, 27, 27, 14, 27]}
    for split, counts in expected.items():
        data = IDRiDSegmentation(published, split, lesions=tuple(layout.MASKS))
        assert data.annotated.sum(axis=0).tolist() == counts
        assert len(data) == {"train": 54, "test": 27}[split]


def test_image_43_has_no_haemorrhage(published):
    data = IDRiDSegmentation(published, "train")
    absent = [n for n, there in zip(data.names, data.annotated[:, 1], strict=True) if not there]
    assert absent == ["IDRiD_43"]
    sample = data[data.names.index("IDRiD_43")]
    assert sample["image"].shape == (3, *layout.PUBLISHED_SIZE)
    assert not sample["mask"][1].any()
    assert sample["mask"][[0, 2]].flatten(1).any(dim=1).all()


def test_no_mask_is_black_and_all_have_the_published_size(native_masks):
    assert len(native_masks) == 54 * 4 - 1 + 26 + 27 * 4 + 14  # MA HE EX OD, less one HE; SE
    assert (native_masks.area > 0).all()
    assert (native_masks.area < 0.2).all()
    assert set(native_masks["shape"]) == {layout.PUBLISHED_SIZE}


def test_palette_masks_are_zero_and_one_where_grey_reading_gives_76(published):
    item = IDRiDSegmentation(published, "train").items[0]
    with Image.open(item.masks["EX"]) as picture:
        assert picture.mode == "P"
        assert set(np.unique(picture.convert("L"))) == {0, 76}
        indices = np.asarray(picture)
    mask = read_mask(item.masks["EX"])
    assert np.array_equal(mask, indices)
    assert set(np.unique(mask)) == {0, 1}


def test_image_81_has_an_rgba_mask(published):
    item = IDRiDSegmentation(published, "test").items[-1]
    assert item.name == "IDRiD_81"
    with Image.open(item.masks["EX"]) as picture:
        assert picture.mode == "RGBA"
        pixels = np.asarray(picture)
    assert (pixels[..., 3] == 255).all()
    mask = read_mask(item.masks["EX"])
    assert np.array_equal(mask, pixels[..., 0] > 0)
    assert mask.mean() == pytest.approx(0.0256, abs=1e-4)


def test_mean_areas_of_the_training_set(native_masks):
    means = native_masks[native_masks.split == "train"].groupby("lesion").area.mean() * 100
    rounded = {lesion: float(f"{mean:.2g}") for lesion, mean in means.items()}
    assert rounded == {"MA": 0.11, "HE": 1.0, "EX": 0.81, "SE": 0.39, "OD": 1.8}


def test_components_before_and_after_shrinking(native_masks, at_table1_size):
    before = native_masks.groupby("lesion").components.sum()
    assert (before["MA"], before["EX"]) == (3497, 11642)
    assert at_table1_size.loc[["MA", "EX"], "components"].tolist() == [3485, 11191]


def test_table_1_of_dual_branch(native_masks, at_table1_size):
    row = at_table1_size.loc["EX"]
    assert row.images == row.with_lesion == 81
    assert int(row.ratio) == 110
    assert row.ratio == pytest.approx(110.59, abs=0.01)
    assert f"{row.p90:.1e}" == "1.1e-04"
    assert row.p10 == pytest.approx(7 / (TABLE1[0] * TABLE1[1]))  # 5.06e-6, which the paper prints as 5.0e-6
    assert row.p10 == pytest.approx(5.0e-6, rel=0.015)
    native = native_masks[native_masks.lesion == "EX"].area
    assert round(len(native) / native.sum() - 1) == 110


def test_percentiles_are_over_components_and_not_over_pixels(published):
    parts = stats.components(*stats.open_all(published, lesions=("EX",))).sort_values("area")
    cumulated = parts.pixels.cumsum() / parts.pixels.sum()
    share = parts.area[cumulated >= 0.9].min()  # 90 % of lesion pixels lie in components up to this
    assert share == pytest.approx(8e-3, rel=0.3)
    assert share > 50 * 1.1e-4


@pytest.mark.parametrize(
    ("split", "dr", "dme"),
    [("train", [134, 20, 136, 74, 49], [177, 41, 195]), ("test", [34, 5, 32, 19, 13], [45, 10, 48])],
)
def test_grades(idrid_root, split, dr, dme):
    data = IDRiDGrading(idrid_root, split)
    assert np.bincount(data.dr).tolist() == dr
    assert np.bincount(data.dme).tolist() == dme
    assert data.names[0] == "IDRiD_001"  # numbering restarts
    assert data.names[-1] == f"IDRiD_{len(data):03d}"


def test_label_files_have_the_quirks_that_the_reader_undoes(idrid_root):
    train, test = ((idrid_root / layout.grades_file(s)).read_bytes() for s in layout.SPLITS)
    assert train.startswith(b"Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,\r\n")
    assert test.startswith(b"Image name,Retinopathy grade,Risk of macular edema \r\n")
    centres = (idrid_root / layout.fovea_file("train")).read_bytes().splitlines()
    assert centres[0] == b"Image No,X- Coordinate,Y - Coordinate" + b"," * 45
    assert centres[413].startswith(b"IDRiD_413")
    assert len(centres) > 414
    assert not b"".join(centres[414:]).strip(b",")


@pytest.mark.parametrize("split", ["train", "test"])
def test_points_lie_on_their_structures(idrid_root, split):
    """The disc is brighter than the retina around it and the fovea darker, on nearly every photograph."""
    data = IDRiDGrading(idrid_root, split, size=(340, 512))
    rows, columns = np.ogrid[:340, :512]
    brighter, darker = [], []
    for i in range(0, len(data), 4):
        sample = data[i]
        green = sample["image"][1].numpy().astype(float)
        for key, answers, sign in (("optic_disc", brighter, 1), ("fovea", darker, -1)):
            x, y = sample[key][0].tolist()
            distance = np.hypot(columns - x, rows - y)
            ring = (distance > 55) & (distance < 75) & (green > 15)
            answers.append(sign * (green[distance < 8].mean() - green[ring].mean()) > 0)
    assert np.mean(brighter) > 0.95
    assert np.mean(darker) > 0.85


def test_points_scale_with_the_image(idrid_root):
    native, small = IDRiDGrading(idrid_root, "train"), IDRiDGrading(idrid_root, "train", size=(340, 512))
    height, width = native[0]["image"].shape[-2:]
    assert native[0]["optic_disc"][0].tolist() == pytest.approx([2858 * width / 4288, 1805 * height / 2848])
    assert small.centres(0)[0] == pytest.approx((2858 * 512 / 4288, 1805 * 340 / 2848))


def test_duplicates_show_the_same_photograph(idrid_root):
    sets = {split: IDRiDGrading(idrid_root, split) for split in layout.SPLITS}
    for row in splits.duplicates().itertuples():
        first, second = (
            sets[s].items[sets[s].names.index(n)]
            for s, n in ((row.first_split, row.first), (row.second_split, row.second))
        )
        assert np.array_equal(read_image(first.image), read_image(second.image))
        assert ((first.dr, first.dme) == (second.dr, second.dme)) == (row.labels == "the same")
        for kind, a, b in (("DR", first.dr, second.dr), ("DME", first.dme, second.dme)):
            assert (f"{kind} {a} and {b}" in row.labels) == (row.labels != "the same" and a != b)


def test_overlap_shows_the_same_photograph(idrid_root):
    table = splits.overlap()
    size = (85, 128)

    def difference(row):
        a = idrid_root / layout.image_folder("segmentation", row.segmentation_split) / f"{row.segmentation}.jpg"
        b = idrid_root / layout.image_folder("grading", row.grading_split) / f"{row.grading}.jpg"
        return np.abs(read_image(a, size).astype(float) - read_image(b, size)).mean()

    rows = list(table.itertuples())
    with ThreadPoolExecutor(2) as pool:
        same = list(pool.map(difference, rows[::3] + rows[-3:]))
        other = [
            difference(a._replace(grading=b.grading))
            for a, b in pairwise(rows[:5])
            if a.grading_split == b.grading_split
        ]
    assert max(same) < 2
    assert min(other) > 4


def test_share_of_the_test_set_that_is_lesion(published):
    test = IDRiDSegmentation(published, "test", size=TABLE1)
    share = np.mean([test.mask(i).any(axis=0).mean() for i in range(len(test))])
    assert summary.measured("IDRiD")["test_lesion_share"] == pytest.approx(share, rel=1e-12)


def test_exudates_and_colours_of_the_summary(published):
    """What pages show beside the synthetic images is what the files give."""
    measured = summary.measured("IDRiD")
    exudates = summary.summarise_exudates(published)
    assert {key: measured[key] for key in exudates} == exudates
    assert measured["mean_colour"] == summary.mean_colours(published)
    exudates, row = measured["exudates"], measured["lesions"]["EX"]
    pixels = np.repeat(exudates["pixels"], exudates["components"])
    areas = pixels / exudates["image_pixels"]
    assert (len(areas), *np.percentile(areas, (10, 90))) == (row["components"], row["p10"], row["p90"])
    single = measured["exudates_by_photograph"]
    assert (len(single["pixels"]), single["train"]) == (81, 54)
    assert sum(single["pixels"]) == pixels.sum()
    assert sum(single["small_pixels"]) == pixels[areas < single["small_below"]].sum()


def test_grades_and_squares_of_the_summary(published):
    """Lesions beside grades, and what is left of lesions in the grader's square: as measured, and as one can check."""
    measured = summary.measured("IDRiD")
    assert {key: measured[key] for key in ("graded_lesions", "square_survival", "square_edge")} == json.loads(
        json.dumps(summary.summarise_graded(published))
    )
    table = pd.DataFrame(measured["graded_lesions"])
    assert table[splits.OVERLAP_COLUMNS].equals(splits.overlap()[splits.OVERLAP_COLUMNS])
    assert pd.crosstab(table.dr, table.dme).to_numpy().tolist() == [[1, 3, 33], [0, 0, 14], [0, 0, 9]]
    off = table[table.dme != table.dme_by_rule].set_index("grading")
    assert off[["dme", "dme_by_rule"]].to_numpy().tolist() == [[1, 2], [0, 2]]
    assert off.index.tolist() == ["IDRiD_282", "IDRiD_311"]
    assert (table.dr_by_rule == 2).all()
    assert table.filter(like="quadrant").min(axis=1).max() == 16  # severe would take more than 20 in each
    assert 1.15 < measured["square_edge"] < 1.25  # in photograph heights; the field is cut off above and below


def test_dropping_the_leaks(idrid_root):
    data = IDRiDGrading(idrid_root, "train", exclude=splits.grading_leaks(idrid_root)["name"])
    assert len(data) == 413 - 23
    leaking = splits.overlap().query("segmentation_split == 'test' and grading_split == 'train'").grading
    assert not set(leaking) & set(data.names)


def test_shrunk_copy_gives_the_masks_of_reading_at_that_size(published, tmp_path):
    source = tmp_path / "IDRiD"
    for item in IDRiDSegmentation(published, "test", lesions=tuple(layout.MASKS)).items[-2:]:
        for path in (item.image, *item.masks.values()):
            target = source / path.relative_to(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    write_manifest(source, "shrunk", size=layout.PUBLISHED_SIZE)
    copy = shrink(source, tmp_path / "small", (640, 960))
    found = IDRiDSegmentation(copy, "test")
    wanted = IDRiDSegmentation(published, "test", size=(640, 960), cache=False)
    assert found.names == wanted.names[-2:] == ["IDRiD_80", "IDRiD_81"]
    for k in (0, 1):
        assert np.array_equal(found.mask(k), wanted.mask(25 + k))
        assert (found[k]["image"].int() - wanted[25 + k]["image"].int()).abs().float().mean() < 1


def test_doctor(idrid_root):
    report = check(idrid_root)
    assert report.exit_code in (0, 1)
    assert not report.problems
    assert report.counts["segmentation train"].tolist() == [54, 54, 53, 54, 26, 54]
    assert report.counts["segmentation test"].tolist() == [27, 27, 27, 27, 14, 27]
    assert len(report.duplicates) == 6
    assert len(report.overlap) == 60
    assert set(report.files.state) <= {"resized"}
    text = str(report)
    for words in ("IDRiD_118", "15 of the segmentation test set are in the grading train set"):
        assert words in text
