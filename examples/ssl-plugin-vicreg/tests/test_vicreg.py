"""The host's conformance checks, and cases with a known result."""

import pytest
import ssl_host
import torch
from ssl_host.testing import conformance

test_conforms = conformance("method", "vicreg")
test_the_loss_conforms = conformance("loss", "vicreg")


def test_loss_of_correlated_columns():
    """Four rows of correlated columns ±1 and ±3: variances 4/3 and 12, covariance 4."""
    a = torch.tensor([1.0, -1.0, 1.0, -1.0])
    z1 = torch.stack([a, 3 * a], dim=1).double()
    z2 = z1 + 0.5  # a different mean changes only the invariance
    loss = ssl_host.build("loss", "vicreg")
    expected = 25 * 0.25 + 0 + 2 * (2 * 4**2) / 2
    assert float(loss(z1, z2)) == pytest.approx(expected)


def test_loss_of_equal_rows_is_the_full_hinge():
    loss = ssl_host.build("loss", "vicreg", variance=2.0)
    ones = torch.ones(6, 3)
    assert float(loss(ones, ones)) == pytest.approx(2.0 * (1 - 1e-4**0.5))
