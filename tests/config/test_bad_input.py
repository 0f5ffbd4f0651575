"""Broken configurations, each with the exact message it earns."""

from pathlib import Path

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_file
from ssl_host.errors import UserError

# name: (file, message). {file} is the file's path, {methods} and {backbones} what is installed.
CASES: dict[str, tuple[str, str]] = {
    "unknown_section": (
        ("[method]\nname = simclr\n\n[optimiser]\nlr = 0.1\n"),
        ("{file}:4: [optimiser] unknown section; did you mean 'optimizer'?"),
    ),
    "unknown_key": (
        ("[method]\nname = nnclr\ntemprature = 0.2\n"),
        ("{file}:3: [method] temprature: unknown key; did you mean 'temperature'?"),
    ),
    "unknown_key_far": (
        ("[method]\nname = simclr\nzzz = 1\n"),
        ("{file}:3: [method] zzz: unknown key; known keys: none"),
    ),
    "unknown_run_key": (
        ("[run]\nepoch = 3\n\n[method]\nname = simclr\n"),
        ("{file}:2: [run] epoch: unknown key; did you mean 'epochs'?"),
    ),
    "no_method": (
        ("[run]\nepochs = 3\n"),
        ("{file}: no method is named; add a section [method] with name = ... ({methods})"),
    ),
    "empty_file": (
        (""),
        ("{file}: no method is named; add a section [method] with name = ... ({methods})"),
    ),
    "method_without_name": (
        ("[method]\n"),
        ("{file}:1: no method is named; add a section [method] with name = ... ({methods})"),
    ),
    "unknown_method": (
        ("[method]\nname = simclrr\n"),
        (
            "{file}:2: [method] unknown method 'simclrr'; did you mean 'simclr'?; if a "
            "plugin provides it: pip install ssl-plugin-simclrr"
        ),
    ),
    "missing_plugin": (
        ("[method]\nname = rnnclvr\n"),
        (
            "{file}:2: [method] unknown method 'rnnclvr'; did you mean 'nnclr'?; if a "
            "plugin provides it: pip install ssl-plugin-rnnclvr"
        ),
    ),
    "unknown_data": (
        ("[data]\nname = cifar\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [data] unknown data 'cifar'; did you mean 'cifar10'?; if a plugin "
            "provides it: pip install ssl-plugin-cifar"
        ),
    ),
    "unknown_backbone": (
        ("[backbone]\nname = resnet\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [backbone] unknown backbone 'resnet'; installed: {backbones}; if a "
            "plugin provides it: pip install ssl-plugin-resnet"
        ),
    ),
    "unknown_evaluator": (
        ("[evaluator.knnn]\n\n[method]\nname = simclr\n"),
        (
            "{file}:1: [evaluator.knnn] unknown evaluator 'knnn'; did you mean 'knn'?; if "
            "a plugin provides it: pip install ssl-plugin-knnn"
        ),
    ),
    "unknown_head": (
        ("[head.predictor]\nhidden_dim = 3\n\n[method]\nname = simclr\n"),
        (
            "{file}:1: [head.predictor] unknown section: the method has projector; did you "
            "mean 'head.projector'?"
        ),
    ),
    "bare_head": (
        ("[head]\nhidden_dim = 3\n\n[method]\nname = simclr\n"),
        ("{file}:1: [head] unknown section: name the instance, such as [head.projector]"),
    ),
    "dotted_method": (
        ("[method.one]\nname = simclr\n\n[method]\nname = simclr\n"),
        ("{file}:1: [method.one] unknown section: there is one method; write [method]"),
    ),
    "bare_evaluator": (
        ("[evaluator]\nname = knn\n\n[method]\nname = simclr\n"),
        (
            "{file}:1: [evaluator] unknown section: name the instance, such as "
            "[evaluator.alignment_uniformity]"
        ),
    ),
    "word_for_int": (
        ("[run]\nepochs = many\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs = many: should be a whole number (passes over the "
            "training images; 0 only evaluates what init_from gives)"
        ),
    ),
    "float_for_int": (
        ("[run]\nepochs = 2.5\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs = 2.5: should be a whole number (passes over the "
            "training images; 0 only evaluates what init_from gives)"
        ),
    ),
    "negative_epochs": (
        ("[run]\nepochs = -1\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs = -1: should be greater than or equal to 0 (passes "
            "over the training images; 0 only evaluates what init_from gives)"
        ),
    ),
    "batch_of_one": (
        ("[run]\nbatch_size = 1\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] batch_size = 1: should be greater than or equal to 2 (images "
            "a step, over all devices and accumulation)"
        ),
    ),
    "nan": (
        ("[loss]\ntemperature = nan\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [loss] temperature = nan: should be a finite number (temperature of "
            "the softmax)"
        ),
    ),
    "infinite": (
        ("[optimizer]\nlr = 1e999\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [optimizer] lr = 1e999: should be a finite number (learning rate, "
            "used as it is)"
        ),
    ),
    "zero_temperature": (
        ("[loss]\ntemperature = 0\n\n[method]\nname = simclr\n"),
        ("{file}:2: [loss] temperature = 0: should be greater than 0 (temperature of the softmax)"),
    ),
    "probability": (
        ("[augmentation]\nname = simclr\nblur = 1.5\n\n[method]\nname = simclr\n"),
        (
            "{file}:3: [augmentation] blur = 1.5: should be less than or equal to 1 "
            "(probability of Gaussian blur)"
        ),
    ),
    "not_a_bool": (
        ("[probe]\nenabled = perhaps\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [probe] enabled = perhaps: should be true or false (train it along, "
            "where there are labels)"
        ),
    ),
    "not_a_choice": (
        ("[trainer]\nprecision = fp16\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [trainer] precision = fp16: should be 'auto', '32-true', "
            "'16-mixed', 'bf16-mixed' or '64-true' (number format; auto takes what the "
            "device has in hardware)"
        ),
    ),
    "not_a_list": (
        ("[evaluator.few_label]\nlabels = 5\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [evaluator.few_label] labels = 5: should be a list, such as [1, 2] "
            "(labels a class)"
        ),
    ),
    "both_rates": (
        ("[optimizer]\nlr = 0.1\nbase_lr = 0.2\n\n[method]\nname = simclr\n"),
        ("{file}:3: [optimizer] lr and base_lr: give one of them"),
    ),
    "wrong_suffix": (
        ("[run]\nepochs = abc@int\n\n[method]\nname = simclr\n"),
        ("{file}:2: [run] epochs: 'abc' is no int, as @int says"),
    ),
    "wrong_suffix_type": (
        ("[run]\nepochs = 2.5@int\n\n[method]\nname = simclr\n"),
        ("{file}:2: [run] epochs: '2.5' is of type float, but @int says int"),
    ),
    "code": (
        ("[run]\nepochs = __import__('os').getpid()\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs = __import__('os').getpid(): should be a whole number "
            "(passes over the training images; 0 only evaluates what init_from gives)"
        ),
    ),
    "bad_reference": (
        (
            "[head.projector]\n"
            "output_dim = ${head.projektor.hidden_dim}\n"
            "\n"
            "[method]\n"
            "name = simclr\n"
        ),
        (
            "{file}:2: [head.projector] output_dim: ${{head.projektor.hidden_dim}} refers "
            "to nothing; did you mean 'head.projector.hidden_dim'?"
        ),
    ),
    "circle": (
        (
            "[head.projector]\n"
            "output_dim = ${head.projector.hidden_dim}\n"
            "hidden_dim = ${head.projector.output_dim}\n"
            "\n"
            "[method]\n"
            "name = simclr\n"
        ),
        (
            "{file}:2: [head.projector] output_dim: references go round in a circle: "
            "head.projector.hidden_dim -> head.projector.output_dim -> "
            "head.projector.hidden_dim\n"
            "{file}:3: [head.projector] hidden_dim: references go round in a circle: "
            "head.projector.output_dim -> head.projector.hidden_dim -> "
            "head.projector.output_dim"
        ),
    ),
    "unset_variable": (
        (
            "[data]\n"
            "name = imagefolder\n"
            "root = ${env:SSL_HOST_NO_SUCH_VARIABLE}\n"
            "\n"
            "[method]\n"
            "name = simclr\n"
        ),
        (
            "{file}:3: [data] root: the environment variable SSL_HOST_NO_SUCH_VARIABLE is "
            "not set; export SSL_HOST_NO_SUCH_VARIABLE=..."
        ),
    ),
    "unclosed_reference": (
        ("[run]\nname = ${run.seed\n\n[method]\nname = simclr\n"),
        ("{file}:2: [run] name: '${{run.seed' has a '${{' without its '}}'"),
    ),
    "key_before_section": (
        ("epochs = 3\n[method]\nname = simclr\n"),
        (
            "{file}:1: a key before the first [section]; write `[run]` above it (older "
            "flat configs are recognised by their key ssl_method)"
        ),
    ),
    "duplicate_key": (
        ("[run]\nepochs = 3\nepochs = 4\n\n[method]\nname = simclr\n"),
        ("{file}:3: duplicate name 'epochs'; keep one of the two"),
    ),
    "duplicate_section": (
        ("[run]\nepochs = 3\n\n[run]\nseed = 4\n\n[method]\nname = simclr\n"),
        ("{file}:4: duplicate section 'run'; keep one of the two"),
    ),
    "indented": (
        ("[run]\nepochs = 3\n  seed = 4\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs: the indented line 'seed = 4' below it was read as "
            "part of its value; remove the indentation"
        ),
    ),
    "no_equals": (
        ("[run]\nepochs\n\n[method]\nname = simclr\n"),
        ("{file}:2: unexpected line: 'epochs'; expected `key = value` or `[section]`"),
    ),
    "unclosed_section": (
        ("[run\nepochs = 3\n"),
        ("{file}:1: '[run' lacks its closing ]"),
    ),
    "unclosed_section_after_a_key": (
        ("[run]\nepochs = 3\n\n# next\n[method\nname = simclr\n"),
        ("{file}:5: '[method' lacks its closing ]"),
    ),
    "comment_in_an_unclosed_section": (
        ("[run]\nepochs = 3\n[trainer  # speed\nnum_threads = 1\n"),
        ("{file}:3: '[trainer' lacks its closing ]"),
    ),
    "what_an_unclosed_section_leads_to": (
        ("[data]\nname = digits\n[evaluator.knn #my]\nname = knn\n"),
        ("{file}:3: '[evaluator.knn' lacks its closing ]"),
    ),
    "slash_in_name": (
        ("[run]\nname = ../other\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] name = ../other: is the name of a folder: not empty, no slashes, not "
            "'..' (name of the run and of its folder; default: the file's)"
        ),
    ),
    "no_name": (
        ("[run]\nname = @str\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] name = @str: is the name of a folder: not empty, no slashes, not "
            "'..' (name of the run and of its folder; default: the file's)"
        ),
    ),
    "unknown_preset": (
        ("[run]\nextends = simclr/cifar11\n"),
        (
            "{file}:2: [run] extends: unknown preset 'simclr/cifar11'; did you mean "
            "'simclr/cifar10'?"
        ),
    ),
    "required_root": (
        ("[data]\nname = imagefolder\n\n[method]\nname = simclr\n"),
        ("{file}:1: [data] root: is required (the folder)"),
    ),
    "zero_devices": (
        ("[trainer]\ndevices = 0\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [trainer] devices = 0: should be auto or from 1 to 1024 (number of "
            "devices a node, or their numbers, or auto for all)"
        ),
    ),
    "multicrop": (
        ("[augmentation]\nname = multicrop\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [augmentation] multicrop makes 8 views, and method simclr takes 2: "
            "it has no multi-crop form"
        ),
    ),
    "colon_style": (
        ("[run]\nepochs: many\n\n[method]\nname = simclr\n"),
        (
            "{file}:2: [run] epochs = many: should be a whole number (passes over the "
            "training images; 0 only evaluates what init_from gives)"
        ),
    ),
    "three_at_once": (
        (
            "[run]\n"
            "epoch = 3\n"
            "batch_size = 1\n"
            "\n"
            "[method]\n"
            "name = simclr\n"
            "\n"
            "[heed.projector]\n"
            "x = 1\n"
        ),
        (
            "{file}:2: [run] epoch: unknown key; did you mean 'epochs'?\n"
            "{file}:3: [run] batch_size = 1: should be greater than or equal to 2 (images "
            "a step, over all devices and accumulation)\n"
            "{file}:8: [heed.projector] unknown section; did you mean 'head.projector'?"
        ),
    ),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_earns_exactly_its_message(name, tmp_path, catalog):
    text, expected = CASES[name]
    file = tmp_path / "run.ini"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        compose(resolve_file(file, (), catalog))
    names = {kind: ", ".join(catalog.names(kind)) for kind in ("method", "backbone")}
    message = expected.format(file=file, methods=names["method"], backbones=names["backbone"])
    assert str(caught.value) == message


def test_there_are_at_least_forty_of_them():
    assert len(CASES) >= 40


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "{file}: no such file"),
        (lambda p: p.mkdir(), "{file}: is a folder, not an INI file"),
        (
            lambda p: p.write_bytes(b"[run]\nname = \xff\n"),
            "{file}: is not UTF-8 text (byte 13); save it as UTF-8",
        ),
    ],
)
def test_a_file_that_cannot_be_read(make, message, tmp_path, catalog):
    file = Path(tmp_path / "run.ini")
    make(file)
    with pytest.raises(UserError) as caught:
        resolve_file(file, (), catalog)
    assert str(caught.value) == message.format(file=file)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("epochs=3", "-o epochs=3: expected section.key=value, such as -o run.epochs=20"),
        ("run.epochs", "-o run.epochs: expected section.key=value, such as -o run.epochs=20"),
        ("run.epoch=3", "-o run.epoch=3: [run] epoch: unknown key; did you mean 'epochs'?"),
        (
            "rum.epochs=3",
            "-o rum.epochs=3: [rum] unknown section; did you mean 'run'?",
        ),
    ],
)
def test_an_option_that_cannot_be_used(option, message, tmp_path, catalog):
    file = tmp_path / "run.ini"
    file.write_text("[method]\nname = simclr\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        resolve_file(file, (option,), catalog)
    assert str(caught.value) == message
