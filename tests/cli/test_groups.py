"""Command groups: subgroups, name clashes and messages for unknown commands."""

import click
import pytest

from ssl_host import CommandGroup
from ssl_host.catalog.official import official_distribution


def test_subgroup_is_created_once_and_then_returned():
    root = CommandGroup("root")
    created = root.subgroup("data", help="Prepare data.")
    assert isinstance(created, CommandGroup)
    assert created.help == "Prepare data."
    assert root.subgroup("data") is created


def test_subgroup_with_the_name_of_a_command_raises_an_error():
    root = CommandGroup("root", commands=[click.Command("data")])
    with pytest.raises(ValueError, match="'data' is a command, not a group"):
        root.subgroup("data")


def test_command_with_the_name_of_another_raises_an_error():
    root = CommandGroup("root", commands=[click.Command("run")])
    with pytest.raises(ValueError, match="'run' already exists"):
        root.add_command(click.Command("run"))


def test_copy_of_a_group_gets_new_commands_without_changing_the_group():
    root = CommandGroup("root")
    group = root.subgroup("config")
    duplicate = root.independent_copy()
    duplicate.subgroup("config").add_command(click.Command("convert"))
    duplicate.subgroup("data")
    assert list(root.commands) == ["config"]
    assert not group.commands


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("lightweight_ssl", ["config", "convert"]),
        ("export", ["export"]),
        ("benchmark", ["benchmark"]),
    ],
)
def test_command_of_a_missing_plugin_names_its_distribution(plugin, words, ssl_host, monkeypatch):
    from ssl_host.catalog import catalog, discovery

    def without_plugin(blocked=()):
        found = discovery.discover(blocked)
        return [(p, module) for p, module in found if p.origin.plugin != plugin]

    monkeypatch.setattr(catalog, "discover", without_plugin)
    done = ssl_host(*words, "x.ini")
    distribution = official_distribution("command", " ".join(words))
    assert done.returncode == 2
    assert f"unknown command {' '.join(words)!r}" in done.stderr
    assert f"pip install {distribution}" in done.stderr


def test_plugin_that_fails_to_add_commands_is_a_warning(ssl_host, install):
    code = "from ssl_host import hookimpl\n\n@hookimpl\ndef register_commands(cli):\n    1 / 0\n"
    install("ssl-plugin-broken-commands", code)
    done = ssl_host("greet")
    assert done.returncode == 2
    assert "warning: plugin ssl-plugin-broken-commands 1.0" in done.stderr
    assert "register_commands: ZeroDivisionError" in done.stderr
    assert ssl_host("plugin", "list").returncode == 0
