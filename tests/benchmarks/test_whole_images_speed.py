"""Feeding whole photographs to training from memory, against decoding the full-size files in every epoch.

Both give a normalised image of 960×1440 and its mask in one of six dihedral augmentations: ours as the task of
dual_branch does it, the other with Pillow, torchvision's transforms and a data set as tutorials have it. (Neither
brings it into the order of memory that a network prefers.) With a GPU, ours is augmented and normalised there, and all
that is left for the CPU is to hand out what it has in memory: timed as "handing out".
`pytest tests/benchmarks/test_whole_images_speed.py --benchmark-only --dist=no`.
"""

import functools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from fundus_lib.data.augment import augment_dihedral, normalise
from fundus_lib.data.epochs import Epoch
from fundus_lib.data.image_set import ImageSet
from fundus_lib.data.images import read_image, read_mask
from fundus_lib.data.layout import PUBLISHED_SIZE, image_folder, mask_folder
from fundus_lib.data.synthetic import draw

COUNT = 3
"""Photographs, each in its six versions: 18 to an epoch."""
STATISTICS = torch.tensor([[116.54, 56.43, 16.423], [1.0, 1.0, 1.0]])
SPEED = 20
"""Times as many images per second as decoding gives, at least."""


class Decoding(Dataset):
    """Reads, shrinks, turns and normalises a photograph and its mask each time they are asked for."""

    def __init__(self, files, size):
        self.files, self.size = files, size

    def __len__(self):
        return len(self.files) * 6

    def __getitem__(self, index):
        photograph, mask = self.files[index // 6]
        image = F.resize(Image.open(photograph).convert("RGB"), self.size)
        mask = F.resize(Image.open(mask).convert("L"), self.size, interpolation=InterpolationMode.NEAREST)
        number = index % 6
        image, mask = (self.turn(picture, number) for picture in (image, mask))
        image = F.to_dtype(F.to_image(image), torch.float32, scale=True)
        mean, divisor = (STATISTICS / 255).tolist()
        return F.normalize(image, mean, divisor), (F.to_image(mask) > 0).float()

    def turn(self, picture, number):
        if number < 4:
            return picture.rotate(90 * number, expand=True) if number else picture
        return F.horizontal_flip(picture) if number == 4 else F.vertical_flip(picture)


@functools.cache
def drawn(folder, size):
    """Drawn photographs, enlarged to a size, and their masks on disk."""
    made = []
    for number in range(COUNT):
        fundus = draw(0, number, (356, 536))
        pair = folder / f"{number}.jpg", folder / f"{number}_EX.tif"
        large = cv2.resize(fundus.image, size[::-1], interpolation=cv2.INTER_CUBIC)
        Image.fromarray(large).save(pair[0], quality=95)
        mask = cv2.resize(fundus.masks["EX"], size[::-1], interpolation=cv2.INTER_NEAREST)
        Image.fromarray(mask * np.uint8(255)).save(pair[1], compression="tiff_lzw")
        made.append(pair)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(params=["drawn", pytest.param("IDRiD", marks=pytest.mark.real_data)])
def files(request, benchmark, folder):
    """Photographs and masks on disk, at IDRiD's size (drawn ones at an eighth of it where nothing is timed)."""
    if request.param == "drawn":
        return request.param, drawn(folder, (356, 536) if benchmark.disabled else PUBLISHED_SIZE)
    root = request.getfixturevalue("idrid_root")
    photographs = sorted((root / image_folder("segmentation", "train")).glob("*.jpg"))[:COUNT]
    return request.param, [(path, root / mask_folder("EX", "train") / f"{path.stem}_EX.tif") for path in photographs]


def in_memory(files, size):
    samples = [
        {
            "image": torch.from_numpy(read_image(path, size).transpose(2, 0, 1).copy()),
            "mask": torch.from_numpy(read_mask(mask, size)[None].copy()),
            "dr": -1,
            "dme": -1,
            "name": path.stem,
        }
        for path, mask in files
    ]
    return ImageSet.read(samples, "benchmark")


def load(images, items):
    """A batch as the task of dual_branch makes it."""
    return [
        {
            "image": augment_dihedral(images.images[image], number),
            "mask": augment_dihedral(images.masks[image], number),
        }
        for image, number in items
    ]


def normalised(sample):
    """An image and its mask as training has them on its device."""
    return normalise(sample["image"][None], STATISTICS[None]), sample["mask"][None].float()


def test_epoch(benchmark, compare, files):
    name, pairs = files
    size = (48, 72) if benchmark.disabled else (960, 1440)
    benchmark.group = f"an epoch of {6 * COUNT} photographs of {name}"
    batches = [[(image, number)] for image in range(COUNT) for number in range(6)]
    handing = DataLoader(Epoch(in_memory(pairs, size), batches, load), batch_size=None)
    decoding = DataLoader(Decoding(pairs, size), batch_size=1, shuffle=True)

    def show(loader, prepare=lambda batch: batch):
        seen = 0
        for batch in loader:
            last = prepare(batch)
            seen += 1
        return seen, last

    returned = compare(
        lambda: show(handing, lambda batch: normalised(batch[0])),
        {"handing out": lambda: show(handing), "decoding": lambda: show(decoding)},
        at_most={"decoding": 1 / SPEED},
        rounds=2,
    )
    assert all(seen == 6 * COUNT for seen, _ in returned.values())
    for image, mask in (returned["ours"][1], returned["decoding"][1]):
        assert sorted(image.shape) == sorted((1, 3, *size)) and image.dtype == mask.dtype == torch.float32
        assert image.shape[2:] == mask.shape[2:] and mask.any()


def test_both_give_the_same_up_to_how_they_shrink(tmp_path):
    """Versions, colours and masks agree; photographs to a few grey levels."""
    pairs, size = drawn(tmp_path, (356, 536)), (96, 144)
    photographs, decoding = in_memory(pairs, size), Decoding(pairs, size)
    for index in range(6 * COUNT):
        image, mask = decoding[index]
        ours = augment_dihedral(photographs.images[index // 6], index % 6)[None]
        assert (normalise(ours, STATISTICS[None])[0] - image).abs().mean() < 4
        assert (augment_dihedral(photographs.masks[index // 6], index % 6) - mask).abs().mean() < 0.02
