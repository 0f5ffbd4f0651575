"""Tests that recipes and presets have the values of the papers.

The expected values are taken from the papers and the authors' code, not from the classes.
"""

import pytest

import ssl_host
from ssl_host.config.resolve import resolve_sections

HEAD = {"hidden_norm": True, "last_norm": False, "last_affine": True, "bias": True}
WARM_UP = {"warmup_epochs": 10.0, "min_factor": 0.0}
RECIPES = {
    "simclr": {
        "augmentation": "simclr",
        "head.projector": {**HEAD, "hidden_dim": 2048, "output_dim": 128, "num_layers": 2}
        | {"last_norm": True},
        "loss": {"temperature": 0.1},
        "optimizer": {
            "base_lr": 0.3,
            "weight_decay": 1e-6,
            "decay_params": "weights",
            "momentum": 0.9,
        },
        "scheduler": WARM_UP,
        "method": {},
    },
    "simsiam": {
        "augmentation": "symmetric_weak",
        "head.projector": {**HEAD, "hidden_dim": 2048, "output_dim": 2048, "num_layers": 3}
        | {"last_norm": True, "last_affine": False},
        "head.predictor": {**HEAD, "hidden_dim": 512, "output_dim": 2048, "num_layers": 2},
        "optimizer": {
            "base_lr": 0.05,
            "weight_decay": 1e-4,
            "decay_params": "all",
            "momentum": 0.9,
        },
        "scheduler": {"warmup_epochs": 0.0, "min_factor": 0.0},
        "method": {"fix_predictor_lr": True},
    },
    "barlowtwins": {
        "augmentation": "byol",
        "head.projector": {**HEAD, "hidden_dim": 8192, "output_dim": 8192, "num_layers": 3}
        | {"bias": False},
        "loss": {"lambda_": 0.0051, "scale": 1.0},
        "optimizer": {
            "base_lr": 0.2,
            "weight_decay": 1e-6,
            "decay_params": "weights",
            "momentum": 0.9,
        },
        "scheduler": {"warmup_epochs": 10.0, "min_factor": 0.001},
        "method": {"bias_lr_scale": 0.024},
    },
    "nnclr": {
        "augmentation": "simclr",
        "head.projector": {**HEAD, "hidden_dim": 2048, "output_dim": 256, "num_layers": 3}
        | {"last_norm": True},
        "head.predictor": {**HEAD, "hidden_dim": 4096, "output_dim": 256, "num_layers": 2},
        "loss": {"temperature": 0.1},
        "optimizer": {
            "base_lr": 0.3,
            "weight_decay": 1e-6,
            "decay_params": "weights",
            "momentum": 0.9,
        },
        "scheduler": WARM_UP,
        "method": {"queue_size": 98_304},
    },
    "byol": {
        "augmentation": "byol",
        "head.projector": {**HEAD, "hidden_dim": 4096, "output_dim": 256, "num_layers": 2}
        | {"bias": False},
        "head.predictor": {**HEAD, "hidden_dim": 4096, "output_dim": 256, "num_layers": 2}
        | {"bias": False},
        "optimizer": {
            "base_lr": 0.45,
            "weight_decay": 1e-6,
            "decay_params": "weights",
            "momentum": 0.9,
        },
        "scheduler": WARM_UP,
        "method": {"ema_decay": 0.99},
    },
    "mocov2": {
        "augmentation": "symmetric_weak",
        "head.projector": {**HEAD, "hidden_dim": 2048, "output_dim": 128, "num_layers": 2}
        | {"hidden_norm": False},
        "loss": {"temperature": 0.2},
        "optimizer": {
            "base_lr": 0.03,
            "weight_decay": 1e-4,
            "decay_params": "all",
            "momentum": 0.9,
        },
        "scheduler": {"warmup_epochs": 0.0, "min_factor": 0.0},
        "method": {"queue_size": 65_536, "ema_decay": 0.999, "bn_splits": 1},
    },
}
IMAGENET_BATCH = {
    "simclr": 4096,
    "simsiam": 512,
    "barlowtwins": 2048,
    "nnclr": 4096,
    "byol": 4096,
    "mocov2": 256,
}
WEAK = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
CIFAR = {
    "simclr": {
        "augmentation": {"blur": 0.0, "crop_min": 0.08, **WEAK},
        "loss": {"temperature": 0.5},
    },
    "simsiam": {
        "augmentation": {"blur": 0.0, "crop_min": 0.2},
        "head.projector": {"num_layers": 2, "hidden_dim": 2048, "output_dim": 2048},
        "optimizer": {"base_lr": 0.03, "weight_decay": 5e-4, "decay_params": "all"},
    },
    "barlowtwins": {"augmentation": {"blur": 0.0, "blur2": 0.0, "solarize2": 0.2}},
    "nnclr": {
        "augmentation": {"blur": 0.0, **WEAK},
        "method": {"queue_size": 12_500},
        "loss": {"temperature": 0.2},
    },
    "byol": {"augmentation": {"blur": 0.0, "blur2": 0.0}, "method": {"ema_decay": 0.99}},
    "mocov2": {
        "augmentation": {"blur": 0.0},
        "method": {"queue_size": 4096, "ema_decay": 0.99},
        "loss": {"temperature": 0.1},
    },
}
EVERY_METHOD = pytest.mark.parametrize("name", RECIPES)


