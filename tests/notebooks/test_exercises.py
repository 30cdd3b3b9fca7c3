"""Every exercise: the stub is "not answered yet", the folded solution right, and a likely mistake is called wrong."""

import contextlib
import io
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

BOOK = Path(__file__).parents[2] / "book"
WRONG = {
    "def pareto_places": "def pareto_places(rows):\n    return sorted(range(len(rows)), key=lambda n: rows[n])",
    "def being_best": "def being_best(drawn):\n    return np.eye(3)[drawn.argmax(axis=1)].mean(axis=0)",
    "def resampled_aupr": (
        "def resampled_aupr(counts, chosen):\n"
        "    found = []\n"
        "    for background, lesion in counts[list(chosen)][:, :, ::-1]:\n"
        "        hits = lesion.cumsum()\n"
        "        precision = hits / np.maximum(hits + background.cumsum(), 1)\n"
        "        found.append((lesion * precision).sum() / lesion.sum())\n"
        "    return np.mean(found)"
    ),
    "def empty_scores": "def empty_scores(lesion):\n    return 1 - lesion, 1 - lesion",
    "def mdice_of": "def mdice_of(dice, lesion):\n    return 1 - lesion * (1 - dice)",
    "def tie_dice": "def tie_dice(ratio):\n    return 0.5",
    "def pseudo": "def pseudo(first, second):\n    return (first + second).argmax(1)",
    "def corrected": (
        "def corrected(p, heat, flat, allowed):\n    return int(np.where(allowed, np.nan_to_num(heat), -1).argmax())"
    ),
    "def best_choice": "def best_choice(a, b, agree):\n    return max(a, b)",
    "def apart_by": (
        "def apart_by(labels):\n    mean = labels.mean(0)\n    return -(mean * np.log(np.maximum(mean, 1e-20))).sum()"
    ),
    "def drop_below": "def drop_below(tp, fp, fn, tn):\n    return 0.5, 2 * tp / (2 * tp + fp + fn)",
    "def clustered": (
        "def clustered(gains):\n"
        "    rng, every = np.random.default_rng(0), np.concatenate([*gains.values()])\n"
        "    return np.quantile([rng.choice(every, len(every)).mean() for _ in range(4000)], [0.025, 0.975])"
    ),
    "def heat_ratio": (
        "def heat_ratio(cam, mask, field):\n    return cam[mask & field].sum() / cam[field].sum() / mask[field].mean()"
    ),
    "def two_thresholds": "def two_thresholds(p):\n    return (min(np.unique(p)[np.unique(p) >= 0.5]),) * 2",
    "def grade_map": (
        "def grade_map(features, weight, grade):\n"
        "    return np.maximum(np.tensordot(weight[grade], features, axes=1), 0)"
    ),
    "def reach": "def reach(rate, beta):\n    return rate * beta / 4",
    "def logit_needed": ("def logit_needed(allowed, outside, classes=5):\n    return np.log((1 - outside) / outside)"),
    "def follows": "def follows(steps, rate, curvature):\n    return steps * rate * curvature",
    "def adam_memory": "def adam_memory(million):\n    return million * 4 / 1000",
    "def speed_up": "def speed_up(whole, local, patches):\n    return patches",
    "def luck": "def luck(k, sd):\n    return sd / k**0.5",
    "def turn_left": "def turn_left(top, left, side, height, width):\n    return width - left, top",
    "def sample": (
        "def sample(feature_map, y, x):\n"
        "    y, x = np.clip(y, 0, feature_map.shape[0] - 1), np.clip(x, 0, feature_map.shape[1] - 1)\n"
        "    return y + 10 * x"
    ),
    "def global_fraction": (
        "def global_fraction(whole, patch, images, patches):\n    return 0.5, whole / (whole + patch)"
    ),
    "def blend": ("def blend(left, right, k, overlap):\n    return left + (right - left) * k / max(overlap - 1, 1)"),
    "def seam": (
        "def seam(scores, patch):\n"
        "    steps = np.abs(np.diff(scores, axis=1)).mean(axis=0)\n"
        "    return steps[patch::patch].mean() / np.delete(steps, np.s_[patch::patch]).mean()"
    ),
    "def best_switch": (
        "def best_switch(counts):\n"
        "    hits = counts[1].sum() - counts[1, 0, 0]\n"
        "    return 2 * hits / (2 * hits + counts[1, 0, 0] + counts[0].sum() - counts[0, 0, 0])"
    ),
    "def patch_of": "def patch_of(row, column):\n    return row // 256 * 13 + column // 256",
    "def global_position": (
        "def global_position(n, y, x):\n    return (n // 13 * 256 + y) * 640 / 2816, (n % 13 * 256 + x) * 640 / 3328"
    ),
    "def lesion_fraction": (
        "def lesion_fraction(counts, pixels, gamma=1):\n"
        "    background = pixels - counts.mean()\n"
        "    return [background / (2 * background)] * 2"
    ),
    "def offset": "def offset(n, side, size):\n    return tuple(n * side / length for length in size)",
    "def shift_maps": "def shift_maps(maps, down, right):\n    return np.roll(maps, (down, right), (2, 3))",
    "def width_for": "def width_for(million, depth):\n    return round(2.8 * million**0.5)",
    "def two_ious": (
        "def two_ious(counts):\n    return [sum(np.mean([[a / (a + b + c)] for a, b, c in counts], axis=0))] * 2"
    ),
    "def my_interval": (
        "def my_interval(gains):\n"
        "    rng, means = np.random.default_rng(0), gains.mean(axis=0)\n"
        "    drawn = [rng.choice(means, len(means)).mean() for _ in range(4000)]\n"
        "    return np.quantile(drawn, [0.025, 0.975])"
    ),
    "def no_dense": "def no_dense(quiet, batch):\n    return np.mean(quiet) ** batch",
    "def inflated": "def inflated(radius, factor):\n    return (radius / factor + 1) / (radius / factor)",
    "def survives": "def survives(none, batches):\n    return 1 / none, 1 - (1 - none) ** batches",
    "def pooled_iou": "def pooled_iou(f1):\n    return 100 * f1 / (2 - f1)",
    "def seeds_needed": "def seeds_needed(gain, sd):\n    return int(np.ceil((2 * sd / gain) ** 2))",
    "def best_case": "def best_case(n, m, tau):\n    return np.log(1 + m * np.exp(-1 / tau))",
    "def eye": 'def eye(disc, fovea):\n    return "left" if disc[0] > fovea[0] else "right"',
    "def edema_risk": (
        "def edema_risk(mask, fovea, diameter):\n"
        "    y, x = np.nonzero(mask)\n"
        "    return 0 if not len(x) else 1 + int(np.hypot(y - fovea[0], x - fovea[1]).min() <= diameter)"
    ),
    "def pixel_share": "def pixel_share(areas):\n    return (areas <= np.percentile(areas, 90)).mean()",
    "sensitivity, ppv": "sensitivity, ppv, f1 = 20 / 40, 20 / 30, (20 / 40 + 20 / 30) / 2",
    "def my_average_precision": (
        "def my_average_precision(scores, target):\n"
        "    hits = np.asarray(target)[np.argsort(scores)]\n"
        "    return (hits.cumsum() / np.arange(1, len(hits) + 1))[hits == 1].mean()"
    ),
    "def false_per_hit": "def false_per_hit(f, sensitivity, p):\n    return f * (1 - p) / p",
    "def empty_dice": "def empty_dice(prevalence):\n    return 1 - prevalence, 2 * (1 - prevalence) / (2 - prevalence)",
    "def both_f1": (
        "def both_f1(counts):\n"
        "    tp, fp, fn = np.sum(counts, axis=0)\n"
        "    return 2 * tp / (2 * tp + fp + fn), 2 * tp / (2 * tp + fp + fn)"
    ),
    "def images_needed": (
        "def images_needed(accuracy, margin):\n    return int(np.ceil(accuracy * (1 - accuracy) * 1.96 / margin))"
    ),
    "def region_ppv": (
        "def region_ppv(components, sigma):\n    return np.mean([lesion / area > sigma for area, lesion in components])"
    ),
    "def my_kappa": (
        "def my_kappa(first, second):\n"
        "    return 1 - abs(first - second).mean() / abs(first[:, None] - second[None]).mean()"
    ),
    "def at_break_even": "def at_break_even(hits, lesion):\n    return (hits / (2 * lesion - hits),) * 3",
    "def background_kept": ("def background_kept(bins, lesion, ratio=20):\n    return min(sum(bins), ratio * lesion)"),
    "ce_logit, balanced_logit": "ce_logit, balanced_logit = 1 / 111, 0.5",
    "def my_dice": (
        "def my_dice(score, mask, s=1.0):\n"
        "    return 1 - 2 * ((score * mask).sum() + s) / (score.sum() + mask.sum() + s)"
    ),
    "def is_a_count": (
        "def is_a_count(printed, n):\n    return abs(round(float(printed) * n) / n - float(printed)) < 1e-3"
    ),
    "def iou_band": "def iou_band(dice):\n    return dice / (2 + dice), dice\n\n\nrow = 2",
    "def can_be_pooled": (
        "def can_be_pooled(sn, ppv, f1):\n"
        "    a, b, digits = float(sn), float(ppv), len(f1.split('.')[1])\n"
        "    return f'{2 * a * b / (a + b):.{digits}f}' == f1"
    ),
    "def equal_rows": "def equal_rows(a, b):\n    return [(name, name) for name in a if a[name] == b.get(name)]",
    "images_ahead": "images_ahead = 5",
    "def least_area": "def least_area(recall, ppv, prevalence):\n    return recall * ppv",
    "moves_by": "moves_by = np.log(9)",
    "def my_weights": "def my_weights(e, E, schedule):\n    return (e / E) ** 2, 1 - (e / E) ** 2",
    "def my_factors": (
        "def my_factors(m_lesion, m_background, q, p):\n"
        "    tops = [2 * s * m_lesion for s in (p, q)]\n"
        "    sums = [s * m_lesion + (1 - s) * m_background + s for s in (p, q)]\n"
        "    (a, b), (c, d) = tops, sums\n"
        "    return (2 - a / c) / c / ((2 - b / d) / d), a / c**2 / (b / d**2)"
    ),
    "small_share": "small_share = (np.arange(40) / 40).mean()",
    "def my_healthy": "def my_healthy(q, a, b):\n    return (q * a + (1 - q) * b,) * 2",
    "def my_floor": "def my_floor(shares):\n    return -np.log(np.max(shares))",
    "overtakes": "overtakes = 20",
    "def times": "def times(shared):\n    return 2 - shared\n\n\nshared_for_half_more = 0.25",
    "def small_found": (
        "def small_found(labels, predicted, most):\n"
        "    area = np.bincount(labels.ravel())\n"
        "    small = (labels > 0) & (area[labels] <= most)\n"
        "    return (predicted[small].mean(),) * 2"
    ),
    "def share_run": (
        "def share_run(lines, data):\n"
        "    rows = lines[(lines.data == data) & (lines.table > 1)]\n"
        "    return (rows.status == 'run').mean()"
    ),
    "def break_even": "def break_even(scores, target):\n    return np.sort(scores, axis=None)[-int(target.sum()) - 1]",
    "def colour_shares": "def colour_shares(f1):\n    return f1, (1 - f1) / 2, (1 - f1) / 2",
    "def printed_lead": (
        "def printed_lead(windows, deviation=0.2):\n"
        "    return np.random.default_rng(0).normal(0, deviation, (4000, windows)).mean()"
    ),
    "def calibrated": "def calibrated(score, r):\n    return score / r",
    "def pixel_percentile": "def pixel_percentile(areas, percent):\n    return np.percentile(areas, percent)",
    "def how_often": "def how_often(p, prevalence):\n    return p / prevalence, 1 - p",
    "def outweighs": "def outweighs(d, p, share):\n    return p / (1 - p) * (1 - share) / share",
    "def called_from": "def called_from(d, p, share):\n    return d / 2",
    "def optimism": "def optimism(validation, test):\n    return validation.max() - test[validation.argmax()]",
    "def dr_told_dme": (
        "def dr_told_dme(train, test):\n    return test[test.argmax(axis=0), range(3)].sum() / test.sum()"
    ),
    "def best_accuracy": "def best_accuracy(agreement):\n    return agreement**2, agreement",
    "def all_right": "def all_right(n):\n    return 0.975 ** (1 / n)",
    "def both_right": "def both_right(dr, dme, n):\n    return dr + dme - n, min(dr, dme), dr * dme / n",
    "def comes_again": "def comes_again(masked, plain, batch):\n    return plain / masked",
    "def best_share": "def best_share(mask, places=8):\n    return mask.mean()",
    "def my_grad_cam": (
        "def my_grad_cam(features, weights):\n"
        "    return np.maximum(weights[:, None, None] * features, 0).sum(axis=0) / features[0].size"
    ),
    "def exudate_by_exudate": "def exudate_by_exudate(labels):\n    return (labels > 0) / (labels > 0).sum()",
    "def redraw": "def redraw(gains, seeds, images):\n    return gains.mean()",
    "def lead_and_error": (
        "def lead_and_error(new, old):\n    return new.mean() - old.mean(), (new.var(ddof=1) + old.var(ddof=1)) ** 0.5"
    ),
    "def error_correlation": (
        "def error_correlation(dr, dme, both, n):\n"
        "    return (both - dr * dme / n) / n, (min(dr, dme) - dr * dme / n) / n"
    ),
    "def equal_fall": "def equal_fall(a, b, c):\n    return b / a",
    "def shift_p": (
        "def shift_p(heat, mask):\n"
        "    places = np.ndindex(mask.shape)\n"
        "    inside = [np.roll(heat, place, (0, 1))[mask].sum() for place in places]\n"
        "    return np.mean(np.array(inside) > inside[0])"
    ),
    "def shrunk_lead": (
        "def shrunk_lead(lead, between, within, seeds):\n    return lead * between**2 / (between**2 + within**2)"
    ),
    "def wins_needed": (
        "def wins_needed(m):\n"
        "    from scipy.stats import binom\n\n"
        "    return next((k for k in range(m + 1) if binom.sf(k - 1, m, 0.5) < 0.05), m + 1)"
    ),
    "def most_apart": "def most_apart(a, b, n):\n    return a, b",
    "def weight_of_dense": (
        "def weight_of_dense(n_dense, n_sparse):\n    return (n_dense / (n_dense + n_sparse),) * 2"
    ),
    "def my_contours": (
        "def my_contours(mask, erosions, dilations):\n"
        "    def grow(area, times):\n"
        "        for _ in range(times):\n"
        "            shifted = [np.roll(area, step, axis) for step in (1, -1) for axis in (0, 1)]\n"
        "            area = np.any([area, *shifted], axis=0)\n"
        "        return area\n\n"
        "    return mask & grow(~mask, erosions), grow(mask, dilations) & ~mask"
    ),
    "def my_slope": "def my_slope(s, positive):\n    return np.exp(s) / np.exp(s).sum() - positive",
    "def silhouette_of": "def silhouette_of(own, other):\n    return other - own",
    "def split_changes": (
        "def split_changes(right_before, right_after, changed):\n"
        "    return right_after - right_before, changed - right_after + right_before"
    ),
    "def gather": (
        "def gather(vectors, labels, keep):\n    mean = vectors.mean(axis=0)\n    return mean + keep * (vectors - mean)"
    ),
    "def best_by_chance": "def best_by_chance(trials, sd):\n    return sd * (2 * np.log(trials)) ** 0.5",
    "def chosen_gain": "def chosen_gain(validation, test):\n    return test.max(), validation.max() - test.max()",
    "def recent_fraction": "def recent_fraction(decay, steps, last):\n    return decay**last",
    "def exact_and_coarse": (
        "def exact_and_coarse(tp, fp, lesion):\n    return (np.mean(tp / np.maximum(tp + fp, 1)),) * 2"
    ),
    "def mean_with_empty": (
        "def mean_with_empty(ious):\n    return (np.nanmean(ious), np.nansum(ious) / len(ious), np.nanmean(ious))"
    ),
    "def match_colours": (
        "def match_colours(image, reference):\n    return image - image.mean((0, 1)) + reference.mean((0, 1))"
    ),
    "def change_of_f1": "def change_of_f1(before, after, draws):\n    return -0.00342, 0.5",
    "def halve_colour": "def halve_colour(image):\n    return image // 2 * 2",
    "def my_tau": "def my_tau(a, b):\n    return np.corrcoef(a, b)[0, 1]",
    "def best_of": "def best_of(k, p, n):\n    return p + (2 * np.log(k) * p * (1 - p) / n) ** 0.5",
}

