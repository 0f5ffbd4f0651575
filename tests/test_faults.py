"""Faults known from other projects, and the tests that detect them.

The table lists tests elsewhere, so that none of them is lost; the other faults are tested below.
"""

import re
from pathlib import Path

import pytest
import torch

import ssl_host
from ssl_host import ArrayImages
from ssl_host.augment.executor import evaluation_view
from ssl_host.contracts.data import IMAGENET_MEAN, IMAGENET_STD
from ssl_host.data.batches import EpochPlan
from ssl_host.errors import ConfigError, DataError
from ssl_host.toolkit.batchnorm import recalibrate_batchnorm

HERE = Path(__file__).parent
TESTS_OF_FAULTS = {
    "gradient wrong by 1/world_size": (
        "toolkit/test_distributed.py",
        "test_gather_is_in_order_of_rank_with_summed_gradient",
    ),
    "queue not in the checkpoint": (
        "toolkit/test_queue.py",
        "test_state_dict_restores_the_queue",
    ),
    "ema_decay not checkpointed": (
        "toolkit/test_schedules.py",
        "test_schedule_state_keeps_float64_digits",
    ),
    "queue not gathered over ranks": (
        "methods/test_processes.py",
        "test_two_processes_equal_one",
    ),
    "queue truncated on wrap-around": (
        "toolkit/test_queue.py",
        "test_queue_holds_the_last_rows_for_any_batch_size",
    ),
    "zero steps reported as success": (
        "data/test_batches.py",
        "test_batch_larger_than_the_data_set_raises_data_error",
    ),
    "scheduler stepped per epoch or once too often": (
        "train/test_training.py",
        "test_learning_rate_changes_every_step",
    ),
    "schedule after a resume": (
        "train/test_resume.py",
        "test_resumed_run_ends_bit_equal",
    ),
    "labels demanded of an unlabelled folder": (
        "pipeline/test_run.py",
        "test_unlabelled_data_skips_labelled_evaluators_with_a_note",
    ),
    "a missing validation set crashes": (
        "cli/test_bad_data.py",
        "test_labelled_folder_without_test_split_holds_out_images",
    ),
    "linear evaluation on images that were trained on": (
        "data/test_store.py",
        "test_held_out_images_are_split_by_class_and_equal_in_every_run",
    ),
    "best epoch or rate picked on the test set": (
        "builtin/test_evaluators.py",
        "test_linear_probe_selects_nothing_on_the_test_split",
    ),
    "loader drops or skips work unnoticed": (
        "data/test_store.py",
        "test_files_loader_replaces_and_lists_unreadable_images",
    ),
    "epochs or batch scaled by devices": (
        "data/test_batches.py",
        "test_steps_do_not_depend_on_number_of_processes_and_micro_batches",
    ),
}


@pytest.mark.parametrize("fault", TESTS_OF_FAULTS)
def test_known_fault_has_a_test(fault):
    file, name = TESTS_OF_FAULTS[fault]
    assert re.search(rf"^def {name}\(", (HERE / file).read_text("utf-8"), re.MULTILINE), fault


def test_imagenet_normalisation_constants():
    """The older lightweight-ssl project had 0.228."""
    assert IMAGENET_MEAN == (0.485, 0.456, 0.406)
    assert IMAGENET_STD == (0.229, 0.224, 0.225)
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    view = evaluation_view(image, 8, IMAGENET_MEAN, IMAGENET_STD)
    assert view[0, :, 0, 0].tolist() == pytest.approx([-2.117904, -2.035714, -1.804444])


def test_unlabelled_folder_has_no_classes(tmp_path):
    """In another project the number of images became the number of classes."""
    from PIL import Image

    for i in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    images = ssl_host.build("data", "imagefolder", root=tmp_path).open("train")
    assert images.labels is None
    assert images.classes == ()


def test_unknown_key_is_refused(catalog):
    from ssl_host.config.resolve import resolve_sections

    with pytest.raises(ConfigError, match="unknown key"):
        resolve_sections({"method": {"name": "simclr"}, "trainer": {"max_epoch": 3}}, catalog)


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_cifar_stem_pads_by_one(name):
    """solo-learn pads by two, which enlarges the feature map by two pixels."""
    backbone = ssl_host.build(
        "backbone", name, model="resnet18", stem="cifar", in_channels=3, image_size=32
    )
    assert backbone.model.conv1.padding == (1, 1)


def test_random_baseline_has_calibrated_batchnorm():
    torch.manual_seed(0)
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, num_stages=2)
    images = torch.randint(0, 256, (600, 1, 8, 8), dtype=torch.uint8)
    twin = recalibrate_batchnorm(backbone, images, lambda x: x.float() / 255)
    norm = twin.layers[1]
    expected = twin.layers[0](images.float() / 255)
    assert torch.allclose(norm.running_mean, expected.mean(dim=(0, 2, 3)), atol=5e-3)
    assert torch.allclose(norm.running_var, expected.var(dim=(0, 2, 3)), rtol=0.05)
    assert int(backbone.layers[1].num_batches_tracked) == 0


def test_batch_size_not_divisible_is_an_error():
    with pytest.raises(DataError, match="cannot be divided"):
        EpochPlan(100, 10, seed=0, world_size=4)
    assert len(ArrayImages(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))) == 3