def settings_of(config, section):
    return config.components[section].settings.model_dump()


@EVERY_METHOD
def test_recipe_equals_the_papers(name, catalog):
    config = resolve_sections({"run": {"extends": f"{name}/imagenet-100ep"}}, catalog)
    for section, expected in RECIPES[name].items():
        if section == "augmentation":
            assert config.components[section].name == expected
        else:
            values = settings_of(config, section)
            assert {key: values[key] for key in expected} == expected, section
    assert config.run.batch_size == IMAGENET_BATCH[name]
    assert set(config.components["method"].cls.heads) == {
        section.split(".")[1] for section in RECIPES[name] if section.startswith("head.")
    }


@EVERY_METHOD
@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_cifar_preset_has_the_published_values(name, data, catalog):
    config = resolve_sections({"run": {"extends": f"{name}/{data}"}}, catalog)
    for section, expected in CIFAR[name].items():
        values = settings_of(config, section)
        assert {key: values[key] for key in expected} == expected, section
    assert settings_of(config, "backbone")["stem"] == "cifar"


CROP = {"flip": 0.5, "jitter": 0.8, "grayscale": 0.2, "crop_ratio": (3 / 4, 4 / 3)}
VIEWS = {
    "simclr": [
        {**CROP, "crop_scale": (0.08, 1.0), "blur": 0.5, "solarize": 0.0, "count": 2}
        | {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
        | {"interpolation": "bicubic", "blur_sigma": (0.1, 2.0)}
    ],
    "symmetric_weak": [
        {**CROP, "crop_scale": (0.2, 1.0), "blur": 0.5, "solarize": 0.0, "count": 2, **WEAK}
        | {"interpolation": "bilinear", "blur_sigma": (0.1, 2.0)}
    ],
    "byol": [
        {**CROP, "crop_scale": (0.08, 1.0), "blur": blur, "solarize": solarize, "count": 1}
        | {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
        | {"interpolation": "bicubic", "blur_sigma": (0.1, 2.0)}
        for blur, solarize in ((1.0, 0.0), (0.1, 0.2))
    ],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_equal_the_papers(name):
    maker = ssl_host.build("augmentation", name, image_size=224)
    specs = maker.augmentation.view_specs()
    assert len(specs) == len(VIEWS[name])
    for spec, expected in zip(specs, VIEWS[name], strict=True):
        assert {key: getattr(spec, key) for key in expected} == expected


STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_small_dataset_has_its_own_mean_and_std(name):
    source = ssl_host.build("data", name)
    assert (source.mean, source.std) == STATISTICS[name]


def test_linear_evaluator_has_the_documented_protocol(catalog):
    config = resolve_sections(
        {"method": {"name": "simclr"}, "evaluator.linear": {"name": "linear"}}, catalog
    )
    values = settings_of(config, "evaluator.linear")
    assert (values["optimizer"], values["epochs"], values["mode"]) == ("lamb", 90, "cached")
    assert len(values["learning_rates"]) > 1
