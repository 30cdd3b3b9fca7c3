"""A small copy of IDRiD in the same layout: what one carries to Colab or to a cluster."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from fundus_lib.data.images import Pixels, check_size, image_size, read_image, read_mask
from fundus_lib.data.inventory import Inventory, check_folders, inventory, write_manifest
from fundus_lib.data.layout import MASKS, PARTS, SPLITS, describe_folder, image_folder, mask_folder
from fundus_lib.data.recognise import check_root
from fundus_lib.data.sample import Size
from fundus_lib.errors import ArgumentError

JPEG_QUALITY = 95


def shrink(src: str | PathLike[str], dst: str | PathLike[str], size: Size) -> Path:
    """Write a small copy of IDRiD: images and masks shrunk by area averaging, label files as they are.

    The copy holds the parts that the source holds. Its masks are, bit for bit, what `IDRiDSegmentation(src, …,
    size=size)` yields; its images are JPEG of quality 95. An image that is no larger than `size` is copied,
    never enlarged. The localisation files stay as they are; `manifest.json` says in pixels of what size they speak. It
    also lists every file with its checksum, and the masks of which nothing was left.

    Args:
        src: Root of IDRiD, or of a copy in its layout.
        dst: Root of the copy; must not exist, or be empty. It appears when it is complete and not before.
        size: (height, width) of the copy.

    Returns:
        The root of the copy.

    Raises:
        ArgumentError: `dst` is not empty, lies inside the source, or `size` is not a size.
        DatasetNotFoundError: `src` holds no part of IDRiD.
        FundusError: A file of the source is missing, stray, or cannot be decoded.
    """
    source, target = Path(src), Path(dst).absolute()
    parts = [part for part, folder in PARTS.items() if (source / folder).is_dir()]
    if not parts:
        check_root(source, "segmentation")
    if check_size(size) is None:
        raise _refused("size", repr(size), "(height, width)", "pass for instance (960, 1440)")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise _refused(target, describe_folder(target), "a new or empty folder", "choose another folder, or empty it")
    if source.resolve() in target.resolve().parents:
        raise _refused(target, "a folder inside the source", "a folder elsewhere", "choose another folder")
    files = inventory(source)
    listed = [p for p in files.files if (source / p.split("/", 1)[0]).is_dir()]
    check_folders(source, files, sorted({p.rpartition("/")[0] for p in listed}))

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        empty = _shrink_files(source, work, listed, files, size)
        extra = {key: files.facts[key] for key in ("overlap", "duplicates") if key in files.facts}
        origin = "IDRiD as published" if files.kind == "published" else f"a {files.kind} copy"
        write_manifest(
            work,
            "synthetic" if files.kind == "synthetic" else "shrunk",
            size=size,
            shrunk_from=origin,
            coordinates_size=list(files.coordinates_size),
            empty_masks=sorted(empty),
            **extra,
        )
        work.chmod(0o755)
        if target.exists():
            target.rmdir()
        work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return target


def _shrink_files(source: Path, work: Path, listed: list[str], files: Inventory, size: Size) -> set[str]:
    """Write every listed file below `work`; gives the masks that became black."""
    photographs = {image_folder(part, split) for part in ("segmentation", "grading") for split in SPLITS}
    masks = {mask_folder(lesion, split): image_folder("segmentation", split) for lesion in MASKS for split in SPLITS}
    for folder in {p.rpartition("/")[0] for p in listed}:
        (work / folder).mkdir(parents=True, exist_ok=True)

    def write(path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        if folder in photographs:
            _write_photograph(source / path, work / path, size)
        elif folder in masks:
            photograph = source / masks[folder] / f"{name.rpartition('_')[0]}.jpg"
            full = image_size(photograph)
            small = size if full[0] > size[0] or full[1] > size[1] else None
            mask = read_mask(source / path, small, image_size=full, may_be_empty=path in files.empty_masks)
            _write_mask(mask, work / path)
            return None if mask.any() else path
        else:
            shutil.copyfile(source / path, work / path)
        return None

    pool = ThreadPoolExecutor()
    try:
        results = tqdm(pool.map(write, listed), desc=f"shrink to {size[0]}×{size[1]}", total=len(listed), unit="file")
        return {path for path in results if path}
    finally:
        pool.shutdown(cancel_futures=True)


def _write_photograph(source: Path, target: Path, size: Size) -> None:
    height, width = image_size(source)
    if height <= size[0] and width <= size[1]:
        shutil.copyfile(source, target)
    else:
        Image.fromarray(read_image(source, size)).save(target, quality=JPEG_QUALITY, subsampling=0)


def _write_mask(mask: Pixels, target: Path) -> None:
    """A palette file like the published ones: 0 black, 1 red."""
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(target, compression="tiff_lzw")


def _refused(where: str | Path, found: str, expected: str, remedy: str) -> ArgumentError:
    return ArgumentError(where, "nothing was shrunk", found=found, expected=expected, remedy=remedy)
