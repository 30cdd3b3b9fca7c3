"""A network on whole images and one on their patches, trained alone and then together: the stages of local_global."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.data.augment import add_noise, jitter_colour, rotate_and_zoom, turn
from fundus_lib.data.centre_crop import CentreCrop
from fundus_lib.data.idrid import IDRiDSegmentation
from fundus_lib.data.image_patches import ImagePatches
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.images import resize_mask
from fundus_lib.data.inventory import title
from fundus_lib.losses import LocalGlobalCriterion
from fundus_lib.models import create_model
from fundus_lib.models.localglobal import LocalGlobal, sample_boxes
from fundus_lib.models.patch_grid import PatchGrid
from fundus_lib.protocols.whole_crops import WholeCrops
from fundus_lib.tasks.base import Data, FundusTask, Stage

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.recipes import LocalGlobalRecipe

POWER = 0.9
"""Of the poly schedule."""

SHIFT = 1 / 16
"""By which fraction of its side the global map is shifted down and to the right, to see whether its place matters."""

CHUNK = 16
"""Patches that are predicted at a time."""

Net = nn.Module
"""``forward(images, keep) -> dict`` with ``"logits"``."""


class Task(FundusTask):
    """Trains the networks of a recipe, stage by stage.

    Args:
        recipe: What to train and how.
        start: Not needed: no network starts from weights of others.
    """

    def __init__(self, recipe: LocalGlobalRecipe, *, start: bool = True):
        fused = {"patch": recipe.crop} if recipe.model == "localglobal" else {}
        super().__init__(recipe, create_model(recipe.model, lesions=len(recipe.lesions), **recipe.model_args, **fused))
        self.criterion = LocalGlobalCriterion(**recipe.criterion)
        self.clip = recipe.clip or None
        self._drawn: tuple[Any, ImagePatches] | None = None
        self._shrunk: tuple[Any, Tensor, Tensor] | None = None

    @property
    def part(self) -> str:
        """What the stage under way trains."""
        return self.stage.name if self.stage else str(self.recipe.last)

    @property
    def choose_by(self) -> str | None:
        """The score by which the epoch is chosen."""
        recipe = self.recipe
        return f"{recipe.lesions[0]}_{recipe.choose_by}" if recipe.choose_by and recipe.validation else None

    def adapt(self, data: Data) -> None:
        """Take the channel means of the training images, if these are what every image is normalised by."""
        super().adapt(data)
        if self.recipe.normalise_by == "training set":
            self.statistics = data.training.statistics.mean(0)

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
            parts = ("encoder", "decoder", *(("head",) if self.criterion.weights["local"] else ()))
            return ("fusion.", *(f"local_net.parts.{p}." for p in parts), *self._global_parts())
        return {"global": ("global_net.",), "local": ("local_net.",), "fusion": ("fusion.",)}[part]

    def _global_parts(self) -> tuple[str, ...]:
        parts = ("encoder", "decoder", *(("head",) if self.criterion.weights["global"] else ()))
        return tuple(f"global_net.parts.{part}." for part in parts)

    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """Images and patches by number, see `fundus_lib.data.image_patches.ImagePatches`."""
        recipe = self.recipe
        if self._drawn is None or self._drawn[0] != (id(images.images), self.part):
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
            self._drawn = (id(images.images), self.part), drawn
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
            wholes, masks = self.shrink(images)
            pairs = list(zip(numbers, turns, strict=True))
            batch["whole"] = torch.stack([turn(wholes[number], *how) for number, how in pairs])
            batch["whole_mask"] = torch.stack([turn(masks[number], *how) for number, how in pairs])
        return batch | {"statistics": images.statistics[numbers]}

    def shrink(self, images: ImageSet) -> tuple[Tensor, Tensor]:
        """All images as the global network sees them, uint8 (N, 3, g, g), and masks (N, L, g, g); made once.

        A pixel of a mask is lesion where lesion covers at least half of it.
        """
        if self._shrunk is None or self._shrunk[0] != id(images.images):
            model = self._fused()
            side = (model.global_size, model.global_size)
            wholes = [model.shrink(i[None].float()).round_().clamp_(0, 255).to(torch.uint8)[0] for i in images.images]
            known = [mask.cpu().numpy() for mask in images.masks if mask is not None]
            small = [torch.stack([torch.from_numpy(resize_mask(le, side)) for le in mask]) for mask in known]
            self._shrunk = id(images.images), torch.stack(wholes), torch.stack(small).to(images.dr.device)
        return self._shrunk[1:]

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Fix what is random in the step; networks that are not trained do not adapt their running means either."""
        super().on_train_batch_start(batch, index)
        for net in self._nets().values():
            net.train(self.part != "fusion")  # Lightning leaves the mode as the stage before ended with it

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch in the stage under way."""
        parts = self.compute_losses(batch)
        shown = {"loss": parts["total"].detach()} | {n: v.detach() for n, v in parts.items() if n != "total"}
        count = len(batch["statistics"])
        self.log_dict(shown, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True, batch_size=count)
        return parts["total"]

    def compute_losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``"total"`` and its parts, see :class:`~fundus_lib.losses.LocalGlobalCriterion`; alone a network has one."""
        recipe, part = self.recipe, self.part
        if part in ("global", "local"):
            name, mask_name = {"global": ("whole", "whole_mask"), "local": ("image", "mask")}[part]
            side = recipe.crop if part == "local" else batch[name].shape[-1]
            images, masks = rotate_and_zoom(batch[name], batch[mask_name], side, recipe.zoom)
            images = self.vary(self._prepare(batch, name, images), noise=recipe.noise)
            net = self._nets()[part]
            logits = net(images)["logits"]
            return {"total": self.criterion.loss(logits.float(), masks.float())}
        whole, patches = (self.vary(self._prepare(batch, name, batch[name])) for name in ("whole", "image"))
        output = self.model.forward_patches(whole, patches, batch["places"])  # type: ignore[operator]
        truth = {name: batch[name].float() for name in ("mask", "whole_mask")}
        found: dict[str, Tensor] = self.criterion({name: value.float() for name, value in output.items()}, truth)
        return found

    def vary(self, images: Tensor, noise: float = 0.0) -> Tensor:
        """Normalised images with other colours, and with noise of a deviation of at most so much."""
        varied = add_noise(jitter_colour(images, self.recipe.colour_jitter), noise)
        return varied.contiguous(memory_format=torch.channels_last)

    def _prepare(self, batch: dict[str, Tensor], name: str, images: Tensor) -> Tensor:
        """Shrunk images ("whole") or patches ("image"), normalised by the statistics of the image that they are of."""
        statistics = batch["statistics"]
        if name == "image":
            statistics = statistics[batch["places"][:, 0].long()]
        return self.prepare(images, statistics)

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
        if recipe.last == "global":
            model = self._fused()
            size = (images.shape[-2], images.shape[-1])
            logits = model.global_net(model.shrink(prepared))["logits"]
            found = {"logits": F.interpolate(logits, size, mode="bilinear", align_corners=False)}
        elif recipe.last == "local":
            found = {"logits": predict_patches(self._nets()["local"], prepared, self._grid(prepared))}
        else:
            found = self.model(prepared, overlap=recipe.overlap, chunk=CHUNK)
            if "local" not in recipe.before and not self.criterion.weights["local"]:
                del found["local_logits"]
            if "global" not in recipe.before and not self.criterion.weights["global"]:
                del found["global_logits"]
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
        if self.recipe.last in ("global", "local"):
            return {}
        training, model = self.training, self._fused()
        self.eval()
        own = None if statistics is None else statistics[None].to(self.device)
        prepared = self.prepare(image[None].to(self.device), own)
        maps = model.global_net(model.shrink(prepared), keep=("features",))["features"]
        shift = round(SHIFT * model.global_size)
        wrong = {"global map zeroed": torch.zeros_like(maps), "global map shifted": maps.roll((shift, shift), (2, 3))}
        grid = self._grid(prepared)
        places = grid.places().to(self.device)
        found = {name: prepared.new_zeros(len(self.recipe.lesions), *grid.size) for name in wrong}
        patches = list(grid.cut(prepared[0]))
        for start in range(0, len(patches), CHUNK):
            some = slice(start, start + CHUNK)
            local = model.local_net(torch.stack(patches[some]), keep=("features",))["features"]
            for name, changed in wrong.items():
                logits = model.fusion(local, sample_boxes(changed, places[some], grid.shape))["logits"]
                place_patches(found[name], logits, grid, start)
        self.train(training)
        return found

    def _grid(self, prepared: Tensor) -> PatchGrid:
        return PatchGrid((prepared.shape[-2], prepared.shape[-1]), self.recipe.crop, self.recipe.overlap)

    def _fused(self) -> LocalGlobal:
        assert isinstance(self.model, LocalGlobal), "another network has no global map"
        return self.model

    def _nets(self) -> dict[str, Net]:
        """The networks that are trained alone, by part."""
        if self.recipe.model != "localglobal":
            return {"local": self.model}
        return {"global": self._fused().global_net, "local": self._fused().local_net}


