"""Trained backbones written for timm, torchvision, the Hugging Face hub and ONNX."""

ssl_host_api = 1
