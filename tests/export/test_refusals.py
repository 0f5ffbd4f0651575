"""What cannot be exported is told in a sentence, with exit status 2 and nothing written."""

import pytest

from ssl_host.errors import PluginError, RunError, UserError
from ssl_host.export import onnx_graph
from ssl_host.export.card import MARK
from ssl_host.export.run import export_run
from tests.conftest import as_ini, tiny


@pytest.fixture
def run(run_of):
    """A finished run of small_conv."""
    return run_of("small")


def refused(done, message):
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("timm", "ssl_host's small_conv is no model of timm; it can be exported --to onnx"),
        ("huggingface", "which ssl_host's small_conv is not; it can be exported --to onnx"),
        ("keras", "no model of keras; it can be exported --to onnx"),
    ],
)
def test_a_format_that_the_backbone_has_not(run, ssl_host, tmp_path, to, message):
    done = ssl_host("export", run, "--to", to, "--output", "out")
    assert done.stderr.startswith(f"--to {to}: ")
    refused(done, message)
    assert list(tmp_path.iterdir()) == []


def test_a_stem_that_no_argument_asks_for_is_no_hub_folder(run_of, catalog, tmp_path):
    with pytest.raises(UserError) as caught:
        export_run(run_of("cifar"), "huggingface", catalog, tmp_path / "out")
    assert str(caught.value) == (
        "--to huggingface: such a folder names a model of timm and its arguments alone, which "
        "timm's resnet18 with stem = cifar is not; it can be exported --to onnx, timm"
    )


def test_a_folder_that_is_no_finished_run(ssl_host, tmp_path):
    refused(
        ssl_host("export", tmp_path, "--to", "onnx"), "is not a run folder: it has no config.ini"
    )
    (tmp_path / "config.ini").write_text(as_ini(tiny()))
    refused(ssl_host("export", tmp_path, "--to", "onnx"), "holds no finished run; `ssl-host run`")


def test_an_output_in_the_way(run, ssl_host, tmp_path):
    """Seen to fail with the check left out: the first card was written over."""
    out = tmp_path / "out"
    assert ssl_host("export", run, "--to", "onnx", "--output", out).returncode == 0
    (out / "README.md").write_text("mine")
    (out / "notes.txt").write_text("mine too")
    again = ("export", run, "--to", "onnx", "--output", out)
    lost = f"{out / 'README.md'} does not say that an export wrote it"
    refused(ssl_host(*again, "--force"), lost)
    assert (out / "README.md").read_text() == "mine"
    (out / "README.md").write_text(f"{MARK} an earlier one")
    refused(ssl_host(*again), f"{out} holds files already; --force writes over")
    assert ssl_host(*again, "--force").returncode == 0
    assert "an earlier one" not in (out / "README.md").read_text()
    assert MARK in (out / "README.md").read_text()
    assert (out / "notes.txt").read_text() == "mine too"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_an_output_that_cannot_be_written(run, ssl_host, tmp_path):
    (tmp_path / "file").write_text("")
    to = ("export", run, "--to", "onnx", "--output")
    refused(ssl_host(*to, tmp_path / "file"), "is a file; choose another folder with --output")
    refused(ssl_host(*to, tmp_path / "file" / "out"), "cannot be written: ")
    refused(ssl_host(*to, "net.onnx"), "an export is a folder, with backbone.onnx and its card")


def test_the_extra_is_named_where_it_is_missing(run, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(PluginError) as caught:
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert str(caught.value) == (
        "--to onnx needs onnx, onnxscript, onnxruntime, and onnxscript is not installed: "
        "pip install 'ssl-host[onnx]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_graph_with_other_features_is_not_written(run, catalog, tmp_path, monkeypatch):
    real = onnx_graph._trace

    def other(backbone, images, file):
        real(backbone, images, file)
        backbone.layers[0].weight.data += 1

    monkeypatch.setattr(onnx_graph, "_trace", other)
    with pytest.raises(RunError, match="onnxruntime gives other features"):
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"), [("\nno such operator\nmore", "no such operator"), ("", "ValueError")]
)
def test_a_network_that_torch_cannot_write(run, catalog, tmp_path, monkeypatch, text, reason):
    def broken(*_, **__):
        raise ValueError(text)

    monkeypatch.setattr(onnx_graph.torch.onnx, "export", broken)
    with pytest.raises(RunError) as caught:
        export_run(run, "onnx", catalog, tmp_path / "out")
    assert str(caught.value).startswith(f"torch cannot write this network as ONNX: {reason}; ")
    assert list(tmp_path.iterdir()) == []