def predict_patches(net: Net, images: Tensor, grid: PatchGrid) -> Tensor:
    """Logits (B, L, H, W) of a network that sees patches alone, of images (B, 3, H, W)."""
    found = []
    for image in images:
        patches = list(grid.cut(image))
        whole: Tensor | None = None
        for start in range(0, len(patches), CHUNK):
            logits = net(torch.stack(patches[start : start + CHUNK]))["logits"]
            if whole is None:
                whole = logits.new_zeros(logits.shape[1], *grid.size)
            place_patches(whole, logits, grid, start)
        assert whole is not None
        found.append(whole)
    return torch.stack(found)


def place_patches(whole: Tensor, logits: Tensor, grid: PatchGrid, first: int) -> None:
    """Add patches (N, L, p, p), of which the first has the number `first`, to a map (L, H, W), blended."""
    for number, patch in enumerate(logits, first):
        top, left = grid.corners[number]
        weight = grid.weights(number).to(whole.device, whole.dtype)
        whole[:, top : top + grid.shape[0], left : left + grid.shape[1]] += weight * patch


def read_data(recipe: LocalGlobalRecipe, root: Path) -> Data:
    """Training, validation (maybe none) and test images of a recipe: their middle, mapped into memory."""
    if recipe.fold:
        training, test = _read(recipe, root, "train").hold_out(fold=recipe.fold)
        training, test = training.first(recipe.train_images), test.first(recipe.test_images)
    else:
        training = _read(recipe, root, "train", recipe.train_images)
        test = _read(recipe, root, "test", recipe.test_images)
    training, validation = training.hold_out(int(recipe.validation or 0))
    return Data(training, validation, test)


def test_fingerprint(recipe: LocalGlobalRecipe, root: Path) -> str:
    """Hash of the test data."""
    split = "train" if recipe.fold else "test"
    return IDRiDSegmentation(root, split, lesions=recipe.lesions, size=recipe.size).fingerprint()


def protocol(recipe: LocalGlobalRecipe, data: Data) -> WholeCrops:
    """The middle of images at full size."""
    return WholeCrops(recipe, data.test)


def _read(recipe: LocalGlobalRecipe, root: Path, split: str, count: int | None = None) -> ImageSet:
    data = CentreCrop(root, split, lesions=recipe.lesions, size=recipe.size, crop=recipe.middle)
    full = IDRiDSegmentation(root, split, lesions=recipe.lesions, cache=False).mask
    return ImageSet.read(data, title(root), data.fingerprint(), full=full, count=count)