ALSO = [
    (
        "def global_position",
        "def global_position(n, y, x):\n"
        "    place = np.array([n // 13 * 256 + y, n % 13 * 256 + x]) + 0.5\n"
        "    return place * [640 / 2816, 640 / 3328] - 0.5",
        "right",
    ),
    (
        "def global_position",
        "def global_position(n, y, x):\n"
        "    row, column = n // 11 * 256 + y, n % 11 * 256 + x\n"
        "    return (row + 0.5) * 640 / 2816 - 0.5, (column + 0.5) * 640 / 3328 - 0.5",
        "wrong: within patch 0 it is right",
    ),
    ("def global_position", "def global_position(n, y, x):\n    return y * 640 / 2816", "wrong: two numbers"),
    (
        "def turn_left",
        "def turn_left(top, left, side, height, width):\n    return np.array([width - left - side, top])",
        "right",
    ),
    ("def turn_left", "def turn_left(top, left, side, height, width):\n    return top", "wrong: two numbers"),
    (
        "def shift_maps",
        "def shift_maps(maps, down, right):\n"
        "    moved = np.zeros_like(maps)\n"
        "    moved[..., down:, right:] = maps[..., :-down, :-right]\n"
        "    return moved",
        "wrong: a shift by nothing must change nothing",
    ),
    (
        "def sample",
        "def sample(f, y, x):\n"
        "    i, j = int(np.floor(y)), int(np.floor(x))\n"
        "    down, right = y - i, x - j\n"
        "    upper = (1 - right) * f[i, j] + right * f[i, j + 1]\n"
        "    return (1 - down) * upper + down * ((1 - right) * f[i + 1, j] + right * f[i + 1, j + 1])",
        "wrong: at the border",
    ),
    ("def sample", "def sample(f, y, x):\n    return f[int(y) : int(y) + 2, int(x) : int(x) + 2]", "wrong: one number"),
    (
        "def global_fraction",
        "def global_fraction(whole, patch, images, patches):\n    return 0.5",
        "wrong: two fractions",
    ),
    ("def lesion_fraction", "def lesion_fraction(counts, pixels, gamma=1):\n    return 0.5", "wrong: two fractions"),
    ("def adam_memory", "def adam_memory(million):\n    return million * 12e6 / 1e9", "wrong: count again"),
    ("def adam_memory", "def adam_memory(million):\n    return million * 16e6 / 2**30", "wrong: these are GiB"),
]
"""Start of a stub, another answer, and how the reply begins: arrays where numbers are meant, likely mistakes."""


