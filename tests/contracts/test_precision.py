"""Arithmetic that stays exact under mixed precision."""

import torch

import ssl_host
from ssl_host import full_precision


def product(a, b, exact):
    with torch.autocast("cpu", torch.bfloat16):
        if not exact:
            return a.float() @ b.float().T
        with full_precision(a, b) as (x, y):
            return x @ y.T


def test_a_product_is_not_rounded():
    """`.float()` alone leaves the product to autocast. Seen to fail with autocast left on."""
    a, b = torch.randn(2, 5, 64)
    wanted = a.double() @ b.double().T
    assert float((product(a, b, exact=True) - wanted).abs().max()) < 1e-5
    assert float((product(a, b, exact=False) - wanted).abs().max()) > 1e-3


def test_half_precision_is_raised_with_its_gradient_and_float64_stays():
    half = torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True)
    double = torch.randn(3, 4, dtype=torch.float64)
    with full_precision(half, double) as (x, y):
        assert (x.dtype, y.dtype) == (torch.float32, torch.float64)
        x.sum().backward()
    assert half.grad is not None


def test_losses_are_called_so():
    class Product(ssl_host.Loss):
        def forward(self, a, b):
            self.seen = a.dtype, torch.is_autocast_enabled("cpu")
            return (a @ b.T).mean()

    loss = Product(ssl_host.Settings())
    with torch.autocast("cpu", torch.bfloat16):
        loss(torch.randn(2, 3).bfloat16(), torch.randn(2, 3))
    assert loss.seen == (torch.float32, False)
