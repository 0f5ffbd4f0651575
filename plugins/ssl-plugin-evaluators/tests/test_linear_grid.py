"""The grid of linear classifiers on known tokens, against plain SGD and timm's own blocks."""

import math
from dataclasses import replace

import pytest
import torch
from ssl_plugin_evaluators.block_outputs import find_block_outputs, pool_blocks
from ssl_plugin_evaluators.linear_grid import TrainingData
from ssl_plugin_evaluators.network import freeze_network
from torch import nn
from torch.nn import functional

import ssl_host
from ssl_host import FeatureBank, Features, Tokens, UserError

CLASSES, DIM = 4, 12


class Blocks(nn.Module):
    """Network whose tokens of block i are channel i of the images; the first is the class token."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def tokens(self, images, num_blocks=0):
        last = functional.layer_norm(images[:, -1], (DIM,), eps=1e-6)
        blocks = images.unbind(1)[-num_blocks:] if num_blocks else ()
        return Tokens(
            last[:, :1],
            last[:, 1:],
            last[:, 0],
            tuple(b[:, 1:] for b in blocks),
            tuple(b[:, :1] for b in blocks),
        )


def images_of(y, seed, block=1, token=0):
    """Return three blocks of five noisy tokens; some tokens of one block show the class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (len(y), 3, 5, DIM), generator=generator)
    if block is not None:
        images[:, block, token, :CLASSES] = 0
        images[torch.arange(len(y)), block, token, y] = 255
    return images.to(torch.uint8)


def bank(train=400, test=100, encoder=Blocks, **settings):
    y, yt = torch.arange(train) % CLASSES, torch.arange(test) * CLASSES // test
    return FeatureBank(
        Features(torch.zeros(train, DIM), y),
        Features(torch.zeros(test, DIM), yt),
        CLASSES,
        encoder=encoder,
        train_images=images_of(y, 0, **settings),
        test_images=images_of(yt, 1, **settings),
        eval_transform=lambda batch: batch / 64,
        train_transform=lambda batch, index, epoch: batch / 64,
    )


def evaluate(b, **settings):
    return ssl_host.build("evaluator", "linear_grid", **settings).evaluate(b)


@pytest.mark.parametrize(
    ("block", "token", "blocks", "text"),
    [(2, 0, 1, "class token of the last block"), (1, 0, 2, "class token of the last 2 blocks")],
)
def test_grid_finds_where_the_class_is(block, token, blocks, text):
    found = evaluate(bank(block=block, token=token), num_blocks=(1, 2))
    assert found.metrics["top1"] == pytest.approx(1, abs=0.03)
    assert found.metrics["num_blocks"] == blocks
    assert text in found.notes[-1]


def test_class_in_the_patches_is_found_by_their_mean():
    found = evaluate(bank(block=2, token=slice(1, None)), num_blocks=(1, 2))
    assert found.metrics["top1"] > 0.85
    assert "mean of the" in found.notes[-1]


def test_random_and_collapsed_tokens_are_at_chance():
    noise = evaluate(bank(block=None), epochs=3).metrics
    assert noise["top1"] == pytest.approx(1 / CLASSES, abs=0.12)
    b = bank()
    same = replace(b, train_images=b.train_images * 0 + 9, test_images=b.test_images * 0 + 9)
    collapsed = evaluate(same, epochs=3).metrics
    assert (collapsed["top1"], collapsed["balanced_accuracy"]) == (1 / CLASSES, 1 / CLASSES)


def test_every_head_equals_plain_sgd_with_its_own_rate():
    b = bank(train=60)
    grid = [("token", 1), ("both", 3), ("mean", 2)]
    rates = (0.003, 0.1)
    evaluator = ssl_host.build("evaluator", "linear_grid", epochs=3, batch_size=25)
    data = TrainingData(find_block_outputs(freeze_network(b), 3), b)
    heads = evaluator._train(data, grid, rates, torch.arange(60), seed=5)
    x = data.outputs[torch.arange(60)]
    x = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    for i, entry in enumerate(grid):
        features = pool_blocks(x, *entry)
        for j, rate in enumerate(rates):
            layer = nn.Linear(features.shape[1], CLASSES)
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
            sgd = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
            order, step = torch.Generator().manual_seed(5), 0
            for _ in range(3):
                for rows in torch.randperm(60, generator=order).split(25):
                    sgd.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / 9)) / 2
                    sgd.zero_grad()
                    functional.cross_entropy(layer(features[rows]), b.train.y[rows]).backward()
                    sgd.step()
                    step += 1
            weight = heads.weights[i].view(len(rates), CLASSES, -1)[j]
            assert (weight - layer.weight).abs().max() < 1e-6


def test_blocks_are_those_of_timm():
    vit = ssl_host.build(
        "backbone", "timm", model="vit_tiny_patch16_224", patch_size=8, embed_dim=24, depth=5,
        num_heads=2, in_channels=3, image_size=16,
    ).eval()  # fmt: skip
    images = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    b = FeatureBank(
        Features(torch.zeros(6, 24)),
        None,
        encoder=lambda: vit,
        train_images=images,
        eval_transform=lambda x: x / 255,
        train_transform=lambda x, index, epoch: x / 255,
    )
    found = find_block_outputs(freeze_network(b), 4)
    assert (found.num_blocks, found.has_class_token) == (4, True)
    outputs = found.read(images)
    with torch.no_grad():
        theirs = vit.model.get_intermediate_layers(
            images / 255, n=4, return_prefix_tokens=True, norm=True
        )
    expected = [torch.stack([prefix[:, 0], patches.mean(1)], 1) for patches, prefix in theirs]
    assert (outputs - torch.stack(expected, dim=1)).abs().max() < 1e-5
    tokens = torch.cat([prefix[:, 0] for _, prefix in theirs], dim=1)
    both = torch.cat([tokens, theirs[-1][0].mean(dim=1)], dim=1)
    assert torch.allclose(pool_blocks(outputs, "both", 4), both, atol=1e-5)
    assert find_block_outputs(freeze_network(b), 9).num_blocks == 5


def test_selection_does_not_read_the_test_split():
    b = bank(block=1)
    other = replace(b, test=Features(b.test.x, b.test.y.flip(0)), test_images=b.test_images.flip(1))
    first, second = (evaluate(x, num_blocks=(1, 2), epochs=5) for x in (b, other))
    for name in ("learning_rate", "num_blocks"):
        assert first.metrics[name] == second.metrics[name]
    assert first.notes == second.notes
    assert first.metrics["top1"] != second.metrics["top1"]


def test_convolutional_networks_have_one_block_without_class_token():
    b = bank()
    network = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=8, width=8)
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    small = replace(
        b,
        train=Features(torch.zeros(40, 8), b.train.y[:40]),
        test=Features(torch.zeros(40, 8), b.train.y[:40]),
        encoder=lambda: network,
        train_images=images,
        test_images=images,
    )
    found = evaluate(small, epochs=2)
    assert found.metrics["num_blocks"] == 1
    assert "no class token" in found.notes[0]
    assert "num_blocks above 1" in found.notes[1]
    none = evaluate(small, poolings=("token",))
    assert not none.metrics
    assert "grid is empty" in none.notes[-1]


def test_network_without_tokens_is_skipped_with_a_note():
    class NoTokens(Blocks):
        def tokens(self, images, num_blocks=0):
            raise UserError("NoTokens has no tokens")

    found = evaluate(bank(encoder=NoTokens))
    assert not found.metrics
    assert "NoTokens has no tokens" in found.notes[0]
    assert "cannot be read" in evaluate(replace(bank(), train_images=None)).notes[0]
