"""The attentive probe on tokens with known results, and against plain attention."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ssl_plugin_evaluators import network
from ssl_plugin_evaluators.attentive import AttentiveClassifier
from torch import nn
from torch.nn import functional

import ssl_host
from ssl_host import FeatureBank, Features, Tokens, UserError

CLASSES, SIDE, DIM = 3, 3, 8


class Pixels(nn.Module):
    """Network whose tokens are the pixels; its features, their mean, say nothing here."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def tokens(self, images):
        patches = images.flatten(2).transpose(1, 2)
        return Tokens(patches[:, :0], patches, patches.mean(dim=1))


def images_of(y, seed):
    """Return images with a class's channel bright in one random pixel; noise elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 100, (len(y), DIM, SIDE * SIDE), generator=generator)
    images[:, :CLASSES] = 0
    images[torch.arange(len(y)), y, torch.randint(SIDE * SIDE, y.shape, generator=generator)] = 255
    return images.view(-1, DIM, SIDE, SIDE).to(torch.uint8)


def bank(train=240, test=90, images=images_of):
    y, yt = torch.arange(train) % CLASSES, torch.arange(test) * CLASSES // test
    return FeatureBank(
        Features(torch.zeros(train, DIM), y),
        Features(torch.zeros(test, DIM), yt),
        CLASSES,
        encoder=Pixels,
        train_images=images(y, 0),
        test_images=images(yt, 1),
        eval_transform=lambda batch: batch / 64,
        train_transform=lambda batch, index, epoch: batch / 64,
    )


def evaluate(b, **settings):
    return ssl_host.build("evaluator", "attentive", **settings).evaluate(b)


def test_classifier_equals_plain_attention():
    torch.manual_seed(0)
    heads = 2
    model = AttentiveClassifier(DIM, CLASSES, heads).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(4, 5, DIM, dtype=torch.float64)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}

    def norm(a, name):
        a = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
        return a * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(a, name):
        return a @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    tokens = norm(x.numpy(), "norm")
    query = linear(weights["pool.latent"][0], "pool.q")[0].reshape(heads, -1)
    keys, values = np.split(linear(tokens, "pool.kv"), 2, axis=-1)
    keys, values = (a.reshape(4, 5, heads, -1) for a in (keys, values))
    scores = np.exp(np.einsum("hd,bthd->bth", query, keys) / np.sqrt(DIM / heads))
    pooled = np.einsum("bth,bthd->bhd", scores / scores.sum(1, keepdims=True), values)
    pooled = linear(pooled.reshape(4, DIM), "pool.proj")
    hidden = functional.gelu(torch.from_numpy(linear(norm(pooled, "pool.norm"), "pool.mlp.fc1")))
    pooled = pooled + linear(hidden.numpy(), "pool.mlp.fc2")
    expected = linear(pooled, "head")
    assert np.abs(model(x).detach().numpy() - expected).max() < 1e-6


def test_class_in_a_single_token_is_found():
    found = evaluate(bank(), epochs=30, batch_size=32).metrics
    assert found["top1"] == pytest.approx(1, abs=0.03)
    assert found["balanced_accuracy"] == pytest.approx(found["top1"])
    assert found["learning_rate"] in (0.0003, 0.001, 0.003)


def test_collapsed_and_random_tokens_are_at_chance():
    constant = bank(images=lambda y, seed: torch.full((len(y), DIM, 2, 2), 9, dtype=torch.uint8))
    assert evaluate(constant, epochs=2).metrics["top1"] == pytest.approx(1 / CLASSES)
    noise = bank(images=lambda y, seed: images_of(torch.randint(CLASSES, y.shape), seed))
    assert evaluate(noise, epochs=5).metrics["top1"] == pytest.approx(1 / CLASSES, abs=0.15)


def test_rate_is_selected_on_training_images_and_heads_are_independent():
    b = bank()
    settings = {"epochs": 4, "batch_size": 32}
    swept = evaluate(b, learning_rates=(1e-7, 0.003), **settings).metrics
    assert swept["learning_rate"] == 0.003
    assert swept == evaluate(b, learning_rates=(0.003,), **settings).metrics
    mislabelled = replace(b, test=Features(b.test.x, b.test.y.flip(0)))
    found = evaluate(mislabelled, learning_rates=(1e-7, 0.003), **settings).metrics
    assert found["learning_rate"] == 0.003
    assert found["top1"] != swept["top1"]


def test_tokens_that_do_not_fit_in_memory_are_computed_when_they_are_needed(monkeypatch):
    kept = evaluate(bank(), epochs=2).metrics
    images = torch.arange(700)[:, None]
    index = torch.randperm(700)[:300]
    assert torch.equal(
        network.NetworkOutputs(images, lambda x: 2.0 * x)[index], 2.0 * images[index]
    )
    monkeypatch.setattr(network, "MAX_BYTES_IN_MEMORY", 0)
    outputs = network.NetworkOutputs(images, lambda x: 2.0 * x)
    assert outputs.kept is None
    assert torch.equal(outputs[index], 2.0 * images[index])
    assert evaluate(bank(), epochs=2).metrics == kept


def test_backbone_without_tokens_is_skipped_with_a_note():
    class NoTokens(Pixels):
        def tokens(self, images):
            raise UserError("NoTokens has no tokens")

    for b in (replace(bank(), encoder=NoTokens), replace(bank(), encoder=lambda: nn.Linear(2, 2))):
        found = evaluate(b)
        assert not found.metrics
        assert "attentive was skipped" in found.notes[0]
        assert "tokens" in found.notes[0]
    unreadable = evaluate(replace(bank(), train_images=None))
    assert "cannot be read" in unreadable.notes[0]


def test_number_of_heads_that_does_not_divide_the_width_is_an_error():
    with pytest.raises(UserError, match=r"num_heads = 3.*8"):
        evaluate(bank(), num_heads=3)
