"""Tests of hook calls: options of pluggy, and errors that name plugin, hook and line."""

import errno
import re

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import hook_specs
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import PluginError, UserError

HOOK = "from ssl_host import hookimpl\n\n"


def state(catalog: Catalog, name: str):
    return next((p.state, p.reason) for p in catalog.plugins if p.origin.plugin == name)


def test_specname_implements_a_hook_under_another_function_name(install):
    code = (
        '@hookimpl(specname="register_losses")\ndef mine(register):\n    register("one", "a:B")\n'
    )
    install("ssl-plugin-named", HOOK + code)
    catalog = Catalog()
    assert state(catalog, "named") == ("ready", "")
    assert catalog.find("loss", "one").origin.plugin == "named"


def test_specname_of_an_unknown_hook_is_broken(install):
    install(
        "ssl-plugin-named", f"{HOOK}@hookimpl(specname='register_loss')\ndef f(register): ...\n"
    )
    assert "unknown hook register_loss (" in state(Catalog(), "named")[1]


def test_optional_hook_of_a_newer_host_is_ignored(install):
    code = (
        "@hookimpl(optionalhook=True)\ndef from_the_future(whatever): ...\n\n"
        "@hookimpl(optionalhook=True, specname='also_new')\ndef other(): ...\n\n"
        "@hookimpl(optionalhook=True)\ndef register_losses(register):\n"
        "    register('one', 'a:B')\n"
    )
    install("ssl-plugin-newer", HOOK + code)
    catalog = Catalog()
    assert state(catalog, "newer") == ("ready", "")
    assert "one" in catalog.names("loss")
    assert catalog.call("find_config") is None


def test_optional_hook_with_an_unknown_argument_is_broken(install):
    code = "@hookimpl(optionalhook=True)\ndef run_finished(run, outcome): ...\n"
    install("ssl-plugin-newer", HOOK + code)
    assert "hook run_finished takes outcome (" in state(Catalog(), "newer")[1]


ARGUMENTS = {
    "config_resolved": {"config": {}},
    "training_callbacks": {"run": None},
    "run_finished": {"run": None, "results": {}},
    "report_sections": {"run": None, "results": {}},
    "find_config": {},
    "read_config": {"path": None, "text": "", "catalog": None},
    "check_config": {"path": None, "text": "", "options": (), "catalog": None},
    "read_weights": {"path": None},
    "register_commands": {"cli": None},
}


def test_arguments_of_every_hook_but_registration_are_listed():
    registration = {*(kind.hook for kind in KINDS.values()), "register_presets"}
    assert set(ARGUMENTS) == set(hook_specs()) - registration


@pytest.mark.parametrize("hook", ARGUMENTS)
def test_error_in_a_hook_names_plugin_hook_and_line(hook, install):
    first = "@hookimpl(tryfirst=True)"  # before the installed plugins, which reject these arguments
    file = install("ssl-plugin-failing", f"{HOOK}{first}\ndef {hook}():\n    return [].pop()\n")
    install("ssl-plugin-fine", f"{HOOK}@hookimpl\ndef {hook}():\n    return None\n")
    with pytest.raises(PluginError) as caught:
        Catalog().call(hook, **ARGUMENTS[hook])
    assert str(caught.value) == (
        f"plugin ssl-plugin-failing 1.0 failed in hook {hook}: "
        f"IndexError: pop from empty list ({file}:5)"
    )
    assert isinstance(caught.value.__cause__, IndexError)


def test_error_in_a_library_names_the_line_of_the_plugin(install):
    code = "import json\n\n@hookimpl\ndef run_finished(results):\n    json.loads('{')\n"
    file = install("ssl-plugin-failing", HOOK + code)
    with pytest.raises(PluginError, match=re.escape(f"({file}:7)")):
        Catalog().call("run_finished", run=None, results={})


def test_error_below_a_hook_wrapper_names_the_failing_plugin(install):
    install("ssl-plugin-outer", f"{HOOK}@hookimpl(wrapper=True)\ndef find_config():\n    yield\n")
    install("ssl-plugin-inner", f"{HOOK}@hookimpl\ndef find_config():\n    1 / 0\n")
    with pytest.raises(PluginError, match=r"plugin ssl-plugin-inner 1.0 failed in hook find_conf"):
        Catalog().call("find_config")


def test_user_error_of_a_hook_passes_through(install):
    code = "from ssl_host import UserError\n\n@hookimpl\ndef find_config():\n"
    install("ssl-plugin-strict", f"{HOOK}{code}    raise UserError('no configuration')\n")
    with pytest.raises(UserError, match=r"^no configuration$"):
        Catalog().call("find_config")


def test_disk_error_in_a_hook_is_not_attributed_to_the_plugin(install):
    code = f"@hookimpl\ndef find_config():\n    raise OSError({errno.ENOSPC}, 'disk full')\n"
    install("ssl-plugin-writing", HOOK + code)
    with pytest.raises(OSError, match="disk full"):
        Catalog().call("find_config")


def test_collect_joins_the_lists_of_all_plugins(install):
    install("ssl-plugin-a", f"{HOOK}@hookimpl\ndef training_callbacks():\n    return [1]\n")
    install("ssl-plugin-b", f"{HOOK}@hookimpl\ndef training_callbacks():\n    return (2, 3)\n")
    install("ssl-plugin-c", f"{HOOK}@hookimpl\ndef training_callbacks(): ...\n")
    assert sorted(Catalog().collect("training_callbacks", run=None)) == [1, 2, 3]


def test_collect_rejects_a_result_that_is_not_a_sequence(install):
    install("ssl-plugin-a", f"{HOOK}@hookimpl\ndef training_callbacks():\n    return 5\n")
    with pytest.raises(PluginError, match=r"ssl-plugin-a 1\.0 returned 5 from hook training_callb"):
        Catalog().collect("training_callbacks", run=None)


def test_first_answer_of_a_hook_is_used(install):
    install("ssl-plugin-none", f"{HOOK}@hookimpl\ndef find_config():\n    return None\n")
    install("ssl-plugin-some", f"{HOOK}@hookimpl\ndef find_config():\n    return 'here.ini'\n")
    assert Catalog().call("find_config") == "here.ini"
