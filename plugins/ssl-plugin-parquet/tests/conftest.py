"""Fixtures of all tests of this plugin."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread, since several test processes share the cores."""
    torch.set_num_threads(1)
