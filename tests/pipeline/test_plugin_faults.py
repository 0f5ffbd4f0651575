"""A plugin's component that raises, wherever in a run: distribution, line and what was going on."""

import pytest
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import PluginError
from ssl_host.pipeline.dry_run import dry_run
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
        "optimizer Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while making its torch "
        "optimizer: ZeroDivisionError: division by zero ({file}:8)",
    ),
    "scheduler": (
        "scheduler",
        "schedulers",
        "class Odd(Scheduler):\n    def factor(self, step, total_steps, steps_per_epoch):\n"
        "        1 / 0\n",
        "scheduler Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while giving the factor "
        "of step 0: ZeroDivisionError: division by zero ({file}:8)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_names_distribution_line_and_moment(case, install, tmp_path):
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


AFTER = """
class Odd(Method):
    heads = {"projector": "backbone"}

    def step(self, batch):
        h = self.backbone(batch.views[0])
        return StepOutput(self.projector(h).square().mean(), features=h)

    def after_optimizer_step(self):
        1 / 0
"""


@pytest.mark.parametrize("dry", [False, True])
def test_what_a_method_does_after_its_step_is_told_too(dry, install, tmp_path):
    """Seen to fail: it came as a traceback through Lightning, without the plugin's name."""
    file = install("ssl-plugin-odd", HEAD + AFTER + REGISTER.format(hook="methods"))
    catalog = Catalog()
    config = resolve_sections(tiny(run={"dir": tmp_path}, method={"name": "odd"}), catalog)
    with pytest.raises(PluginError) as caught:
        dry_run(config, catalog) if dry else run_config(config, catalog, Console(quiet=True))
    line = file.read_text().splitlines().index("        1 / 0") + 1
    assert str(caught.value) == (
        "method Odd (ssl_plugin_odd, from ssl-plugin-odd 1.0) failed while moving on after step 0: "
        f"ZeroDivisionError: division by zero ({file}:{line})"
    )


def test_other_runs_are_untouched_by_a_broken_plugin(install, tmp_path):
    install("ssl-plugin-odd", "raise SystemExit(3)")
    catalog = Catalog()
    outcome = run_config(resolve_sections(tiny(run={"dir": tmp_path}), catalog), catalog)
    assert outcome.results["steps"] == 6
