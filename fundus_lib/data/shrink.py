"""A small copy of IDRiD in the same layout: what one carries to Colab or to a cluster."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from fundus_lib.data.images import Pixels, check_size, image_size, read_image, read_mask
from fundus_lib.data.inventory import Inventory, check_folders, inventory, write_manifest
from fundus_lib.data.layout import MASKS, PARTS, SPLITS, image_folder, mask_folder
from fundus_lib.data.new_folder import new_folder
from fundus_lib.data.recognise import check_root
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError, naming

JPEG_QUALITY = 95


SAME_ASPECT = 0.02
"""How much the aspect of a copy may differ from that of its images, relative to it; 960×1440 is 0.4 % off IDRiD's."""


def shrink(src: str | PathLike[str], dst: str | PathLike[str], size: Size) -> Path:
    """Write a small copy of IDRiD: images and masks shrunk by area averaging, label files as they are.

    The copy holds the parts that the source holds. Its masks are, bit for bit, what `IDRiDSegmentation(src, …,
    size=size)` yields; its images are JPEG of quality 95. An image that is smaller than `size` in height or width is
    copied with its masks, never enlarged. The localisation files stay as they are; `manifest.json` says in pixels of
    what size they speak. It also lists every file with its checksum, the size of the largest image, how many are
    smaller, and the masks of which nothing was left.

    Args:
        src: Root of IDRiD, or of a copy in its layout.
        dst: Root of the copy; must not exist, or be empty. It appears when it is complete and not before.
        size: (height, width) of the copy, of the aspect of its images to within 2 %.

    Returns:
        The root of the copy.

    Raises:
        ArgumentError: `dst` is not empty, lies inside the source, or `size` is not a size or has another aspect.
        DatasetNotFoundError: `src` holds no part of IDRiD.
        FileAccessError: `dst` cannot be written: no permission, no room, a file where a folder is meant.
        FundusError: A file of the source is missing, stray, or cannot be decoded.
    """
    source, target = Path(src), Path(dst).absolute()
    parts = [part for part, folder in PARTS.items() if (source / folder).is_dir()]
    for part in parts or ["segmentation"]:
        check_root(source, part)
    if not isinstance(check_size(size), tuple):
        raise _refused("size", repr(size), "(height, width)", "pass for instance (960, 1440)")
    if source.resolve() in target.resolve().parents:
        raise _refused(target, "a folder inside the source", "a folder elsewhere", "choose another folder")
    files = inventory(source)
    listed = [p for p in files.files if (source / p.split("/", 1)[0]).is_dir()]
    check_folders(source, files, sorted({p.rpartition("/")[0] for p in listed}))

    with new_folder(target) as work:
        sizes = {p: image_size(source / p) for p in listed if p.rpartition("/")[0] in _PHOTOGRAPHS}
        for path, full in sizes.items():
            _check_aspect(path, full, size)
        empty = _shrink_files(source, work, listed, files, size)
        made = Counter(size if _shrinks(full, size) else full for full in sizes.values())
        largest = max(made, default=size)
        smaller = made.total() - made[largest]
        extra = {key: files.facts[key] for key in ("overlap", "duplicates") if key in files.facts}
        origin = "IDRiD as published" if files.kind == "published" else f"a {files.kind} copy"
        write_manifest(
            work,
            "synthetic" if files.kind == "synthetic" else "shrunk",
            size=largest,
            shrunk_from=origin,
            coordinates_size=list(files.coordinates_size),
            empty_masks=sorted(empty),
            **({"smaller": smaller} if smaller else {}),
            **extra,
        )
    return target


_PHOTOGRAPHS = {image_folder(part, split) for part in ("segmentation", "grading") for split in SPLITS}


def _check_aspect(path: str, full: Size, size: Size) -> None:
    """Refuse a size at which an image would be distorted."""
    if abs(size[0] * full[1] / (size[1] * full[0]) - 1) <= SAME_ASPECT:
        return
    swapped = abs(size[1] * full[1] / (size[0] * full[0]) - 1) <= SAME_ASPECT
    fitting = size[::-1] if swapped else (max(1, round(size[1] * full[0] / full[1])), size[1])
    raise _refused(
        "size",
        f"height {size[0]}, width {size[1]}, where {path.rpartition('/')[2]} is {full[0]} high and {full[1]} wide",
        "the aspect of the images, which would be distorted otherwise",
        f"{'swap the two sides' if swapped else 'give'}: height {fitting[0]}, width {fitting[1]} "
        f"(--size {fitting[1]}x{fitting[0]})",
    )


def _shrinks(full: Size, size: Size) -> bool:
    """Whether an image becomes `size`; others are copied."""
    return full[0] >= size[0] and full[1] >= size[1]


def _shrink_files(source: Path, work: Path, listed: list[str], files: Inventory, size: Size) -> set[str]:
    """Write every listed file below `work`; gives the masks that became black."""
    masks = {mask_folder(lesion, split): image_folder("segmentation", split) for lesion in MASKS for split in SPLITS}
    for folder in {p.rpartition("/")[0] for p in listed}:
        (work / folder).mkdir(parents=True, exist_ok=True)

    def write(path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        if folder in _PHOTOGRAPHS:
            _write_photograph(source / path, work / path, size)
        elif folder in masks:
            photograph = source / masks[folder] / f"{name.rpartition('_')[0]}.jpg"
            full = image_size(photograph)
            small = size if _shrinks(full, size) else None
            mask = read_mask(source / path, small, image_size=full, may_be_empty=path in files.empty_masks)
            _write_mask(mask, work / path)
            return None if mask.any() else path
        else:
            with naming(source / path):
                content = (source / path).read_bytes()
            (work / path).write_bytes(content)
        return None

    pool = ThreadPoolExecutor()
    try:
        results = tqdm(pool.map(write, listed), desc=f"shrink to {size[0]}×{size[1]}", total=len(listed), unit="file")
        return {path for path in results if path}
    finally:
        pool.shutdown(cancel_futures=True)


def _write_photograph(source: Path, target: Path, size: Size) -> None:
    full = image_size(source)
    if full == size or not _shrinks(full, size):
        read_image(source)  # a copy of what cannot be decoded would be of no use
        shutil.copyfile(source, target)
    else:
        _save(Image.fromarray(read_image(source, size)), target, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _write_mask(mask: Pixels, target: Path) -> None:
    """A palette file like the published ones: 0 black, 1 red."""
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0])
    _save(picture, target, "TIFF", compression="tiff_lzw")


def _save(picture: Image.Image, target: Path, form: str, **options: Any) -> None:
    """Encode in memory: an encoder that writes to a full disk itself says that it failed, and not why."""
    content = io.BytesIO()
    picture.save(content, form, **options)
    target.write_bytes(content.getvalue())


def _refused(where: str | Path, found: str, expected: str, remedy: str) -> ArgumentError:
    return ArgumentError(where, "nothing was shrunk", found=found, expected=expected, remedy=remedy)
