"""The criterion of hecl against its authors' way of computing it, and what happens where a term is undefined."""

import itertools
import math

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fundus_lib.errors import ArgumentError
from fundus_lib.losses import CrossEntropy, HECLCriterion
from fundus_lib.losses._dilation import dilate
from fundus_lib.losses.hecl import BORDERS, STRIPS
from helpers import slow_hecl

CONTRASTS = {"supcon": False, "ntxent": True}


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (B, C, H, W) in float64, and masks (B, 1, H, W): blobs, none, or nothing but lesion."""
    draw = torch.Generator().manual_seed(seed)
    images, channels, height, width = (int(torch.randint(1, high, (), generator=draw)) for high in (4, 4, 9, 12))
    shape = (images, height + 10, width + 10)
    smooth = F.avg_pool2d(torch.randn(shape, generator=draw, dtype=torch.float64), 5, 1, 2)
    lesion = smooth > torch.tensor([-0.3, 0.0, 0.2, 0.4, 9])[torch.randint(5, (images,), generator=draw)][:, None, None]
    if seed % 7 == 0:
        lesion[0] = True
    features = torch.randn(images, channels, *shape[1:], generator=draw, dtype=torch.float64)
    return features, lesion[:, None].to(torch.uint8)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_values_and_gradients_are_those_of_loops(contrast):
    choices = itertools.product(BORDERS, STRIPS, (None, 2), (2, 3))
    settings = [dict(zip(("borders", "strip", "extremes", "grid"), c, strict=True)) for c in choices]
    settings[1] |= {"dense_contours": (1, 4), "sparse_contours": (3, 1)}
    settings[2] |= {"dense": 0.6}
    zero = 0
    for seed, chosen in enumerate(settings * 2):
        features, mask = random_case(seed)
        ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
        found = HECLCriterion(contrast=contrast, temperature=0.3, **chosen).compute_terms(ours, mask)

        def compare(features, labels):
            return slow_hecl.compare(features, labels, 0.3, CONTRASTS[contrast])

        expected = slow_hecl.compute_terms(theirs, mask[:, 0], compare, **chosen)
        for term, value in zip(("density", "edge"), expected, strict=True):
            zero += value.item() == 0
            torch.testing.assert_close(found[term], value, msg=f"{term}, seed {seed}, {chosen}")
        sum(found.values()).backward()
        sum(expected).backward()
        torch.testing.assert_close(ours.grad, theirs.grad, msg=f"seed {seed}, {chosen}")
    assert 10 < zero < 4 * len(settings) - 30  # of both kinds


def test_gradient_of_the_whole():
    features, mask = random_case(3)
    logits = features.sum(1, keepdim=True)
    for settings in ({"grid": 2}, {"grid": 2, "contrast": "ntxent", "borders": "edge", "extremes": 3}):
        criterion = HECLCriterion(temperature=0.5, alpha=1, **settings)

        def total(features, logits, criterion=criterion):
            return criterion({"logits": logits, "features": features}, {"mask": mask})["total"]

        inputs = (features.clone().requires_grad_(), logits.clone().requires_grad_())
        assert torch.autograd.gradcheck(total, inputs, fast_mode=True)


def test_morphology_is_that_of_opencv():
    rng = np.random.default_rng(0)
    for density in (0.01, 0.1, 0.5, 0.9):
        mask = (rng.random((3, 23, 31)) < density).astype(np.uint8)
        grown = dilate(torch.from_numpy(mask).bool(), 5)
        shrunk = dilate(~torch.from_numpy(mask).bool(), 5)
        for times in range(6):
            for image in range(3):
                wanted = cv2.dilate(mask[image], slow_hecl.CROSS, iterations=times)
                assert np.array_equal(grown[times][image].numpy(), wanted)
                wanted = cv2.erode(mask[image], slow_hecl.CROSS, iterations=times)
                assert np.array_equal(~shrunk[times][image].numpy(), wanted.astype(bool))


def test_by_hand_one_lesion_in_one_patch():
    """A square of 6 pixels in patches of 8: 36 of 64 pixels, dense; one of 2: 4 of 64, sparse."""
    lesion = torch.zeros(1, 16, 16, dtype=torch.bool)
    lesion[0, 1:7, 1:7] = lesion[0, 12:14, 12:14] = True
    criterion = HECLCriterion(grid=2)
    density = criterion.measure_density(lesion)
    assert density[0].tolist() == [[36 / 64, 0], [0, 4 / 64]]
    inner, outer = criterion.find_contours(lesion, density >= 0.3)[0]
    assert inner[:8, :8].sum() == 36 - 4 and inner[8:, 8:].sum() == 4  # a cross takes 2 off each side of the large one
    assert outer[:8, :8].sum() == 64 - 36  # all the rest of its patch is within 2 pixels
    assert outer[3, 8:].tolist() == [True] * 4 + [False] * 4  # in the sparse patch beside it within 5
    apart = HECLCriterion(grid=2, borders="inside").find_contours(lesion, density >= 0.3)[0]
    assert not apart[1, :8, 8:].any() and torch.equal(apart[0], inner)


def test_a_patch_at_the_threshold_is_dense():
    lesion = torch.zeros(1, 20, 20, dtype=torch.bool)
    lesion[0, :3, :10] = True  # 30 of 100 pixels
    criterion = HECLCriterion(grid=2)
    assert (criterion.measure_density(lesion) >= criterion.dense).sum() == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert (criterion.measure_density(lesion) >= criterion.dense).sum() == 1


def test_where_a_term_is_undefined_it_is_skipped_or_nan():
    features = torch.rand(2, 3, 20, 20, requires_grad=True)
    mask = torch.zeros(2, 1, 20, 20)
    mask[0, 0, 5:7, 5:7] = 1  # no patch is dense, and the second image has no contour
    skip, nan = (HECLCriterion(grid=2, undefined=way) for way in ("skip", "nan"))
    output = {"logits": torch.zeros_like(mask), "features": features}
    parts = skip(output, {"mask": mask})
    assert parts["density"] == 0 and parts["edge"] == 0  # one contour of each kind: no positives
    parts["total"].backward()
    assert not features.grad.any()
    parts = nan(output, {"mask": mask})
    assert all(math.isnan(parts[name].item()) for name in ("density", "edge", "total"))
    mask[:, 0, :9, :9] = 1
    assert all(
        nan(output, {"mask": mask})[name] == skip(output, {"mask": mask})[name] > 0 for name in ("density", "edge")
    )


def test_total_terms_and_what_the_model_must_keep():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(3, 4, 20, 20, generator=draw)
    mask = (torch.rand(3, 1, 20, 20, generator=draw) < torch.arange(20) / 20).float()
    output = {"logits": features[:, :1], "features": features, "level1": F.avg_pool2d(features, 2, ceil_mode=True)}
    batch = {"mask": mask}
    plain = HECLCriterion(terms=())(output, batch)
    assert plain.keys() == {"total", "logits"} and plain["total"] == CrossEntropy()(output["logits"], mask)
    assert HECLCriterion(terms=()).keep == () and HECLCriterion(feature="level1").keep == ("level1",)
    both = HECLCriterion(grid=2, alpha=0.1)(output, batch)
    assert both["total"].item() == pytest.approx((both["logits"] + 0.1 * (both["density"] + both["edge"])).item())
    for term in ("density", "edge"):
        alone = HECLCriterion(grid=2, alpha=0.1, terms=(term,))(output, batch)
        assert alone[term] == both[term] and alone.keys() == {"total", "logits", term}
    lower = HECLCriterion(grid=2, feature="level1")(output, batch)
    assert lower["density"] != both["density"]
    for bad in ({"logits": features[:, :1]}, {"features": features}):
        with pytest.raises(ArgumentError, match="keep="):
            HECLCriterion()(bad, batch)


def test_lesions_of_chosen_channels_are_contrasted():
    torch.manual_seed(0)
    features, masks = torch.randn(2, 5, 30, 30), (torch.rand(2, 3, 30, 30) > 0.7).float()
    settings = {"grid": 3, "temperature": 0.3}
    for channels in ([1], [0, 2], None):
        found = HECLCriterion(channels=channels, **settings).compute_terms(features, masks)
        own = masks if channels is None else torch.stack([masks[:, k] for k in channels], 1)
        alone = HECLCriterion(**settings).compute_terms(features, own.amax(1, keepdim=True))
        assert found.keys() == alone.keys() and all(torch.equal(found[name], alone[name]) for name in found)
    for channels in ([3], [-1], []):
        with pytest.raises(ArgumentError, match="not channels of the mask"):
            HECLCriterion(channels=channels, **settings).compute_terms(features, masks)


def test_a_map_of_half_the_size_is_as_the_same_one_enlarged():
    features, _ = random_case(2)
    features = features[..., :10, :10]
    mask = (torch.rand(len(features), 1, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.3).long()
    large = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    criterion = HECLCriterion(grid=5, dense=0.35)
    small, same = criterion.compute_terms(features, mask), criterion.compute_terms(large, mask)
    for term in ("density", "edge"):
        torch.testing.assert_close(small[term], same[term])


def test_precision_layout_and_autocast():
    draw = torch.Generator().manual_seed(0)
    features = torch.rand(3, 8, 40, 40, generator=draw).bfloat16()
    mask = (F.avg_pool2d(torch.randn(3, 1, 40, 40, generator=draw), 9, 1, 4) > 0.05).to(torch.uint8)
    criterion = HECLCriterion()
    exact = criterion.compute_terms(features.double(), mask)
    for given in (features, features.float(), features.contiguous(memory_format=torch.channels_last)):
        with torch.autocast("cpu", torch.bfloat16):
            found = criterion.compute_terms(given, mask)
        for term, value in exact.items():
            assert found[term].dtype == torch.float32
            assert found[term].item() == pytest.approx(value.item(), rel=1e-5), term


def test_no_step_waits_for_the_device():
    """On the meta device there are no values: whatever looks at one, and would wait for it on a GPU, fails."""
    features = torch.rand(2, 3, 20, 20, device="meta", requires_grad=True)
    output, mask = {"logits": features[:, :1], "features": features}, torch.zeros(2, 1, 20, 20, device="meta")
    for settings in ({}, {"borders": "edge", "strip": "left out", "extremes": 3, "undefined": "nan"}):
        value = HECLCriterion(grid=3, **settings)(output, {"mask": mask})["total"]
        value.backward()
        assert value.shape == () and features.grad.shape == features.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_the_values_are_the_same_and_nothing_waits():
    features, mask = random_case(4)
    for settings in ({"grid": 2}, {"grid": 2, "borders": "edge", "strip": "left out", "extremes": 3}):
        criterion = HECLCriterion(**settings)
        there, target = features.float().cuda().requires_grad_(), mask.cuda()
        criterion.compute_terms(there, target)  # cuBLAS sets itself up
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = criterion.compute_terms(there, target)
            sum(found.values()).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for term, value in criterion.compute_terms(features.float(), mask).items():
            torch.testing.assert_close(found[term].cpu(), value)


def test_impossible_settings_are_refused():
    for settings in (
        {"terms": ("densities",)},
        {"alpha": -1},
        {"contrast": "dice"},
        {"grid": 0},
        {"dense": 1.5},
        {"extremes": 0},
        {"dense_contours": (0, 2)},
        {"borders": "outside"},
        {"strip": "both"},
        {"undefined": "crash"},
        {"temperature": 0},
    ):
        with pytest.raises(ArgumentError, match=next(iter(settings))):
            HECLCriterion(**settings)
    assert "grid=5" in repr(HECLCriterion())


@pytest.mark.parametrize(
    "settings",
    [
        {"grid": 2.7},
        {"extremes": 1.5},
        {"dense_contours": (1.9, 2)},
        {"dense_contours": (2,)},
        {"sparse_contours": (1, 2, 3)},
    ],
)
def test_settings_that_would_be_rounded_or_ignored_are_refused(settings):
    with pytest.raises(ArgumentError):
        HECLCriterion(**settings)


@pytest.mark.parametrize("strip", ["covered", "left out"])
def test_fewer_rows_than_patches_are_refused(strip):
    output = {"logits": torch.zeros(1, 1, 16, 16), "features": torch.rand(1, 3, 4, 4)}
    with pytest.raises(ArgumentError, match="fewer rows or columns than patches"):
        HECLCriterion(strip=strip)(output, {"mask": torch.ones(1, 1, 16, 16)})
