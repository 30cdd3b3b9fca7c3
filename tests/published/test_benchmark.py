"""The leaderboard and the matrix of protocols, from made-up records, against loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundus_lib import records
from fundus_lib.data.sample import LESIONS
from fundus_lib.errors import RecordError
from fundus_lib.metrics.score_bins import average_precision_from_bins, read_counts
from fundus_lib.published import benchmark_leaderboard, benchmark_verdict
from fundus_lib.published.benchmark_leaderboard import (
    BASE,
    CONTROLLED,
    cheapest,
    gain,
    gains_by_size,
    leaderboard,
    tell_seeds,
)
from fundus_lib.published.benchmark_pooling import draw_weights, pool
from fundus_lib.published.benchmark_protocols import agreement, beside_print, matrix, moves, rank
from fundus_lib.published.benchmark_search import search
from fundus_lib.recipes import recipes
from helpers.benchmark_records import make_record, write_records

RECORDS = [
    path
    for table in ("base", "ideas", "gpu")
    for path in sorted(Path(records.__file__).parent.glob(f"benchmark-{table}-*.json"))
]
SKILLS = {BASE: 4.0, ("ideas", "loss_dice"): 5.5, ("ideas", "hecl"): 4.05, ("ideas", "wide"): 2.5}


@pytest.fixture(autouse=True)
def rows_without_recipes(monkeypatch):
    """Made-up records are of no recipe of the library, and its own records do not count."""
    monkeypatch.setattr(benchmark_leaderboard, "newest", lambda runs: runs)
    monkeypatch.setattr(benchmark_leaderboard, "load", lambda *folders: records.load(*folders, packaged=False))
    monkeypatch.setattr("fundus_lib.records.differences.newest", lambda runs, *_: runs)


def test_the_leaderboard_pools_each_selection_of_images_anew(tmp_path):
    write_records(tmp_path, SKILLS)
    found = leaderboard(tmp_path, resamples=200)
    assert [one.row[1] for one in found] == ["loss_dice", "hecl", "chosen", "wide"]
    assert [one.name for one in found][:2] == ["Dice loss", "contrast: density and edge"]
    draws = np.random.default_rng(0).integers(6, size=(200, 6))
    own = [make_record(*("loss_dice", seed, 5.5))["predictions"] for seed in range(2)]
    over = [make_record("chosen", seed, 4.0, table="base")["predictions"] for seed in range(2)]

    def score(predictions, images):
        counts = [read_counts(predictions[f"{lesion}_counts"])[images].sum(0) for lesion in LESIONS]
        return np.mean([average_precision_from_bins(one) for one in counts])

    levels = np.array([[score(one, d) for one in own] for d in [range(6), *draws]])
    gains = levels - np.array([[score(one, d) for one in over] for d in [range(6), *draws]])
    seeds = np.random.default_rng(1).integers(2, size=(200, 2))
    for values, estimate in ((levels, found[0].scores["mean"]), (gains, found[0].gain.scores["mean"])):
        drawn = [row[s].mean() for row, s in zip(values[1:], seeds, strict=True)]
        assert estimate.value == pytest.approx(values[0].mean())
        assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert sum(one.best for one in found) == pytest.approx(1) and found[0].best > 0.9
    assert np.isnan(found[2].gain.scores["mean"].value) and found[0].gain.seeds == (0, 1) and found[0].seconds == 1150
    assert found[3].gain.scores["mean"].high < 0 < found[0].gain.scores["EX"].low


def test_an_idea_is_compared_with_its_controls(tmp_path):
    rows = {BASE: 4.0, ("ideas", "global_context"): 5.0, ("ideas", "wide"): 4.5, ("ideas", "two_branches_dsm"): 4.0}
    write_records(tmp_path, rows)
    board = {one.row[1]: one for one in leaderboard(tmp_path, resamples=100)}
    (over,) = board["global_context"].controlled
    means = {row: one.scores["mean"].value for row, one in board.items()}
    assert over.over == ("ideas", "wide") and over.seeds == (0, 1) and over
    assert over.scores["mean"].value == pytest.approx(means["global_context"] - means["wide"])
    assert over.tell().startswith(f"+{over.scores['mean'].value:.3f} [") and not board["wide"].controlled
    assert not any(board["two_branches_dsm"].controlled)  # neither control was run
    every, one, none = (gain(("ideas", "wide"), BASE, tmp_path, seeds=s) for s in (None, {1}, {7}))
    first = gain(("ideas", "wide"), BASE, tmp_path, seeds={0}).scores["mean"].value
    assert (every.seeds, one.seeds, none.seeds) == ((0, 1), (1,), ()) and not none
    assert every.scores["mean"].value == pytest.approx((one.scores["mean"].value + first) / 2)
    assert one.scores["mean"].value != pytest.approx(first)
    known = {row.row for row in recipes("benchmark", "ideas")}
    assert {row for pair in CONTROLLED.items() for _, row in (pair[0], *pair[1])} <= known


def test_weights_are_those_of_the_bootstrap_and_images_go_by_name():
    weights = draw_weights(5, 3)
    draws = np.random.default_rng(0).integers(5, size=(3, 5))
    assert (weights[0] == 1).all() and (weights[1:] == [[list(d).count(n) for n in range(5)] for d in draws]).all()
    record = make_record("chosen", 0, 4.0)
    names, only_first = record["predictions"]["names"][::-1], np.eye(6)[-1:]
    counts = read_counts(record["predictions"]["HE_counts"])[0]
    assert pool(record, names, only_first)[0, 1] == average_precision_from_bins(counts)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_counts_of_a_record_pool_to_its_exact_scores(path):
    record = records.read(path)  # also of networks that were trained with Dice, whose logits are large
    for lesion in LESIONS:
        pooled = average_precision_from_bins(read_counts(record["predictions"][f"{lesion}_counts"]).sum(0))
        exact = record["metrics"][f"{lesion}_aupr"]
        assert pooled == pytest.approx(exact, abs=0.005)


def test_few_records_give_a_shorter_board(tmp_path):
    assert leaderboard(tmp_path) == [] and search(tmp_path).empty and matrix(tmp_path).empty
    assert "not" in str(next(iter(gains_by_size(("gpu", "hecl_weak"), tmp_path).values())))
    assert beside_print(tmp_path).ours.isna().all() and "Cannot" in benchmark_verdict.judge(tmp_path).answer
    saturated = make_record("hecl", 0, 4.0)
    saturated["metrics"]["MA_aupr"] += 0.1  # what bins that end too early do not give
    records.save(saturated, tmp_path / "benchmark-ideas-hecl-seed0-made.json")
    with pytest.raises(RecordError, match="bins of this record"):
        leaderboard(tmp_path)
    write_records(tmp_path, {("ideas", "hecl"): 4.0}, seeds=1)
    (alone,) = leaderboard(tmp_path, resamples=20)
    assert alone.seeds == (0,) and not alone.gain and np.isnan(alone.gain.scores["mean"].value) and alone.best == 1
    old = make_record("loss_dice", 0, 4.0) | {"predictions": {}}  # of a run before records held counts
    records.save(old, tmp_path / "old.json")
    assert len(leaderboard(tmp_path, resamples=20)) == 1 and len(matrix(tmp_path)) == 2
    assert tell_seeds([alone]) == "one seed"
    records.save(make_record("wide", 0, 4.0, dataset_fingerprint="other"), tmp_path / "other.json")
    with pytest.raises(RecordError, match="different data"):
        leaderboard(tmp_path)


def test_the_cheapest_rows_are_not_beaten_at_their_price(tmp_path):
    write_records(tmp_path, SKILLS)
    board = leaderboard(tmp_path, resamples=20)
    front = cheapest(board)
    assert [one.row[1] for one in front] == ["wide", "chosen", "hecl", "loss_dice"]
    worse = [one for one in board if not any(o.seconds <= one.seconds and o.best > one.best for o in board)]
    assert worse


def test_the_search_is_judged_on_held_out_images(tmp_path):
    write_records(tmp_path, {("search", "base"): 4.0, ("search", "dice"): 5.0, ("search", "one_view"): 3.0}, seeds=1)
    found = search(tmp_path)
    assert found.row.tolist() == ["dice", "base", "one_view"] and np.isnan(found.gain[1])
    records_ = [make_record(row, 0, skill, table="search") for row, skill in (("dice", 5.0), ("base", 4.0))]
    values = [np.mean([r["curve"][-1][f"validation_{lesion}_aupr"] for lesion in LESIONS]) for r in records_]
    assert found.gain[0] == pytest.approx(values[0] - values[1]) and found.minutes[0] == pytest.approx(1100 / 60)


def test_protocols_rank_rows_by_their_own_scores(tmp_path):
    write_records(tmp_path, SKILLS)
    scores = matrix(tmp_path)
    assert list(scores.columns)[:3] == ["exact AUPR", "challenge", "dual_branch"]
    assert scores.loc["the base", "hecl"] == pytest.approx(1 - scores.loc["the base", "exact AUPR"])
    places, taus = rank(scores), agreement(scores)
    assert places["exact AUPR"].tolist() == [3, 2, 1, 4] or places.loc["Dice loss", "exact AUPR"] == 1
    assert taus.loc["exact AUPR", "hecl"] == pytest.approx(-1) and taus.loc["exact AUPR", "local_global"] == 1
    assert moves(scores).iloc[0] == 3
    assert isinstance(matrix(tmp_path, lesion="EX"), pd.DataFrame) and "pldmlt" not in matrix(tmp_path, lesion="EX")


def test_printed_numbers_stand_beside_ours(tmp_path):
    write_records(tmp_path, {BASE: 4.0}, seeds=2)
    found = beside_print(tmp_path).set_index(["paper", "lesion", "score"])
    line = found.loc["dual_branch", "EX", "aupr"]
    assert (line.printed, line.by, line.seeds) == (0.8296, "Dual HED + DSM", 2)
    ours = [make_record("chosen", seed, 4.0)["metrics"]["EX_aupr_11"] for seed in range(2)]
    assert (line.ours, line.low) == (pytest.approx(np.mean(ours)), min(ours))
    assert found.loc["local_global", "HE", "aupr"].printed == 0.711
    assert found.loc["local_global", "HE", "aupr"].ours < found.loc["dual_branch", "EX", "aupr"].ours


def test_the_verdict_counts_gains_and_losses(tmp_path):
    write_records(tmp_path, SKILLS | {("ideas", "hecl_edge"): 2.5}, seeds=3)
    found = benchmark_verdict.judge(tmp_path)
    gains, losses = found.answer.split(". A loss is shown: ")
    assert gains.startswith("A gain is shown: Dice loss +") and "3 seeds" in found.ran
    assert losses.startswith("contrast: edge −") and "wider" not in found.answer
