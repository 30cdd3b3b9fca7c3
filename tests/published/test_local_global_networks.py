"""Steps at the borders of patches, and who decides what, on drawn predictions; and the stored numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fundus_lib.checkpoints import load_model, save_model
from fundus_lib.errors import CheckpointError
from fundus_lib.experiment import create_task
from fundus_lib.models.patch_grid import PatchGrid
from fundus_lib.published import local_global_networks as networks
from fundus_lib.recipes.local_global import alone, fused

KNOWN = networks.measured()
SMALL = fused("EX_fused", "EX").smoke().replace(table="half", precision="32")


def test_borders_are_where_patches_begin_and_end() -> None:
    rows, columns = networks.find_borders(PatchGrid((40, 60), 20))
    assert rows.tolist() == [20] and columns.tolist() == [20, 40]
    rows, columns = networks.find_borders(PatchGrid((20, 50), 20, 10))  # columns from 0, 10, 20 and 30
    assert rows.tolist() == [] and columns.tolist() == [10, 20, 30, 40]


def test_steps_by_distance_from_a_border() -> None:
    grid = PatchGrid((40, 60), 20)
    chess = np.zeros((40, 60), np.float32)
    for number, (top, left) in enumerate(grid.corners):
        chess[top : top + 20, left : left + 20] = number % 2
    found = networks.measure_steps(chess, grid, reach=2)
    assert found.tolist() == [1, 0, 0, 0], "every border divides a patch of 1 from one of 0"
    ramp = np.tile(np.arange(60, dtype=np.float32) / 4, (40, 1))
    steps = networks.measure_steps(ramp, grid, reach=2)
    # of 2·40 pairs across, 1·60 down (no step); one pixel away twice as many, of all farther ones 49 and 34 lines
    np.testing.assert_allclose(steps, [0.25 * 80 / 140, 0.25 * 160 / 280, 0.25 * 160 / 280, 0.25 * 1960 / 4000])
    alone = networks.measure_steps(ramp, PatchGrid((40, 60), 60), reach=2)
    assert alone[:3].tolist() == [0, 0, 0] and alone[3] == pytest.approx(0.25 * 59 * 40 / (59 * 40 + 39 * 60))


def test_who_is_right_where() -> None:
    target = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    one, other = (np.array([int(c) for c in text], bool) for text in ("11000011", "10100101"))
    both = np.array([1, 1, 0, 1, 0, 1, 1, 0], bool)
    cases = networks.find_cases(networks.count_decisions([one, other, both], target))
    assert cases == {
        "both right lesion": (1, 1),
        "only global lesion": (1, 1),
        "only local lesion": (1, 0),
        "both wrong lesion": (1, 1),
        "both right background": (1, 1),
        "only global background": (1, 0),
        "only local background": (1, 0),
        "both wrong background": (1, 1),
    }
    counts = networks.count_decisions([one[None]] * 3, target[None])
    assert counts[0, 1, 1, 1] == counts[1, 1, 1, 1] == 2 and counts.sum() == 8


def test_size_classes_follow_the_scale() -> None:
    assert networks.find_edges(1) == (79, 315, 1257, 5027) and networks.find_edges(0.5) == (20, 79, 315, 1257)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for recipe in (*alone(SMALL), SMALL):
        torch.manual_seed(3)
        task = create_task(recipe)
        task.field_width = 100.0
        origin = {"record": recipe.row, "paper": "local_global", "table": "half", "row": recipe.row}
        name = f"local_global-half-{recipe.row}-seed0-00000000"
        (folder / name).mkdir()
        save_model(folder / name / "model.pt", task, trained_on="IDRiD", origin=origin)
    return folder


def test_measuring_a_folder(runs: Path, synthetic_root: Path) -> None:
    found = networks.measure(synthetic_root, runs, overlaps=(0, 2), count=2)
    assert found.keys() == KNOWN.keys()
    assert np.sum(found["decisions"]) == 2 * 88 * 104
    for name in networks.NETWORKS:
        one, known = found["networks"][name], KNOWN["networks"][name]
        assert one.keys() == known.keys() and one["run"] == f"EX_{name}"
        assert list(one["aupr"]) == (["0"] if name == "global" else ["0", "2"])
        assert np.isfinite(one["steps"]["0"]).all() and sum(one["lesions"]) > 0
        decided = np.array(found["decisions"])
        axis = 1 + networks.NETWORKS.index(name)
        predicted, lesion = decided.take(1, axis).sum(), decided[1].sum()
        assert predicted >= lesion, "at break-even"


def test_overlap_is_a_setting_of_one_prediction(runs: Path) -> None:
    task = load_model(networks.find_model(runs, "EX_local")).task
    image = torch.randint(0, 255, (3, 88, 104), dtype=torch.uint8)
    one, other = (networks.predict(task, image, overlap) for overlap in (0, 4))
    assert one.shape == (88, 104) and one.min() >= 0 and np.abs(one - other).max() > 1e-6
    assert task.recipe.overlap == 0 and np.array_equal(networks.predict(task, image), one)


def test_a_folder_without_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="fundus run local_global --table half --row EX_local"):
        networks.find_model(tmp_path, "EX_local")


def test_the_stored_numbers_fit_together() -> None:
    counts = np.array(KNOWN["decisions"])
    assert KNOWN["images"] == 27 and counts.sum() == 27 * 1408 * 1664
    lesions = [KNOWN["networks"][name]["lesions"] for name in networks.NETWORKS]
    assert lesions[0] == lesions[1] == lesions[2]
    for axis, name in enumerate(networks.NETWORKS, 1):
        one = KNOWN["networks"][name]
        assert counts.take(1, axis).sum() >= counts[1].sum()
        assert all(found <= number for found, number in zip(one["found"], one["lesions"], strict=True))
        assert set(one["aupr"]) == set(one["steps"])


def test_what_the_page_says_of_them() -> None:
    """Seams are strongest in the local network, and where two networks differ the fused one is mostly right."""
    steps = {name: np.array(KNOWN["networks"][name]["steps"]["0"]) for name in networks.NETWORKS}
    ratios = [steps[name][0] / steps[name][-1] for name in ("global", "fused", "local")]
    assert 0.9 < ratios[0] < 1.2 < 2 * ratios[0] < ratios[1] < ratios[2]
    gains = [np.ptp([*KNOWN["networks"][name]["aupr"].values()]) for name in ("fused", "local")]
    assert 0 < gains[0] < gains[1]
    cases = networks.find_cases(np.array(KNOWN["decisions"]))
    disputed = [cases[f"only {name} {kind}"] for name in ("global", "local") for kind in ("lesion", "background")]
    assert all(right / pixels > 0.7 for pixels, right in disputed)