def exercises() -> list[tuple[str, str, str, str]]:
    """(name, stub, check, solution) of every exercise with a check in the book."""
    found = []
    for path in sorted(BOOK.rglob("*.ipynb")):
        cells = jupytext.read(path).cells
        for stub, check, after in zip(cells, cells[1:], cells[2:], strict=False):
            if "exercise" in stub.metadata.get("tags", ()):
                solution = re.search(r"<summary>.*?```python\n(.*?)```", after.source, re.S)
                assert "check" in check.metadata.get("tags", ()), f"{path.name}: no check after {stub.source[:40]!r}"
                assert solution, f"{path.name}: no folded solution after {stub.source[:40]!r}"
                found.append((f"{path.stem}: {stub.source.splitlines()[0]}", stub.source, check.source, solution[1]))
    return found


def said(answer: str, check: str) -> str:
    """What the check cell prints after the answer."""
    from fundus_lib.metrics import average_precision
    from fundus_lib.metrics.paired import paired_interval

    names = {"np": np, "pd": pd, "average_precision": average_precision, "paired_interval": paired_interval}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(answer, names)
        exec(check, names)
    return printed.getvalue()


@pytest.mark.parametrize(("stub", "check", "solution"), [e[1:] for e in exercises()], ids=[e[0] for e in exercises()])
def test_exercise(stub: str, check: str, solution: str) -> None:
    assert said(stub, check) == "not answered yet\n"
    assert said(solution, check).startswith("right")
    wrong = [answer for start, answer in WRONG.items() if stub.startswith(start)]
    assert wrong, "give WRONG an answer with the likely mistake"
    assert said(wrong[0], check).startswith("wrong")


def test_other_answers() -> None:
    checks = {stub.split("(")[0]: check for _, stub, check, _ in exercises()}
    for start, answer, reply in ALSO:
        assert said(answer, checks[start]).startswith(reply), answer


def test_there_are_exercises() -> None:
    assert len(exercises()) >= 5
