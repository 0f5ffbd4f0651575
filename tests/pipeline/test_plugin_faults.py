"""Errors in a plugin's component: the message names distribution, line and activity."""

import pytest
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import PluginError
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny

HEAD = "import torch\nfrom ssl_host import *\nfrom ssl_host import hookimpl\n\n\n"
REGISTER = (
    "\n\n@hookimpl\ndef register_{hook}(register):\n    register('odd', 'ssl_plugin_odd:Odd')\n"
)
CASES = {
    "constructor": (
        "head.projector",
        "heads",
        "class Odd(Head):\n    def setup(self):\n        1 / 0\n",
        "head 'odd' (ssl_plugin_odd:Odd, from ssl-plugin-odd 1.0) could not be built: "
        "ZeroDivisionError: division by zero ({file}:8); its settings: none",
    ),
    "augmentation": (
        "augmentation",
        "augmentations",
        "class Odd(Augmentation):\n    def apply_batch(self, images, rng):\n"
        "        if len(images) > 1:\n            1 / 0\n        return [images, images]\n",
        "augmentation Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while making the views "
        "of step 0: ZeroDivisionError: division by zero ({file}:9)",
    ),
    "data": (
        "data",
        "data",
        "class Odd(DataSource):\n    image_size = 16\n    def open(self, split):\n        1 / 0\n",
        "data Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while opening its images: "
        "ZeroDivisionError: division by zero ({file}:9)",
    ),
    "evaluator": (
        "evaluator.odd",
        "evaluators",
        "class Odd(Evaluator):\n    def evaluate(self, bank):\n        1 / 0\n",
        "evaluator Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while measuring 'odd': "
        "ZeroDivisionError: division by zero ({file}:8)",
    ),
    "logger": (
        "logger.odd",
        "loggers",
        "class Odd(Logger):\n    def log(self, step, metrics):\n        1 / 0\n",
        "logger Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while logging step 1: "
        "ZeroDivisionError: division by zero ({file}:8)",
    ),
    "optimizer": (
        "optimizer",
        "optimizers",
        "class Odd(Optimizer):\n    def create(self, groups):\n        1 / 0\n",
        "optimizer Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while creating its "
        "torch optimizer: ZeroDivisionError: division by zero ({file}:8)",
    ),
    "scheduler": (
        "scheduler",
        "schedulers",
        "class Odd(Scheduler):\n    def factor(self, step, total_steps, steps_per_epoch):\n"
        "        1 / 0\n",
        "scheduler Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed in factor() for "
        "step 0: ZeroDivisionError: division by zero ({file}:8)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_error_in_component_names_distribution_and_line(case, install, tmp_path):
    section, hook, body, message = CASES[case]
    file = install("ssl-plugin-odd", HEAD + body + REGISTER.format(hook=hook))
    catalog = Catalog()
    sections = tiny(run={"dir": tmp_path})
    if section in ("data", "optimizer", "scheduler", "head.projector"):
        sections.pop(section, None)
    sections.setdefault(section, {})["name"] = "odd"
    config = resolve_sections(sections, catalog)
    with pytest.raises(PluginError) as caught:
        run_config(config, catalog, Console(quiet=True))
    assert str(caught.value) == message.format(file=file)


FAILING_METHOD = """
class Odd(Method):
    heads = {"projector": "backbone"}

    def step(self, batch):
        h = self.backbone(batch.views[0])
        return StepOutput(self.projector(h).square().mean(), features=h)

    def after_optimizer_step(self):
        1 / 0
"""


@pytest.mark.parametrize("dry", [False, True])
def test_error_after_optimizer_step_names_distribution_and_line(dry, install, tmp_path):
    file = install("ssl-plugin-odd", HEAD + FAILING_METHOD + REGISTER.format(hook="methods"))
    catalog = Catalog()
    config = resolve_sections(tiny(run={"dir": tmp_path}, method={"name": "odd"}), catalog)
    with pytest.raises(PluginError) as caught:
        estimate_cost(config, catalog) if dry else run_config(config, catalog, Console(quiet=True))
    line = file.read_text().splitlines().index("        1 / 0") + 1
    assert str(caught.value) == (
        "method Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed after optimizer step 0: "
        f"ZeroDivisionError: division by zero ({file}:{line})"
    )


def test_broken_plugin_does_not_affect_other_runs(install, tmp_path):
    install("ssl-plugin-odd", "raise SystemExit(3)")
    catalog = Catalog()
    outcome = run_config(resolve_sections(tiny(run={"dir": tmp_path}), catalog), catalog)
    assert outcome.results["steps"] == 6
