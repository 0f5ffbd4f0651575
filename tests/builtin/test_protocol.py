"""Linear and fine-tuning protocols compared with plain loops."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from timm.optim.lamb import Lamb
from torch import nn
from torch.nn import functional

import ssl_host
from ssl_host import FeatureBank, Features, UserError
from ssl_host.builtin.evaluators.accuracy import ACCURACY
from ssl_host.builtin.evaluators.label_fraction import select_labelled_fraction

CLASSES, DIM = 7, 10


def bank(noise=1.0, train=140):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    y, yt = torch.arange(train) % CLASSES, torch.arange(70) % CLASSES
    x = centres[y] + noise * torch.randn(train, DIM, generator=generator)
    xt = centres[yt] + noise * torch.randn(70, DIM, generator=generator)
    return FeatureBank(Features(x, y), Features(xt, yt), CLASSES, seed=3)


def plain_probe(b, rows, optimizer_of, epochs, batch_size):
    """Train one head on standardised features, its rate a half cosine from 1 to 0."""
    x = (b.train.x - b.train.x.mean(0)) / b.train.x.std(0)
    weight = nn.Parameter(torch.full((CLASSES, DIM), 0.1))
    bias = nn.Parameter(torch.zeros(CLASSES))
    optimizer, rate = optimizer_of([weight, bias])
    order = torch.Generator().manual_seed(b.seed)
    total, step = -(-len(rows) // batch_size) * epochs, 0
    for _ in range(epochs):
        for index in rows[torch.randperm(len(rows), generator=order)].split(batch_size):
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / total))
            loss = functional.cross_entropy(x[index] @ weight.T + bias, b.train.y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return weight.detach(), bias.detach()


@pytest.mark.parametrize("fraction", [1.0, 0.2])
@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_linear_probe_equals_a_plain_loop(name, fraction, monkeypatch):
    b, rate = bank(), 0.3

    def optimizer_of(parameters):
        if name == "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=0.9), rate
        weight, bias = parameters
        groups = [{"params": [weight], "always_adapt": True}, {"params": [bias]}]
        return Lamb(groups, lr=rate, weight_decay=0.0, max_grad_norm=None), rate

    from ssl_host.builtin.evaluators import linear

    def constant_weights(self, *arguments):
        original(self, *arguments)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1 if parameter.ndim > 1 else 0.0)

    original = linear._LinearClassifiers.__init__
    monkeypatch.setattr(linear._LinearClassifiers, "__init__", constant_weights)
    probe = ssl_host.build(
        "evaluator",
        "linear",
        optimizer=name,
        learning_rates=[rate],
        epochs=5,
        batch_size=32,
        label_fraction=fraction,
    )
    rows = select_labelled_fraction(b.train.y, fraction)
    assert len(rows) == round(140 * fraction)
    weight, bias = plain_probe(b, rows, optimizer_of, 5, 32)
    std = b.train.x.std(0)
    found = probe.evaluate(b).artifacts["linear"]
    assert torch.allclose(found["weight"], weight / std, atol=1e-4)
    assert torch.allclose(found["bias"], bias - (weight / std) @ b.train.x.mean(0), atol=1e-4)


def test_exploding_rate_of_a_sweep_does_not_change_the_other_heads():
    """Heads share only the batches: clipping by a common norm would couple them."""
    b = bank()
    settings = {"epochs": 3, "batch_size": 32}
    alone = ssl_host.build("evaluator", "linear", learning_rates=[0.05], **settings)
    wild = ssl_host.build("evaluator", "linear", learning_rates=[0.05, 50.0], **settings)
    rows = torch.arange(140)
    features = lambda index, epoch: b.train.x[index]  # noqa: E731
    one = alone._train(features, rows, (0.05,), b).weights[0]
    two = wild._train(features, rows, (0.05, 50.0), b).weights[0]
    assert torch.allclose(one, two, atol=1e-5)


def test_top5_is_above_top1_and_at_most_one():
    metrics = ssl_host.build("evaluator", "linear", epochs=3).evaluate(bank(noise=4.0)).metrics
    assert metrics["top1"] < metrics["top5"] <= 1


class Pixels(nn.Module):
    """Backbone with nearly zero weights: its features carry no information until trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(16, DIM)
        nn.init.normal_(self.layer.weight, std=0.01)

    def forward(self, images):
        return self.layer(images.flatten(1)).tanh()


