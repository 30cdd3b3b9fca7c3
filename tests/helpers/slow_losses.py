"""The losses as loops over single numbers, straight from their formulas and without any care for large logits."""

import math
from collections.abc import Iterator

import torch


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def maps(logits: torch.Tensor, target: torch.Tensor, pool: str) -> Iterator[tuple[list[float], list[int]]]:
    """Logits and targets of one lesion of one image, or of all images, as lists."""
    images, lesions, height, width = logits.shape
    groups = [[i] for i in range(images)] if pool == "image" else [list(range(images))]
    for lesion in range(lesions):
        for group in groups:
            places = [(i, lesion, r, c) for i in group for r in range(height) for c in range(width)]
            yield [float(logits[place]) for place in places], [int(target[place]) for place in places]


def over_maps(formula, logits, target, *, pool="image", **settings):
    losses = [formula(x, y, **settings) for x, y in maps(logits, target, pool)]
    return sum(losses) / len(losses)


def cross_entropy(x, y):
    return sum(-math.log(sigmoid(a)) if b else -math.log(1 - sigmoid(a)) for a, b in zip(x, y, strict=True)) / len(x)


def class_balanced(x, y, reduction="mean"):
    lesion, total = sum(y), 0.0
    for a, b in zip(x, y, strict=True):
        if b:
            total -= (len(y) - lesion) / len(y) * math.log(sigmoid(a))
        else:
            total -= lesion / len(y) * math.log(1 - sigmoid(a))
    return total / len(y) if reduction == "mean" else total


def weighted(x, y, variant="equation", gamma=1.0, reduction="mean"):
    lesion, total = sum(y), 0.0
    for a, b in zip(x, y, strict=True):
        if b and variant == "equation":
            total -= (len(y) - lesion) / (lesion + gamma) * math.log(sigmoid(a))
        elif b:
            total -= (len(y) - lesion) / (gamma * lesion) * math.log(sigmoid(a))
        else:
            total -= math.log(1 - sigmoid(a))
    return total / len(y) if reduction == "mean" else total


def focal(x, y, alpha=0.25, gamma=2.0):
    total = 0.0
    for a, b in zip(x, y, strict=True):
        right = sigmoid(a) if b else 1 - sigmoid(a)
        total -= (alpha if b else 1 - alpha) * (1 - right) ** gamma * math.log(right)
    return total / len(y)


def dice(x, y, smooth=1.0):
    predicted = [sigmoid(a) for a in x]
    overlap = sum(p for p, b in zip(predicted, y, strict=True) if b)
    return 1 - (2 * overlap + smooth) / (sum(predicted) + sum(y) + smooth)


def dice_cross_entropy(x, y, weight=1.0, smooth=1.0):
    return dice(x, y, smooth) + weight * cross_entropy(x, y)


def rebalanced_dice(x, y, p=0.5, smooth=1.0):
    lesion = sum(y)
    sampled = len(y) - lesion if p is None else int(p * len(y))
    if lesion in (0, len(y)):
        sampled = lesion
    overlap = predicted = 0.0
    for a, b in zip(x, y, strict=True):
        times = sampled / lesion if b else (len(y) - sampled) / (len(y) - lesion)  # expected samples of this pixel
        overlap += times * sigmoid(a) * b
        predicted += times * sigmoid(a)
    return 1 - (2 * overlap + smooth) / (predicted + sampled + smooth)


def bins(x, y, ratio=20.0, reduction="mean"):
    boxes: list[list[float]] = [[], [], [], [], []]  # easiest background first
    for a, b in zip(x, y, strict=True):
        if not b:
            p = sigmoid(a)
            boxes[0 if p < 0.2 else 1 if p < 0.4 else 2 if p < 0.6 else 3 if p < 0.8 else 4].append(a)
    lesion, kept = [a for a, b in zip(x, y, strict=True) if b], []
    while boxes and (not kept or len(kept) < ratio * len(lesion)):
        kept += boxes.pop()
    pixels = len(lesion) + len(kept)
    total = sum(-len(kept) / pixels * math.log(sigmoid(a)) for a in lesion)
    total += sum(-len(lesion) / pixels * math.log(1 - sigmoid(a)) for a in kept)
    return total / pixels if reduction == "mean" else total


def categorical_focal(logits, target, alpha=0.25, gamma=2.0):
    """Logits (B, C) or (B, C, H, W); targets −1 are left out."""
    logits, total, known = logits.movedim(1, -1), 0.0, 0
    for scores, label in zip(logits.reshape(-1, logits.shape[-1]).tolist(), target.flatten().tolist(), strict=True):
        if label != -1:
            right = math.exp(scores[label]) / sum(math.exp(s) for s in scores)
            total -= alpha * (1 - right) ** gamma * math.log(right)
            known += 1
    return total / known if known else 0.0


def soft_focal(logits, target, alpha=0.25, gamma=2.0):
    """Logits and soft targets (B, C) or (B, C, H, W)."""
    logits, target = (x.movedim(1, -1).reshape(-1, x.shape[1]).tolist() for x in (logits, target))
    total = 0.0
    for scores, labels in zip(logits, target, strict=True):
        for score, label in zip(scores, labels, strict=True):
            p = math.exp(score) / sum(math.exp(s) for s in scores)
            total -= alpha * label * (1 - p) ** gamma * math.log(p)
    return total / len(logits)


def mask_softmax(logits, allowed, form):
    """Eq. 4 of pldmlt, or MAXL's code, number by number: (B, C) twice to a list of lists."""
    found = []
    for scores, mask in zip(logits.tolist(), allowed.tolist(), strict=True):
        if form == "equation":
            weights = [math.exp(m * x) for x, m in zip(scores, mask, strict=True)]
        else:
            weights = [math.exp(x) * (1 if m else 1e-8) for x, m in zip(scores, mask, strict=True)]
        found.append([w / sum(weights) for w in weights])
    return found


def cosine(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def contrastive(features, labels, temperature, own_positive_only):
    """SupCon, or NT-Xent where each positive stands alone in the denominator: lists of the losses of each anchor."""
    features, labels, anchors = features.tolist(), labels.tolist(), []
    for a, feature in enumerate(features):
        weight = [math.exp(cosine(feature, other) / temperature) for other in features]
        positives = [k for k in range(len(labels)) if k != a and labels[k] == labels[a]]
        negatives = [k for k in range(len(labels)) if labels[k] != labels[a]]
        rivals = sum(weight[k] for k in negatives)
        losses = []
        for p in positives if negatives else []:
            others = weight[p] if own_positive_only else sum(weight[k] for k in positives)
            losses.append(-math.log(weight[p] / (others + rivals)))
        if losses:
            anchors.append(losses)
    return anchors
