"""The host's conformance checks, and cases with a known result."""

import pytest
import ssl_host
import torch
from ssl_host.testing import conformance

test_conforms = conformance("method", "mmcr")
test_the_loss_conforms = conformance("loss", "mmcr")


def test_loss_of_orthogonal_images():
    """The mean embeddings of four images are the unit vectors: all singular values are 1."""
    z = torch.eye(4).double()
    loss = ssl_host.build("loss", "mmcr")
    assert float(loss(3 * z, z)) == pytest.approx(-4)


def test_loss_of_equal_images_has_one_singular_value():
    loss = ssl_host.build("loss", "mmcr", local_weight=0.5)
    ones = torch.ones(4, 3).double()
    assert float(loss(ones, ones)) == pytest.approx(-2 + 0.5 * 2**0.5)
