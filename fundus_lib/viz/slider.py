"""Sliders that work in the page: frames are computed beforehand, so neither kernel nor network connection is needed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fundus_lib.errors import ArgumentError
from fundus_lib.viz.style import as_rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BYTES = 1_000_000
"""Largest size of a slider in bytes; a larger one slows the page down."""

PAGE_WIDTH = 730
"""Pixels that the page has for a figure; a figure of more is drawn with fewer."""

COLORS, FAR, MAX_FAR = 128, 48, 0.001
"""A figure of lines and letters is stored with this many colours, if no more than this fraction of its pixels would get
a colour that is farther away than this."""

# All that the page needs is in this one attribute: the frames are siblings, the n-th is shown, the rest are hidden. All
# but the frame shown first hold only what differs from it: it lies behind them.
_ON_INPUT = (
    "const box=this.closest('.fundus-slider'),i=Number(this.value),all=[...box.querySelectorAll('img')],"
    "first=all[this.defaultValue];"
    "if(all[i]!==first)all[i].style.background=`url(${first.src}) 0 0/100% 100%`;"
    "all.forEach((img,k)=>{img.style.display=k===i?'block':'none'});"
    "const text=all[i].dataset.label;"
    "box.querySelector('output').textContent=text;this.setAttribute('aria-valuetext',text)"
)


class Slider:
    """Frames of which a slider shows one; displays itself in a notebook and in the book.

    The same frames and labels give the same bytes: it has no generated identifiers.

    Attributes:
        labels: Shown beside the slider, one per frame.
        html: The self-contained HTML.
    """

    def __init__(self, frames: Sequence[bytes], labels: Sequence[str], caption: str, name: str, start: int):
        self.labels, self.html = list(labels), _build_html(frames, labels, caption, name, start)

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"Slider of {len(self.labels)} frames, from {self.labels[0]} to {self.labels[-1]}"


def slider(
    frames: Sequence[NDArray[np.uint8] | Figure],
    labels: Sequence[object],
    caption: str,
    *,
    name: str = "",
    start: int = 0,
    quality: int = 50,
    dpi: int = 100,
) -> Slider:
    """Build a slider from frames; it needs no kernel and no network connection, and works by keyboard.

    Args:
        frames: Images of one size: uint8 (H, W, 3) or (3, H, W), or matplotlib figures (which are closed).
        labels: One per frame; shown beside the slider and read out by screen readers.
        caption: Shown below, and the description of the frames for screen readers.
        name: Quantity that the slider changes, e.g. "threshold"; shown in front of it.
        start: The frame shown first.
        quality: Of the WebP compression, 1-100; figures of few colours are stored without loss where that is smaller.
        dpi: At which figures are drawn; less if they were wider than the page.

    Returns:
        The slider; end the cell with it.

    Raises:
        ArgumentError: Labels or sizes do not fit, or the whole is larger than 1 MB.

    Example:
        >>> frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 255)]
        >>> slider(frames, ["black", "white"], "Two grey values.")
        Slider of 2 frames, from black to white
    """
    if not len(frames) or len(frames) != len(labels) or not 0 <= start < len(frames):
        raise ArgumentError(
            "labels",
            "frames, labels and start do not match",
            found=f"{len(frames)} frames, {len(labels)} labels, start {start}",
            expected="one label per frame, and a start among them",
            remedy="pass one label for each frame",
        )
    arrays = [_as_array(frame, dpi) for frame in frames]
    if len(sizes := {array.shape for array in arrays}) > 1:
        raise ArgumentError(
            "frames",
            "the frames differ in size, so the page would jump",
            found=", ".join(f"{height}×{width}" for height, width, _ in sorted(sizes)),
            expected="one size",
            remedy="resize them, or draw all figures with one figsize",
        )
    encoded = _compressed(arrays, start, quality, drawn=all(map(_is_figure, frames)))
    made = Slider(encoded, [str(label) for label in labels], caption, name, start)
    if (size := len(made.html.encode())) > MAX_BYTES:
        raise ArgumentError(
            "frames",
            "the slider is too large for a page",
            found=f"{size / 1e6:.1f} MB in {len(frames)} frames of {arrays[0].shape[0]}×{arrays[0].shape[1]}",
            expected=f"at most {MAX_BYTES / 1e6:.0f} MB",
            remedy=f"keep {MAX_BYTES / size:.0%} of the frames, or shrink each side to "
            f"{(MAX_BYTES / size) ** 0.5:.0%}, or lower quality={quality}",
        )
    return made


def live_slider(
    draw: Callable[[Any], NDArray[np.uint8] | Figure],
    values: Sequence[Any],
    caption: str,
    *,
    name: str = "",
    start: int = 0,
    live: bool = False,
    **kwargs: Any,
) -> Any:
    """Show `draw(value)` for each value: as a kernel-free slider, or drawn on demand.

    The book stores the kernel-free one, because a widget does not work without its kernel. `live=True` is for runners
    who want many values, or frames too large to store.

    Args:
        draw: Function from a value to its frame: an array or a figure, as for `slider`.
        values: The values of the slider.
        caption: As for `slider`.
        name: As for `slider`.
        start: Index of the value shown first.
        live: Draw on demand with ipywidgets (7 or 8) instead of beforehand.
        **kwargs: `quality` and `dpi`, for `slider`.

    Returns:
        A `Slider`, or an ipywidgets box if `live`.

    Raises:
        ArgumentError: As for `slider`.
    """
    if not live:
        return slider([draw(value) for value in values], values, caption, name=name, start=start, **kwargs)
    import ipywidgets  # type: ignore[import-untyped]
    from IPython.display import display

    def show(value: Any) -> None:
        display(Image.fromarray(_as_array(draw(value), kwargs.get("dpi", 100))))  # type: ignore[no-untyped-call]

    choice = ipywidgets.SelectionSlider(
        options=[(str(value), value) for value in values],
        value=values[start],
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "95%"},
    )
    return ipywidgets.VBox([ipywidgets.interactive(show, value=choice), ipywidgets.Label(caption)])


def _is_figure(frame: NDArray[np.uint8] | Figure) -> TypeGuard[Figure]:
    return hasattr(frame, "savefig")


def _as_array(frame: NDArray[np.uint8] | Figure, dpi: float) -> NDArray[np.uint8]:
    """Bring a frame or a figure to uint8 (H, W, 3); a figure is closed, so that the notebook does not show it too."""
    if not _is_figure(frame):
        return as_rgb(cast("NDArray[np.uint8]", frame))
    import matplotlib.pyplot as plt

    buffer, dpi = io.BytesIO(), min(dpi, PAGE_WIDTH / frame.get_figwidth())
    with plt.rc_context({"savefig.bbox": "standard"}):  # a tight box would give every frame its own size
        frame.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    plt.close(frame)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _compressed(arrays: list[NDArray[np.uint8]], start: int, quality: int, *, drawn: bool) -> list[bytes]:
    """Compress the frame shown first, and of the others what differs from it; the rest of them is transparent.

    Lines and letters are often smaller and always cleaner with few colours and without loss.
    """
    changed = [_blocks((array != arrays[start]).any(-1)) for array in arrays]
    changed[start][:] = True
    forms = [[_webp(array, alpha, quality=quality) for array, alpha in zip(arrays, changed, strict=True)]]
    if drawn:
        strip = np.concatenate(arrays)  # (N*H, W, 3): one palette, so that no colour changes from frame to frame
        few = np.asarray(Image.fromarray(strip).quantize(COLORS, dither=Image.Dither.NONE).convert("RGB"))
        if (np.abs(few.astype(np.int16) - strip).max(-1) > FAR).mean() <= MAX_FAR:
            parts = np.split(few, len(arrays))
            alphas = [(part != parts[start]).any(-1) for part in parts]
            alphas[start][:] = True
            forms.append([_webp(part, alpha, lossless=True) for part, alpha in zip(parts, alphas, strict=True)])
    return min(forms, key=lambda form: sum(map(len, form)))


def _blocks(changed: NDArray[np.bool_], side: int = 8) -> NDArray[np.bool_]:
    """Widen a mask (H, W) to whole blocks, so that lossy compression has no ragged edges to blur."""
    height, width = changed.shape
    blocks: NDArray[np.bool_] = np.pad(changed, ((0, -height % side), (0, -width % side)))
    blocks = np.any(blocks.reshape(len(blocks) // side, side, -1, side), axis=(1, 3))
    return blocks.repeat(side, 0).repeat(side, 1)[:height, :width]


def _webp(array: NDArray[np.uint8], alpha: NDArray[np.bool_], **options: Any) -> bytes:
    buffer = io.BytesIO()
    rgba = np.dstack([array, np.where(alpha, 255, 0).astype(np.uint8)])  # (H, W, 4)
    Image.fromarray(rgba).save(buffer, format="WEBP", method=4, **options)
    return buffer.getvalue()


def _build_html(frames: Sequence[bytes], labels: Sequence[str], caption: str, name: str, start: int) -> str:
    safe_caption, safe_name = html.escape(caption), html.escape(name)
    images = "".join(
        f'<img src="data:image/webp;base64,{base64.b64encode(frame).decode()}" data-label="{html.escape(label)}" '
        f'alt="{safe_caption} {safe_name} {html.escape(label)}" '
        f'style="display:{"block" if index == start else "none"};max-width:100%;margin:0 auto">'
        for index, (frame, label) in enumerate(zip(frames, labels, strict=True))
    )
    shown = html.escape(labels[start])
    return (
        f'<div class="fundus-slider" role="group" aria-label="{safe_caption}" style="max-width:100%;text-align:center">'
        f"<div>{images}</div>"
        '<label style="display:flex;gap:.8em;align-items:center;justify-content:center;margin:.5em 0">'
        f"<span>{safe_name}</span>"
        f'<input type="range" min="0" max="{len(labels) - 1}" step="1" value="{start}" '
        f'aria-label="{safe_name or safe_caption}" aria-valuetext="{shown}" '
        f'style="flex:0 1 24em;min-width:6em" oninput="{_ON_INPUT}">'
        f'<output style="min-width:4em;text-align:left;font-variant-numeric:tabular-nums">{shown}</output></label>'
        f'<div style="font-size:.9em;opacity:.85">{safe_caption}</div></div>'
    )
