"""The diagram of a U-Net, drawn from the network itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fundus_lib.errors import ArgumentError
from fundus_lib.viz.diagram import Box, Diagram, diagram
from fundus_lib.viz.style import OKABE_ITO

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

    from fundus_lib.models.unet import UNet


def draw_unet(network: nn.Module, size: tuple[int, int]) -> Diagram:
    """Draw the encoder of a U-Net on the left, its decoder on the right, and a skip connection at each level.

    Channels and sizes are those of a pass through the network; its mode is restored.

    Args:
        network: A :class:`~fundus_lib.models.unet.UNet`, on any device.
        size: (height, width) of the image.

    Returns:
        The diagram; end the cell with it.

    Raises:
        ArgumentError: The network is no U-Net.
    """
    from fundus_lib.models.unet import UNet  # pictures alone need no torch

    if not isinstance(network, UNet):
        raise ArgumentError(
            "network",
            "only a U-Net has levels to draw",
            found=type(network).__name__,
            expected="UNet",
            remedy='pass create_model("unet")',
        )
    down, up, out = _measure(network, size)
    last, green, orange = len(down) - 1, OKABE_ITO[2], OKABE_ITO[4]
    boxes = {"image": Box(0, 0, f"image\n3 × {size[0]}×{size[1]}"), "logits": Box(1, 0, f"logits\n{out}")}
    boxes |= {f"down{k}": Box(0, k + 1, f"convolutions\n{text}", green) for k, text in enumerate(down[:-1])}
    boxes |= {f"up{k}": Box(1, k + 1, f"convolutions\n{text}", orange) for k, text in enumerate(up)}
    boxes[f"down{last}"] = Box(0.5, last + 1, f"convolutions\n{down[last]}", green)
    arrows: list[tuple[str, ...]] = [("image", "down0"), ("up0", "logits")]
    arrows += [(f"down{k}", f"down{k + 1}", "" if k + 1 == last else "½") for k in range(last)]
    arrows += [
        (f"up{k + 1}" if k + 1 < last else f"down{last}", f"up{k}", "2×" if k + 1 < last else "") for k in range(last)
    ]
    arrows += [(f"down{k}", f"up{k}") for k in range(last)]
    levels = "; ".join(f"level {k}: {text}" for k, text in enumerate(down))
    alt = f"A U-Net as boxes in the shape of a U, with an arrow across at each level but the lowest. Encoder {levels}"
    return diagram(boxes, arrows, alt)


def _measure(network: UNet, size: tuple[int, int]) -> tuple[list[str], list[str], str]:
    """Channels and size of each level, down and up, as text; and of the logits."""
    import torch

    from fundus_lib.modes import evaluating

    found: dict[nn.Module, str] = {}

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        found[module] = _describe(output)

    down, up = (list(cast("nn.ModuleList", network.parts[name].blocks)) for name in ("encoder", "decoder"))
    hooks: list[RemovableHandle] = [block.register_forward_hook(note) for block in (*down, *up)]
    device = next(network.parameters()).device
    try:
        with evaluating(network), torch.inference_mode():
            logits = network(torch.zeros(1, 3, *size, device=device))["logits"]
    finally:
        for hook in hooks:
            hook.remove()
    return [found[block] for block in down], [found[block] for block in up], _describe(logits)


def _describe(features: Tensor) -> str:
    """Channels × height×width."""
    _, channels, height, width = features.shape
    return f"{channels} × {height}×{width}"
