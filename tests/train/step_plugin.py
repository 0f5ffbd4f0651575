"""Runs a plugin with a method that has the step body of a test."""

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny


def run(tmp_path, console=None, **sections):
    catalog = Catalog()
    sections["run"] = {"dir": tmp_path, **sections.get("run", {})}
    config = resolve_sections(tiny(**sections), catalog)
    return run_config(config, catalog, console or Console(quiet=True))


METHOD = """
import torch
from ssl_host import Method, StepOutput, hookimpl

@hookimpl
def register_methods(register):
    register("odd", "ssl_plugin_odd:Odd")

class Odd(Method):
    heads = {{"projector": "backbone"}}
    recipe = {{"head.projector": {{"name": "mlp"}}}}

    def step(self, batch):
        h = self.backbone(batch.views[0])
        z = self.projector(h)
        {body}
"""


def run_step(body, install, tmp_path, console=None, **sections):
    install("ssl-plugin-odd", METHOD.format(body=body.replace("\n", "\n        ")))
    return run(tmp_path, console, method={"name": "odd"}, **sections)
