"""How graders are scored, against scikit-learn and loops, on outputs that are made up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.recipes.sunet import sunet
from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.graded_images import GradedImages
from fundus_lib.tasks.sunet_evaluation import evaluate, while_training

SIDE = 40
LESIONS = ("MA", "EX")
GRADES = {"dr": 5, "dme": 3}


def retina(rng) -> np.ndarray:
    """A round field of view, (3, SIDE, SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return (np.hypot(y, x) < rng.uniform(15, 19)) * rng.integers(90, 200, (3, SIDE, SIDE)).astype(np.uint8)


def photographs(count: int, seed: int = 0, masks: bool = False) -> GradedImages:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(np.stack([retina(rng) for _ in range(count)]))
    mask = torch.from_numpy(rng.random((count, len(LESIONS), SIDE, SIDE)) < 0.05).to(torch.uint8)
    return GradedImages(
        tuple(f"image {n}" for n in range(count)),
        images,
        torch.zeros(count, 2, 3),
        torch.from_numpy(rng.integers(0, 5, count)),
        torch.from_numpy(rng.integers(0, 3, count)),
        mask if masks else mask[:0],
        torch.arange(count) if masks else torch.full((count,), -1),
        Source("made up", "0", count),
    )


def network(diseases=("dr", "dme"), lesions: bool = True, **model_args) -> SimpleNamespace:
    """Gives what was drawn for a set, and half of the time the true grade."""
    made: dict[int, dict] = {}

    def given(images: GradedImages) -> dict:
        if id(images) not in made:
            rng, count = torch.Generator().manual_seed(len(made)), len(images)
            own = {}
            for name in diseases:
                own[name] = torch.randn(count, GRADES[name], generator=rng)
                own[name][torch.arange(0, count, 2), getattr(images, name)[::2]] += 9
                own[f"{name} map"] = torch.randn(count, GRADES[name], 5, 5, generator=rng)
            if lesions and len(images.masks):
                own["logits"] = torch.randn(count, len(LESIONS), SIDE, SIDE, generator=rng) + 2 * images.masks
            made[id(images)] = own
        return made[id(images)]

    return SimpleNamespace(
        recipe=sunet("r", lesions=LESIONS, model_args=model_args),
        outputs=lambda images: {k: v for k, v in given(images).items() if not k.endswith(" map")},
        class_maps=lambda images: {k[:-4]: v for k, v in given(images).items() if k.endswith(" map")},
    )


def enlarged(small: np.ndarray) -> np.ndarray:
    """Bilinear, pixels being squares, the border repeated: one value at a time."""
    side = small.shape[0]
    large = np.zeros((SIDE, SIDE))
    for i in range(SIDE):
        for j in range(SIDE):
            y, x = (np.clip((k + 0.5) * side / SIDE - 0.5, 0, side - 1) for k in (i, j))
            top, left = int(y), int(x)
            low, right = min(top + 1, side - 1), min(left + 1, side - 1)
            a, b = y - top, x - left
            upper = (1 - b) * small[top, left] + b * small[top, right]
            lower = (1 - b) * small[low, left] + b * small[low, right]
            large[i, j] = (1 - a) * upper + a * lower
    return large


@pytest.mark.parametrize("seed", range(3))
def test_all_scores_against_scikit_learn_and_loops(seed):
    test, pictures = photographs(31, seed), photographs(5, 100 + seed, masks=True)
    task = network()
    found = evaluate(task, test, pictures)
    output = task.outputs(test)
    said = {name: [int(np.argmax(row)) for row in output[name].tolist()] for name in GRADES}
    true = {name: getattr(test, name).tolist() for name in GRADES}
    wanted = {}
    for name in GRADES:
        wanted[f"{name}_accuracy"] = accuracy_score(true[name], said[name])
        wanted[f"{name}_kappa"] = cohen_kappa_score(
            true[name], said[name], weights="quadratic", labels=range(GRADES[name])
        )
    right = [all(said[d][i] == true[d][i] for d in GRADES) for i in range(31)]
    wanted["joint_accuracy"] = sum(right) / 31
    watched = while_training(task, test)
    assert watched == pytest.approx(wanted)
    logits, masks = task.outputs(pictures)["logits"], pictures.masks
    for channel, lesion in enumerate(LESIONS):
        wanted[f"{lesion}_aupr"] = average_precision_score(masks[:, channel].flatten(), logits[:, channel].flatten())
    fields = [field_of_view(image.permute(1, 2, 0).numpy()) for image in pictures.images]
    anywhere = masks.amax(1).numpy()
    for name in GRADES:
        shares = []
        for i in range(5):
            grade = int(np.argmax(task.outputs(pictures)[name][i].tolist()))
            cam = enlarged(task.class_maps(pictures)[name][i, grade].double().numpy()).clip(min=0) * fields[i]
            shares.append((cam * anywhere[i]).sum() / cam.sum())
        wanted[f"{name}_cam_inside"] = np.mean(shares)
    wanted["lesion_share"] = np.mean([(m * f).sum() / f.sum() for m, f in zip(anywhere, fields, strict=True)])
    ends = {f"{name}_{end}" for name in watched for end in ("low", "high")}
    assert found.metrics.keys() == wanted.keys() | ends
    assert {name: found.metrics[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    for name in watched:
        assert found.metrics[f"{name}_low"] <= found.metrics[name] <= found.metrics[f"{name}_high"]
    assert found.predictions == {
        "names": list(test.names),
        **said,
        "dr_true": true["dr"],
        "dme_true": true["dme"],
    }


@pytest.mark.parametrize("disease", GRADES)
def test_one_disease_without_lesions(disease):
    test, pictures = photographs(20), photographs(3, 1, masks=True)
    task = network((disease,), lesions=False)
    found = evaluate(task, test, pictures)
    both = {f"{disease}_{score}{end}" for score in ("accuracy", "kappa") for end in ("", "_low", "_high")}
    assert set(found.metrics) == both | {f"{disease}_cam_inside", "lesion_share"}
    assert set(found.predictions) == {"names", disease, f"{disease}_true"}
    right = np.equal(found.predictions[disease], found.predictions[f"{disease}_true"])
    assert found.metrics[f"{disease}_accuracy"] == right.mean() == while_training(task, test)[f"{disease}_accuracy"]


def test_vgg19_has_no_map():
    task = network(lesions=False, backbone="vgg19")
    task.class_maps = None
    metrics = evaluate(task, photographs(20), photographs(3, 1, masks=True)).metrics
    assert not {"dr_cam_inside", "lesion_share", "MA_aupr"} & metrics.keys()


def test_a_map_that_is_nowhere_positive_looks_nowhere():
    test, pictures = photographs(20), photographs(3, 1, masks=True)
    task = network()
    maps = task.class_maps(pictures)
    maps["dr"][:] = -1
    maps["dme"][:2] = -1
    only = maps["dme"][2, task.outputs(pictures)["dme"][2].argmax()].double().numpy()
    task.class_maps = lambda images: maps
    metrics = evaluate(task, test, pictures).metrics
    assert np.isnan(metrics["dr_cam_inside"])
    field = field_of_view(pictures.images[2].permute(1, 2, 0).numpy())
    cam = enlarged(only).clip(min=0) * field
    assert metrics["dme_cam_inside"] == pytest.approx(
        (cam * pictures.masks[2].amax(0).numpy()).sum() / cam.sum(), rel=1e-5
    )


def test_a_network_that_is_always_right():
    test, pictures = photographs(30), photographs(3, 1, masks=True)
    task = network()
    right = {name: torch.nn.functional.one_hot(getattr(test, name), GRADES[name]).float() for name in GRADES}
    made = task.outputs
    task.outputs = lambda images: right if images is test else made(images) | {"logits": images.masks * 9.0 - 4}
    metrics = evaluate(task, test, pictures).metrics
    assert {metrics[n] for n in ("dr_accuracy", "dme_accuracy", "joint_accuracy", "dr_kappa", "dme_kappa")} == {1.0}
    assert metrics["joint_accuracy_low"] == metrics["EX_aupr"] == metrics["MA_aupr"] == 1.0
