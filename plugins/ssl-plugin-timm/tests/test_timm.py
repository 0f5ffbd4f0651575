"""Tests of timm's models as backbones."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

import ssl_host
from ssl_host import UserError, load_initial_weights

CONFIG = """\
[run]
epochs = 1
batch_size = 16
[data]
name = synthetic
num_images = 16
num_test = 8
num_channels = 1
image_size = 32
[method]
name = simclr
[backbone]
name = timm
model = vit_tiny_patch16_224
patch_size = 8
[augmentation]
name = simclr
[evaluator.rankme]
"""


def build(**settings):
    defaults = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", "timm", **{**defaults, **settings})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", ["default", "cifar"])
def test_resnet_returns_512_features(channels, stem):
    backbone = build(model="resnet18", stem=stem, in_channels=channels)
    assert backbone(torch.randn(2, channels, 32, 32)).shape == (2, 512)
    assert backbone.feature_dim == 512


def test_cifar_stem_keeps_the_image_size():
    """The stem is a 3 x 3 convolution with padding 1; some projects use padding 2."""
    model = build(model="resnet18", stem="cifar").model
    assert model.conv1.padding == (1, 1)
    assert model.conv1.stride == (1, 1)
    assert model.conv1.kernel_size == (3, 3)
    out = model.maxpool(model.act1(model.bn1(model.conv1(torch.zeros(1, 3, 32, 32)))))
    assert out.shape == (1, 64, 32, 32)


def test_transformer_has_image_size_of_the_data():
    backbone = build(model="vit_tiny_patch16_224", patch_size=4)
    assert backbone.model.patch_embed.grid_size == (8, 8)
    assert backbone(torch.randn(2, 3, 32, 32)).shape == (2, 192)
    with pytest.raises(UserError, match=r"img_size = 64, but \[data\] image_size is 32"):
        build(model="vit_tiny_patch16_224", patch_size=8, img_size=64)


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
def test_conv_stem_halves_the_image_once_for_each_convolution(model):
    """Arguments and code of backbone.json build the same network; views may have other sizes."""
    torch.manual_seed(0)
    backbone = build(model=model, stem="conv", patch_size=4, embed_dim=96, num_heads=3).eval()
    convs = [m for m in backbone.model.patch_embed.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.stride[0]) for c in convs] == [
        (3, 48, 2), (48, 96, 2), (96, 96, 1),
    ]  # fmt: skip
    assert backbone.patch_size == 4
    assert backbone(torch.randn(2, 3, 16, 24)).shape == (2, 96)
    built: dict = {}
    exec("\n".join(backbone.export()[1]["code"]), built)
    built["model"].load_state_dict(backbone.model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(built["model"].eval()(images), backbone(images))


def test_small_transformer_returns_384_features():
    backbone = build(model="vit_small_patch16_224", patch_size=8).eval()
    assert backbone.feature_dim == 384
    assert backbone(torch.randn(1, 3, 32, 32)).shape == (1, 384)


@pytest.mark.parametrize("model", ["convnext_atto", "mobilenetv3_small_050", "efficientnet_b0"])
def test_feature_dim_equals_output_width(model):
    backbone = build(model=model)
    assert backbone.eval()(torch.randn(2, 3, 32, 32)).shape == (2, backbone.feature_dim)


def test_exported_state_loads_into_plain_timm():
    backbone = build(model="resnet18", in_channels=1).eval()
    module, description = backbone.export()
    plain = timm.create_model(description["model"], **description["arguments"]).eval()
    plain.load_state_dict(module.state_dict())
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(plain(image), backbone(image))


@pytest.mark.parametrize(
    ("model", "size", "new_size"),
    [
        ("vit_tiny_patch16_224", 224, 96),
        ("vit_tiny_patch16_224", 64, 128),
        ("deit_tiny_distilled_patch16_224", 96, 64),
        ("swin_tiny_patch4_window7_224", 224, 96),
        ("cait_xxs24_224", 96, 64),
    ],
)
def test_weights_of_another_image_size_are_resampled(model, size, new_size, tmp_path):
    source = build(model=model, image_size=size)
    target = build(model=model, image_size=new_size)
    torch.nn.init.trunc_normal_(getattr(source.model, "pos_embed", torch.empty(1)))
    save_file(source.model.state_dict(), tmp_path / "x.safetensors")
    note = load_initial_weights(target, tmp_path / "x.safetensors")
    assert "was converted from shape" in note
    for name, tensor in target.model.state_dict().items():
        given = source.model.state_dict()[name]
        if tensor.shape == given.shape:
            assert torch.equal(tensor, given)
        elif name == "pos_embed":
            prefix = 0 if "cait" in model else target.model.num_prefix_tokens
            grid = [new_size // 16] * 2
            expected = resample_abs_pos_embed(given, grid, num_prefix_tokens=prefix)
            assert torch.allclose(tensor, expected, atol=1e-6)


def test_run_starts_from_a_run_at_another_size_and_with_other_channels(ssl_host_command, tmp_path):
    config = tmp_path / "c.ini"
    config.write_text(CONFIG, encoding="utf-8")
    run = ("run", config, "-o", "run.name=first", "-o", f"run.dir={tmp_path}")
    assert ssl_host_command(*run).returncode == 0
    options = ("-o", "run.name=second", "-o", "data.image_size=48", "-o", "data.num_channels=3")
    again = ("run", config, "-o", f"run.dir={tmp_path}", *options)
    done = ssl_host_command(*again, "-o", f"run.init_from={tmp_path / 'first'}")
    assert done.returncode == 0, done.stderr
    notes = json.loads((tmp_path / "second" / "results.json").read_text())["notes"]
    note = next(note for note in notes if "the backbone starts from" in note)
    assert "pos_embed was converted from shape (1, 17, 192) to (1, 37, 192)" in note
    assert "patch_embed.proj.weight was converted from shape (192, 1, 8, 8)" in note


def test_download_that_fails_is_not_repeated_for_other_sizes(
    ssl_host_command, tmp_path, monkeypatch
):
    """Each attempt takes half a minute without a connection."""
    attempts = []

    def create(*_, **__):
        attempts.append(1)
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", create)
    config = tmp_path / "config.ini"
    config.write_text(
        "[run]\nname = first\n[method]\nname = simclr\n[data]\nname = synthetic\n"
        "[backbone]\nname = timm\nmodel = resnet18\npretrained = true\n"
    )
    done = ssl_host_command("run", config, "--dry-run")
    assert done.returncode == 2
    assert "cannot load timm's pretrained weights of resnet18: no route to host" in done.stderr
    assert "pretrained = false" in done.stderr
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet_18"}, "timm has no such model; use resnet"),
        ({"model": "vit_tiny_patch16_224", "stem": "cifar"}, "stem = cifar is for ResNets"),
        ({"model": "resnet18", "patch_size": 4}, "does not accept patch_size"),
        ({"model": "resnet18", "stem": "conv"}, "for vision transformers"),
        (
            {"model": "vit_tiny_patch16_224", "stem": "conv", "patch_size": 7, "image_size": 28},
            "patch_size = 7 cannot be reached; use 2, 4, 8 or 16",
        ),
        (
            {"model": "vit_tiny_patch16_224", "stem": "conv", "pretrained": True},
            "have a linear patch embedding; set stem = default",
        ),
    ],
)
def test_invalid_settings_raise_user_error(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)
