"""Feeding whole photographs to training from memory, against decoding the full-size files in every epoch.

Both give a normalised photograph of 960×1440 and its mask in one of six versions: ours as `DualBranchTask` does it,
the other with Pillow, torchvision's transforms and a data set as tutorials have it. (Neither brings it into the order
of memory that a network prefers.) With a GPU, ours is turned and normalised there, and all that is left for the CPU is
to hand out what it has in memory: timed as "handed out". Times are seconds of one core, without what else the machine
does.
`pytest tests/benchmarks/test_whole_images_speed.py --benchmark-only --dist=no`.
"""

import functools
import time

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from fundus_lib.data.images import read_image, read_mask
from fundus_lib.data.layout import PUBLISHED_SIZE, image_folder, mask_folder
from fundus_lib.data.synthetic import draw
from fundus_lib.tasks.base import normalise
from fundus_lib.tasks.experiment import Source
from fundus_lib.tasks.whole_images import Photographs, Steps, version

COUNT = 3
"""Photographs, each in its six versions: 18 to an epoch."""
STATISTICS = torch.tensor([[116.54, 56.43, 16.423], [1.0, 1.0, 1.0]])
TARGET = 20
"""Times as many images per second as decoding gives, at least."""

fastest = {}
"""Data and way to the shortest time, filled by the tests in their order."""

pytestmark = pytest.mark.usefixtures("one_core")


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
    images = [torch.from_numpy(read_image(path, size).transpose(2, 0, 1).copy()) for path, _ in files]
    masks = [torch.from_numpy(read_mask(path, size)[None].copy()) for _, path in files]
    return Photographs(images, masks, lambda number: masks[number].numpy(), Source("benchmark", "", len(files)))


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize("way", ["handed out", "ours", "decoding"])
def test_epoch(benchmark, files, way):
    name, pairs = files
    size = (48, 72) if benchmark.disabled else (960, 1440)
    benchmark.group = f"an epoch of {6 * COUNT} photographs of {name}"
    if way == "decoding":
        loader = DataLoader(Decoding(pairs, size), batch_size=1, shuffle=True)
    else:
        loader = DataLoader(Steps(in_memory(pairs, size)), batch_size=1, collate_fn=list)

    def epoch():
        seen = 0
        for batch in loader:
            if way == "ours":
                shown = {kind: version(batch[0][kind][None], batch[0]["version"]) for kind in ("image", "mask")}
                batch = normalise(shown["image"], STATISTICS[None]), shown["mask"].float()
            seen += 1
        return seen, batch

    seen, batch = benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
    assert seen == 6 * COUNT
    if way != "handed out":
        image, mask = batch
        assert sorted(image.shape) == sorted((1, 3, *size)) and image.dtype == mask.dtype == torch.float32
        assert image.shape[2:] == mask.shape[2:] and mask.any()
    if not benchmark.disabled:
        fastest[name, way] = benchmark.stats.stats.min
        benchmark.extra_info["images_per_second"] = seen / benchmark.stats.stats.min
        if way == "decoding" and (name, "ours") in fastest:
            gain = {other: fastest[name, way] / fastest[name, other] for other in ("handed out", "ours")}
            benchmark.extra_info |= {f"times_{other}": times for other, times in gain.items()}
            assert gain["ours"] >= TARGET


def test_both_give_the_same_up_to_how_they_shrink(tmp_path):
    """Versions, colours and masks agree; photographs to a few grey levels."""
    pairs, size = drawn(tmp_path, (356, 536)), (96, 144)
    photographs, decoding = in_memory(pairs, size), Decoding(pairs, size)
    for index in range(6 * COUNT):
        image, mask = decoding[index]
        ours = version(photographs.images[index // 6], index % 6)[None]
        assert (normalise(ours, STATISTICS[None])[0] - image).abs().mean() < 4
        assert (version(photographs.masks[index // 6], index % 6) - mask).abs().mean() < 0.02
