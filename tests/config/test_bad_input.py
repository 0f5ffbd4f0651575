"""Broken configurations with the exact messages that they produce."""

from pathlib import Path

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_file
from ssl_host.errors import ConfigError, UserError

# Name of the case: the file and its messages, one per line, without the description of the
# setting that follows in parentheses. {file} is the path of the file, {methods} and {backbones}
# are the installed ones.
CASES: dict[str, tuple[str, str]] = {
    "unknown_section": (
        "[method]\nname = simclr\n\n[optimiser]\nlr = 0.1\n",
        "{file}:4: [optimiser] unknown section; did you mean 'optimizer'?",
    ),
    "unknown_key": (
        "[method]\nname = nnclr\nqueue_sise = 2\n",
        "{file}:3: [method] queue_sise: unknown key; did you mean 'queue_size'?",
    ),
    "unknown_key_unlike_any_other": (
        "[method]\nname = simclr\nzzz = 1\n",
        "{file}:3: [method] zzz: unknown key; known keys: none",
    ),
    "unknown_run_key": (
        "[run]\nepoch = 3\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epoch: unknown key; did you mean 'epochs'?",
    ),
    "no_method": (
        "[run]\nepochs = 3\n",
        "{file}: no method is set; add a section [method] with name = ... (installed: {methods})",
    ),
    "empty_file": (
        "",
        "{file}: no method is set; add a section [method] with name = ... (installed: {methods})",
    ),
    "method_without_name": (
        "[method]\n",
        "{file}:1: no method is set; add a section [method] with name = ... (installed: {methods})",
    ),
    "unknown_method": (
        "[method]\nname = simclrr\n",
        (
            "{file}:2: [method] unknown method 'simclrr'; did you mean 'simclr'? If a "
            "plugin for 'simclrr' exists, try: pip install ssl-plugin-simclrr"
        ),
    ),
    "missing_plugin": (
        "[method]\nname = rnnclvr\n",
        (
            "{file}:2: [method] unknown method 'rnnclvr'; did you mean 'nnclr'? If a "
            "plugin for 'rnnclvr' exists, try: pip install ssl-plugin-rnnclvr"
        ),
    ),
    "unknown_data": (
        "[data]\nname = cifar\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [data] unknown data 'cifar'; did you mean 'cifar10'? If a plugin "
            "for 'cifar' exists, try: pip install ssl-plugin-cifar"
        ),
    ),
    "unknown_backbone": (
        "[backbone]\nname = resnet\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [backbone] unknown backbone 'resnet'; the installed ones are {backbones}; "
            "if a plugin for 'resnet' exists, try: pip install ssl-plugin-resnet"
        ),
    ),
    "unknown_evaluator": (
        "[evaluator.knnn]\n\n[method]\nname = simclr\n",
        (
            "{file}:1: [evaluator.knnn] unknown evaluator 'knnn'; did you mean 'knn'? If a"
            " plugin for 'knnn' exists, try: pip install ssl-plugin-knnn"
        ),
    ),
    "unknown_head": (
        "[head.predictor]\nhidden_dim = 3\n\n[method]\nname = simclr\n",
        (
            "{file}:1: [head.predictor] unknown section: the method's heads are projector; did you "
            "mean 'head.projector'?"
        ),
    ),
    "bare_head": (
        "[head]\nhidden_dim = 3\n\n[method]\nname = simclr\n",
        "{file}:1: [head] unknown section: add a name, such as [head.projector]",
    ),
    "dotted_method": (
        "[method.one]\nname = simclr\n\n[method]\nname = simclr\n",
        "{file}:1: [method.one] unknown section: a run has only one method; write [method]",
    ),
    "bare_evaluator": (
        "[evaluator]\nname = knn\n\n[method]\nname = simclr\n",
        (
            "{file}:1: [evaluator] unknown section: add a name, such as "
            "[evaluator.alignment_uniformity]"
        ),
    ),
    "word_for_int": (
        "[run]\nepochs = many\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs = many: should be a whole number",
    ),
    "float_for_int": (
        "[run]\nepochs = 2.5\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs = 2.5: should be a whole number",
    ),
    "negative_epochs": (
        "[run]\nepochs = -1\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs = -1: should be greater than or equal to 0",
    ),
    "batch_of_one": (
        "[run]\nbatch_size = 1\n\n[method]\nname = simclr\n",
        "{file}:2: [run] batch_size = 1: should be greater than or equal to 2",
    ),
    "not_a_number": (
        "[loss]\ntemperature = nan\n\n[method]\nname = simclr\n",
        "{file}:2: [loss] temperature = nan: should be a finite number",
    ),
    "infinite": (
        "[optimizer]\nlr = 1e999\n\n[method]\nname = simclr\n",
        "{file}:2: [optimizer] lr = 1e999: should be a finite number",
    ),
    "zero_temperature": (
        "[loss]\ntemperature = 0\n\n[method]\nname = simclr\n",
        "{file}:2: [loss] temperature = 0: should be greater than 0",
    ),
    "probability_above_one": (
        "[augmentation]\nname = simclr\nblur = 1.5\n\n[method]\nname = simclr\n",
        "{file}:3: [augmentation] blur = 1.5: should be less than or equal to 1",
    ),
    "not_a_bool": (
        "[probe]\nenabled = perhaps\n\n[method]\nname = simclr\n",
        "{file}:2: [probe] enabled = perhaps: should be true or false",
    ),
    "not_a_choice": (
        "[trainer]\nprecision = fp8\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [trainer] precision = fp8: should be 'auto', '32-true', '16-mixed',"
            " 'bf16-mixed' or '64-true'"
        ),
    ),
    "not_a_list": (
        "[evaluator.few_label]\nlabels = 5\n\n[method]\nname = simclr\n",
        "{file}:2: [evaluator.few_label] labels = 5: should be a list, such as [1, 2]",
    ),
    "both_rates": (
        "[optimizer]\nlr = 0.1\nbase_lr = 0.2\n\n[method]\nname = simclr\n",
        "{file}:3: [optimizer] lr and base_lr cannot be set together; set one of them",
    ),
    "wrong_suffix": (
        "[run]\nepochs = abc@int\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs: 'abc' is not of type int, which @int requires; "
        "if @int is part of the text, put the text in quotes",
    ),
    "wrong_suffix_type": (
        "[run]\nepochs = 2.5@int\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs: '2.5' is of type float, but @int requires int",
    ),
    "python_code": (
        "[run]\nepochs = __import__('os').getpid()\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs = __import__('os').getpid(): should be a whole number",
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
            "{file}:2: [head.projector] output_dim: ${{head.projektor.hidden_dim}} is not a"
            " setting; did you mean 'head.projector.hidden_dim'?"
        ),
    ),
    "cycle": (
        (
            "[head.projector]\n"
            "output_dim = ${head.projector.hidden_dim}\n"
            "hidden_dim = ${head.projector.output_dim}\n"
            "\n"
            "[method]\n"
            "name = simclr\n"
        ),
        (
            "{file}:2: [head.projector] output_dim: references form a cycle: "
            "head.projector.hidden_dim -> head.projector.output_dim -> "
            "head.projector.hidden_dim\n"
            "{file}:3: [head.projector] hidden_dim: references form a cycle: "
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
            "not set; set it with `export SSL_HOST_NO_SUCH_VARIABLE=...`"
        ),
    ),
    "unclosed_reference": (
        "[run]\nname = ${run.seed\n\n[method]\nname = simclr\n",
        "{file}:2: [run] name: '${{' in '${{run.seed' is not closed; "
        "add the missing '}}', or write $${{ for a literal ${{",
    ),
    "key_before_section": (
        "epochs = 3\n[method]\nname = simclr\n",
        (
            "{file}:1: this key is before the first [section]; write `[run]` above it, or, for a "
            "flat file with values such as 100@int, pip install ssl-plugin-lightweight-ssl"
        ),
    ),
    "duplicate_key": (
        "[run]\nepochs = 3\nepochs = 4\n\n[method]\nname = simclr\n",
        "{file}:3: duplicate name 'epochs'; keep one of the two",
    ),
    "duplicate_section": (
        "[run]\nepochs = 3\n\n[run]\nseed = 4\n\n[method]\nname = simclr\n",
        "{file}:4: duplicate section 'run'; keep one of the two",
    ),
    "indented_key": (
        "[run]\nepochs = 3\n  seed = 4\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [run] epochs: the indented line 'seed = 4' below it was read as part"
            " of its value; remove the indentation"
        ),
    ),
    "line_without_equals_sign": (
        "[run]\nepochs\n\n[method]\nname = simclr\n",
        "{file}:2: unexpected line: 'epochs'; expected `key = value` or `[section]`",
    ),
    "unclosed_section": (
        "[run\nepochs = 3\n",
        "{file}:1: '[run' has no closing ]",
    ),
    "unclosed_section_after_a_key": (
        "[run]\nepochs = 3\n\n# next\n[method\nname = simclr\n",
        "{file}:5: '[method' has no closing ]",
    ),
    "comment_in_an_unclosed_section": (
        "[run]\nepochs = 3\n[trainer  # speed\nnum_threads = 1\n",
        "{file}:3: '[trainer' has no closing ]",
    ),
    "unclosed_section_with_a_comment_sign": (
        "[data]\nname = digits\n[evaluator.knn #my]\nname = knn\n",
        "{file}:3: '[evaluator.knn' has no closing ]",
    ),
    "slash_in_name": (
        "[run]\nname = ../other\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [run] name = ../other: should be a folder name without slashes, "
            "and not empty, '.' or '..'"
        ),
    ),
    "empty_name": (
        "[run]\nname = @str\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [run] name = @str: should be a folder name without slashes, "
            "and not empty, '.' or '..'"
        ),
    ),
    "unknown_preset": (
        "[run]\nextends = simclr/cifar11\n",
        (
            "{file}:2: [run] extends: unknown preset 'simclr/cifar11'; did you mean "
            "'simclr/cifar10'?"
        ),
    ),
    "missing_required_key": (
        "[data]\nname = imagefolder\n\n[method]\nname = simclr\n",
        "{file}:1: [data] root: is required",
    ),
    "zero_devices": (
        "[trainer]\ndevices = 0\n\n[method]\nname = simclr\n",
        "{file}:2: [trainer] devices = 0: should be auto or a number from 1 to 1024",
    ),
    "too_many_views": (
        "[augmentation]\nname = multicrop\n\n[method]\nname = simclr\n",
        (
            "{file}:2: [augmentation] multicrop makes 8 views, but method simclr takes "
            "exactly 2, because the method does not support multi-crop; change the number of "
            "views in [augmentation]"
        ),
    ),
    "small_views_instead_of_full_size_ones": (
        "[augmentation]\nname = multicrop\nnum_views = 1\n\n[method]\nname = swav\n",
        (
            "{file}:3: [augmentation] multicrop makes 1 full-size view, but method swav needs at "
            "least 2; change the number of views in [augmentation]"
        ),
    ),
    "key_with_a_colon": (
        "[run]\nepochs: many\n\n[method]\nname = simclr\n",
        "{file}:2: [run] epochs = many: should be a whole number",
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
            "{file}:3: [run] batch_size = 1: should be greater than or equal to 2\n"
            "{file}:8: [heed.projector] unknown section; did you mean 'head.projector'?"
        ),
    ),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


