"""A network of one branch or of two, trained on whole images: what happens in a step of dual_branch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fundus_lib.data.augment import DIHEDRAL, augment_dihedral
from fundus_lib.data.ddr_whole import DDRWholeImages
from fundus_lib.data.epochs import cut_into_batches
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.data.layout import other_data_set
from fundus_lib.losses import DualBranchCriterion, SingleBranchCriterion, branch_weights
from fundus_lib.models.imagenet import MEAN_STD
from fundus_lib.protocols.full_size import AtFullSize
from fundus_lib.tasks.base import Data, FundusTask, create_segmenter

if TYPE_CHECKING:
    from fundus_lib.recipes import DualBranchRecipe

POWER = 0.9
"""Of the poly schedule."""

HELD_OUT = 9
"""Of the 54 training images of IDRiD, those that are kept out of training to choose the epoch on."""

Item = tuple[int, int]
"""The number of an image, and of its dihedral augmentation."""


class Task(FundusTask):
    """Trains one network with one loss, or two branches, each on images of its own, with the DSM loss.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.
    """

    def __init__(self, recipe: DualBranchRecipe, *, start: bool = True):
        super().__init__(recipe, create_segmenter(recipe, start=start))
        self.criterion: nn.Module = (DualBranchCriterion if recipe.dual else SingleBranchCriterion)(**recipe.criterion)
        self.statistics = MEAN_STD.clone()
        self.prefixes = ("large_", "small_") if recipe.dual else ("",)

    @property
    def choose_by(self) -> str | None:
        """The score by which the epoch is chosen."""
        return f"{self.recipe.lesions[0]}_{self.recipe.choose_by}" if self.recipe.validation != 0 else None

    @property
    def progress(self) -> float:
        """Epoch of the stage, counted from 0, by the number of its epochs."""
        return self.current_epoch / self.stage.epochs if self.stage else 0.0

    def adapt(self, data: Data) -> None:
        """Take what images are normalised by from the training images."""
        super().adapt(data)
        self.statistics = measure_channels(self.recipe, data.training)

    def epoch_batches(self, images: ImageSet, epoch: int) -> list[list[tuple[Item, ...]]]:
        """What an epoch shows, in an order that depends on the seed and the epoch alone.

        Every image comes once in each of `dihedral` of its six augmentations, drawn at random if they are fewer. An
        item has an image for each branch, each from an order of its own.
        """
        recipe, orders = self.recipe, []
        for stream in range(len(self.prefixes)):
            rng = np.random.default_rng((recipe.seed, epoch, stream))
            shown = [
                (image, int(number))
                for image in range(len(images))
                for number in rng.permutation(len(DIHEDRAL))[: recipe.dihedral]
            ]
            orders.append([shown[i] for i in rng.permutation(len(shown))])
        return cut_into_batches(list(zip(*orders, strict=True)), recipe.batch, f"recipe {recipe.row!r}")

    def load_batch(self, images: ImageSet, items: Sequence[tuple[Item, ...]]) -> list[dict[str, Tensor]]:
        """One dictionary for each item: `image` uint8 (3, H, W) and `mask` (L, H, W), augmented, for each branch."""
        return [
            {
                f"{prefix}{kind}": augment_dihedral(part, number)
                for prefix, (image, number) in zip(self.prefixes, item, strict=True)
                for kind, part in (("image", images.images[image]), ("mask", images.masks[image]))
                if part is not None
            }
            for item in items
        ]

    def training_step(self, batch: list[dict[str, Tensor]], index: int) -> Tensor:
        """The mean loss of the images of a step, or of its pairs, each sent through the network on its own."""
        parts = [self.compute_parts(items) for items in ([batch] if self.recipe.together else [[i] for i in batch])]
        mean = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        shown = {name: value.detach() for name, value in mean.items() if name in ("large", "small")}
        if isinstance(self.criterion, DualBranchCriterion):
            shown["large_weight"] = torch.tensor(branch_weights(self.progress, self.criterion.schedule)[0])
        self.log_dict(
            {"loss": mean["total"].detach(), **shown},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(batch),
        )
        return mean["total"]

    def compute_parts(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The criterion's parts for items of one shape, see :meth:`load_batch`."""
        output: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for prefix in self.prefixes:
            image, mask = (torch.stack([item[f"{prefix}{kind}"] for item in items]) for kind in ("image", "mask"))
            x = self.prepare(image)
            given = self.model(x, prefix[:-1]) if prefix else self.model(x)
            output |= {f"{prefix}{name}": value.float() for name, value in given.items()}
            masks[f"{prefix}mask"] = mask.float()
        parts: dict[str, Tensor] = self.criterion(output, masks, self.progress)
        return parts

    def optimise(self, steps: int) -> Any:
        """SGD or AdamW under the poly schedule; or HED's own."""
        recipe = self.recipe
        if recipe.optimiser == "hed":
            return torch.optim.SGD(
                group_parameters(self.model, recipe.learning_rate, recipe.weight_decay), momentum=0.9
            )
        settings = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        optimizer: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimizer = torch.optim.SGD(self.model.parameters(), momentum=0.9, **settings)
        else:
            optimizer = torch.optim.AdamW(self.model.parameters(), **settings)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: float(max(1 - step / max(steps, 1), 0) ** POWER)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def group_parameters(model: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """Parameters of HED or of two branches of it, each with its multiple of the rate (authors' code).

    Stages 1 to 4 learn at the rate, stage 5 at 100 times, side outputs at a hundredth, the fusion at a thousandth;
    biases at twice their layer's rate, without decay.
    """
    groups: dict[float, tuple[list[nn.Parameter], list[nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        multiple = 0.001 if "fuse" in name else 0.01 if ".side." in name else 100.0 if "stage5" in name else 1.0
        groups.setdefault(multiple, ([], []))[name.endswith("bias")].append(parameter)
    return [
        {"params": parameters, "lr": rate * multiple * (2 if bias else 1), "weight_decay": 0.0 if bias else decay}
        for multiple, pair in groups.items()
        for bias, parameters in enumerate(pair)
        if parameters
    ]


def measure_channels(recipe: DualBranchRecipe, training: ImageSet) -> Tensor:
    """What images are normalised by, mean and divisor of each channel, (2, 3)."""
    if recipe.normalise_by == "imagenet":
        return MEAN_STD.clone()
    mean = mean_colour(training)
    return torch.stack([mean, torch.ones(3) if recipe.normalise_by == "mean" else deviation(training, mean)])


def mean_colour(images: ImageSet) -> Tensor:
    """Mean of each channel over all pixels of all images, black border included: float32 (3,), 0-255."""
    sums = torch.stack([image.double().sum((1, 2)) for image in images.images]).sum(0)
    return (sums / sum(image[0].numel() for image in images.images)).float()


def deviation(images: ImageSet, mean: Tensor) -> Tensor:
    """Standard deviation of each channel about a mean (3,), over the same pixels."""
    squares = torch.stack([((image.float() - mean[:, None, None]) ** 2).sum((1, 2)) for image in images.images])
    return (squares.sum(0) / sum(image[0].numel() for image in images.images)).sqrt()


def read_data(recipe: DualBranchRecipe, root: Path) -> Data:
    """Training, validation and test images of a recipe.

    IDRiD has no validation split: nine of its training images are held out at random, alike for every seed of the
    recipe, unless it names a number. DDR has one. A recipe for DDR whose root has IDRiD's layout (the synthetic
    stand-in) is read as IDRiD is.

    Raises:
        ArgumentError: The root holds another data set, or no image is left to train on.
    """
    if _is_ddr(root) != (recipe.dataset == "DDR") and (_is_ddr(root) or title(root) != "synthetic"):
        raise other_data_set(root, "DDR" if _is_ddr(root) else title(root), recipe.dataset)
    training = _read(recipe, root, "train")
    if recipe.fold:
        training, test = training.hold_out(fold=recipe.fold)
        test = test.first(recipe.test_images)
    else:
        test = _read(recipe, root, "test", recipe.test_images)
    if _is_ddr(root):
        validation = _read(recipe, root, "val", None if recipe.validation is None else int(recipe.validation))
    else:
        training, validation = training.hold_out(HELD_OUT if recipe.validation is None else recipe.validation)
    synthetic = None
    if recipe.pretraining_epochs:
        synthetic = ImageSet.synthetic(recipe.pretraining_images, recipe.size, recipe.seed, lesions=recipe.lesions)
    return Data(training.first(recipe.train_images), validation, test, synthetic)


def test_fingerprint(recipe: DualBranchRecipe, root: Path) -> str:
    """Hash of the test data."""
    return _open(recipe, root, "train" if recipe.fold else "test").fingerprint()


def protocol(recipe: DualBranchRecipe, data: Data) -> AtFullSize:
    """The paper's: at the images' own size."""
    return AtFullSize(recipe, data.test)


def _is_ddr(root: Path) -> bool:
    """Whether a folder has the layout of DDR's segmentation part; otherwise it is read as IDRiD's."""
    return (root / "lesion_segmentation").is_dir()


def _open(recipe: DualBranchRecipe, root: Path, split: str) -> IDRiDSegmentation | DDRWholeImages:
    if _is_ddr(root):
        return DDRWholeImages(root, split, side=max(recipe.size), lesions=recipe.lesions)
    return IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size)


def _read(recipe: DualBranchRecipe, root: Path, split: str, count: int | None = None) -> ImageSet:
    data = _open(recipe, root, split)
    if isinstance(data, DDRWholeImages):
        name, full = "DDR", data.full_mask
        if data.dropped:
            print(f"left out of training, having no {' or '.join(recipe.lesions)}: {len(data.dropped)} images")
    else:
        name, full = title(root), IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    return ImageSet.read(data, name, data.fingerprint(), full=full, count=count)
