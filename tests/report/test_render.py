"""Pages from templates of the host and of plugins."""

import sys

import pytest
from jinja2 import UndefinedError

from ssl_host import render_page
from ssl_host.report.render import breakable

TEMPLATE = """{% extends "base.html" %}
{% block kicker %}table{% endblock %}
{% block main %}<p>{{ name | breakable }}</p>{% endblock %}
{% block scripts %}<script>{% include "sort.js" %}</script>{% endblock %}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a template that extends the host's."""
    folder = tmp_path / "odd_package"
    (folder / "templates").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "templates" / "table.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "odd_package"
    sys.modules.pop("odd_package", None)


def test_plugin_template_extends_the_host_templates(package):
    page = render_page(package, "table.html", title="a<b", name="x.y<z")
    assert "<title>a&lt;b · ssl-host</title>" in page
    assert "<p>x.<wbr>y&lt;z</p>" in page
    assert "table.sortable" in page  # the script
    assert "color-mix" in page  # the style sheet


def test_undefined_values_are_errors(package):
    with pytest.raises(UndefinedError):
        render_page(package, "table.html", name="x")


def test_breakable_names_break_between_words_but_not_in_numbers():
    assert breakable("few_label.10.top1") == "few_<wbr>label.10.<wbr>top1"
    assert breakable("[0.003, 1e-06]") == "[0.003, 1e-06]"
    assert breakable("a/<b>__c") == "a/&lt;b&gt;__<wbr>c"
