"""The terms of hecl as its authors compute them: image by image and patch by patch, with OpenCV's morphology."""

import cv2
import numpy as np
import torch

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def pieces(side, grid, strip):
    """First and last row of each patch."""
    if strip == "left out":
        return [(k * (side // grid), (k + 1) * (side // grid)) for k in range(grid)]
    return [(k * side // grid, (k + 1) * side // grid) for k in range(grid)]


def contours(mask, erosions, dilations, borders):
    """Inner and outer contour of a mask or of a patch of it, uint8 (h, w)."""
    edge = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0} if borders == "edge" else {}
    inner = mask - cv2.erode(mask, CROSS, iterations=erosions, **edge)
    return inner, cv2.dilate(mask, CROSS, iterations=dilations) - mask


def compare(features, labels, temperature, own_positive_only):
    """SupCon, or NT-Xent where each positive stands alone in the denominator; None without pairs of both kinds."""
    losses = []
    for a, feature in enumerate(features):
        near = [torch.cosine_similarity(feature, other, dim=0, eps=1e-30) / temperature for other in features]
        positives = [near[k] for k in range(len(labels)) if k != a and labels[k] == labels[a]]
        negatives = [near[k] for k in range(len(labels)) if labels[k] != labels[a]]
        if positives and negatives:
            rivals = negatives if own_positive_only else positives + negatives
            own = [(torch.stack([*rivals, p] if own_positive_only else rivals).logsumexp(0) - p) for p in positives]
            losses += own if own_positive_only else [torch.stack(own).mean()]
    return torch.stack(losses).mean() if losses else features[0].sum() * 0


def compute_terms(
    features,
    mask,
    contrast=compare,
    *,
    grid=5,
    dense=0.3,
    extremes=None,
    dense_contours=(2, 2),
    sparse_contours=(1, 5),
    borders="seamless",
    strip="covered",
):
    """Density and edge term of features (B, C, H, W) and a mask (B, H, W).

    Args:
        contrast: From a list of features and a list of labels to the loss.
    """
    rows, columns = (pieces(side, grid, strip) for side in mask.shape[1:])
    patches, edges, there = [], [], []  # (share, feature) of each patch; features of contours, and which they are
    for image, truth in zip(features, mask.numpy().astype(np.uint8), strict=True):
        lines = np.zeros((2, *truth.shape), np.uint8)
        for top, bottom in rows:
            for left, right in columns:
                part = np.ascontiguousarray(truth[top:bottom, left:right])
                share = part.sum() / part.size
                patches.append((share, image[:, top:bottom, left:right].mean((1, 2))))
                counts = dense_contours if share >= dense else sparse_contours
                if borders == "seamless":
                    own = [line[top:bottom, left:right] for line in contours(truth, *counts, borders)]
                else:
                    own = contours(part, *counts, borders)
                lines[:, top:bottom, left:right] = own
        for label, line in enumerate(torch.from_numpy(lines)):
            if line.any():
                edges.append((image * line).sum((1, 2)) / line.sum())
                there.append(label)
    order = sorted(range(len(patches)), key=lambda n: patches[n][0])
    sparse = [n for n in order if patches[n][0] < dense][:extremes]
    full = sorted((n for n in order if patches[n][0] >= dense), key=lambda n: -patches[n][0])[:extremes]
    chosen = [patches[n][1] for n in sparse + full]
    return contrast(chosen, [0] * len(sparse) + [1] * len(full)), contrast(edges, there) if edges else 0 * image.sum()
