"""What benchmarks share."""

import cv2
import pytest
import torch


@pytest.fixture
def one_core():
    """Compare work, not the number of cores."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