def image_bank(flipped=()):
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(140) % CLASSES
    centres = torch.randint(0, 256, (CLASSES, 1, 4, 4), generator=generator)
    images = (centres[y] + torch.randint(-20, 20, (140, 1, 4, 4), generator=generator)).clamp(
        0, 255
    )
    labels = y.clone()
    labels[list(flipped)] = (labels[list(flipped)] + 3) % CLASSES
    features = Features(torch.zeros(140, DIM), labels)
    copies = []

    def encoder():
        copies.append(Pixels())
        return copies[-1]

    b = replace(
        bank(),
        train=features,
        test=Features(torch.zeros(140, DIM), y),
        encoder=encoder,
        train_images=images.to(torch.uint8),
        test_images=images.to(torch.uint8),
        eval_transform=lambda x: x.float() / 128 - 1,
        train_transform=lambda x, index, epoch: x.float() / 128 - 1,
    )
    return b, copies


def test_fine_tuning_trains_the_backbone():
    b, copies = image_bank()
    metrics = ssl_host.build("evaluator", "finetune", epochs=40, lr=0.2).evaluate(b).metrics
    assert metrics["top1"] > 0.95
    moved = (copies[0].layer.weight - Pixels().layer.weight).detach().abs().max()
    assert float(moved) > 0.01


def test_fine_tuning_trains_an_ema_encoder_with_frozen_parameters():
    b, copies = image_bank()
    encoder = b.encoder
    frozen = replace(b, encoder=lambda: encoder().requires_grad_(False))
    ssl_host.build("evaluator", "finetune", epochs=2, lr=0.2).evaluate(frozen)
    assert not torch.equal(copies[0].layer.weight, Pixels().layer.weight)


def test_fine_tuning_on_a_fraction_uses_no_other_labels():
    """All labels outside the fraction are wrong and would lower the accuracy."""
    rows = set(select_labelled_fraction(torch.arange(140) % CLASSES, 0.2).tolist())
    wrong = [i for i in range(140) if i not in rows]
    b, _ = image_bank(flipped=wrong)
    right = torch.arange(140) % CLASSES
    whole = replace(b, train=Features(b.train.x, b.train.y))
    tuned = ssl_host.build("evaluator", "finetune", epochs=100, lr=0.2, label_fraction=0.2)
    # The draw depends on the labels, so it is replaced by the draw with the true labels.
    from ssl_host.builtin.evaluators import finetune

    original = finetune.select_labelled_fraction
    finetune.select_labelled_fraction = lambda labels, fraction: original(right, fraction)
    try:
        assert tuned.evaluate(whole).metrics["top1"] > 0.9
    finally:
        finetune.select_labelled_fraction = original


def test_saved_classifier_is_tested_and_not_trained(tmp_path):
    """The name of the layer in the file does not matter."""
    b = bank()
    trained = ssl_host.build("evaluator", "linear", epochs=5).evaluate(b)
    layer = trained.artifacts["linear"]
    save_file(dict(layer), tmp_path / "linear.safetensors")
    others = {"backbone.fc.weight": torch.zeros(CLASSES, 99), "backbone.fc.bias": layer["bias"]}
    older = {"clf.weight": layer["weight"], "clf.bias": layer["bias"], **others}
    torch.save({"state_dict": older}, tmp_path / "old.ckpt")
    for path in (tmp_path, tmp_path / "old.ckpt"):
        evaluator = ssl_host.build("evaluator", "linear", weights=path)
        found = evaluator.evaluate(b)
        assert found.metrics == {k: v for k, v in trained.metrics.items() if k in ACCURACY}
        assert not evaluator.has_baselines
        assert "loaded from a file" in found.notes[0]
    wrong = {"a.weight": layer["weight"], "a.bias": layer["bias"], **older}
    torch.save(wrong, tmp_path / "two.ckpt")
    torch.save(others, tmp_path / "none.ckpt")
    for name, layers in (("two", r"found a\., clf\."), ("none", "found none")):
        with pytest.raises(UserError, match=layers):
            ssl_host.build("evaluator", "linear", weights=tmp_path / f"{name}.ckpt").evaluate(b)
    with pytest.raises(UserError, match="no such file"):
        ssl_host.build("evaluator", "linear", weights=tmp_path / "nothing").evaluate(b)
