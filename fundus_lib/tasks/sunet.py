"""A network that grades images and may segment lesions besides: what happens in a step of sunet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fundus_lib.data.augment import rotate_and_mirror
from fundus_lib.data.epochs import cut_into_batches
from fundus_lib.data.field_square import FieldSquare
from fundus_lib.data.idrid import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet, combine_fingerprints
from fundus_lib.data.inventory import title
from fundus_lib.data.splits import find_shared, grading_leaks, overlap, segmentation_leaks
from fundus_lib.errors import ArgumentError
from fundus_lib.grades import GRADES
from fundus_lib.losses import SUNetCriterion, compute_class_weights
from fundus_lib.models import create_model
from fundus_lib.models.imagenet import LITE_MEAN_STD, MEAN_STD
from fundus_lib.protocols.grades import Grades
from fundus_lib.tasks import grading_ddr
from fundus_lib.tasks.base import Data, FundusTask

if TYPE_CHECKING:
    from fundus_lib.data.base import FundusDataset
    from fundus_lib.recipes import GradingRecipe

SPLITS = ("train", "test")


class Task(FundusTask):
    """Trains a grader, on images with masks its lesion regulariser too.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.
    """

    square = True

    def __init__(self, recipe: GradingRecipe, *, start: bool = True):
        settings = dict(recipe.model_args)
        if recipe.model == "sunet":
            settings["lesions"] = len(recipe.lesions)
        super().__init__(recipe, create_model(recipe.model, **settings, pretrained=recipe.imagenet and start))
        self._weigh({})
        self.segments = recipe.regulariser and bool(self.criterion.factors["lesions"])
        if recipe.imagenet:
            self.statistics = (LITE_MEAN_STD if settings.get("backbone") == "efficientnetlite0" else MEAN_STD).clone()

    @property
    def choose_by(self) -> str:
        """The score by which the epoch is chosen; without validation images it is a NaN, and the last epoch counts."""
        return str(self.recipe.score_to_choose_by)

    def adapt(self, data: Data) -> None:
        """Weigh grades as the criterion asks for by the training images."""
        self.field_width = float(self.recipe.side)
        self._weigh({"dr": data.training.dr, "dme": data.training.dme})

    def _weigh(self, grades: dict[str, Tensor]) -> None:
        criterion = dict(self.recipe.criterion)
        if criterion.get("form") == "weighted":
            criterion["weights"] = {
                name: compute_class_weights(grades.get(name, torch.tensor([], dtype=torch.long)), count)
                for name, count in GRADES.items()
            }
        self.criterion = SUNetCriterion(**criterion)

    def epoch_batches(self, images: ImageSet, epoch: int) -> list[list[int]]:
        """See :func:`order_batches`."""
        recipe = self.recipe
        return order_batches(images, batch=recipe.batch, order=recipe.order, seed=recipe.seed, epoch=epoch)

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Tensor]:
        """Images with what is known of them, see :meth:`~fundus_lib.data.image_set.ImageSet.batch`."""
        return images.batch(items)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch, mirrored and rotated."""
        images, masks = rotate_and_mirror(
            self.prepare(batch["image"], batch["statistics"]), batch.get("mask"), self.recipe.rotate
        )
        output = self.model(images.contiguous(memory_format=torch.channels_last))
        parts = self.criterion(output, batch | ({} if masks is None else {"mask": masks}))
        shown = {"loss" if name == "total" else name: part.detach() for name, part in parts.items()}
        if "classes" in output:  # in every step of every process, since their means are taken together: in this order
            lesions, masked = shown.pop("lesions", torch.zeros_like(parts["total"])), len(batch.get("masked", ()))
            self.log("lesions", lesions, on_step=False, on_epoch=True, sync_dist=True, batch_size=masked)
        self.log_dict(shown, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(images))
        total: Tensor = parts["total"]
        return total

    def optimise(self, steps: int) -> Any:
        """Adam, its rate falling to 0 along a cosine."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: (1 + math.cos(math.pi * min(step / max(steps, 1), 1))) / 2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def order_batches(images: ImageSet, *, batch: int, order: str, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    """The batches of an epoch by the numbers of their images, in an order that depends on seed and epoch alone.

    Args:
        images: What to show.
        batch: Images in a batch, over all processes.
        order: ``"alternate"``: after each batch of images without masks one of images with masks, which come again and
            again until the others are through ("use the two sets to train our model alternately"). ``"once"``: each
            image comes once; the few batches with masks are scattered among the others. ``"mixed"``: each image comes
            once, and a batch may hold both kinds.
        seed: Seed of the experiment.
        epoch: Number of the epoch.

    Raises:
        ArgumentError: There are too few images for a single batch.
    """
    rng = np.random.default_rng((seed, epoch))

    def once(indices: Sequence[int]) -> list[list[int]]:
        shown = rng.permutation(indices).tolist()
        return cut_into_batches(shown, batch, "order_batches") if len(shown) >= batch else []

    def forever(indices: Sequence[int]) -> Iterator[int]:
        while True:
            yield from rng.permutation(indices).tolist()

    masked, others = images.with_masks, images.without_masks
    if order == "mixed":
        batches = once(range(len(images)))
    elif order == "once" or not others or not masked:
        batches = once(masked) + once(others)
        batches = [batches[i] for i in rng.permutation(len(batches))]
    else:
        more = forever(masked)
        batches = [b for plain in once(others) for b in (plain, [next(more) for _ in range(batch)])]
    if not batches:
        raise ArgumentError(
            "order_batches",
            "an epoch has no step",
            found=f"{len(others)} images without masks, {len(masked)} with, for a batch of {batch}",
            expected="at least one batch",
            remedy="recipe.replace(batch=…), or more images",
        )
    return batches


def read_data(recipe: GradingRecipe, root: Path) -> Data:
    """Training, validation and test images of a recipe, and the test images with masks (whose grades are not known).

    An image of the segmentation part that is in the grading part too has its grades from there. Unless the recipe keeps
    the leaks, training does without what `splits.grading_leaks` lists (images of either test set, and contradictory
    duplicates) and without the masks of images in the grading test set; unless it is to train on what both parts share,
    without that either. Masks of validation images are not trained on.
    The validation images are the same with leaks and without; with a fraction of 0 there are none. With a fold, the
    images of its part are tested on, the masks of none of them are trained on, and the test images with masks are those
    of the data set.
    """
    if grading_ddr.is_ddr(recipe, root):
        return grading_ddr.read_data(recipe, root)
    square = FieldSquare(recipe.side)
    leaks = tuple(grading_leaks(root, "train")["name"])
    exclude = {"train": _exclude(recipe, root), "test": ()}
    size = square.read_size
    graded, test = (
        _read(root, IDRiDGrading(root, split, size=size, transform=square, exclude=exclude[split]), count)
        for split, count in zip(SPLITS, (recipe.train_images, None if recipe.fold else recipe.test_images), strict=True)
    )
    masked, test_masks = (
        _read(
            root,
            IDRiDSegmentation(root, split, lesions=recipe.lesions, size=size, transform=square),
            recipe.mask_images,
        )
        for split in SPLITS
    )
    if recipe.fold:
        graded, test = graded.hold_out(fold=recipe.fold)
        test = test.first(recipe.test_images)
    train, validation = graded.hold_out(fraction=recipe.validation, never=leaks)
    usable = _use_masks(recipe, root, masked, graded, test, validation)
    without = set(usable.names)
    rest = train.part([index for index, name in enumerate(train.names) if name not in without])
    content = f"{graded.fingerprint} {masked.fingerprint}"
    for _ in range(1 if recipe.pretraining_epochs else 2):  # as records have it
        content = combine_fingerprints(content)
    training = replace(rest.join(usable), fingerprint=content)
    synthetic = None
    if recipe.pretraining_epochs:
        synthetic = ImageSet.synthetic(
            recipe.pretraining_images,
            square.source_size,
            recipe.seed,
            population="grading",
            lesions=recipe.lesions,
            transform=square,
        )
    return Data(training, validation, test, synthetic, test_masks)


def _exclude(recipe: GradingRecipe, root: Path) -> tuple[str, ...]:
    """Names of the images of the grading training set that are not read."""
    leaks = () if recipe.leaks else tuple(grading_leaks(root, "train")["name"])
    return leaks if recipe.shared else tuple(sorted({*leaks, *find_shared(root)}))


def _use_masks(
    recipe: GradingRecipe, root: Path, masked: ImageSet, graded: ImageSet, test: ImageSet, validation: ImageSet
) -> ImageSet:
    """The images with masks that are trained on, under their names in the grading part, with their grades if known.

    Those of validation images are not, nor with a fold those of the images that are tested on.
    """
    both = overlap(root)
    both = both[both.segmentation_split == "train"].set_index("segmentation")
    leaks = () if recipe.leaks else tuple(segmentation_leaks(root, "train")["name"])
    held_out = {*validation.names, *(test.names if recipe.fold else ())}
    grades: dict[str, tuple[str, int, int]] = {}
    for split, images in (("train", graded), ("test", test)):
        if split == "test" and recipe.fold:
            continue  # these names are those of training images
        known = dict(zip(images.names, zip(images.dr.tolist(), images.dme.tolist(), strict=True), strict=True))
        for name, twin in both[both.grading_split == split].grading.items():
            if twin in known:
                grades[str(name)] = (twin if split == "train" else f"test {twin}", *known[twin])
            elif twin in held_out:
                grades[str(name)] = (twin, -1, -1)
    use = [i for i, n in enumerate(masked.names) if n not in leaks and grades.get(n, ("",))[0] not in held_out]
    if recipe.masks is not None:  # the same images for every seed, and with fewer some of those with more
        use = sorted(np.random.default_rng(0).permutation(use)[: recipe.masks].tolist())
    chosen = masked.part(use)
    named = [grades.get(name, (f"ungraded {name}", -1, -1)) for name in chosen.names]
    return replace(
        chosen,
        names=tuple(name for name, _, _ in named),
        dr=torch.tensor([dr for _, dr, _ in named], dtype=torch.long),
        dme=torch.tensor([dme for _, _, dme in named], dtype=torch.long),
    )


def _read(root: Path, data: FundusDataset, count: int | None) -> ImageSet:
    return ImageSet.read(data, title(root), data.fingerprint(), masks=bool(data.lesions), count=count)


def test_fingerprint(recipe: GradingRecipe, root: Path) -> str:
    """Hash of the test data."""
    if grading_ddr.is_ddr(recipe, root):
        return grading_ddr.fingerprint_test(root)
    if recipe.fold:
        return IDRiDGrading(root, "train", exclude=_exclude(recipe, root)).fingerprint()
    return IDRiDGrading(root, "test").fingerprint()


def protocol(recipe: GradingRecipe, data: Data) -> Grades:
    """Grades, and lesions of images with masks."""
    assert data.test_masks is not None, "read_data reads them"
    return Grades(recipe, data.test, data.test_masks, recipe.score_to_choose_by)
