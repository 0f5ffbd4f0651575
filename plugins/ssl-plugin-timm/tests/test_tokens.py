"""Tokens of vision transformers and convolutional networks."""

import pytest
import timm
import torch
from timm.layers import apply_rot_embed_cat
from timm.models.eva import Eva
from torch.nn import functional

import ssl_host
from ssl_host import UserError, patchify, unpatchify

MODELS = [
    "test_vit",
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch16_dinov3",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_rope_mixed_224",
    "vit_tiny_patch16_224 with a conv stem",
]
"""Class tokens, registers, absolute, axial rotary and mixed rotary positions; convolutions."""


@pytest.fixture(scope="module", params=MODELS)
def vit(request):
    torch.manual_seed(0)
    size = 4 * (14 if "patch14" in request.param else 16)
    model, _, stem = request.param.partition(" with ")
    backbone = ssl_host.build("backbone", "timm", model=model, in_channels=3, image_size=size,
                              stem="conv" if stem else "default")  # fmt: skip
    with torch.no_grad():  # some models start with zero positions, which would hide a mistake
        if backbone.model.pos_embed is not None:
            backbone.model.pos_embed.normal_()
    return backbone.eval()


def images(vit, rows=4, columns=4):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, rows * vit.patch_size, columns * vit.patch_size, generator=generator)


@torch.no_grad()
def test_pooled_is_what_forward_gives(vit):
    tokens = vit.tokens(images(vit))
    assert torch.equal(tokens.pooled, vit(images(vit)))
    assert tokens.patches.shape == (2, 16, vit.token_dim)
    assert tokens.prefix.shape[1] == vit.model.num_prefix_tokens
    assert vit.grid(4 * vit.patch_size, 6 * vit.patch_size) == (4, 6)


@torch.no_grad()
def test_kept_patches_have_their_own_positions(vit):
    """In any order; all patches change nothing."""
    whole = vit.tokens(images(vit))
    order = torch.stack([torch.randperm(16), torch.randperm(16)])
    kept = vit.tokens(images(vit), keep=order)
    wanted = whole.patches.gather(1, order[..., None].expand_as(whole.patches))
    assert (kept.patches - wanted).abs().max() < 1e-4
    assert (kept.pooled - whole.pooled).abs().max() < 1e-4
    assert vit.tokens(images(vit), keep=order[:, :5]).patches.shape == (2, 5, vit.token_dim)


@torch.no_grad()
def test_left_out_patches_have_no_effect(vit):
    keep = torch.tensor([[3, 0, 9], [15, 2, 1]])
    pixels = patchify(images(vit), vit.patch_size)
    noise = torch.randn_like(pixels)
    noise.scatter_(1, keep[..., None].expand(-1, -1, pixels.shape[-1]), 0)
    changed = unpatchify(pixels + noise, vit.patch_size)
    assert torch.equal(vit.tokens(changed, keep=keep).patches,
                       vit.tokens(images(vit), keep=keep).patches)  # fmt: skip


@torch.no_grad()
def test_nothing_leaks_from_under_a_mask(vit):
    mask = torch.rand(2, 16, generator=torch.Generator().manual_seed(2)) < 0.5
    pixels = patchify(images(vit), vit.patch_size)
    changed = unpatchify(pixels + mask[..., None] * torch.randn_like(pixels), vit.patch_size)
    token = torch.randn(vit.embed_dim)
    a, b = (vit.tokens(x, mask=mask, mask_token=token).patches for x in (images(vit), changed))
    assert torch.equal(a, b)
    assert not torch.equal(a, vit.tokens(images(vit)).patches)


@torch.no_grad()
def test_blocks_are_the_last_ones_without_the_norm(vit):
    tokens = vit.tokens(images(vit), num_blocks=2)
    assert len(tokens.blocks) == len(tokens.prefix_blocks) == 2
    joined = torch.cat([tokens.prefix_blocks[-1], tokens.blocks[-1]], dim=1)
    normalised = vit.model.norm(joined)
    expected = torch.cat([tokens.prefix, tokens.patches], dim=1)
    assert (normalised - expected).abs().max() < 1e-5


@torch.no_grad()
def test_views_of_any_size_that_the_patch_divides(vit):
    assert vit(images(vit, 2, 3)).shape == (2, vit.feature_dim)


