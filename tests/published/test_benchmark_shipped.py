"""The network that ships under the benchmark's protocols: what was measured agrees with itself and with its record."""

import numpy as np
import pytest
import torch

from fundus_lib import records
from fundus_lib.checkpoints import save_model
from fundus_lib.data.sample import LESIONS
from fundus_lib.experiment import create_task
from fundus_lib.metrics.score_bins import average_precision_from_bins, read_counts
from fundus_lib.published import benchmark_shipped
from fundus_lib.published.benchmark_protocols import beside_print
from fundus_lib.recipes import SegmentationRecipe


def test_what_was_measured_pools_to_its_scores_and_is_near_the_record() -> None:
    found = benchmark_shipped.measured()
    runs = records.load()
    (own,) = runs[(runs.table == "gpu") & (runs.row == "unet_four_lesions")].to_dict("records")
    assert found["images"] == 27 and found["size"] == [1424, 2144]
    for lesion in LESIONS:
        exact = found["metrics"][f"{lesion}_aupr"]
        counts = read_counts(found["predictions"][f"{lesion}_counts"])
        assert average_precision_from_bins(counts.sum(0)) == pytest.approx(exact, abs=0.004)
        assert exact == pytest.approx(own[f"{lesion}_aupr"], abs=0.02)  # at the size of training, and in 32 bits
    printed = beside_print(records=[found]).set_index(["paper", "lesion", "score"])
    assert printed.loc["dual_branch", "EX", "aupr"].ours == found["metrics"]["EX_aupr_11"]


def test_a_network_is_scored_as_a_row_of_the_benchmark_is(tmp_path, synthetic_root) -> None:
    narrow = {"width": 4, "depth": 2}
    recipe = SegmentationRecipe(
        paper="p", table="t", row="r", lesions=LESIONS, size=(89, 134), crop=32, model_args=narrow
    )
    torch.manual_seed(0)
    task = create_task(recipe).eval()
    task.statistics, task.field_width = torch.tensor([[150.0, 90, 45], [40, 40, 20]]), 120.0
    save_model(tmp_path / "model.pt", task, trained_on="nothing")
    found = benchmark_shipped.measure(synthetic_root, str(tmp_path / "model.pt"), count=2)
    assert found["images"] == len(found["predictions"]["names"]) == 2 and found["size"] == [89, 134]
    for lesion in LESIONS:
        pooled = average_precision_from_bins(read_counts(found["predictions"][f"{lesion}_counts"]).sum(0))
        assert np.isnan(pooled) or pooled == pytest.approx(found["metrics"][f"{lesion}_aupr"], abs=0.05)
    assert {"middle", "image means", "field square", "lesions fused"} <= found["variants"].keys()
