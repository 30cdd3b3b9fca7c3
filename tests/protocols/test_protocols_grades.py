"""How graders are scored, against scikit-learn and loops, on outputs that are made up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score

from fundus_lib.data.field_of_view import field_of_view
from fundus_lib.data.image_set import ImageSet
from fundus_lib.grades import GRADES
from fundus_lib.protocols.grades import Grades
from fundus_lib.recipes.sunet import sunet
from helpers.images import image_set

SIDE = 40
LESIONS = ("MA", "EX")


def retina(rng) -> np.ndarray:
    """A round field of view, (3, SIDE, SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return (np.hypot(y, x) < rng.uniform(15, 19)) * rng.integers(90, 200, (3, SIDE, SIDE)).astype(np.uint8)


def images_of(count: int, seed: int = 0, masks: bool = False) -> ImageSet:
    rng = np.random.default_rng(seed)
    images = [torch.from_numpy(retina(rng)) for _ in range(count)]
    mask = torch.from_numpy(rng.random((count, len(LESIONS), SIDE, SIDE)) < 0.05).to(torch.uint8)
    dr, dme = rng.integers(0, 5, count).tolist(), rng.integers(0, 3, count).tolist()
    return image_set(images, list(mask) if masks else None, dr=dr, dme=dme)


class Network:
    """Gives what was drawn for each image, and for every other one the true grade."""

    training = False
    device = torch.device("cpu")
    eval = train = lambda self, mode=True: self
    modules = staticmethod(tuple)
    prepare = staticmethod(lambda images, statistics: images)

    def __init__(self, *sets: ImageSet, diseases=("dr", "dme"), lesions: bool = True, **model_args):
        self.recipe = sunet("r", lesions=LESIONS, model_args=model_args)
        self.model = SimpleNamespace(compute_class_maps=lambda x: self._stack(self.maps, x))
        self.given, self.maps = {}, {}
        for images in sets:
            rng = torch.Generator().manual_seed(len(self.given))
            for n, image in enumerate(images.images):
                own, maps = {}, {}
                for name in diseases:
                    own[name] = torch.randn(GRADES[name], generator=rng)
                    own[name][getattr(images, name)[n]] += 9 * (n % 2 == 0)
                    maps[name] = torch.randn(GRADES[name], 5, 5, generator=rng)
                if lesions:
                    mask = images.masks[n] if images.masks[n] is not None else 0
                    own["logits"] = torch.randn(len(LESIONS), SIDE, SIDE, generator=rng) + 2 * mask
                self.given[key(image)], self.maps[key(image)] = own, maps

    def predict(self, images, statistics):
        return self._stack(self.given, images)

    def outputs(self, images: ImageSet) -> dict:
        return self.predict(images.images, None)

    def class_maps(self, images: ImageSet) -> dict:
        return self._stack(self.maps, images.images)

    def _stack(self, of, images):
        found = [of[key(image)] for image in images]
        return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def key(image) -> bytes:
    return image.numpy().tobytes()


def evaluate(task, test, with_masks):
    return Grades(task.recipe, test, with_masks, "joint_accuracy").full(task)


def while_training(task, test):
    return Grades(task.recipe, test, test, "joint_accuracy").quick(task, test)


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
    test, with_masks = images_of(31, seed), images_of(5, 100 + seed, masks=True)
    task = Network(test, with_masks)
    found = evaluate(task, test, with_masks)
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
    logits, masks = task.outputs(with_masks)["logits"], torch.stack(with_masks.masks)
    for channel, lesion in enumerate(LESIONS):
        wanted[f"{lesion}_aupr"] = average_precision_score(masks[:, channel].flatten(), logits[:, channel].flatten())
    fields = [field_of_view(image.permute(1, 2, 0).numpy()) for image in with_masks.images]
    anywhere = masks.amax(1).numpy()
    for name in GRADES:
        shares = []
        for i in range(5):
            grade = int(np.argmax(task.outputs(with_masks)[name][i].tolist()))
            cam = enlarged(task.class_maps(with_masks)[name][i, grade].double().numpy()).clip(min=0) * fields[i]
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
    test, with_masks = images_of(20), images_of(3, 1, masks=True)
    task = Network(test, with_masks, diseases=(disease,), lesions=False)
    found = evaluate(task, test, with_masks)
    both = {f"{disease}_{score}{end}" for score in ("accuracy", "kappa") for end in ("", "_low", "_high")}
    assert set(found.metrics) == both | {f"{disease}_cam_inside", "lesion_share"}
    assert set(found.predictions) == {"names", disease, f"{disease}_true"}
    right = np.equal(found.predictions[disease], found.predictions[f"{disease}_true"])
    assert found.metrics[f"{disease}_accuracy"] == right.mean() == while_training(task, test)[f"{disease}_accuracy"]


def test_vgg19_has_no_map():
    test, with_masks = images_of(20), images_of(3, 1, masks=True)
    task = Network(test, with_masks, lesions=False, backbone="vgg19")
    task.model = None
    assert not {"dr_cam_inside", "lesion_share", "MA_aupr"} & evaluate(task, test, with_masks).metrics.keys()


def test_a_map_that_is_nowhere_positive_lies_nowhere():
    test, with_masks = images_of(20), images_of(3, 1, masks=True)
    task = Network(test, with_masks)
    for n, image in enumerate(with_masks.images):
        task.maps[key(image)]["dr"][:] = -1
        if n < 2:
            task.maps[key(image)]["dme"][:] = -1
    only = task.maps[key(image)]["dme"][task.given[key(image)]["dme"].argmax()].double().numpy()
    metrics = evaluate(task, test, with_masks).metrics
    assert np.isnan(metrics["dr_cam_inside"])
    cam = enlarged(only).clip(min=0) * field_of_view(image.permute(1, 2, 0).numpy())
    assert metrics["dme_cam_inside"] == pytest.approx(
        (cam * with_masks.masks[2].amax(0).numpy()).sum() / cam.sum(), rel=1e-5
    )


def test_a_network_that_is_always_right():
    test, with_masks = images_of(30), images_of(3, 1, masks=True)
    task = Network(test, with_masks)
    for n, image in enumerate(test.images):
        for name in GRADES:
            task.given[key(image)][name] = torch.eye(GRADES[name])[getattr(test, name)[n]]
    for mask, image in zip(with_masks.masks, with_masks.images, strict=True):
        task.given[key(image)]["logits"] = mask * 9.0 - 4
    metrics = evaluate(task, test, with_masks).metrics
    assert {metrics[n] for n in ("dr_accuracy", "dme_accuracy", "joint_accuracy", "dr_kappa", "dme_kappa")} == {1.0}
    assert metrics["joint_accuracy_low"] == metrics["EX_aupr"] == metrics["MA_aupr"] == 1.0


def test_no_image_is_no_number_to_choose_by():
    test = images_of(3)
    assert np.isnan(while_training(Network(test), test.part([]))["joint_accuracy"])
