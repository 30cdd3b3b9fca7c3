"""Ours timed in pairs with its alternatives, so that a busy neighbor slows both down alike."""

import statistics
import time
from collections import defaultdict


def compare_in_pairs(benchmark, report, ours, alternatives, at_most=None, rounds=6, timer=None):
    """Time ours next to its alternatives and assert on the median ratio of a pair.

    The order is ours, a, b, then a, b, ours, then ours, a, b and so on: in each pair ours runs next to its
    alternatives, alternating before and after them. pytest-benchmark's table shows ours; the ratios stand in
    `extra_info` too.

    Args:
        benchmark: pytest-benchmark's fixture. With `--benchmark-disable` each function runs once, and nothing is
            asserted about time.
        report: Is called with a line for each alternative.
        ours: Called without arguments, as the alternatives are.
        alternatives: Name to function.
        at_most: Name of an alternative to the largest fraction of its time that ours may take.
        rounds: Number of pairs, even, so that both orders are equally frequent.
        timer: Gives seconds; by default those of this process. Of the clock where several threads work.

    Returns:
        What each function returned last, by name: "ours" and the alternatives'.

    Raises:
        AssertionError: Ours takes more than is allowed.
    """
    timer = timer or time.process_time
    seconds, returned = defaultdict(list), {}

    def run(name, function):
        start = timer()
        returned[name] = function()
        seconds[name].append(timer() - start)

    def run_alternatives():  # before ours in the warm-up and in even rounds, after it in odd ones
        if len(seconds["ours"]) % 2 == 0:
            for name, function in alternatives.items():
                run(name, function)

    benchmark.pedantic(
        lambda: run("ours", ours), setup=run_alternatives, teardown=run_alternatives, rounds=rounds, warmup_rounds=1
    )
    if benchmark.disabled:
        return returned
    failures = []
    for name in alternatives:
        pairs = sorted(mine / other for mine, other in zip(seconds["ours"][1:], seconds[name][1:], strict=True))
        ratio, limit = statistics.median(pairs), (at_most or {}).get(name)
        benchmark.extra_info[f"fraction of {name}"] = ratio
        line = f"ours takes {ratio:.3g} of {name} (pairs {pairs[0]:.3g} to {pairs[-1]:.3g})"
        if limit:
            line += f", allowed {limit:.3g}"
            if ratio > limit:
                failures.append(line)
        report(line)
    assert not failures, "; ".join(failures)
    return returned
