"""One base and the ideas of all papers on it: the same crops, updates and test, and what differs is the idea alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fundus_lib.data.augment import jitter_colour, turn, turn_boxes
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.patches import Crops
from fundus_lib.losses import DualBranchCriterion, GradeLoss, HECLCriterion, LocalGlobalCriterion
from fundus_lib.models.gradedunet import GradedUNet
from fundus_lib.models.localglobal import LocalGlobal
from fundus_lib.protocols.another_camera import AnotherCamera
from fundus_lib.protocols.benchmark import Benchmark
from fundus_lib.tasks import first_segmenter
from fundus_lib.tasks.average import Average
from fundus_lib.tasks.base import Data, Stage
from fundus_lib.tasks.benchmark_cameras import fingerprint_camera
from fundus_lib.tasks.benchmark_data import BenchmarkData, GradedOrder
from fundus_lib.tasks.benchmark_data import read_data as read_data
from fundus_lib.tasks.shrunk import Shrunk

if TYPE_CHECKING:
    from fundus_lib.recipes import BenchmarkRecipe


class Task(first_segmenter.Task):
    """Trains the network of a recipe on crops, with the criterion of whichever paper the recipe names.

    Args:
        recipe: What to train and how.
        start: Load the weights that the recipe starts from.

    Attributes:
        average: The moving average of the weights; None if the recipe has none.
    """

    def __init__(self, recipe: BenchmarkRecipe, *, start: bool = True):
        super().__init__(recipe, start=start)
        self.average = Average(self.model, recipe.average) if recipe.average else None
        if self.average is not None:  # each process computes its own, and all the same
            self._ddp_params_and_buffers_to_ignore = [n for n in self.state_dict() if n.startswith("average.")]
        self.shrunk = Shrunk()
        self.graded: GradedOrder | None = None
        self.grade_loss = GradeLoss()

    def adapt(self, data: Data) -> None:
        """Take the graded images, if the recipe shows any beside the crops."""
        super().adapt(data)
        if isinstance(data, BenchmarkData) and data.graded is not None:
            self.graded = GradedOrder(data.graded, self.recipe.seed)

    def create_criterion(self) -> nn.Module:
        """That of two branches, of a fused network, of contrastive terms, or a loss on masks alone."""
        criterion = self.recipe.criterion
        if self.recipe.model == "dualbranch":
            return DualBranchCriterion(**criterion)
        if self.recipe.model == "localglobal":
            return LocalGlobalCriterion(**criterion)
        return HECLCriterion(**criterion) if "terms" in criterion else super().create_criterion()

    @property
    def progress(self) -> float:
        """Epoch of the stage, counted from 0, by the number of its epochs."""
        return self.current_epoch / self.stage.epochs if self.stage else 0.0

    def _stage(self, name: str, images: ImageSet, epochs: int, **settings: Any) -> Stage:
        """A stage; the local network's own logits have no loss, and their layer no gradient."""
        if isinstance(self.model, LocalGlobal) and not self.criterion.weights["local"]:  # type: ignore[index]
            parts = ("local_net.parts.encoder.", "local_net.parts.decoder.", "global_net.", "fusion.")
            settings["trainable"] = parts
        return super()._stage(name, images, epochs, **settings)

    def create_crops(self, images: ImageSet) -> Crops:
        """Those of the recipe."""
        crops = super().create_crops(images)
        crops.each_lesion, crops.zoom = self.recipe.sampling == "lesion", self.recipe.zoom
        crops.places = isinstance(self.model, LocalGlobal)
        return crops

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Tensor]:
        """The crops of these numbers, (B, …).

        Returns:
            As of the first segmenter. For a fused network also ``"whole"`` uint8 (B, 3, g, g) and ``"whole_mask"``
            (B, L, g, g), the shrunk image that each crop is of, turned as the crop is, and ``"places"`` float (B, 5),
            where the crop lies in it. With graded images one of them for each crop, ``"graded_image"`` uint8
            (B, 3, h, w), ``"graded_statistics"`` and ``"graded_dr"``.
        """
        batch = super().load_batch(images, items)
        if isinstance(self.model, LocalGlobal):
            wholes, masks = self.shrunk.get(images, self.model)
            turns = [(int(quarters), bool(mirror)) for quarters, mirror in batch.pop("turn").tolist()]
            numbers, boxes = batch.pop("number").tolist(), batch.pop("box")
            placed = [turn_boxes(box[None], *how) for box, how in zip(boxes, turns, strict=True)]
            order = torch.arange(len(boxes), device=boxes.device)[:, None]
            batch["places"] = torch.cat([order, torch.cat(placed)], dim=1)
            for name, maps in (("whole", wholes), ("whole_mask", masks)):
                batch[name] = torch.stack([turn(maps[n], *how) for n, how in zip(numbers, turns, strict=True)])
        if self.graded is not None and self._crops is not None:
            shown = self.graded.draw([self._crops.epoch * self._crops.length + item for item in items])
            batch |= {f"graded_{name}": value.to(batch["image"].device) for name, value in shown.items()}
        return batch

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        parts = self.compute_parts(batch)
        shown = {"loss" if name == "total" else name: part.detach() for name, part in parts.items()}
        self.log_dict(shown, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return parts["total"]

    def compute_parts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The criterion's parts for a batch: ``"total"``, which is minimised, and the others.

        Two branches are given the same crops.
        """
        images, masks = self.augment(batch)
        images = images.contiguous(memory_format=torch.channels_last)
        truth = {"mask": masks.float()}
        if isinstance(self.model, LocalGlobal):
            whole = jitter_colour(self.prepare(batch["whole"], batch["statistics"]), self.recipe.colour_jitter)
            output = self.model.forward_patches(whole, images, batch["places"])
            truth["whole_mask"] = batch["whole_mask"].float()
        else:
            keep = getattr(self.criterion, "keep", ())
            output = self.model(images, **({"keep": keep} if keep else {}))
        found: dict[str, Tensor] = self.criterion(
            {name: value.float() for name, value in output.items()}, truth, self.progress
        )
        if isinstance(self.model, GradedUNet):
            graded = self.prepare(batch["graded_image"], batch["graded_statistics"])
            graded = jitter_colour(graded, self.recipe.colour_jitter).contiguous(memory_format=torch.channels_last)
            found["grading"] = self.grade_loss(self.model.grade(graded).float(), batch["graded_dr"])
            found["total"] = found["total"] + self.recipe.grade_weight * found["grading"]
        return found

    def forward(self, images: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """Logits of whole images, float32. A fused network takes each as one patch.

        Grades are not given: they were learnt from images at another size.
        """
        if not isinstance(self.model, LocalGlobal):
            output = super().forward(images, statistics)
            return {name: value for name, value in output.items() if name.endswith("logits")}
        prepared = self.prepare(images, statistics)
        places = torch.tensor([[number, 0, 0, 1, 1] for number in range(len(images))], device=images.device)
        output = self.model.forward_patches(self.model.shrink(prepared), prepared, places.float())
        return {"logits": output["logits"].float()}

    def on_train_epoch_start(self) -> None:
        """Go on with the weights that are trained."""
        if self.average is not None:
            self.average.exchange(self.model)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the new weights into the average; at an epoch's end the average is what is tested and saved."""
        if self.average is not None:
            self.average.update(self.model, self.steps_before + self.global_step)
            if self.trainer.is_last_batch:
                self.average.exchange(self.model)


def test_fingerprint(recipe: BenchmarkRecipe, root: Path) -> str:
    """Hash of the test data."""
    return fingerprint_camera(recipe, root) if recipe.test_on else first_segmenter.test_fingerprint(recipe, root)


def protocol(recipe: BenchmarkRecipe, data: Data) -> Benchmark:
    """At the images' own size and as each paper does; or on another camera's images at the scale of training."""
    if isinstance(data, BenchmarkData) and data.own is not None:
        return AnotherCamera(recipe, data.test, data.own, data.regions)
    return Benchmark(recipe, data.test)
