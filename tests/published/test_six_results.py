"""The six results: from records and printed tables, with what is missing shown as such, and on the landing page."""

from pathlib import Path

import pytest

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.published import PAPERS, benchmark_shipped, six_results
from fundus_lib.published.benchmark_leaderboard import Gain
from fundus_lib.published.dual_branch_verdict import ON_BASE
from fundus_lib.records.differences import Difference
from fundus_lib.records.image_gains import ImageGain

GAIN = "fundus_lib.published.dual_branch_verdict.gain_on_base"
LANDING = (Path(__file__).parents[2] / "book" / "intro.md").read_text(encoding="utf-8")


def test_there_is_one_of_the_plain_network_and_one_of_each_paper() -> None:
    found = six_results.six_results()
    assert {*found.results} == {"a plain network", *PAPERS}
    assert "{glue} six_results\n" in LANDING
    shown, about = found._repr_mimebundle_(include=None)
    assert about["scrapbook"]["name"] == "six_results"
    for one in found.results.values():
        assert f"<b>{one.number}</b>" in shown["text/html"] and f"**{one.number}**" in found.to_markdown()
    plain = found.results["a plain network"]
    assert plain.number == f"{benchmark_shipped.measured()['metrics']['EX_aupr_11']:.3f}" and "0.830" in plain.words
    assert found.results["pldmlt"].number == "97.80 %" and "96.95 %" in found.results["pldmlt"].words
    assert "the paper's difference is +0.087" in found.results["sunet"].words
    assert "the paper's difference is +0.021" in found.results["hecl"].words


def test_what_was_not_run_is_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr("fundus_lib.published.hecl_verdict.image_gain", lambda *args: nothing)
    monkeypatch.setattr("fundus_lib.published.local_global_verdict.image_gain", lambda *args: nothing)
    monkeypatch.setattr("fundus_lib.published.dual_branch_verdict.difference", lambda *args: Difference({}))
    monkeypatch.setattr(GAIN, lambda *rows: Gain(rows[1], {}, ()))
    monkeypatch.setattr("fundus_lib.published.sunet_verdict.REGIMES", ())
    found = six_results.six_results().results
    assert all(found[paper].number == "–" for paper in ("dual_branch", "sunet", "hecl", "local_global"))
    assert "at 320×480" in found["dual_branch"].words
    ends = {"EX": Estimate(0.02, 0.01, 0.03)}
    monkeypatch.setattr(
        "fundus_lib.published.dual_branch_verdict.gain_on_base", lambda *rows: Gain(rows[1], ends, (0, 1, 2))
    )
    found = six_results.six_results().results
    assert found["dual_branch"].number == "+0.020 [+0.010, +0.030]"
    monkeypatch.setattr(
        "fundus_lib.published.dual_branch_verdict.gain_on_base", lambda *rows: Gain(rows[1], ends, (0,))
    )
    few = six_results.six_results().results["dual_branch"]
    assert few.number == "not decided" and few.words.startswith("+0.020 [+0.010, +0.030] in AUPR of hard exudates")
    assert "at 640×960, 3 seeds; the paper's differences are " in found["dual_branch"].words
    assert ON_BASE[1] == ("ideas", "loss_dice")