def test_dynamic_size_changes_neither_weights_nor_outputs():
    backbone = ssl_host.build("backbone", "timm", model="vit_tiny_patch16_224", in_channels=3,
                              image_size=32)  # fmt: skip
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32)
    assert list(plain.state_dict()) == list(backbone.model.state_dict())
    plain.load_state_dict(backbone.model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), backbone.eval()(x))


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"])
@torch.no_grad()
def test_mean_of_the_patches_has_the_weights_of_the_class_token(model):
    """Weights of pool = token fit, and the mean is that of the normalised patches."""
    size = 32 if "16" in model else 28
    build = {"model": model, "in_channels": 3, "image_size": size}
    token, mean = (
        ssl_host.build("backbone", "timm", pool=pool, **build).eval() for pool in ("token", "avg")
    )
    mean.load_state_dict(token.state_dict())
    x = torch.randn(2, 3, size, size)
    assert torch.equal(mean.tokens(x).patches, token.tokens(x).patches)
    assert torch.allclose(mean(x), token.tokens(x).patches.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("model", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_convolutional_networks_give_their_last_map(model):
    backbone = ssl_host.build("backbone", "timm", model=model, in_channels=3, image_size=64)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = backbone.eval().tokens(x)
        assert torch.equal(tokens.pooled, backbone(x))
    assert tokens.patches.shape == (2, 4, backbone.token_dim)
    assert backbone.patch_size is None
    with pytest.raises(UserError, match="no patches that can be left out"):
        backbone.tokens(x, keep=torch.zeros(2, 1, dtype=torch.int64))


def test_sincos_positions_are_fixed_and_those_of_prefix_tokens_zero():
    backbone = ssl_host.build("backbone", "timm", model="test_vit", in_channels=1, image_size=16,
                              patch_size=4, positions="sincos")  # fmt: skip
    positions = backbone.model.pos_embed
    assert not positions.requires_grad
    assert not positions[0, 0].any()
    quarter = positions.shape[-1] // 4
    # Patch 6 is in row 1, column 2; the first frequency is 1.
    expected = torch.tensor([1.0, 2.0]).sin()
    found = positions[0, 1 + 6, [0, quarter]]
    other = positions[0, 1 + 6, [0, 2 * quarter]]
    assert torch.allclose(found, expected) or torch.allclose(other, expected)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_pool_chooses_the_features(pool):
    backbone = ssl_host.build("backbone", "timm", model="test_vit", in_channels=1, image_size=16,
                              patch_size=4, pool=pool)  # fmt: skip
    with torch.no_grad():
        tokens = backbone.eval().tokens(torch.randn(2, 1, 16, 16))
    mean = backbone.model.fc_norm(tokens.patches.mean(dim=1))
    wanted = tokens.prefix[:, 0] if pool == "token" else mean
    assert torch.allclose(tokens.pooled, wanted, atol=1e-6)


@pytest.mark.parametrize("setting", [{"positions": "sincos"}, {"pool": "token"}])
def test_transformer_settings_are_refused_for_other_models(setting):
    with pytest.raises(UserError, match="is for vision transformers"):
        ssl_host.build("backbone", "timm", model="resnet18", in_channels=1, image_size=16,
                       **setting)  # fmt: skip


def last_queries_and_keys(vit, batch):
    """Return queries and keys of the last block, (B, heads, P + T, d), from its input."""
    tokens = vit.tokens(batch, num_blocks=2)
    block = vit.model.blocks[-1]
    x = block.norm1(torch.cat([tokens.prefix_blocks[0], tokens.blocks[0]], dim=1))
    attn, num_prefix = block.attn, vit.model.num_prefix_tokens
    if getattr(attn, "q_proj", None) is not None:
        q, k = attn.q_proj(x), attn.k_proj(x)
    else:
        bias = getattr(attn, "q_bias", None)
        if bias is not None:
            bias = torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
        qkv = functional.linear(x, attn.qkv.weight, attn.qkv.bias if bias is None else bias)
        q, k, _ = qkv.chunk(3, dim=2)
    heads = [t.unflatten(2, (attn.num_heads, -1)).transpose(1, 2) for t in (q, k)]
    q, k = attn.q_norm(heads[0]), attn.k_norm(heads[1])
    if isinstance(vit.model, Eva) and vit.model.rope is not None:
        _, rope = vit.model._pos_embed(vit.model.patch_embed(batch))
        rope = rope[-1] if getattr(vit.model, "rope_mixed", False) else rope
        half = getattr(attn, "rotate_half", False)
        q, k = (
            torch.cat(
                [t[:, :, :num_prefix], apply_rot_embed_cat(t[:, :, num_prefix:], rope, half=half)],
                dim=2,
            )
            for t in (q, k)
        )
    return q, k


@torch.no_grad()
def test_class_attention_is_softmax_of_queries_and_keys(vit):
    batch = images(vit)
    before = vit(batch)
    found = vit.class_attention(batch)
    q, k = last_queries_and_keys(vit, batch)
    weights = (q[:, :, :1] @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=3)[:, :, 0]
    expected = weights[:, :, vit.model.num_prefix_tokens :]
    assert found.shape == (2, q.shape[1], 16)
    assert (found - expected).abs().max() < 1e-5
    assert torch.equal(vit(batch), before)
    assert not any(module._forward_hooks for module in vit.modules())


def test_networks_without_class_token_have_no_class_attention():
    arguments = {"in_channels": 3, "image_size": 32}
    parallel = {"embed_dim": 24, "num_heads": 3, "depth": 1}
    for model, settings in (
        ("resnet18", {}),
        ("vit_wee_patch16_reg1_gap_256", {"depth": 1}),
        ("vit_small_patch16_18x2_224", parallel),
        ("vit_base_patch16_xp_224", parallel),
    ):
        backbone = ssl_host.build("backbone", "timm", model=model, **settings, **arguments)
        with pytest.raises(UserError, match="class token"):
            backbone.class_attention(torch.zeros(1, 3, 32, 32))
