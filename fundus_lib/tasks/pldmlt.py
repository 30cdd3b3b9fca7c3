"""Segmentation of all lesions as one, with grades that a second network may rewrite: what happens in a step of pldmlt.

Where labels are rewritten, two optimisers take turns, which Lightning leaves to the task ("manual optimisation").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fundus_lib.data.augment import rotate_and_zoom
from fundus_lib.data.epochs import cut_into_batches
from fundus_lib.grades import GRADES
from fundus_lib.losses import LabelUpdate, PLDMLTCriterion
from fundus_lib.models import create_model
from fundus_lib.models.imagenet import MEAN_STD
from fundus_lib.processes import process_rank
from fundus_lib.protocols.fused_lesions import FusedLesions
from fundus_lib.pseudo_labels import allow_grades
from fundus_lib.tasks.base import Data, FundusTask, create_segmenter
from fundus_lib.tasks.pldmlt_data import LabelledData
from fundus_lib.tasks.pldmlt_data import read_data as read_data
from fundus_lib.tasks.pldmlt_data import test_fingerprint as test_fingerprint

if TYPE_CHECKING:
    from fundus_lib.data.epochs import Batches
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.recipes import PLDMLTRecipe

COUNT = GRADES["dr"]

SHOWN = ("loss", "segmentation", "grading", "outer")
"""Losses that are logged after each epoch where labels are rewritten; those that an epoch does not have are NaN."""

SMALLEST = 1e-15
"""What Adam adds to a denominator for the label network, whose gradients come through a step of small rate: its
default of 1e-8 would be larger than they are."""


class Task(FundusTask):
    """Trains a segmenter that may grade, and with it, if the recipe says so, the network that writes its grades.

    Args:
        recipe: What to train and how.
        start: Load the weights of ImageNet, if the recipe starts from them.

    Attributes:
        label_network: θ₁ of the paper; None if labels stay as they are.
        labels: Grades that images have at first, by their names.
        true: True grades of the training images, by their names; −1 where unknown.
    """

    square = True

    def __init__(self, recipe: PLDMLTRecipe, *, start: bool = True):
        super().__init__(recipe, create_segmenter(recipe, start=start))
        self.criterion = PLDMLTCriterion(**recipe.criterion)
        self.labels: Mapping[str, int] = {}
        self.true: Mapping[str, int] = {}
        self.label_network: StartedLabels | None = None
        if recipe.imagenet:
            self.statistics = MEAN_STD.clone()
        if recipe.update:
            self.automatic_optimization = False
            pretrained = {"pretrained": True} if recipe.imagenet and start else {}
            network = create_model("labelnet", **recipe.label_args, **pretrained)
            self.label_network = StartedLabels(network, recipe.start)
            # its gradients do not come from a backward pass, for which processes would wait
            self._ddp_params_and_buffers_to_ignore = [
                name for name in self.state_dict() if name.startswith("label_network.")
            ]
            self.update = LabelUpdate(
                self._criterion,
                recipe.virtual_rate,
                outer=recipe.outer,
                entropy=recipe.entropy,
                order=recipe.derivative,
                form=recipe.form,
            )

    @property
    def choose_by(self) -> str | None:
        """The score by which the epoch is chosen."""
        recipe = self.recipe
        return f"{recipe.lesions[0]}_{recipe.choose_by}" if recipe.choose_by and recipe.validation else None

    def adapt(self, data: Data) -> None:
        """Take the labels that images have at first."""
        self.field_width = float(self.recipe.side)
        self.true = dict(zip(data.training.names, data.training.dr.tolist(), strict=True))
        if isinstance(data, LabelledData):
            self.labels = data.labels

    def epoch_batches(self, images: ImageSet, epoch: int) -> Batches:
        """The numbers of the images, each once, in an order of the seed and the epoch."""
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(images)).tolist()
        return cut_into_batches(order, self.recipe.batch, f"recipe {self.recipe.row!r}")

    def load_batch(self, images: ImageSet, items: Sequence[int]) -> dict[str, Any]:
        """The images of these numbers.

        Returns:
            What :meth:`~fundus_lib.data.image_set.ImageSet.batch` gives, of the masks the fused one alone; ``"dr"`` are
            the true grades. And ``"label"`` (B,), the labels at first, −1 where there is none, and ``"allowed"`` bool
            (B, 5), the grades that the masks allow; and ``"known"``, how many have a label, and how many a true grade.
        """
        batch = images.batch(items)
        masks = batch.pop("mask")
        labels = [self.labels.get(images.names[item], -1) for item in items]
        true = [self.true.get(images.names[item], -1) for item in items]
        return {
            **batch,
            "mask": masks[:, :1],
            "label": torch.tensor(labels, device=masks.device),
            "allowed": allow_grades(masks[:, 1:].flatten(2).any(2).bool()),
            "known": tuple(sum(grade >= 0 for grade in grades) for grades in (labels, true)),
        }

    def augment(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S), turned, zoomed and normalised, and their masks (B, 1, S, S), float32."""
        images, masks = rotate_and_zoom(batch["image"], batch["mask"], self.recipe.side, self.recipe.zoom)
        return self.prepare(images, batch["statistics"]), masks.float()

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor | None:
        """The loss of a batch; where labels are rewritten, whatever steps the batch has, and nothing."""
        images, masks = self.augment(batch)
        if self.label_network is not None:
            self._train_both(self.label_network, batch, images, masks, index)
            return None
        parts = self._criterion(self.model(images), {"mask": masks, "dr": batch["label"]})
        self._show({"loss" if name == "total" else name: part.detach() for name, part in parts.items()}, len(images))
        return parts["total"]

    def find_turns(self, index: int) -> tuple[bool, bool]:
        """Whether the network steps after this batch of an epoch, and whether the label network does."""
        recipe = self.recipe
        if recipe.order == "batch":
            return True, not index % recipe.every
        second = bool(self.current_epoch // recipe.block % 2)
        return not second, second

    def _train_both(
        self, network: StartedLabels, batch: Mapping[str, Any], images: Tensor, masks: Tensor, index: int
    ) -> None:
        """The steps of a batch. Lightning counts one of them: the network's if it has one."""
        turn, label_turn = self.find_turns(index)
        optimizer, label_optimizer = self.optimizers()  # type: ignore[misc,attr-defined]
        allowed = batch["allowed"] if self.recipe.allowed == "rule" else None
        network.begin_at(batch["label"])
        shown = dict.fromkeys(SHOWN, torch.tensor(math.nan, device=images.device))
        with torch.no_grad():
            labels = self.update.generate(network, images, allowed)
        if turn:
            parts = self._criterion(self.model(images), {"mask": masks, "dr": labels})
            optimizer.zero_grad()
            self.manual_backward(parts["total"])
            optimizer.step()
            if schedule := self.lr_schedulers():
                schedule.step()  # type: ignore[union-attr,call-arg]
            shown |= {"loss" if name == "total" else name: part.detach() for name, part in parts.items()}
        if label_turn:
            gradients, losses = self.update.compute_gradients(self.model, network, images, {"mask": masks}, allowed)
            average_over_processes(gradients)
            for name, parameter in network.named_parameters():
                parameter.grad = gradients.get(name)
            (label_optimizer.optimizer if turn else label_optimizer).step()
            label_optimizer.zero_grad()
            shown |= {"outer": losses["outer"]} | ({} if turn else {"loss": losses["inner"]})
        self._show({name: value for name, value in shown.items() if name != "outer"}, len(images))
        self._show(
            {"outer": shown["outer"] if label_turn else torch.zeros_like(labels[0, 0])}, label_turn * len(images)
        )
        self._show_labels(labels, batch)

    def _show(self, values: Mapping[str, Tensor], images: int) -> None:
        self.log_dict(dict(values), on_step=False, on_epoch=True, sync_dist=True, batch_size=images)

    def _show_labels(self, labels: Tensor, batch: Mapping[str, Any]) -> None:
        """Log what the labels of an epoch are: their entropy, their mean, and how often the largest is the first one.

        `label_entropy` is the mean over images of the entropy of each in nats, `label_0` to `label_4` the mean label,
        `label_agreement` the fraction of images whose most probable grade is their label at first, and
        `label_true_agreement` the fraction where it is the true one, of those where it is known.
        """
        entropy = -(labels * labels.clamp(min=1e-20).log()).sum(1).mean()
        mean = {f"label_{grade}": value for grade, value in enumerate(labels.mean(0).unbind())}
        self._show({"label_entropy": entropy, **mean}, len(labels))
        names = ("label_agreement", "label_true_agreement")
        for name, grades, known in zip(names, (batch["label"], batch["dr"]), batch["known"], strict=True):
            self._show({name: (labels.argmax(1) == grades).sum() / max(known, 1)}, known)

    def _criterion(self, output: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.criterion({name: value.float() for name, value in output.items()}, batch)
        return found

    def optimise(self, steps: int) -> Any:
        """Adam, or AdamW under a one-cycle schedule; and Adam for the label network, if there is one."""
        recipe = self.recipe
        first: dict[str, Any]
        if recipe.optimiser == "adam":
            first = {"optimizer": torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)}
        else:
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe.learning_rate)
            own = steps // 2 if recipe.update and recipe.order == "nested" else steps
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=recipe.learning_rate, total_steps=max(own, 4)
            )
            first = {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
        if self.label_network is None:
            return first
        second = torch.optim.Adam(self.label_network.parameters(), lr=recipe.label_rate, eps=SMALLEST)
        return first, {"optimizer": second}


class StartedLabels(nn.Module):
    """A label network whose logits are added to those of labels that are there at first.

    Its last layer begins at zero, so that the labels begin as these.

    Args:
        network: Gives ``"dr"`` (B, 5).
        start: Probability of the label at first, below 1; the other grades share the rest. At 0.2, all are equal: the
            network writes its labels from nothing, and its last layer begins at random.
    """

    def __init__(self, network: nn.Module, start: float):
        super().__init__()
        self.network = network
        self.lead = math.log(start * (COUNT - 1) / (1 - start))
        self._first = torch.zeros(1, COUNT)
        if self.lead:
            for parameter in network.parts["grade"].parameters():  # type: ignore[union-attr,index]
                nn.init.zeros_(parameter)

    def begin_at(self, labels: Tensor) -> None:
        """Take the labels at first of the next images, integers (B,), −1 where there is none."""
        known = (labels >= 0)[:, None]
        self._first = nn.functional.one_hot(labels.clamp(min=0), COUNT) * known * self.lead

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``"dr"`` (B, 5), float32."""
        return {"dr": self.network(images)["dr"].float() + self._first}


def average_over_processes(values: dict[str, Tensor]) -> None:
    """Replace values by their means over the processes of a run."""
    processes = process_rank()[1]
    if processes == 1:
        return
    flat = torch.cat([value.flatten() for value in values.values()])
    torch.distributed.all_reduce(flat)
    parts = torch.split(flat / processes, [value.numel() for value in values.values()])  # type: ignore[no-untyped-call]
    for name, part in zip(list(values), parts, strict=True):
        values[name] = part.view_as(values[name])


def protocol(recipe: PLDMLTRecipe, data: LabelledData) -> FusedLesions:
    """The paper's means with background, and the lesions' own scores."""
    return FusedLesions(recipe, data.test, data.labels, data.source)
