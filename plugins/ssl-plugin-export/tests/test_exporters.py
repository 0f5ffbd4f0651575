"""Exporters of third parties: registration, settings, model card, faults."""

import importlib
import sys

import importlib_metadata
import pytest
from ssl_plugin_export.export import export_run

from ssl_host import Catalog, PluginError

PLUGIN = """
from ssl_host import hookimpl
@hookimpl
def register_exporters(register):
    register("listing", "ssl_plugin_listing_exporter:Listing", "names of the tensors")
    register("faulty", "ssl_plugin_listing_exporter:Faulty", "always fails")
"""
EXPORTER = """
from pydantic import Field
from ssl_host import Exporter, ModelCard, Settings

class Listing(Exporter):
    main_file = "names.txt"

    class Config(Settings):
        separator: str = Field(" ", description="between names")

    def write(self, backbone, folder, properties):
        names = self.config.separator.join(backbone.state_dict())
        (folder / self.main_file).write_text(names)
        return ModelCard("print(open('names.txt').read())", "A *listing*.", {"tags": ["x"]})

class Faulty(Exporter):
    def write(self, backbone, folder, properties):
        return 1 / 0
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution with two exporters and return the catalog."""
    site = tmp_path / "site"
    info = site / "ssl_plugin_listing-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "ssl_plugin_listing.py").write_text(PLUGIN)
    (site / "ssl_plugin_listing_exporter.py").write_text(EXPORTER)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ssl-plugin-listing\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[ssl_host]\nlisting = ssl_plugin_listing\n")
    monkeypatch.syspath_prepend(str(site))
    importlib_metadata.MetadataPathFinder.invalidate_caches()
    importlib.invalidate_caches()
    yield Catalog()
    for module in ("ssl_plugin_listing", "ssl_plugin_listing_exporter"):
        sys.modules.pop(module, None)
    importlib_metadata.MetadataPathFinder.invalidate_caches()


def test_third_party_exporter_is_used_by_its_name(run_of, installed, tmp_path):
    out = tmp_path / "out"
    files = export_run(run_of("small"), "listing", installed, out, options=["separator=|"])
    assert [file.name for file in files] == ["names.txt", "README.md"]
    assert "|" in (out / "names.txt").read_text()
    card = (out / "README.md").read_text()
    assert card.startswith('---\ntags: ["x"]\n---\n')
    assert "```python\nprint(open('names.txt').read())\n```" in card
    assert "A *listing*." in card


def test_error_in_an_exporter_names_its_plugin(run_of, installed, tmp_path):
    with pytest.raises(PluginError) as caught:
        export_run(run_of("small"), "faulty", installed, tmp_path / "out")
    for text in ("Faulty", "ssl-plugin-listing 1.0", "ZeroDivisionError", "exporter.py:"):
        assert text in str(caught.value)
    assert not (tmp_path / "out").exists()
