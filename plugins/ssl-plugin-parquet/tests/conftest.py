"""What all tests of this plugin share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Two test processes on two cores."""
    torch.set_num_threads(1)