def without_description(line: str) -> str:
    """Remove the description of the setting, which ends most messages."""
    message, parenthesis, description = line.partition(" (")
    is_description = parenthesis and description.endswith(")") and ": " in message
    return message if is_description and "method is set" not in message else line


@pytest.mark.parametrize("name", CASES)
def test_broken_file_reports_each_problem_with_its_line(name, tmp_path, catalog):
    text, expected = CASES[name]
    file = tmp_path / "run.ini"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        compose(resolve_file(file, (), catalog))
    names = {kind: ", ".join(catalog.names(kind)) for kind in ("method", "backbone")}
    message = expected.format(file=file, methods=names["method"], backbones=names["backbone"])
    lines = [without_description(line) for line in str(caught.value).splitlines()]
    assert lines == message.splitlines()


def test_table_has_at_least_forty_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder, not an INI file"),
        (lambda path: path.write_bytes(b"[run]\nname = \xff\n"), "is not UTF-8 text (byte 13)"),
    ],
)
def test_unreadable_file_is_reported_with_its_path(create, message, tmp_path, catalog):
    file = Path(tmp_path / "run.ini")
    create(file)
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), catalog)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("epochs=3", "expected section.key=value, such as -o run.epochs=20"),
        ("run.epochs", "expected section.key=value, such as -o run.epochs=20"),
        ("run.epoch=3", "[run] epoch: unknown key; did you mean 'epochs'?"),
        ("rum.epochs=3", "[rum] unknown section; did you mean 'run'?"),
    ],
)
def test_invalid_option_is_reported_with_its_text(option, message, tmp_path, catalog):
    file = tmp_path / "run.ini"
    file.write_text("[method]\nname = simclr\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (option,), catalog)
    assert str(caught.value) == f"-o {option}: {message}"


def test_suite_file_without_its_plugin_names_the_distribution(tmp_path, catalog):
    file = tmp_path / "suite.ini"
    file.write_text("[suite]\nmethods = simclr\n\n[method]\nname = simclr\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"suite\.ini:1: .*pip install ssl-plugin-benchmark"):
        resolve_file(file, (), catalog)


def test_problems_of_all_sections_are_reported_at_once(tmp_path, catalog):
    file = tmp_path / "run.ini"
    file.write_text("[run]\nepoch = 3\n[method]\nname = simclr\nx = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, ("trainer.compile=maybe",), catalog)
    assert {problem.where for problem in caught.value.problems} == {
        f"{file}:2",
        f"{file}:5",
        "-o trainer.compile=maybe",
    }


def test_name_of_a_preset_is_answered_with_extends(catalog):
    with pytest.raises(ConfigError, match=r"no such file; .* \[run\] extends = simclr/mnist5k"):
        resolve_file(Path("simclr/mnist5k"), (), catalog)
