"""A network on whole images and one on their patches, trained alone and then together: the stages of local_global."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.data.augment import add_noise, jitter_colour, normalise, rotate_and_zoom, turn
from fundus_lib.data.centre_crop import CentreCrop
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_patches import ImagePatches
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.inventory import title
from fundus_lib.losses import LocalGlobalCriterion
from fundus_lib.models import create_model
from fundus_lib.models.localglobal import LocalGlobal
from fundus_lib.models.patch_grid import PatchGrid
from fundus_lib.modes import evaluating
from fundus_lib.protocols.whole_crops import WholeCrops
from fundus_lib.tasks import first_segmenter
from fundus_lib.tasks.base import Data, Stage
from fundus_lib.tasks.shrunk import Shrunk

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.recipes import LocalGlobalRecipe

POWER = 0.9
"""Of the poly schedule."""

SHIFT = 1 / 16
"""By which fraction of its side the global map is shifted down and to the right, to see whether its place matters."""

CHUNK = 16
"""Patches that are predicted at a time."""


class Task(first_segmenter.Task):
    """Trains the networks of a recipe, stage by stage.

    Args:
        recipe: What to train and how.
        start: Not needed: no network starts from weights of others.
    """

    criterion: LocalGlobalCriterion

    def __init__(self, recipe: LocalGlobalRecipe, *, start: bool = True):
        super().__init__(recipe, start=start)
        self.clip = recipe.clip or None
        self.shrunk = Shrunk()
        self._drawn: tuple[str, ImagePatches] | None = None

    @property
    def part(self) -> str:
        """What the stage under way trains."""
        return self.stage.name if self.stage else str(self.recipe.last)

    def create_network(self, recipe: Any, start: bool) -> nn.Module:
        """The network of the recipe; a fused one predicts patches of the size that it is trained on."""
        patch = {"patch": recipe.crop} if recipe.model == "localglobal" else {}
        return create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args, **patch)

    def create_criterion(self) -> LocalGlobalCriterion:
        """What is minimised when everything is trained; its `loss` is that of each network alone."""
        return LocalGlobalCriterion(**self.recipe.criterion)

    def stages(self, data: Data) -> tuple[Stage, ...]:
        """Those of the recipe; the last of them chooses its epoch, if the recipe does."""
        return tuple(
            self._stage(
                part,
                data.training,
                epochs,
                trainable=self.find_trained(part),
                choose_by=self.choose_by if part == self.recipe.last else None,
            )
            for part, epochs in self.recipe.stages.items()
        )

    def find_trained(self, part: str) -> tuple[str, ...]:
        """With what the names of the parameters begin that a stage trains.

        The last convolution of the local network has no gradient where its own logits have no loss.
        """
        if self.recipe.model != "localglobal":
            return ("",)
        if part == "joint":
            nets = [
                f"{net}_net.parts.{piece}."
                for net in ("local", "global")
                for piece in ("encoder", "decoder", *(("head",) if self.criterion.weights[net] else ()))
            ]
            return ("fusion.", *nets)
        return {"global": ("global_net.",), "local": ("local_net.",), "fusion": ("fusion.",)}[part]

    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """Images and patches by number, see `fundus_lib.data.image_patches.ImagePatches`."""
        recipe = self.recipe
        if self._drawn is None or self._drawn[0] != self.part or self._drawn[1].images is not images.images:
            rotated = self.part == "local"
            window = 2 * math.ceil(recipe.crop * recipe.zoom * math.sqrt(0.5)) if rotated else recipe.crop
            drawn = ImagePatches(
                images.images,
                images.masks,
                side=recipe.crop,
                count=recipe.patches,
                length=recipe.steps * recipe.batch,
                lesion_fraction=recipe.lesion_fraction,
                window=window + (window - recipe.crop) % 2,
                turned=not rotated,
                seed=recipe.seed,
            )
            self._drawn = self.part, drawn
        self._drawn[1].epoch = epoch
        return [range(step * recipe.batch, (step + 1) * recipe.batch) for step in range(recipe.steps)]

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Tensor]:
        """What a stage needs of images and patches of these numbers.

        Returns:
            ``"image"`` uint8 (N, 3, S, S) and ``"mask"`` (N, L, S, S), the patches; ``"places"`` float (N, 5), where
            they lie: number of the image in the batch, top, left, height, width; ``"whole"`` uint8 (B, 3, g, g) and
            ``"whole_mask"`` (B, L, g, g), the shrunk images; ``"statistics"`` (B, 2, 3).
        """
        assert self._drawn is not None, "epoch_batches comes first"
        batch: dict[str, Tensor] = {}
        if self.part == "global":
            numbers = [self._drawn[1].draw_number(item) for item in items]
            turns = [(0, False)] * len(items)
        else:
            drawn = [self._drawn[1][item] for item in items]
            numbers = [int(one["number"]) for one in drawn]
            turns = [(int(one["turn"][0]), bool(one["turn"][1])) for one in drawn]
            batch = {name: torch.cat([one[name] for one in drawn]) for name in ("image", "mask")}
            boxes = [F.pad(one["boxes"], (1, 0), value=place) for place, one in enumerate(drawn)]
            batch["places"] = torch.cat(boxes).to(batch["image"].device)
        if self.part != "local":
            wholes, masks = self.shrunk.get(images, self._fused())
            pairs = list(zip(numbers, turns, strict=True))
            batch["whole"] = torch.stack([turn(wholes[number], *how) for number, how in pairs])
            batch["whole_mask"] = torch.stack([turn(masks[number], *how) for number, how in pairs])
        return batch | {"statistics": images.statistics[numbers]}

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Fix what is random in the step; networks that are not trained do not adapt their running means either."""
        super().on_train_batch_start(batch, index)
        for net in self._nets().values():
            net.train(self.part != "fusion")  # Lightning leaves the mode as the stage before ended with it

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch in the stage under way."""
        parts = self.compute_losses(batch)
        shown = {"loss": parts["total"].detach()} | {n: v.detach() for n, v in parts.items() if n != "total"}
        self.log_dict(shown, on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=self.recipe.batch)
        return parts["total"]

    def compute_losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``"total"`` and its parts, see :class:`~fundus_lib.losses.LocalGlobalCriterion`; alone a network has one."""
        recipe, part = self.recipe, self.part
        if part in ("global", "local"):
            name, mask_name = {"global": ("whole", "whole_mask"), "local": ("image", "mask")}[part]
            side = recipe.crop if part == "local" else batch[name].shape[-1]
            images, masks = rotate_and_zoom(batch[name], batch[mask_name], side, recipe.zoom)
            images = self.vary(self.normalise(batch, name, images), noise=recipe.noise)
            logits = self._nets()[part](images)["logits"]
            return {"total": self.criterion.loss(logits.float(), masks.float())}
        whole, patches = (self.vary(self.normalise(batch, name, batch[name])) for name in ("whole", "image"))
        output = self.model.forward_patches(whole, patches, batch["places"])  # type: ignore[operator]
        truth = {name: batch[name].float() for name in ("mask", "whole_mask")}
        found: dict[str, Tensor] = self.criterion({name: value.float() for name, value in output.items()}, truth)
        return found

    def normalise(self, batch: dict[str, Tensor], name: str, images: Tensor) -> Tensor:
        """Shrunk images ("whole") or patches ("image") by the statistics of their image; those of float32 in place."""
        if self.statistics is not None:
            return normalise(images, self.statistics[None].to(images.device), copy=False)
        statistics = batch["statistics"]
        if name == "image":
            statistics = statistics[batch["places"][:, 0].long()]
        return normalise(images, statistics, copy=False)

    def vary(self, images: Tensor, noise: float = 0.0) -> Tensor:
        """Normalised images with other colours, and with noise of a deviation of at most so much; channels last."""
        varied = add_noise(jitter_colour(images, self.recipe.colour_jitter), noise)
        return varied.contiguous(memory_format=torch.channels_last)

    def optimise(self, steps: int) -> Any:
        """Adam under the poly schedule, or AdamW under a one-cycle one, over the stage."""
        recipe = self.recipe
        rate = recipe.joint_rate if self.part == "joint" else recipe.learning_rate
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer: torch.optim.Optimizer
        schedule: torch.optim.lr_scheduler.LRScheduler
        if recipe.optimiser == "adam":
            optimizer = torch.optim.Adam(trained, lr=rate, weight_decay=recipe.weight_decay)
            schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=POWER)
        else:
            optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=recipe.weight_decay)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=max(steps, 4))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def forward(self, images: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """Logits of whole images, patch by patch, float32 (B, L, H, W).

        Returns:
            ``"logits"`` of the part that the recipe trains last. Of a fused network also ``"global_logits"``, and
            ``"local_logits"`` if the local network's own logits have been trained, alone or with a loss of their own.
        """
        recipe, prepared = self.recipe, self.prepare(images, statistics)
        size = (images.shape[-2], images.shape[-1])
        if recipe.last == "global":
            model = self._fused()
            logits = model.global_net(model.shrink(prepared))["logits"]
            found = {"logits": F.interpolate(logits, size, mode="bilinear", align_corners=False)}
        elif recipe.last == "local":
            grid, net = PatchGrid(size, recipe.crop, recipe.overlap), self._nets()["local"]
            each = [grid.stitch(one, lambda patches, _: {"logits": net(patches)["logits"]}, CHUNK) for one in prepared]
            found = {"logits": torch.stack([one["logits"] for one in each])}
        else:
            found = self.model(prepared, overlap=recipe.overlap, chunk=CHUNK)
            for part in ("local", "global"):
                if part not in recipe.before and not self.criterion.weights[part]:
                    del found[f"{part}_logits"]
        return {name: value.float() for name, value in found.items()}

    @torch.inference_mode()
    def predict_variants(self, image: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """The fused logits without the global map, and with it at a wrong place; of other networks nothing.

        Args:
            image: uint8 (3, H, W).
            statistics: float (2, 3).

        Returns:
            ``"global map zeroed"`` and ``"global map shifted"``, float32 (L, H, W).
        """
        recipe = self.recipe
        if recipe.last in ("global", "local"):
            return {}
        prepared = self.prepare(image[None].to(self.device), None if statistics is None else statistics[None])
        shift = round(SHIFT * self._fused().global_size)
        changed: dict[str, Any] = {"global map zeroed": {"zero": True}, "global map shifted": {"shift": (shift, shift)}}
        with evaluating(self):
            return {
                name: self.model(prepared, overlap=recipe.overlap, chunk=CHUNK, **change)["logits"][0].float()
                for name, change in changed.items()
            }

    def _fused(self) -> LocalGlobal:
        assert isinstance(self.model, LocalGlobal), "another network has no global map"
        return self.model

    def _nets(self) -> dict[str, nn.Module]:
        """The networks that are trained alone, by part."""
        if self.recipe.model != "localglobal":
            return {"local": self.model}
        return {"global": self._fused().global_net, "local": self._fused().local_net}


def read_data(recipe: LocalGlobalRecipe, root: Path) -> Data:
    """Training, validation (maybe none) and test images of a recipe: their middle, mapped into memory."""
    return first_segmenter.read_data(recipe, root, read_split)


def test_fingerprint(recipe: LocalGlobalRecipe, root: Path) -> str:
    """Hash of the test data."""
    return first_segmenter.test_fingerprint(recipe, root)


def protocol(recipe: LocalGlobalRecipe, data: Data) -> WholeCrops:
    """The middle of images at full size."""
    return WholeCrops(recipe, data.test)


def read_split(recipe: Any, root: Path, split: str, count: int | None = None) -> ImageSet:
    """The middle of the images of a split, or of the first so many."""
    data = CentreCrop(root, split, lesions=recipe.lesions, size=recipe.size, crop=recipe.middle)
    full = IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    return ImageSet.read(data, title(root), data.fingerprint(), full=full, count=count)
