"""The host's conformance checks of all exporters."""

from ssl_host.testing import conformance

TIMM = {"name": "timm", "model": "resnet18"}

test_onnx_conforms = conformance("exporter", "onnx")
test_library_conforms = conformance("exporter", "library", backbone=TIMM)
test_huggingface_conforms = conformance("exporter", "huggingface", backbone=TIMM)
