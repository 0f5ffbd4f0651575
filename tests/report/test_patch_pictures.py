"""Pictures of patch tokens: colours against scikit-learn, places of known patches, the page."""

import base64
import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from sklearn.decomposition import PCA

import ssl_host
from ssl_host import Backbone, FeatureBank, Features, Settings, Tokens, UserError
from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from ssl_host.report import patch_pictures
from ssl_host.report.patch_pictures import (
    brightness,
    draw_patches,
    find_similar_patches,
    principal_colours,
)
from tests.conftest import tiny
from tests.report.browser import open_page

SIDE, PATCH = 4, 8


@pytest.mark.parametrize(("count", "dim"), [(40, 10), (5, 30)])
def test_colours_are_scaled_principal_components(count, dim):
    patches = torch.randn(2, count, dim, generator=torch.Generator().manual_seed(0)) + 3
    patches = patches * torch.linspace(3, 1, dim)
    components = PCA(3, svd_solver="full").fit_transform(patches.flatten(0, 1).double().numpy())
    largest = components[np.abs(components).argmax(axis=0), range(3)]
    components = components * np.sign(largest)
    low, high = np.quantile(components, [0.02, 0.98], axis=0)
    expected = np.clip((components - low) / (high - low), 0, 1).reshape(2, count, 3)
    found = principal_colours(patches)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    assert torch.equal(found, principal_colours(patches))


def test_colours_of_collapsed_and_narrow_patches_are_finite():
    assert not principal_colours(torch.ones(2, 9, 5)).any()
    narrow = principal_colours(torch.arange(18.0).view(2, 9, 1))
    assert narrow.shape == (2, 9, 3)
    assert (narrow[..., 0].min(), narrow[..., 0].max()) == (0, 1)
    assert not narrow[..., 1:].any()


def test_brightness_of_uniform_attention_is_in_the_middle():
    assert brightness(torch.full((16,), 1 / 20)).tolist() == pytest.approx([0.55] * 16)
    found = brightness(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert found.tolist() == pytest.approx([0.1, 0.1 + 0.9 * 0.8, 0.1, 0.1])


def test_similar_patches_are_found_and_the_image_itself_is_left_out():
    generator = torch.Generator().manual_seed(1)
    keys = torch.randn(9, 16, 32, generator=generator)
    queries = torch.stack([2 * keys[4, 7], keys[0, 3]])
    excluded = torch.zeros(2, 9, dtype=torch.bool)
    first, second = find_similar_patches(queries, keys, excluded)
    assert (first[0], second[0]) == ((4, 7, 1.0), (0, 3, 1.0))
    assert [len(first), len(second)] == [3, 3]
    excluded[1, 0] = True
    _, second = find_similar_patches(queries, keys, excluded)
    assert 0 not in [image for image, _, _ in second]
    assert find_similar_patches(queries[:1], keys[:1], excluded[1:, :1]) == [[]]


class MeanPatches(Backbone):
    """Network whose patch tokens are the mean colours, with attention to bright patches."""

    class Config(Settings):
        pass

    def setup(self):
        self.feature_dim = self.token_dim = 3
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def feature_map(self, images):
        return torch.nn.functional.avg_pool2d(images, PATCH)

    def class_attention(self, images):
        grey = self.feature_map(images).mean(dim=1).flatten(1)
        return torch.stack([grey.softmax(dim=1)] * 2, dim=1)


def images_with_a_patch(places):
    """Return dark noise with one orange patch in each image."""
    generator = torch.Generator().manual_seed(2)
    size = SIDE * PATCH
    images = torch.randint(0, 60, (len(places), 3, size, size), generator=generator)
    for image, place in zip(images, places, strict=True):
        top, left = PATCH * (place // SIDE), PATCH * (place % SIDE)
        image[:, top : top + PATCH, left : left + PATCH] = torch.tensor([250, 160, 20])[
            :, None, None
        ]
    return images.to(torch.uint8)


def bank_of(network, train, test=None):
    return FeatureBank(
        Features(torch.zeros(len(train), 3)),
        None if test is None else Features(torch.zeros(len(test), 3)),
        encoder=lambda: network,
        train_images=train,
        test_images=test,
        eval_transform=lambda images: images / 255,
    )


@pytest.fixture
def views():
    size = SIDE * PATCH
    return ssl_host.build("augmentation", "plain", image_size=size, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def network():
    return MeanPatches(MeanPatches.Config(), in_channels=3, image_size=SIDE * PATCH)


def pixels(uri):
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return torch.from_numpy(np.array(picture)).float()


def test_marks_and_pictures_show_the_patch_with_the_most_attention(views, network):
    train, test = images_with_a_patch([9, 2, 15, 4]), images_with_a_patch([6, 12])
    drawn = draw_patches(views, bank_of(network, train, test))
    assert drawn["images"] == "held-out images"
    assert drawn["has_attention"]
    for row, place in zip(drawn["rows"], (6, 12), strict=True):
        assert row["place"] == [25.0 * (place % 4), 25.0 * (place // 4)]
        for near in row["similar"]:
            left, top = (round(SIDE * PATCH * p / 100) for p in near["place"])
            assert pixels(near["image"])[top + 4, left + 4].tolist() == [250, 160, 20]
            assert near["similarity"] == 1
        y, x = 24 * (place // 4) + 12, 24 * (place % 4) + 12
        attended = pixels(row["attention"])
        assert attended[y, x].sum() > 5 * attended.mean() * 3 / 2
        colours = pixels(row["components"])
        assert colours.shape == (96, 96, 3)
        others = torch.ones(96, 96, dtype=torch.bool)
        others[max(0, y - 36) : y + 36, max(0, x - 36) : x + 36] = False
        assert (colours[y, x] - colours[others]).abs().sum(dim=1).min() > 100


def test_shown_training_images_are_not_similar_to_themselves(views, network):
    train = images_with_a_patch([9, 2, 15, 4, 1, 1, 3])
    drawn = draw_patches(views, bank_of(network, train))
    assert drawn["images"] == "training images"
    assert all(near["image"] != row["image"] for row in drawn["rows"] for near in row["similar"])


def test_networks_without_patches_have_no_pictures(views, network, monkeypatch):
    bank = bank_of(network, images_with_a_patch([1, 2, 3]))

    def without_tokens(_):
        raise UserError("no tokens")

    def one_patch(images, **_):
        return Tokens(images[:, :0, 0], images.mean(dim=(2, 3))[:, None], images)

    for tokens in (without_tokens, one_patch):
        monkeypatch.setattr(network, "tokens", tokens)
        assert draw_patches(views, bank) is None
    assert draw_patches(views, FeatureBank(bank.train, None)) is None


@pytest.mark.parametrize("method", ["tokens", "class_attention"])
def test_failing_network_costs_the_pictures_but_not_the_run(views, network, monkeypatch, method):
    """A run that has trained for days must not fail for a picture."""

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network, method, fail)
    drawn = draw_patches(views, bank_of(network, images_with_a_patch([1, 2, 3])))
    assert set(drawn) == {"error"}
    assert "out of memory" in drawn["error"]
    assert "MeanPatches" in drawn["error"]


@pytest.fixture(scope="module")
def vision_transformer(tmp_path_factory):
    """The folder of a run of a small vision transformer."""
    config = tiny(run={"dir": tmp_path_factory.mktemp("vit"), "name": "vit"})
    config["backbone"] = {"name": "timm", "model": "test_vit", "patch_size": 4}
    catalog = Catalog()
    return run_config(resolve_sections(config, catalog), catalog, Console(quiet=True)).folder


def test_page_of_a_vision_transformer_shows_patches_and_attention(vision_transformer):
    page = (vision_transformer / "report.html").read_text("utf-8")
    assert "<h2>Patches</h2>" in page
    count = page.count('alt="principal components"')
    assert count == page.count('alt="attention"') == patch_pictures.NUM_IMAGES
    assert page.count('alt="similar patch"') == count * patch_pictures.NUM_SIMILAR


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_page_of_a_vision_transformer_in_a_browser_has_no_console_errors(
    vision_transformer, tmp_path
):
    done = open_page(vision_transformer / "report.html", tmp_path)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "<h2>Patches</h2>" in done.stdout
