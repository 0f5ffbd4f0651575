"""Tests of float32 arithmetic under mixed precision."""

import pytest
import torch

import ssl_host
from ssl_host import full_precision


def product(a, b, exact):
    with torch.autocast("cpu", torch.bfloat16):
        if not exact:
            return a.float() @ b.float().T
        with full_precision(a, b) as (x, y):
            return x @ y.T


def test_product_in_full_precision_is_not_rounded():
    """Casting with `.float()` alone does not prevent autocast."""
    a, b = torch.randn(2, 5, 64)
    expected = a.double() @ b.double().T
    assert float((product(a, b, exact=True) - expected).abs().max()) < 1e-5
    assert float((product(a, b, exact=False) - expected).abs().max()) > 1e-3


def test_half_precision_becomes_float32_with_gradient_and_float64_stays():
    half = torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True)
    double = torch.randn(3, 4, dtype=torch.float64)
    with full_precision(half, double) as (x, y):
        assert (x.dtype, y.dtype) == (torch.float32, torch.float64)
        x.sum().backward()
    assert half.grad is not None


def test_loss_is_called_in_full_precision_with_arguments_and_keywords():
    class Product(ssl_host.Loss):
        def forward(self, a, b, *, weight=None, scale=1):
            dtypes = [t.dtype for t in (a, b, weight) if t is not None]
            self.seen = set(dtypes), torch.is_autocast_enabled("cpu"), scale
            return (a @ b.T).mean()

    loss = Product(ssl_host.Settings())
    with torch.autocast("cpu", torch.bfloat16):
        loss(torch.randn(2, 3).bfloat16(), torch.randn(2, 3))
        assert loss.seen == ({torch.float32}, False, 1)
        half = torch.randn(2, 3).bfloat16()
        loss(half, scale=5, weight=half, b=half)
        assert loss.seen == ({torch.float32}, False, 5)
        with pytest.raises(TypeError, match="unexpected keyword argument 'temperature'"):
            loss(half, half, temperature=1)
