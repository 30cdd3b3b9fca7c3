"""Verdicts: what is decided by how many seeds and where the interval lies, and that every text is shown."""

import pandas as pd
import pytest

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.published import hecl_verdict
from fundus_lib.published.hecl_verdict import REGIMES, decide
from fundus_lib.published.verdict import Verdict
from fundus_lib.published.verdicts import verdict
from fundus_lib.records.image_gains import ImageGain


def gain(seeds: int, low: float, high: float) -> dict[str, ImageGain]:
    return {"IoU": ImageGain(tuple(range(seeds)), 27, Estimate((low + high) / 2, low, high))}


def test_decided_by_the_first_regime_with_enough_seeds() -> None:
    paper, small = REGIMES[0], next(regime for regime in REGIMES if not regime.close)
    assert decide({paper: gain(1, 0.1, 0.2)}).startswith("Cannot be told yet")
    assert decide({paper: gain(3, 0.1, 0.2), small: gain(3, -0.2, -0.1)}) == "Holds: the interval is above zero."
    assert decide({paper: gain(3, -0.2, -0.1)}).startswith("Does not hold:")
    assert decide({paper: gain(3, -0.1, 0.1)}).startswith("No gain is shown:")
    other = decide({paper: gain(2, 0.1, 0.2), small: gain(3, -0.1, 0.1)})
    assert "not the paper's scale" in other


def test_without_records_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr(hecl_verdict, "image_gain", lambda *args: nothing)
    assert verdict("hecl").answer == "Cannot be told yet."
    assert "53.30 to 55.38" in verdict("hecl").claim


def test_it_speaks_of_every_network_that_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"unet_hecl": ImageGain((0, 1, 2), 27, Estimate(0.1, 0.05, 0.2))}
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr(hecl_verdict, "image_gain", lambda paper, of, over, score: found.get(of[1], nothing))
    runs = pd.DataFrame({"row": ["unet", "unet_hecl"], "seed": [0, 0], "device": "a CPU"})
    monkeypatch.setattr(hecl_verdict, "_runs", lambda regime: runs)
    made = verdict("hecl")
    assert made.answer.startswith("Holds for a U-Net on crops at 640×960, which is not the paper's scale")
    assert made.ran.endswith("IDRiD, on a CPU. A U-Net on crops at 640×960: 1 seed of each.")
    assert "UNet++" not in made.answer and made.answer.count("[+0.050, +0.200] (3 seeds)") == 2


def test_every_text_is_shown() -> None:
    made = Verdict("a < b", "ran", "holds", "sure")
    page = made._repr_html_()
    assert all(text in page for text in ("a &lt; b", "ran", "holds", "sure", "the answer"))
    assert repr(made).splitlines()[2] == "the answer: holds"
    shown, about = made._repr_mimebundle_(include=None)
    assert shown == {"text/plain": repr(made), "text/html": page}
    assert about["scrapbook"]["name"] == "verdict", "other pages refer to it by this name"
