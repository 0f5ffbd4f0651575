"""Tests of losses against slow reference implementations of the formulas, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host

SHAPES = [(2, 3), (5, 4), (8, 16), (33, 7)]
TEMPERATURES = [0.07, 0.5, 2.0]


def embeddings(count, rows, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        torch.randn(rows, dim, generator=generator, dtype=torch.float64) for _ in range(count)
    ]
    return [z.requires_grad_() for z in tensors]


def is_close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def assert_equal(loss, reference, tensors):
    """Compare two losses and their gradients."""
    assert is_close(loss.detach(), reference.detach())
    for actual, expected in zip(
        torch.autograd.grad(loss, tensors, retain_graph=True),
        torch.autograd.grad(reference, tensors, retain_graph=True),
        strict=True,
    ):
        assert is_close(actual, expected)


@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_negative_cosine_equals_reference(rows, dim):
    p, z = embeddings(2, rows, dim)
    reference = -sum((a / a.norm()) @ (b / b.norm()) for a, b in zip(p, z, strict=True)) / rows
    assert_equal(ssl_host.build("loss", "negative_cosine")(p, z), reference, [p, z])
    assert_equal(lightly.loss.NegativeCosineSimilarity()(p, z), reference, [p, z])


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_nt_xent_equals_reference(rows, dim, temperature):
    """The reference is SimCLR's equation 1, anchor by anchor."""
    z1, z2 = embeddings(2, rows, dim)
    u = [v / v.norm() for v in [*z1, *z2]]
    total = torch.zeros((), dtype=torch.float64)
    for i in range(2 * rows):
        j = (i + rows) % (2 * rows)
        denominator = sum(torch.exp(u[i] @ u[k] / temperature) for k in range(2 * rows) if k != i)
        total = total - torch.log(torch.exp(u[i] @ u[j] / temperature) / denominator)
    reference = total / (2 * rows)
    assert_equal(
        ssl_host.build("loss", "nt_xent", temperature=temperature)(z1, z2), reference, [z1, z2]
    )
    theirs = lightly.loss.NTXentLoss(temperature=temperature)
    assert_equal(theirs(z1, z2), reference, [z1, z2])


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_info_nce_with_queue_equals_reference(rows, dim, temperature):
    """The reference is MoCo's equation 1."""
    q, k = embeddings(2, rows, dim)
    (queue,) = embeddings(1, 11, dim, seed=5)
    terms = []
    for a, b in zip(q, k, strict=True):
        a, b = a / a.norm(), b / b.norm()
        positive = torch.exp(a @ b / temperature)
        negatives = sum(torch.exp(a @ (n / n.norm()) / temperature) for n in queue)
        terms.append(-torch.log(positive / (positive + negatives)))
    loss = ssl_host.build("loss", "info_nce", temperature=temperature)(q, k, queue)
    assert_equal(loss, sum(terms) / rows, [q, k, queue])


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_info_nce_without_queue_equals_reference(rows, dim, temperature):
    """The reference is NNCLR's equation 3: positives of other images are the negatives."""
    n, p = embeddings(2, rows, dim)
    terms = []
    for i in range(rows):
        scores = [(n[i] / n[i].norm()) @ (p[j] / p[j].norm()) / temperature for j in range(rows)]
        terms.append(-scores[i] + torch.logsumexp(torch.stack(scores), dim=0))
    loss = ssl_host.build("loss", "info_nce", temperature=temperature)(n, p)
    assert_equal(loss, sum(terms) / rows, [n, p])


@pytest.mark.parametrize("name", ["negative_cosine", "nt_xent", "info_nce"])
def test_losses_are_computed_in_float32_under_autocast(name):
    z1, z2 = (torch.randn(16, 32).requires_grad_() for _ in range(2))
    loss = ssl_host.build("loss", name)
    expected = loss(z1.bfloat16().float(), z2.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        actual = loss(z1.bfloat16(), z2.bfloat16())
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected)
