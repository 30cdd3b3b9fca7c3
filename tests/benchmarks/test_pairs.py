"""The comparison itself, on a clock that a busy neighbor slows down."""

import time

import pytest

from helpers.pairs import compare_in_pairs


class Clock:
    """Seconds of work that take twice as long from a moment on, as with a neighbor who starts to work."""

    now = 0.0

    def work(self, cost):
        self.now += cost * (2 if self.now >= 12 else 1)


class Pedantic:
    """What `compare_in_pairs` uses of pytest-benchmark's fixture."""

    disabled = False

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, target, setup, teardown, rounds, warmup_rounds):
        for _ in range(warmup_rounds + rounds):
            setup()
            target()
            teardown()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "process_time", lambda: clock.now)
    return clock


def test_a_neighbor_who_comes_halfway_does_not_decide(clock):
    timer, order, lines = Pedantic(), [], []

    def work(name, cost):
        order.append(name)
        clock.work(cost)
        return name

    returned = compare_in_pairs(
        timer, lines.append, lambda: work("ours", 1), {"theirs": lambda: work("theirs", 2)}, {"theirs": 0.51}
    )
    assert order == ["theirs", "ours", *["ours", "theirs", "theirs", "ours"] * 3]
    assert clock.now == 12 + 2 * (7 * 3 - 12)  # of seven rounds of 3 s of work, 9 s were slow
    assert timer.extra_info == {"fraction of theirs": 0.5}
    assert returned == {"ours": "ours", "theirs": "theirs"} and len(lines) == 1


def test_slower_than_allowed_fails(clock):
    ours, others = lambda: clock.work(1), {"theirs": lambda: clock.work(2), "unlimited": lambda: clock.work(1)}
    with pytest.raises(AssertionError, match=r"ours takes 0.5 of theirs .* allowed 0.4$"):
        compare_in_pairs(Pedantic(), print, ours, others, {"theirs": 0.4})
