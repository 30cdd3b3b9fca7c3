"""Verdicts: what is decided by how many seeds and where the interval lies, and that every text is shown."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fundus_lib.metrics.bootstrap import Estimate
from fundus_lib.published import (
    PAPERS,
    benchmark_leaderboard,
    benchmark_verdict,
    dual_branch_verdict,
    hecl_verdict,
    local_global_verdict,
    pldmlt_verdict,
    sunet_verdict,
)
from fundus_lib.published.benchmark_leaderboard import Gain, Standing
from fundus_lib.published.hecl_verdict import REGIMES, decide
from fundus_lib.published.verdict import Evidence, Verdict
from fundus_lib.published.verdicts import brief, verdict
from fundus_lib.recipes import recipes
from fundus_lib.records.answers import Paired
from fundus_lib.records.differences import Difference
from fundus_lib.records.image_gains import ImageGain

LANDING = (Path(__file__).parents[2] / "book" / "intro.md").read_text(encoding="utf-8")


NO_GAIN = Gain(("base", "chosen"), {}, ())


def gain(seeds: int, low: float, high: float) -> dict[str, ImageGain]:
    return {"IoU": ImageGain(tuple(range(seeds)), 27, Estimate((low + high) / 2, low, high))}


def test_decided_by_the_first_regime_with_enough_seeds() -> None:
    paper, small = REGIMES[0], next(regime for regime in REGIMES if not regime.close)
    assert decide({paper: gain(1, 0.1, 0.2)}).startswith("Cannot be told yet")
    assert decide({paper: gain(3, 0.1, 0.2), small: gain(3, -0.2, -0.1)}) == "Holds: the interval is above zero."
    assert decide({paper: gain(3, -0.2, -0.1)}).startswith("Does not hold:")
    assert decide({paper: gain(3, -0.1, 0.1)}).startswith("No gain is shown:")
    other = decide({paper: gain(2, 0.1, 0.2), small: gain(3, -0.1, 0.1)})
    assert other.startswith("Cannot be told yet for the paper's network at its scale. For ")
    assert other.endswith("no gain is shown: the interval contains zero. This neither confirms nor refutes the paper.")
    assert "a gain is shown: the interval is above zero" in decide({small: gain(3, 0.1, 0.2)})


def test_gains_that_are_not_printed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"2": (3, 0.1, 0.2), "small": (1, 0.1, 0.2), "small_16": (1, -0.2, -0.1), "small_whole": (1, -0.1, 0.1)}

    def found(paper: str, of: tuple[str, str], over: tuple[str, str], score: str) -> ImageGain:
        return gain(*ends.get(of[0], (0, float("nan"), float("nan"))))["IoU"]

    monkeypatch.setattr(hecl_verdict, "image_gain", found)
    monkeypatch.setattr(hecl_verdict, "_runs", lambda regime: pd.DataFrame({"row": ["a"], "seed": [0], "device": "x"}))
    said = (
        "Intervals of 8 further comparisons (IoU and AUPR of other networks and scales): 4 above zero, 2 below, 2 with "
        "zero inside."
    )
    assert verdict("hecl").answer.endswith(said)


def test_without_records_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr(hecl_verdict, "image_gain", lambda *args: nothing)
    assert verdict("hecl").answer == "Cannot be told yet."
    assert "53.30 to 55.38" in verdict("hecl").claim


def test_the_fused_network_must_be_ahead_of_both_for_each_lesion() -> None:
    paper, half = local_global_verdict.REGIMES

    def say(**gains: dict[str, ImageGain]) -> str:
        return local_global_verdict.decide({(paper, lesion): gain for lesion, gain in gains.items()})

    ahead, open_, behind, few = (gain(*ends)["IoU"] for ends in ((3, 1, 2), (3, -1, 1), (3, -2, -1), (2, 1, 2)))
    alike = say(EX={"global": ahead, "local": ahead}, MA={"global": ahead, "local": ahead})
    assert "for hard exudates (EX) and microaneurysms (MA): a gain is shown (3 seeds), as the fused" in alike
    both = say(EX={"global": ahead, "local": ahead}, MA={"global": open_, "local": ahead})
    assert "for hard exudates (EX): a gain is shown (3 seeds), as the fused network is ahead of both its" in both
    assert "For microaneurysms (MA): no gain is shown (3 seeds), as the interval over the global network" in both
    assert "(EX): does not hold (3 seeds), as the fused network is behind the local network." in say(
        EX={"global": ahead, "local": behind}
    )
    so_far = "(EX): cannot be told yet (2 seeds instead of 3); so far the fused network is ahead of both its parts."
    assert so_far in say(EX={"global": ahead, "local": few})
    assert (
        "(EX): cannot be told yet, as no seed of the fused network stands beside one of the local network alone."
        in say(EX={"global": ahead})
    )
    smaller = local_global_verdict.decide({(half, "EX"): {"global": ahead, "local": ahead}})
    assert smaller.startswith("For the paper's sizes it cannot be told yet, as the three networks were not all run")
    assert (
        "At half of the paper's scale (1408×1664 pixels, patches of 128), for hard exudates (EX): a gain is" in smaller
    )
    assert "stands beside one of the global network or the local network alone." in smaller


def test_local_global_without_and_with_records(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr(local_global_verdict, "image_gain", lambda *args: nothing)
    assert verdict("local_global").answer == "Cannot be told yet."
    assert "0.889 for EX against 0.849 (global) and 0.845 (local)" in verdict("local_global").claim
    asked = []

    def found(*args: object) -> ImageGain:
        asked.append(args)
        return gain(3, 0.01, 0.03)["IoU"]

    monkeypatch.setattr(local_global_verdict, "image_gain", found)
    monkeypatch.setattr(local_global_verdict, "_find", lambda *args: pd.DataFrame({"device": ["CPU"]}))
    made = verdict("local_global")
    assert "for hard exudates (EX) and microaneurysms (MA): a gain is shown (3 seeds)" in made.answer
    assert made.evidence is not None and len(made.evidence.lines) == 2 * 3  # regimes, other networks
    assert set(made.evidence.lines) >= {"the paper's sizes, minus the local network"}
    ends = {"EX": "+0.020 [+0.010, +0.030] (3 seeds)", "MA": "+0.020 [+0.010, +0.030] (3 seeds)"}
    assert all(gains == ends for gains in made.evidence.lines.values())
    assert ("local_global", ("half", "MA_fused"), ("half", "MA_local"), "MA_aupr") in asked
    beside = " Against a plain U-Net of about as many parameters and as many updates: the fused network is ahead"
    assert made.answer.count(f"{beside} (EX, MA).") == 2
    for beyond, row in (("beyond", "1"), ("half", "half")):
        assert ("local_global", (row, "EX_fused"), (beyond, "EX_plain"), "EX_aupr") in asked
        fused, plain = (recipes("local_global", *one)[0] for one in ((row, "EX_fused"), (beyond, "EX_plain")))
        assert sum(fused.stages.values()) * fused.steps == sum(plain.stages.values()) * plain.steps
    ends_of = {"EX_plain": (1, -0.02, 0.03), "MA_plain": (3, -0.03, -0.02)}

    def compared(_: str, of: object, over: tuple[str, str], score: str) -> ImageGain:
        return gain(*ends_of[over[1]])["IoU"] if over[1] in ends_of else gain(3, 0.01, 0.03)["IoU"]

    monkeypatch.setattr(local_global_verdict, "image_gain", compared)
    answer = verdict("local_global").answer
    assert answer.count("size and updates may explain the gain over the parts (EX); ") == 2
    assert answer.count("the fused network is behind (MA).") == 2


def test_local_global_does_not_explain_a_gain_that_was_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    ends = {"EX_global": (1, 0.1, 0.2), "EX_local": (1, 0.1, 0.2), "MA_plain": (1, -0.01, 0.03)}
    compared = {row: gain(*end)["IoU"] for row, end in ends.items()}
    monkeypatch.setattr(local_global_verdict, "image_gain", lambda _, of, over, score: compared.get(over[1], nothing))
    monkeypatch.setattr(local_global_verdict, "_find", lambda *args: pd.DataFrame({"device": ["CPU"]}))
    answer = verdict("local_global").answer
    assert "as many updates: no gain is shown (MA)." in answer
    assert "may explain" not in answer


def test_it_speaks_of_every_network_that_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"unet_hecl": ImageGain((0, 1, 2), 27, Estimate(0.1, 0.05, 0.2))}
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    monkeypatch.setattr(hecl_verdict, "image_gain", lambda paper, of, over, score: found.get(of[1], nothing))
    runs = pd.DataFrame({"row": ["unet", "unet_hecl"], "seed": [0, 0], "device": "a CPU"})
    monkeypatch.setattr(hecl_verdict, "_runs", lambda regime: runs)
    made = verdict("hecl")
    assert "For a U-Net on crops at 640×960, a gain is shown: the interval is above zero." in made.answer
    assert made.ran.endswith("IDRiD, on a CPU: a U-Net on crops at 640×960, 1 seed of each.")
    assert "UNet++" not in made.answer
    gain = "+0.100 [+0.050, +0.200] (3 seeds)"
    assert made.evidence is not None
    assert made.evidence.lines == {"a U-Net on crops at 640×960": {"IoU": gain, "AUPR": gain}}


def test_every_text_is_shown() -> None:
    made = Verdict("a < b", "ran", "holds", "sure", Evidence("one < two", {"small": {"IoU": "+1 [0, 2]"}}))
    page = made._repr_html_()
    shown = (
        "a &lt; b",
        "ran",
        "holds",
        "sure",
        "the answer",
        "one &lt; two",
        "Small",
        "<td>IoU</td><td>+1 [0, 2]</td>",
    )
    assert all(text in page for text in shown)
    assert page.index("holds") < page.index("one &lt; two") < page.index("sure")
    assert repr(made).splitlines()[2:] == ["the answer: holds", "how sure: sure", "one < two", "  small: IoU +1 [0, 2]"]
    shown, about = made._repr_mimebundle_(include=None)
    assert shown == {"text/plain": repr(made), "text/html": page}
    assert about["scrapbook"]["name"] == "verdict", "other pages refer to it by this name"


def test_pldmlt_begins_with_what_an_empty_prediction_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, ImageGain] = {}
    nothing = ImageGain((), 0, Estimate(*[float("nan")] * 3))
    runs = pd.DataFrame({"row": ["weight", "segmentation"], "seed": [0, 0], "device": "x"})

    def look(paper: str, of: tuple[str, str], over: tuple[str, str], score: str, dataset: str) -> ImageGain:
        assert (paper, of[1], over[1]) in (("pldmlt", row, "segmentation") for row in ("weight", "beta_0.01"))
        return found.get(f"{of[0]} {score}", nothing)

    monkeypatch.setattr(pldmlt_verdict, "image_gain", look)
    monkeypatch.setattr(pldmlt_verdict, "find_runs", lambda *args: runs)
    graders: dict[str, object] = {}
    monkeypatch.setattr(pldmlt_verdict.pldmlt_labels, "measured", lambda: graders)
    before = verdict("pldmlt")
    assert "mDice 96.949 %" in before.claim and "91.859 to 95.897" in before.claim and "57.69 %" in before.claim
    assert before.answer.startswith("Cannot be told yet. Scores of this kind cannot show it")
    assert "scores 97.80 % on IDRiD at 1024×1024, 0.86 points above" in before.answer
    assert before.ran.startswith("Stage 1, the graders: nothing yet.")
    assert "the network of the claim: nothing yet" in before.ran and "would tell" in before.sure
    graders["side"] = 224
    assert "the last layer alone was trained, at 224×224 pixels" in verdict("pldmlt").ran
    found["small ANY_f1"] = ImageGain((0,), 81, Estimate(0.01, 0.005, 0.02), "5 folds")
    one = verdict("pldmlt")
    assert one.answer.startswith(
        "Cannot be told yet. So far all parts, against the segmentation loss alone, show a gain at a quarter of the "
        "width at 256×256 (5 folds, one seed). This neither confirms nor refutes"
    )
    assert one.evidence is not None and one.evidence.caption.endswith("mean over 81 images [95 % interval]")
    small = {"Dice of lesions": "+0.010 [+0.005, +0.020] (5 folds, one seed)"}
    assert one.evidence.lines == {"a quarter of the width at 256×256: all parts": small}
    assert "With one seed an interval" in one.sure and "256×256, 5 folds, 1 seed of each" in one.ran
    del found["small ANY_f1"]
    found["small ANY_aupr"] = gain(3, -0.3, -0.1)["IoU"]
    assert "A loss is shown at a quarter of the width at 256×256" in verdict("pldmlt").answer
    assert "neither confirms nor refutes" in verdict("pldmlt").answer and "AUPR of lesions" in verdict("pldmlt").answer
    found["ablations ANY_f1"] = gain(1, -0.1, 0.1)["IoU"]
    assert "With fixed labels and a hundredth of the weight of the grades no loss is shown." in verdict("pldmlt").answer
    assert "β = 0.01" in repr(verdict("pldmlt").evidence)
    found["small ANY_f1"] = gain(3, -0.1, 0.1)["IoU"]
    assert "No gain is shown" in verdict("pldmlt").answer and "Dice of lesions" in verdict("pldmlt").answer
    found["3 ANY_f1"] = gain(1, 0.1, 0.3)["IoU"]
    assert "No gain is shown" in verdict("pldmlt").answer, "one seed decides nothing"
    found["3 ANY_f1"] = gain(3, 0.1, 0.3)["IoU"]
    after = verdict("pldmlt")
    assert after.answer.startswith("A gain is shown at the paper's size in Dice of lesions. Scores of this kind")
    assert "would tell" not in after.sure and "1 seed of each" in after.ran


def test_every_paper_has_a_verdict_in_two_lines_that_other_pages_can_show() -> None:
    for paper in PAPERS:
        made = brief(paper)
        assert made.answer and made.claim
        for part in ("{glue} verdict_" + paper + "\n", "{doc}`" + paper, "{cite:t}`" + paper):
            assert part in LANDING, f"the landing page does not show {part}"
        assert made._repr_mimebundle_()[1]["scrapbook"]["name"] == f"verdict_{paper}"
        assert "our runs say" in made._repr_html_()


def test_dual_branch_is_judged_seed_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = {"AUPR": Difference({0: 0.1, 1: -0.1, 2: 0.1}), "F1 at a probability of one half": Difference({0: -0.1})}
    one = dual_branch_verdict.decide({"unet_dice": gains})
    assert one == (
        "Both branches together, with the DSM loss, were compared with 1 network with plain Dice losses. The F1 at a "
        "probability of one half is known for fewer than 3 seeds, too few to compare with that of one branch with the "
        "Dice loss. The AUPR is higher with some seeds and lower with others than that of one branch with the Dice "
        "loss."
    )
    ahead = {"AUPR": Difference(dict.fromkeys(range(3), 0.1))}
    some = {"AUPR": gains["AUPR"]}
    mixed = dual_branch_verdict.decide({"unet_dice": some, "unet_dice_long": ahead, "unet_dual_dice": some})
    assert mixed.endswith(
        "The AUPR is higher with every seed than that of one branch with the Dice loss and as many updates; it is "
        "higher with some seeds and lower with others than that of the 2 others."
    )
    behind = {"AUPR": Difference(dict.fromkeys(range(3), -0.1))}
    both = dual_branch_verdict.decide({"unet_dice": ahead, "unet_dual_dice": ahead})
    assert both.endswith("The AUPR is higher with every seed than that of all 2.")
    assert "lower with every seed than that of one branch" in dual_branch_verdict.decide({"unet_dice": behind})
    monkeypatch.setattr(dual_branch_verdict, "difference", lambda *args: Difference({}))
    monkeypatch.setattr(dual_branch_verdict, "gain_on_base", lambda *rows: NO_GAIN)
    assert verdict("dual_branch").answer == "Cannot be told yet."


def test_dual_branch_speaks_of_small_exudates_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def say(*changes: float) -> str:
        return dual_branch_verdict.decide_branches(Difference(dict(enumerate(changes))))

    assert say(0.1, -0.3, 0.05) == (
        "no advantage of the small branch at small exudates is shown: both branches were compared at equal predicted "
        "area, as many pixels as the exudates have."
    )
    assert say(0.1, 0.2, 0.3).startswith("an advantage of") and say(-0.1, -0.2, -0.3).startswith("a disadvantage of")
    assert say(0.1, 0.2).startswith("fewer than 3 seeds") and say().startswith("fewer than 3 seeds")
    asked = []

    def found(paper: str, of: tuple[str, ...], over: tuple[str, ...], score: str) -> Difference:
        asked.append((of, over, score))
        return Difference(dict.fromkeys(range(3), -0.1))

    monkeypatch.setattr(dual_branch_verdict, "difference", found)
    monkeypatch.setattr(dual_branch_verdict, "gain_on_base", lambda *rows: NO_GAIN)
    made = verdict("dual_branch")
    row = ("small", "unet_dual_dsm")
    assert ((*row, "small branch"), (*row, "large branch"), "EX_breakeven_recall_small") in asked
    first = "Cannot be told yet for the paper's networks and size. At 320×480, a disadvantage of the small branch at "
    assert made.answer.startswith(first) and "640×960" not in made.ran
    assert "The fraction of small exudates found at equal predicted area is lower with every seed" in made.answer
    assert "The F1 at a probability of one half is lower with every seed than that of all 3." in made.answer
    assert made.evidence is not None and len(made.evidence.lines) == 2


def test_dual_branch_is_judged_first_where_networks_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = (recipes("benchmark", *row)[0] for row in dual_branch_verdict.ON_BASE)
    assert ours.criterion["small"] == "rebalanceddice" and ours.model == "dualbranch"
    assert other.criterion["loss"] == ours.criterion["large"] == "dice" and other.model == "unet"

    def gained(seeds: int, low: float, high: float) -> Gain:
        return Gain(dual_branch_verdict.ON_BASE[1], {"EX": Estimate((low + high) / 2, low, high)}, (*range(seeds),))

    monkeypatch.setattr(dual_branch_verdict, "gain_on_base", lambda *rows: gained(3, 0.01, 0.03))
    made = verdict("dual_branch")
    start = (
        "Cannot be told yet for the paper's networks and size. At 640×960, two branches with the DSM loss were "
        "compared with one branch with the Dice loss: a gain is shown in AUPR of hard exudates. Beside one branch with "
        "cross-entropy: a gain is shown."
    )
    assert made.answer.startswith(start) and "3 seeds of each" in made.ran
    assert made.answer.index("At 320×480") > len(start) - 1 and "Both branches together" not in made.answer
    assert made.evidence is not None and len(made.evidence.lines) == 4
    over = "640×960, two branches with the DSM loss minus one with the Dice loss"
    assert made.evidence.lines[over]["AUPR"] == "+0.020 [+0.010, +0.030] (3 seeds)"
    said = dual_branch_verdict.decide_on_base(gained(1, 0.01, 0.03))
    assert said.endswith("not decided (1 of the 3 seeds that it takes).") and "a gain" not in said
    for changes, words in (((-0.1, -0.2, -0.3), "fewer"), ((0.1, 0.2, 0.3), "more"), ((1, -1, 0), "with some seeds")):
        apart = Difference(dict(enumerate(changes)))
        monkeypatch.setattr(dual_branch_verdict, "difference", lambda *rows, apart=apart: apart)
        said = dual_branch_verdict.decide_on_base(gained(3, 0.01, 0.03))
        assert f"Their small branch finds {words}" in said
    assert "a loss is shown" in dual_branch_verdict.decide_on_base(gained(3, -0.3, -0.1))


@pytest.mark.parametrize("regime", sunet_verdict.REGIMES, ids=lambda regime: regime.table)
def test_sunet_compares_rows_that_differ_in_the_lesion_loss_alone(regime: sunet_verdict.Regime) -> None:
    ours, plain = (recipes("sunet", regime.table, row)[0] for row in (sunet_verdict.OURS, sunet_verdict.PLAIN))
    assert ours.criterion != plain.criterion and plain.replace(row=ours.row, criterion=ours.criterion) == ours


def test_sunet_is_judged_by_both_grades_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(seeds: int, low: float, high: float) -> dict[str, Paired]:
        tests = dict.fromkeys(range(seeds))
        return {"both grades right": Paired(tests, Estimate((low + high) / 2, low, high))}  # type: ignore[arg-type]

    paper, lite = sunet_verdict.REGIMES[:2]
    assert sunet_verdict.decide({paper: found(3, 0.01, 0.1)}) == "Holds: the interval is above zero."
    assert sunet_verdict.decide({paper: found(3, -0.1, -0.01)}).startswith("Does not hold")
    assert "no gain is shown" in sunet_verdict.decide({paper: found(1, 0.1, 0.2), lite: found(3, -0.1, 0.1)})
    assert sunet_verdict.decide({paper: found(2, 0.1, 0.2)}).startswith("Cannot be told yet: no comparison has 3")
    monkeypatch.setattr(sunet_verdict, "paired", lambda *args: Paired({}, Estimate(*[float("nan")] * 3)))
    assert verdict("sunet").answer == "Cannot be told yet."


def test_pldmlts_table_3_is_looked_for_on_its_own_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(pldmlt_verdict, "image_gain", lambda *names, dataset: asked.append((names[1][0], dataset)))
    for regime in pldmlt_verdict.REGIMES:
        regime.gain()
        (recipe,) = recipes("pldmlt", regime.table, pldmlt_verdict.OURS)[:1]
        assert asked[-1] == (regime.table, ", ".join(recipe.needs))


def test_controls_are_no_ideas(monkeypatch: pytest.MonkeyPatch) -> None:
    gain = Gain(benchmark_leaderboard.BASE, {"mean": Estimate(0.02, 0.01, 0.03)}, (0, 1, 2))
    rows = [benchmark_leaderboard.BASE, *(("ideas", row) for row in ("wide", "grades_control", "hecl"))]
    board = [Standing(row, row[1], (0, 1, 2), {}, gain, (), 0, 0) for row in rows]
    monkeypatch.setattr(benchmark_verdict, "leaderboard", lambda: board)
    assert benchmark_verdict.judge().answer == "A gain is shown: hecl +0.020 [+0.010, +0.030]."
    board[-1] = replace(board[-1], gain=replace(gain, seeds=(0,)))
    assert benchmark_verdict.judge().answer.startswith("Cannot be told yet, with fewer than 3 seeds: hecl +0.020")


def test_hecl_is_judged_by_its_own_score_and_regime() -> None:
    whole, cut = (next(r for r in hecl_verdict.REGIMES if r.table == name) for name in ("2", "gpu"))
    clear = ImageGain((0, 1, 2), 27, Estimate(0.02, 0.01, 0.03))
    assert hecl_verdict.deciding({whole: {"AUPR": clear}}) is None
    assert "neither confirms nor refutes" in hecl_verdict.decide({cut: {"IoU": clear}})
    assert hecl_verdict.decide({whole: {"IoU": clear}}).startswith("Holds")
