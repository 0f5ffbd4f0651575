"""What is refused or noted when a run is composed, before anything is trained."""

import pytest
from PIL import Image

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import UserError
from tests.conftest import as_ini, tiny

SUPERVISED = """\
from ssl_host import Method, StepOutput, hookimpl

class Supervised(Method):
    '''A method that needs labels.'''
    uses_labels = True
    supports_multicrop = True
    min_views = 2
    heads = {"projector": "backbone"}
    recipe = {"augmentation": {"name": "symmetric_weak"}}

    def step(self, batch):
        features = self.backbone(batch.views[0])
        loss = self.projector(features).pow(2).mean(dim=1) * batch.labels.ne(0)
        return StepOutput(loss.mean(), features=features)

@hookimpl
def register_methods(register):
    register("supervised", "ssl_plugin_supervised:Supervised")
"""


def sections(model, size, **augmentation):
    config = tiny(data={"image_size": size})
    config["backbone"] = {"name": "timm", "model": model}
    if augmentation:
        config["augmentation"] = augmentation
    return config


@pytest.mark.parametrize(
    ("model", "size", "fitting"),
    [
        ("levit_128s", 50, "32, 48, 64"),
        ("vit_tiny_patch16_224", 50, "32, 48, 64"),
        ("nest_tiny", 28, "16, 32, 48"),
        ("vgg11", 28, "32, 40, 42"),
        ("gcvit_xxtiny", 28, "32, 64"),
        ("botnet26t_256", 50, "32, 64, 224"),
        ("mixer_s32_224", 28, "32, 64, 96"),
    ],
)
def test_image_size_that_a_model_cannot_take_is_refused_with_sizes_that_fit(
    model, size, fitting, tmp_path, catalog
):
    file = tmp_path / "c.ini"
    file.write_text(as_ini(sections(model, size)), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        compose(resolve_file(file, (), catalog))
    message = str(caught.value)
    assert message.startswith(f"{file}:")
    assert f"image_size = {size}" in message
    assert model in message
    assert f"sizes that fit are {fitting}" in message


def test_views_that_a_model_cannot_take_are_refused(install):
    install("ssl-plugin-supervised", SUPERVISED)
    catalog = Catalog()
    augmentation = {"name": "multicrop", "local_size": 40}
    config = sections("levit_128s", 64, **augmentation)
    config["method"] = {"name": "supervised"}
    with pytest.raises(UserError) as caught:
        compose(resolve_sections(config, catalog))
    assert "views of 40 pixels" in str(caught.value)
    assert "sizes that fit are 56, 64" in str(caught.value)


def test_border_that_a_model_leaves_out_is_noted(ssl_host, tmp_path, catalog):
    experiment = compose(resolve_sections(sections("convnext_atto", 50), catalog))
    (note,) = experiment.notes
    assert "the last 2 rows and columns" in note
    assert "48 and 52" in note
    (tmp_path / "c.ini").write_text(as_ini(sections("convnext_atto", 50)), encoding="utf-8")
    assert note in ssl_host("config", "check", "c.ini").stdout


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_method_that_uses_labels_is_refused_without_labels_before_step_0(
    arguments, install, ssl_host, tmp_path
):
    install("ssl-plugin-supervised", SUPERVISED)
    config = tiny(data={"labelled": "false"}, method={"name": "supervised"})
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    done = ssl_host("run", "c.ini", *arguments)
    assert done.returncode == 2, done.stderr
    assert "[method] supervised uses labels" in done.stderr
    assert "step 0" not in done.stderr
    assert not (tmp_path / "runs/tiny").exists()
    (tmp_path / "c.ini").write_text(as_ini(tiny(method={"name": "supervised"})), encoding="utf-8")
    assert ssl_host("run", "c.ini", *arguments).returncode == 0


def test_refused_run_names_the_folder_of_the_images_and_keeps_a_folder_that_existed(
    install, ssl_host, tmp_path
):
    install("ssl-plugin-supervised", SUPERVISED)
    (tmp_path / "photos").mkdir()
    for i in range(20):
        Image.effect_noise((20, 20), 60).convert("RGB").save(tmp_path / "photos" / f"{i}.png")
    config = tiny(method={"name": "supervised"})
    config["data"] = {"name": "imagefolder", "root": "photos", "image_size": 16}
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    folder = tmp_path / "runs/tiny"
    folder.mkdir(parents=True)
    done = ssl_host("run", "c.ini")
    assert done.returncode == 2, done.stderr
    assert f"[data] imagefolder (root = {tmp_path / 'photos'}) have none" in done.stderr
    assert folder.exists()
