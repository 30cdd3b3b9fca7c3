"""local_global: the rows of its Table 1, what it leaves out, and the same at half of its scale for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from fundus_lib.recipes.first_segmenter import SegmentationRecipe

Part = Literal["global", "local", "fusion", "joint"]
PARTS: tuple[Part, ...] = ("global", "local", "fusion", "joint")
"""What a stage trains, in the order of the stages: one network, the other, the layers that fuse them, everything."""


@dataclass(frozen=True, kw_only=True)
class LocalGlobalRecipe(SegmentationRecipe):
    """A network on the shrunk image and one on patches of it, trained one after the other, and fused.

    Patches follow from the seed and from the epoch, counted over all stages, so that a network trained alone and the
    same one as a later stage see other patches. The networks alone see patches (or shrunk images) rotated by any angle,
    zoomed, mirrored and with noise; fused they see them turned by quarters and mirrored, image and patch alike.

    Attributes:
        size: (height, width) in pixels at which images are read.
        middle: (height, width) of the middle of them, which alone is trained on and predicted.
        crop: Side of the patches in pixels, in training and in the test.
        model: `"localglobal"`, or another network that is trained and tested on patches as the local one is.
        last: What the last stage trains, and thereby what is predicted: the global network's map, the local one's, or
            the fused one.
        epochs: Of the last stage.
        before: How many epochs the stages before it have: part → number.
        batch: Images in a step, of which the global network sees all.
        patches: Of each of these images, for the local network.
        lesion_fraction: Fraction of the patches that are placed around a lesion pixel, where the image has any.
        zoom: By how much images are enlarged or shrunk at most while a network is trained alone.
        noise: Largest deviation of the noise that is added then, in standard deviations of the image.
        colour_jitter: By how much contrast and brightness vary, in standard deviations of the image: of each patch, and
            of each shrunk image.
        criterion: Settings of :class:`~fundus_lib.losses.LocalGlobalCriterion`; a network alone has its `loss`.
        optimiser: `"adam"` under the poly schedule with power 0.9 over each stage; or `"one-cycle"`, AdamW.
        learning_rate: At the start of a stage, or at its peak.
        joint_rate: The same of the stage that trains everything.
        overlap: By how many pixels neighbouring patches overlap in the test.
    """

    kind: ClassVar[str] = "local_global"

    model: str = "localglobal"
    size: tuple[int, int] = (2848, 4288)
    middle: tuple[int, int] = (2816, 3328)
    crop: int = 256
    last: Part = "joint"
    before: Mapping[str, int] = field(default_factory=dict)
    batch: int = 2
    patches: int = 8
    lesion_fraction: float = 0.0
    zoom: float = 1.25
    noise: float = 0.1
    optimiser: Literal["adam", "one-cycle"] = "adam"
    learning_rate: float = 2e-4
    joint_rate: float = 1e-4
    weight_decay: float = 0.0
    clip: float = 0.0
    overlap: int = 0

    @property
    def stages(self) -> dict[str, int]:
        """What each stage trains, in order, and for how many epochs."""
        before: dict[str, int] = {part: self.before[part] for part in PARTS if part in self.before}
        return {**before, self.last: self.epochs}

    def problem(self) -> str | None:
        """What does not go together, in words; None if everything does."""
        if not set(self.before) <= set(PARTS[: PARTS.index(self.last)]):
            return f"last={self.last!r} after before={dict(self.before)}: parts are, in this order, {', '.join(PARTS)}"
        if self.before and min(self.before.values()) < 1:
            return f"before={dict(self.before)}: a stage has at least one epoch, or is left out"
        if self.model != "localglobal" and (self.last != "local" or self.before):
            return f"model={self.model!r} is trained on patches alone: last='local', before={{}}"
        if self.last == "fusion" and not {"global", "local"} <= set(self.before):
            return "last='fusion' trains the fusion of two networks that were trained before"
        if min(self.middle) < self.crop or self.middle[0] > self.size[0] or self.middle[1] > self.size[1]:
            return f"crop={self.crop}, middle={self.middle}, size={self.size}: each must fit into the next"
        if self.patches < 1 or not 0 <= self.overlap < self.crop or self.zoom < 1 or self.noise < 0:
            return f"patches={self.patches}, overlap={self.overlap}, zoom={self.zoom}, noise={self.noise}"
        if self.train_on != "IDRiD" or self.pretraining_epochs or self.test_flips:
            return "there are no synthetic training images and no mirrored views (train_on, pretraining_*, test_flips)"
        return super().problem()

    def smoke(self) -> LocalGlobalRecipe:
        """The same experiment shrunk to seconds on a CPU: every code path, no result worth quoting."""
        small = {"width": 4, "depth": 2}
        if self.model == "localglobal":
            small = {"global_size": 32} | {f"{net}_{k}": v for net in ("global", "local") for k, v in small.items()}
        changes: dict[str, Any] = {
            "size": (96, 144),
            "middle": (88, 104),
            "crop": self.crop * 8 // (self.middle[0] // 11),
            "train_images": min(self.train_images or 4, 4),
            "test_images": min(self.test_images or 3, 3),
            "validation": min(self.validation or 0, 1),
            "model_args": {**self.model_args, **small},
            "before": dict.fromkeys(self.before, 1),
            "batch": 2,
            "patches": 3,
            "overlap": min(self.overlap, 2),
            "epochs": min(self.epochs, 2),
            "steps": 2,
        }
        return self.replace(**changes)

    @classmethod
    def defaults_of_old(cls, plain: Mapping[str, Any]) -> Mapping[str, Any]:
        """None: all settings were there from the start."""
        return {}


DEPTHS = {"EX": (6, 3), "MA": (3, 3), "HE": (6, 6), "SE": (4, 6)}
"""Poolings of the global network and of the local one, for each lesion."""

WIDTHS = {6: 16, 4: 32, 3: 64}
"""Poolings → width. The paper gives none; these make networks of 8 to 31 million parameters."""

PLAIN = {"EX": {"width": 72, "depth": 4}, "MA": {"width": 90, "depth": 3}}
"""Plain U-Nets of as many parameters as both networks and their fusion have together."""


def fused(name: str, lesion: str, **changes: Any) -> LocalGlobalRecipe:
    """Both networks at the paper's size, trained in all stages.

    An epoch shows as many patches as the training images have: 54 times 143. Widths, batch, and for how many epochs the
    networks are trained alone, are ours.

    Args:
        name: Of the row.
        lesion: Which.
        **changes: Other settings.
    """
    deep, deep_local = DEPTHS[lesion]
    made = LocalGlobalRecipe(
        paper="local_global",
        table="1",
        row=name,
        lesions=(lesion,),
        model_args={
            "global_width": WIDTHS[deep],
            "global_depth": deep,
            "local_width": WIDTHS[deep_local],
            "local_depth": deep_local,
        },
        before={"global": 15, "local": 30, "fusion": 10},
        epochs=60,
        steps=483,
    )
    return made.replace(**changes)


def shorten(recipe: LocalGlobalRecipe, last: Part, ending: str) -> LocalGlobalRecipe:
    """The same as far as one of its stages, without those of which it needs nothing."""
    needed = {"global": (), "local": (), "fusion": ("global", "local"), "joint": ()}[last]
    stages = recipe.stages
    before = {part: stages[part] for part in needed}
    return recipe.replace(
        row=f"{recipe.lesions[0]}_{ending}", last=last, before=before, epochs=stages[last] if last != "joint" else 1
    )


def alone(recipe: LocalGlobalRecipe) -> tuple[LocalGlobalRecipe, ...]:
    """The global network and the local one, trained as they are before they are fused."""
    return shorten(recipe, "global", "global"), shorten(recipe, "local", "local")


def beyond(
    recipe: LocalGlobalRecipe, plain: Mapping[str, Any], large: Mapping[str, Any], **changes: Any
) -> tuple[LocalGlobalRecipe, ...]:
    """What the paper leaves out: each stage without the other, and networks that have no global map.

    Joint training alone has as many updates as, with pre-training, the network that is trained longest has in all.

    Args:
        recipe: With all stages.
        plain: Width and depth of a U-Net of as many parameters. It is trained on patches, in as many steps as all
            stages have together.
        large: Width and depth of a U-Net that sees patches of twice the side, a quarter as many, in as many steps.
        **changes: Other settings.
    """
    lesion, stages = recipe.lesions[0], recipe.stages
    everything, longest = sum(stages.values()), max(stages["global"], stages["local"])
    patches = recipe.replace(model="unet", last="local", before={}, epochs=everything)
    rows = (
        shorten(recipe, "fusion", "fused_only"),
        shorten(recipe, "joint", "joint_only").replace(epochs=longest + stages["joint"]),
        patches.replace(row=f"{lesion}_plain", model_args=plain),
        patches.replace(
            row=f"{lesion}_local_large",
            model_args=large,
            crop=2 * recipe.crop,
            patches=recipe.patches // 4,
        ),
    )
    return tuple(row.replace(**changes) for row in rows)


TABLE_1 = tuple(
    row for recipe in (fused(f"{lesion}_fused", lesion) for lesion in DEPTHS) for row in (*alone(recipe), recipe)
)

BEYOND = tuple(
    row
    for lesion, plain in PLAIN.items()
    for row in beyond(fused(f"{lesion}_fused", lesion), plain, {"width": 64, "depth": 4}, table="beyond")
)

HALF: dict[str, Any] = {
    "table": "half",
    "size": (1424, 2144),
    "middle": (1408, 1664),
    "crop": 128,
    "before": {"global": 30, "local": 25, "fusion": 4},
    "epochs": 16,
    "steps": 10,
    "batch": 4,
    "lesion_fraction": 0.7,
    "criterion": {"loss_args": {"pool": "batch"}},
    "optimiser": "one-cycle",
    "learning_rate": 4e-3,
    "joint_rate": 2e-3,
    "weight_decay": 0.01,
    "clip": 1.0,
    "colour_jitter": 0.1,
}
"""At half of the scale, with narrow networks: a quarter of an hour of one core."""

HALF_ARGS: dict[str, dict[str, Any]] = {
    "EX": {"global_width": 8, "local_width": 16, "global_size": 320},
    "MA": {"global_width": 16, "local_width": 16, "global_size": 320},
}
HALF_PLAIN: dict[str, dict[str, Any]] = {"EX": {"width": 8, "depth": 6}, "MA": {"width": 11, "depth": 4}}


def _half(lesion: str) -> tuple[LocalGlobalRecipe, ...]:
    base = fused(f"{lesion}_fused", lesion)
    recipe = base.replace(**HALF, model_args={**base.model_args, **HALF_ARGS[lesion]})
    return *alone(recipe), recipe, *beyond(recipe, HALF_PLAIN[lesion], {"width": 16, "depth": 4})


RECIPES: tuple[LocalGlobalRecipe, ...] = (*TABLE_1, *BEYOND, *(row for lesion in HALF_ARGS for row in _half(lesion)))
