"""Class activation maps, Grad-CAM, how much of them lies on lesions, and where a loss moves a network.

Sources: B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016 (the class activation map);
R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.

All maps are computed in evaluation mode; mode, gradients and hooks of the network are restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fundus_lib.checks import check_images, check_shapes
from fundus_lib.errors import ArgumentError, UnknownNameError
from fundus_lib.metrics._inputs import as_binary, as_scores
from fundus_lib.modes import evaluating

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def compute_class_map(model: nn.Module, images: Tensor, disease: str, grade: int | Tensor) -> Tensor:
    """Compute a class activation map: each position's contribution to the logit of a grade.

    Args:
        model: A network with ``compute_class_maps``, as :class:`~fundus_lib.models.sunet.SUNet` and
            :class:`~fundus_lib.models.grader.Grader` have it: a linear classifier on pooled features, applied at every
            position instead.
        images: float (B, 3, H, W), normalised, on the device of the model.
        disease: ``"dr"`` or ``"dme"``.
        grade: The grade to explain, one for all images or int (B,).

    Returns:
        float32 (B, h, w), at the size of the last feature map; a negative value lowers the logit. With mean
        pooling, the mean of the map plus the classifier's bias is the logit.

    Raises:
        ArgumentError: The network has no ``compute_class_maps``, does not grade the disease, or a grade lies outside
            its scale.
    """
    if not hasattr(model, "compute_class_maps"):
        _refuse(
            type(model).__name__,
            "no linear classifier on a feature map",
            "a model with compute_class_maps",
            "use compute_grad_cam",
        )
    with evaluating(model), torch.no_grad():
        maps = model.compute_class_maps(images)  # type: ignore[operator]
    if disease not in maps:
        _refuse(repr(disease), "the network does not grade this disease", f"one of {list(maps)}", "name one of these")
    scale = maps[disease].shape[1]
    grades = torch.as_tensor(grade, device=images.device)
    if grades.is_floating_point() or grades.shape not in ((), images.shape[:1]):
        found = f"{disease}: {grades.dtype} {tuple(grades.shape)}"
        _refuse(found, "not one grade for all images or for each", f"integers, () or ({len(images)},)", "grade.long()")
    grades = grades.long().expand(len(images))
    if bool(((grades < 0) | (grades >= scale)).any()):
        _refuse(f"{disease}={grades.tolist()}", "no such grade", f"0 to {scale - 1}", "-1 means unknown: leave it out")
    chosen: Tensor = maps[disease][torch.arange(len(images)), grades]
    return chosen.float()


def compute_grad_cam(
    model: nn.Module,
    images: Tensor,
    score: Callable[[dict[str, Tensor]], Tensor],
    layer: str | nn.Module | None = None,
) -> Tensor:
    """Compute Grad-CAM: a layer's channels, weighted by the score's gradient (Eqs. 1 and 2 of Selvaraju et al.).

    The weight of a channel is the mean over all positions of the score's gradient; negative sums become zero. On a
    linear classifier after pooling, by mean or by maximum, this is the positive part of :func:`compute_class_map`
    divided by h·w.

    Args:
        model: Maps images to a dictionary of outputs.
        images: float (B, 3, H, W), normalised, on the device of the model.
        score: The outputs to one number per image (B,), such as ``lambda output: output["dr"][:, 3]``, or
            ``lambda output: (output["logits"][:, 2] * region).sum((1, 2))`` for exudates in a region (H, W).
        layer: The layer whose output is weighted, as a module or by its name in ``model.named_modules()``; if it runs
            several times, the last run that the score depends on. None: the last layer with the coarsest feature map,
            of those that the score depends on and that keep at least a 32nd of the images' height and width, which
            excludes global pooling. In a network with pooled branches (``pspnet``, ``spnet``) that may be one of
            these; name the layer there, such as ``"parts.last_block"``.

    Returns:
        float32 (B, h, w), not negative.

    Raises:
        UnknownNameError: There is no layer of that name.
        ArgumentError: The layer's output is not a feature map (B, C, h, w), the score is not one number per image or
            has no gradient, or it does not depend on the layer.
    """
    check_images(model, images)
    watched = model.modules() if layer is None else [_find_layer(model, layer)]
    kept: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return None
        kept.append(output)
        return output.clone()  # later layers may work in place

    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        hooks = [module.register_forward_hook(keep) for module in watched]
        try:
            each = score(model(images.detach().clone().requires_grad_()))
        finally:
            for hook in hooks:
                hook.remove()
        if each.shape != images.shape[:1]:
            _refuse(
                f"a score of shape {tuple(each.shape)}",
                "not one number per image",
                f"({len(images)},)",
                "sum over all axes but the first",
            )
        if not each.requires_grad:
            _refuse("a score without gradient", "nothing to explain", "a differentiable score", "no argmax, no detach")
        kept.reverse()
        if layer is None:
            least = [max(2, side // 32) for side in images.shape[-2:]]
            kept = [x for x in kept if x.shape[-2] >= least[0] and x.shape[-1] >= least[1]]
            kept.sort(key=lambda x: x[0, 0].numel())  # stable: of equal sizes the last to run comes first
        for features in kept:
            (gradient,) = torch.autograd.grad(each.sum(), features, retain_graph=True, allow_unused=True)
            if gradient is not None:
                weights = gradient.float().mean((2, 3), keepdim=True)
                return (weights * features.detach().float()).sum(1).relu()
    if kept:
        _refuse(f"layer {layer!r}", "the score does not depend on it", "a layer before the score", "choose another")
    _refuse(f"layer {layer!r}", "its output is not a feature map, or it does not run", "(B, C, h, w)", "choose another")


def _find_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """Find a layer by its name, or check that a module is part of the model."""
    layers: dict[str, nn.Module] = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if all(layer is not other for other in layers.values()):
            _refuse(type(layer).__name__, "this layer is not part of the model", "one of its modules", "pass its own")
        return layer
    if layer not in layers:
        raise UnknownNameError(
            "compute_grad_cam, layer",
            "the model has no layer of that name",
            found=repr(layer),
            expected=", ".join(name for name in layers if name and name.count(".") < 2),
            remedy="dict(model.named_modules()) has all names",
        )
    return layers[layer]


def _refuse(found: str, problem: str, expected: str, remedy: str) -> NoReturn:
    raise ArgumentError("explain", problem, found=found, expected=expected, remedy=remedy)


def measure_inside(cam: ArrayLike | Tensor, mask: ArrayLike | Tensor, field: ArrayLike | Tensor | None = None) -> float:
    """Compute the fraction of a map's positive part that lies inside a mask.

    It quantifies sunet's Fig. 3: whether the class activation map is high on lesions. Compare it with that of a
    constant map, ``measure_inside(ones, mask, field)``: the mask's fraction of the field of view.

    Args:
        cam: Map of real numbers (H, W), at the size of the mask; see :func:`upsample`. Values below zero count as zero:
            they lower the logit.
        mask: Lesions, bool or 0/1 (H, W); of several kinds, their union.
        field: Field of view, bool or 0/1 (H, W). Values outside it are left out of both sums.

    Returns:
        Between 0 and 1; 0 for an empty mask, NaN for a map without positive values inside the field.

    Raises:
        ArgumentError: The sizes differ, a value of the map is not finite, or one of a mask is neither 0 nor 1.
    """
    check_shapes("measure_inside", cam, mask)
    scores = as_scores(cam, "measure_inside, cam").cpu().double()
    if not bool(scores.isfinite().all()):
        raise ArgumentError(
            "measure_inside, cam",
            "the map has values that are not finite",
            found=f"{int((~scores.isfinite()).sum())} infinite among {scores.numel()} values",
            expected="finite numbers",
            remedy="look for an overflow, for instance of 16-bit numbers",
        )
    positive = scores.clamp(min=0)
    if field is not None:
        check_shapes("measure_inside, field", cam, field)
        positive = positive * as_binary(field, "measure_inside, field").cpu()
    total = float(positive.sum())
    inside = float((positive * as_binary(mask, "measure_inside, mask").cpu()).sum())
    return inside / total if total else float("nan")


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps to the images bilinearly.

    Args:
        maps: float (..., h, w).
        size: (height, width) of the images.

    Returns:
        float32 (..., height, width).
    """
    flat = maps.detach().float().reshape(1, -1, *maps.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).reshape(*maps.shape[:-2], *size)


def negative_gradient(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, mask: Tensor) -> Tensor:
    """Where a loss moves the logits of one image and lesion: minus its gradient at each.

    Args:
        loss: Of logits and masks, (1, 1, H, W) each.
        logits: float (H, W).
        mask: float 0 and 1, (H, W).

    Returns:
        (H, W); positive where the logit should rise.
    """
    own = logits.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(own[None, None], mask[None, None]), own)
    return -gradient
