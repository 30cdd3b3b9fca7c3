"""What accompanies every prediction: which model, trained on what, with which settings, and what it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fundus_lib.checkpoints import Checkpoint
from fundus_lib.errors import ArgumentError
from fundus_lib.prediction.cautions import FAR, unknown_colours

NO_DEVICE = "Not a medical device: for research and teaching; a clinician's reading comes first."


OF_LESIONS = (
    "Places and sizes are in pixels and percent of the field of view, not in disc diameters: no model here finds the "
    "disc.",
    "A few predicted pixels occur in healthy eyes too; a verdict is given only where the model was calibrated.",
)
OF_GRADES = (
    "Grades: retinopathy (dr) 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative; risk of macular edema (dme) "
    "0 to 2. The most probable one is given; the probabilities are not calibrated.",
)
"""What limits a model that segments, and one that grades."""


def averages_views(model: Checkpoint, mirror: bool) -> bool:
    """Whether a prediction is averaged over all views that a model is tested with: always, where that is one view.

    Args:
        model: What predicts.
        mirror: Whether mirrored views are asked for.
    """
    return mirror or len(model.task.mirrored) == 1


def describe(model: Checkpoint, *, threshold: float, mirrored: bool) -> dict[str, Any]:
    """The model's origin, the settings, the rules of its verdicts and its limits, as plain values.

    Args:
        model: What predicts.
        threshold: Probability from which on a pixel counts as lesion.
        mirrored: Whether predictions are averaged over mirrored views.
    """
    task = model.task
    rules = [rule.explain() for rule in model.rules]
    lesions = task.recipe.lesions if task.segments else ()
    without = [lesion for lesion in lesions if lesion not in {rule.lesion for rule in model.rules}]
    if without:
        rules.append(
            f"No verdict (likely, unclear, unlikely) for {', '.join(without)}: the model holds no rule, it is not "
            "calibrated. `fundus calibrate` makes one from images whose lesions you know."
        )
    for rule in model.rules:
        if rule.above is not None and (rule.threshold, rule.mirrored) != (threshold, mirrored):
            views = "mirrored views" if rule.mirrored else "one view"
            rules.append(
                f"No verdict for {rule.lesion} here: its rule is for threshold {rule.threshold:g} and {views}. Predict "
                "with these, or calibrate with those of this prediction."
            )
    wide = f"{task.field_width:g} pixels"
    return {
        "model": model.describe(),
        "digest": model.digest,
        "origin": model.origin,
        "trained_on": model.trained_on,
        "settings": {"threshold": threshold, "mirrored": mirrored},
        "verdicts": rules,
        "limits": [
            NO_DEVICE,
            f"Trained on images of {model.trained_on} alone; untested on other cameras, angles of view and patients.",
            f"Every image is brought to the scale of training, its field of view {wide} wide, whatever its angle.",
            *(OF_LESIONS if task.segments else OF_GRADES),
            f"Colours further than {FAR:g} standard deviations from those of training are cautioned.",
            *unknown_colours(model),
        ],
    }


def read_json(path: Path) -> dict[str, Any]:
    """What a file that accompanies predictions holds; nothing if it is not there, or not whole."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def check_unmixed(folder: Path, name: str, sha256: str, digest: str) -> None:
    """Refuse to write a prediction beside that of another image or model.

    Raises:
        ArgumentError: The folder holds one.
    """
    known = read_json(folder / "prediction.json")
    other = known.get("about", {}).get("digest")
    if known and (known.get("sha256"), other) != (sha256, digest):
        raise ArgumentError(
            folder,
            "this folder holds the prediction of another image or model",
            found=f"{known.get('image')} by model {other}",
            expected=f"{name} by model {digest}",
            remedy="save into a folder of its own",
        )
