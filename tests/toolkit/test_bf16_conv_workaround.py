"""Tests of convolutions with kernels larger than their images, in bfloat16 on a CPU."""

import copy

import pytest
import torch
from torch import nn

from ssl_host.toolkit.bf16_conv_workaround import (
    has_padding_only_taps,
    run_padding_only_convs_in_float32,
)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_padding_only_taps_are_those_with_zero_gradient(size, stride, kernel):
    """Compare with torch's float64 gradient."""
    weight = torch.zeros(1, 1, kernel, 1, dtype=torch.float64, requires_grad=True)
    image = torch.ones(1, 1, size, 1, dtype=torch.float64)
    out = nn.functional.conv2d(image, weight, stride=(stride, 1), padding=(kernel // 2, 0))
    out.sum().backward()
    has_zero_gradient = bool((weight.grad == 0).any())
    assert has_padding_only_taps(size, kernel, stride, kernel // 2, 1) == has_zero_gradient


def gradient(conv, images):
    """Return the weight gradient under autocast, with NaN in the memory that was freed before."""
    conv.zero_grad(set_to_none=True)
    freed = [torch.full(conv.weight.shape, float("nan"), dtype=torch.bfloat16) for _ in range(4)]
    del freed
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(images)
        assert torch.is_autocast_enabled("cpu")
    out.float().square().sum().backward()
    return conv.weight.grad.clone()


@pytest.mark.parametrize(("size", "kernel", "stride"), [(1, 3, 2), (1, 5, 1), (2, 7, 1), (2, 3, 2)])
def test_gradient_equals_that_of_float32(size, kernel, stride):
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 512, kernel, stride, kernel // 2, bias=False)
    images = torch.randn(8, 256, size, size)
    plain = copy.deepcopy(conv)
    plain(images).square().sum().backward()
    run_padding_only_convs_in_float32(conv)
    for _ in range(3):
        assert torch.equal(gradient(conv, images), plain.weight.grad)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [(5, 7, 1, 1), (3, 3, 3, 1)])
def test_other_paddings_and_strides_are_detected(size, kernel, stride, padding):
    conv = nn.Conv2d(3, 4, kernel, stride, padding)
    run_padding_only_convs_in_float32(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.zeros(1, 3, size, size)).dtype == torch.float32


def test_larger_images_stay_in_bfloat16_and_an_error_restores_autocast():
    conv = nn.Conv2d(3, 4, 3, padding=1)
    run_padding_only_convs_in_float32(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16
        with pytest.raises(RuntimeError):
            conv(torch.zeros(1, 5, 1, 1))
        assert torch.is_autocast_enabled("cpu")
