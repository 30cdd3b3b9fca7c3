"""What is measured of networks, on small ones; and the stored numbers against what the pages say."""

import numpy as np
import pytest
import torch

from fundus_lib import weights
from fundus_lib.experiment import create_task
from fundus_lib.losses import HECLCriterion
from fundus_lib.published import hecl_networks
from fundus_lib.recipes import recipes


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    made = create_task(recipes("hecl", "small", "unet")[0].replace(model_args={"width": 4, "depth": 1}))
    made.statistics = torch.tensor([[150.0, 90, 45], [40, 40, 20]])
    return made


@pytest.fixture(scope="module")
def samples():
    rng = torch.Generator().manual_seed(1)
    found = []
    for left in (40, 200):
        image = torch.randint(100, 200, (3, 300, 530), generator=rng, dtype=torch.uint8)
        mask = torch.zeros(1, 300, 530, dtype=torch.uint8)
        mask[:, 60:140, left : left + 90] = 1
        found.append({"image": image, "mask": mask})
    return found


def test_vectors_are_those_of_the_criterion(task, samples) -> None:
    seen = hecl_networks.look(task, samples)
    assert seen.probability.shape == (2, 300, 530)
    assert seen.patches.shape == (100, 4)  # two crops of 25 patches in each image
    assert (np.bincount(seen.patch_images) == 50).all()
    last = [m for m in task.model.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    logits = task.predict(samples[0]["image"])["logits"][0, 22:278, 9:265]  # the first crop
    rows = HECLCriterion().assign(256, logits).float()
    means = rows @ logits @ rows.T / (rows.sum(1)[:, None] * rows.sum(1))
    own = seen.patches[:25] @ last.weight.detach().flatten().numpy() + last.bias.item()
    np.testing.assert_allclose(own, means.flatten(), atol=1e-4)
    density = HECLCriterion().measure_density(samples[0]["mask"][:, 22:278, 9:265] > 0)
    np.testing.assert_allclose(seen.density[:25], density.flatten())
    assert seen.inner.sum() == (~seen.inner).sum() == len(seen.contours) / 2


def test_the_network_before_training_is_that_of_the_seed(task) -> None:
    once, again = (hecl_networks.start_again(task).model.state_dict() for _ in range(2))
    torch.manual_seed(task.recipe.seed)
    expected = create_task(task.recipe).model.state_dict()
    assert all(torch.equal(once[name], again[name]) and torch.equal(once[name], expected[name]) for name in expected)


def test_crops_cover_the_middle() -> None:
    values = torch.arange(11 * 7).reshape(1, 11, 7)
    assert hecl_networks.cut(values, 5).shape == (2, 1, 5, 5)
    assert torch.equal(hecl_networks.cut(values, 5)[1], values[:, 5:10, 1:6])


def test_two_numbers_for_how_far_kinds_are_apart() -> None:
    rng = np.random.default_rng(0)
    labels, images = np.arange(200) % 2 == 0, np.repeat(np.arange(10), 20)
    tight = np.where(labels[:, None], [1.0, 0, 0.1], [0, 1.0, 0.1]) + 0.01 * rng.normal(size=(200, 3))
    wide = tight + rng.normal(size=(200, 1)) * [0, 0, 3.0]
    noise = rng.normal(size=(200, 3))
    found = [hecl_networks.separate(v.astype(np.float32), labels, images) for v in (tight, wide, noise)]
    assert found[0]["silhouette"] > 0.95 > 0.5 > found[1]["silhouette"] > found[2]["silhouette"]
    assert min(found[0]["auc"], found[1]["auc"]) > 0.95
    assert abs(found[2]["auc"] - 0.5) < 0.15
    alone = hecl_networks.separate(noise, images == 3, images)
    assert np.isnan(alone["auc"])


def test_stored_numbers_are_of_the_networks_that_ship() -> None:
    known = hecl_networks.measured()
    for name, shipped in hecl_networks.NETWORKS.items():
        assert known["models"][name] == weights.load(shipped).digest, "run hecl_networks.measure again"


def test_the_findings_of_the_page_hold_in_the_stored_numbers() -> None:
    known = hecl_networks.measured()
    networks, changes = known["networks"], known["changes"]
    assert known["images"] == 27
    assert networks["without"]["contours"]["silhouette"] < 0.5 < 0.9 < networks["with"]["contours"]["silhouette"]
    assert networks["without"]["contours"]["auc"] > 0.99
    assert networks["without"]["patches"]["auc"] > 0.95
    assert all(low < 0 < high for _, low, high in known["edges"]["gain"])
    assert all(found["low"] < 0 < found["high"] for found in changes["terms"].values())
    seed, terms = (sum(changes[key]["even"][kind] for kind in ("corrections", "errors")) for key in ("seed", "terms"))
    assert seed > 0.5 * terms, "chance changes as much as the terms, or nearly"
