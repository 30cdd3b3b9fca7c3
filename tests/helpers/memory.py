"""The most memory that tensors take while something runs on the CPU."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def measure_peak(run: Callable[[], object]) -> int:
    """Bytes allocated at most at one time during a run, above what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak
