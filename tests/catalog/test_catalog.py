"""Tests of plugin discovery, broken plugins and the registry of components."""

import subprocess
import sys

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import ConfigError, PluginError

REGISTERS_ALL = "from ssl_host import hookimpl\n" + "".join(
    f"""
@hookimpl
def {kind.hook}(register):
    register("all_{kind.name}", "ssl_plugin_all:X", summary="one {kind.name}")
"""
    for kind in KINDS.values()
)
REGISTERS_ALL += """
@hookimpl
def register_presets(register):
    register("all/preset", "ssl_plugin_all:preset.ini")
"""
REGISTERS_PRESET = """
from ssl_host import hookimpl

@hookimpl
def register_presets(register):
    register("one", "{}")
"""


def plugin(catalog: Catalog, name: str):
    return next(p for p in catalog.plugins if p.origin.plugin == name)


def test_component_of_every_kind_is_registered_with_its_origin(install):
    install("ssl-plugin-all", REGISTERS_ALL, version="2.5")
    catalog = Catalog()
    for kind in KINDS:
        entry = catalog.find(kind, f"all_{kind}")
        assert (entry.origin.distribution, entry.origin.version) == ("ssl-plugin-all", "2.5")
    assert catalog.find("method", "all_method").summary == "one method"
    assert catalog.find("preset", "all/preset").reference == "ssl_plugin_all:preset.ini"
    assert len(plugin(catalog, "all").components) == len(KINDS) + 1


def test_presets_in_a_folder_are_registered_by_their_file_names(install):
    code = (
        "from ssl_host import hookimpl\n@hookimpl\ndef register_presets(register):\n"
        "    register('one', 'folder_of_presets:presets')\n"
    )
    folder = install("ssl-plugin-folder", code).parent / "folder_of_presets" / "presets"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "b.ini").write_text("# Second, described here\n# and here\n[run]\nepochs = 1\n")
    (folder / "a.ini").write_text("[run]\nepochs = 1\n")
    (folder / "notes.txt").write_text("no preset")
    entries = [e for e in Catalog().entries("preset") if e.name.startswith("one/")]
    assert [(e.name, e.reference) for e in entries] == [
        ("one/a", "folder_of_presets:presets/a.ini"),
        ("one/b", "folder_of_presets:presets/b.ini"),
    ]
    assert entries[1].summary == "Second, described here"


@pytest.mark.parametrize(
    "resource", ["ssl_plugin_x:nothing", "no_package:presets", "ssl_plugin_simclr:method.py"]
)
def test_folder_of_presets_that_does_not_exist_marks_the_plugin_broken(resource, install):
    file = install("ssl-plugin-x", REGISTERS_PRESET.format(resource))
    broken = plugin(Catalog(), "x")
    assert broken.state == "broken"
    assert f"preset 'one': there is no folder '{resource}'" in broken.reason
    assert f"({file}:6)" in broken.reason


@pytest.mark.parametrize("resource", ["ssl_plugin_simclr:none.ini", "no_package:one.ini"])
def test_preset_file_that_does_not_exist_is_an_error_of_its_plugin(resource, install):
    install("ssl-plugin-x", REGISTERS_PRESET.format(resource))
    with pytest.raises(ConfigError) as caught:
        resolve_sections({"run": {"extends": "one"}}, Catalog())
    message = f"preset 'one' ({resource}, from ssl-plugin-x 1.0) does not exist"
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module_at_all", "import failed: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(3)", "import failed: SystemExit: 3"),
        ("def broken(:\n", "import failed: SyntaxError"),
        ("import json\njson.loads('{')\n", "ssl_plugin_faulty.py:2)"),  # not a line of json
        (
            "from ssl_host import hookimpl\n@hookimpl\ndef register_method(register): ...\n",
            "unknown hook register_method (",
        ),
        (
            "from ssl_host import hookimpl\n@hookimpl\ndef register_methods(registry): ...\n",
            "hook register_methods takes registry (",
        ),
        (
            "from ssl_host import hookimpl\n"
            "@hookimpl\ndef register_methods(register):\n    register('Bad Name', 'a:B')\n",
            "registering failed: ValueError: method 'Bad Name': the name is invalid",
        ),
        (
            "from ssl_host import hookimpl\n"
            "@hookimpl\ndef register_methods(register):\n    register('x', 'no_colon')\n",
            "is not of the form module:Object",
        ),
        ("ssl_host_api = 99\n", "made for plugin API 99, but this host has 1; upgrade the host"),
        ("ssl_host_api = 0\n", "made for plugin API 0, but this host needs 1; upgrade the plugin"),
    ],
)
def test_broken_plugin_has_a_reason_and_other_plugins_load(code, reason, install):
    install("ssl-plugin-faulty", code)
    catalog = Catalog()
    faulty = plugin(catalog, "faulty")
    assert faulty.state == "broken"
    assert reason in faulty.reason
    assert "simclr" in catalog.names("method")
    assert catalog.load("method", "simclr").__name__ == "SimCLR"


def test_broken_plugin_reason_names_file_and_line(install):
    file = install("ssl-plugin-faulty", "x = 1\ny = x.nothing\n")
    assert f"{file}:2" in plugin(Catalog(), "faulty").reason


def test_entry_point_that_is_not_a_module_is_broken(install, tmp_path):
    install("ssl-plugin-faulty", "thing = 3\n")
    entry = next(tmp_path.rglob("entry_points.txt"))
    entry.write_text("[ssl_host]\nfaulty = ssl_plugin_faulty:thing\n", encoding="utf-8")
    assert "must name a module" in plugin(Catalog(), "faulty").reason


def test_name_registered_by_two_plugins_raises_until_one_is_blocked(install):
    code = (
        "from ssl_host import hookimpl\n"
        "@hookimpl\ndef register_losses(register):\n    register('twin', 'ssl_plugin_{0}:X')\n"
    )
    install("ssl-plugin-one", code.format("one"))
    install("ssl-plugin-two", code.format("two"))
    catalog = Catalog()
    with pytest.raises(PluginError) as caught:
        catalog.find("loss", "twin")
    for text in ("loss 'twin'", "ssl-plugin-one 1.0 and by ssl-plugin-two 1.0", "`-p no:two`"):
        assert text in str(caught.value)
    assert Catalog(blocked=["two"]).find("loss", "twin").origin.plugin == "one"


@pytest.mark.parametrize("name", ["simclr", "ssl-plugin-simclr", "ssl_plugin_simclr"])
def test_plugin_is_blocked_by_entry_point_or_distribution(name, monkeypatch):
    assert "simclr" not in Catalog(blocked=[name]).names("method")
    monkeypatch.setenv("SSL_HOST_DISABLE", f"other, {name}")
    catalog = Catalog()
    assert "simclr" not in catalog.names("method")
    assert plugin(catalog, "simclr").state == "blocked"
    with pytest.raises(PluginError, match="is blocked: disabled with -p no:NAME"):
        catalog.find("method", "simclr")


def test_blocking_a_plugin_that_is_not_installed_is_refused():
    with pytest.raises(PluginError, match=r"no installed plugin is called simclrr.*'simclr'"):
        Catalog(blocked=["simclrr"])


def test_unknown_component_error_suggests_a_name_and_a_distribution(catalog):
    with pytest.raises(PluginError) as caught:
        catalog.find("method", "rnnclvr")
    for text in ("unknown method 'rnnclvr'", "'nnclr'?", "pip install ssl-plugin-rnnclvr"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("method", "simclr", "ssl-plugin-simclr"),  # the plugin has the name of the component
        ("exporter", "onnx", "ssl-plugin-export"),  # the table of official plugins has it
        ("evaluator", "lidar", "evaluators"),  # unknown without loading the plugin
    ],
)
def test_unknown_component_error_names_blocked_plugins(kind, name, expected):
    catalog = Catalog(blocked=["simclr", "export", "evaluators"])
    with pytest.raises(PluginError, match=rf"{expected}.*blocked|blocked.*{expected}"):
        catalog.find(kind, name)


def test_distribution_of_an_unknown_component_is_a_guess_unless_it_is_official(catalog):
    with pytest.raises(PluginError, match=r"if a plugin for 'x_y' exists.*ssl-plugin-x-y"):
        catalog.find("method", "x_y")
    catalog._entries.pop(("exporter", "onnx"))
    with pytest.raises(PluginError, match=r"is part of ssl-plugin-export: pip install"):
        catalog.find("exporter", "onnx")


REFERS = (
    "from ssl_host import hookimpl\n"
    "@hookimpl\ndef register_losses(register):\n    register('odd', '{0}')\n"
)


@pytest.mark.parametrize(
    ("reference", "body", "message"),
    [
        ("ssl_plugin_odd_parts:Nothing", "", "has no attribute 'Nothing'"),
        ("ssl_plugin_odd_parts:X", "class X: ...", "is not a subclass of ssl_host.Loss"),
        ("ssl_plugin_odd_parts:x", "x = 3", "is not a subclass of ssl_host.Loss (int)"),
        ("ssl_plugin_odd_parts:X", "1 / 0", "cannot be imported: ZeroDivisionError"),
        (
            "ssl_plugin_odd_parts:X",
            "from ssl_host import Loss, Settings\n"
            "class X(Loss):\n    class Config(Settings):\n        a: int = 3\n",
            "a without a description",
        ),
        (
            "ssl_plugin_odd_parts:X",
            "from ssl_host import Loss\nclass X(Loss):\n    class Config:\n        a = 3\n",
            "Config must inherit from ssl_host.Settings",
        ),
    ],
)
def test_faulty_component_error_names_its_distribution(reference, body, message, install):
    install("ssl-plugin-odd", REFERS.format(reference))
    install("odd-parts", body, module="ssl_plugin_odd_parts")
    catalog = Catalog()
    with pytest.raises(PluginError) as caught:
        catalog.load("loss", "odd")
    assert message in str(caught.value)
    assert "ssl-plugin-odd 1.0" in str(caught.value)


def test_catalog_does_not_import_components(install):
    install("ssl-plugin-lazy", REFERS.format("module_that_is_not_there:X"))
    catalog = Catalog()
    assert plugin(catalog, "lazy").state == "ready"
    assert "odd" in catalog.names("loss")


def test_catalog_imports_no_torch():
    code = (
        "import sys\nfrom ssl_host.catalog.catalog import Catalog\n"
        "assert len(Catalog().entries()) > 30\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
