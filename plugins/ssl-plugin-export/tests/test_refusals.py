"""Exports that are not possible are refused in a sentence and write nothing."""

import pytest
from ssl_plugin_export import onnx as onnx_exporter
from ssl_plugin_export.card import MARK
from ssl_plugin_export.export import export_run

from ssl_host import PluginError, RunError, UserError


@pytest.fixture
def run(run_of):
    """A finished run of small_conv."""
    return run_of("small")


def assert_refused(done, *texts):
    assert done.returncode == 2, done.stderr
    for text in texts:
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("timm", "nor the library of this backbone"),
        ("huggingface", "timm model"),
        ("keras", "neither an exporter"),
        ("onxx", "did you mean 'onnx'"),
    ],
)
def test_unavailable_format_lists_what_works(run, command, tmp_path, to, reason):
    done = command("export", run, "--to", to, "--output", "out")
    assert_refused(done, f"--to {to}: ", reason, "ssl_host's small_conv", "--to onnx")
    assert list(tmp_path.iterdir()) == []


def test_backbone_without_any_format_is_named(run, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_plugin_export.formats.available_formats", lambda *_: [])
    with pytest.raises(UserError, match="no installed exporter can write ssl_host's small_conv"):
        export_run(run, "timm", catalog, tmp_path / "out")


def test_changed_stem_cannot_be_a_hub_folder(run_of, catalog, tmp_path):
    with pytest.raises(UserError) as caught:
        export_run(run_of("cifar"), "huggingface", catalog, tmp_path / "out")
    assert str(caught.value).startswith("--to huggingface: ")
    assert "stem = cifar can be exported with --to onnx, timm" in str(caught.value)


def test_unfinished_run_is_refused(command, tmp_path):
    assert_refused(command("export", tmp_path, "--to", "onnx"), "config.ini")
    (tmp_path / "config.ini").write_text("[run]\nname = x\n")
    assert_refused(command("export", tmp_path, "--to", "onnx"), str(tmp_path), "ssl-host run")


def test_output_folder_in_use_is_refused(run, command, tmp_path):
    out = tmp_path / "out"
    assert command("export", run, "--to", "onnx", "--output", out).returncode == 0
    (out / "README.md").write_text("mine")
    (out / "notes.txt").write_text("mine too")
    again = ("export", run, "--to", "onnx", "--output", out)
    assert_refused(command(*again, "--force"), f"{out / 'README.md'} was not written by an export")
    assert (out / "README.md").read_text() == "mine"
    (out / "README.md").write_text(f"{MARK} an earlier one")
    assert_refused(command(*again), str(out), "--force")
    assert command(*again, "--force").returncode == 0
    assert "an earlier one" not in (out / "README.md").read_text()
    assert MARK in (out / "README.md").read_text()
    assert (out / "notes.txt").read_text() == "mine too"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_output_folder_that_cannot_be_written_is_refused(run, command, tmp_path):
    (tmp_path / "file").write_text("")
    to = ("export", run, "--to", "onnx", "--output")
    assert_refused(command(*to, tmp_path / "file"), "is a file", "--output")
    assert_refused(command(*to, tmp_path / "file" / "out"), "cannot be written: ")
    assert_refused(command(*to, "net.onnx"), "an export is a folder", "backbone.onnx")


def test_missing_package_names_the_extra(run, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_exporter, "find_spec", lambda name: name != "onnxscript" or None)
    with pytest.raises(PluginError) as caught:
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert "onnxscript is not installed" in str(caught.value)
    assert "pip install 'ssl-plugin-export[onnx]'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_graph_with_other_features_is_not_written(run, catalog, tmp_path, monkeypatch):
    convert = onnx_exporter._convert

    def convert_other_weights(backbone, images, file, opset):
        convert(backbone, images, file, opset)
        backbone.layers[0].weight.data += 1

    monkeypatch.setattr(onnx_exporter, "_convert", convert_other_weights)
    with pytest.raises(RunError, match="features in onnxruntime differ"):
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"), [("\nno such operator\nmore", "no such operator"), ("", "ValueError")]
)
def test_network_that_torch_cannot_convert_is_reported(
    run, catalog, tmp_path, monkeypatch, text, reason
):
    def fail(*_, **__):
        raise ValueError(text)

    monkeypatch.setattr(onnx_exporter.torch.onnx, "export", fail)
    with pytest.raises(RunError) as caught:
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert f"cannot convert this network to ONNX: {reason}; " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "texts"),
    [("opset=3", ("opset", "18")), ("opsett=18", ("opsett",)), ("opset", ("KEY=VALUE",))],
)
def test_settings_of_an_exporter_are_checked(run, catalog, tmp_path, option, texts):
    with pytest.raises(UserError) as caught:
        export_run(run, "onnx", catalog, tmp_path / "out", options=[option])
    for text in texts:
        assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []
