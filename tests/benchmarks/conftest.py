"""What benchmarks share: one core, and the comparison in pairs."""

import functools

import cv2
import pytest
import torch

from helpers.pairs import compare_in_pairs

RATIOS = pytest.StashKey[list[str]]()


@pytest.fixture
def one_core():
    """Compare work, not the number of cores."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.fixture
def compare(benchmark, one_core, request):
    """`compare_in_pairs` on one core; its lines stand at the end of the terminal's report."""
    lines = request.config.stash.setdefault(RATIOS, [])
    return functools.partial(compare_in_pairs, benchmark, lambda line: lines.append(f"{request.node.name}: {line}"))


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash.get(RATIOS, []):
        terminalreporter.section("medians of pairs")
        terminalreporter.write_line("\n".join(lines))
