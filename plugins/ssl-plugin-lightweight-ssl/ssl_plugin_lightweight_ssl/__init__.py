"""The configurations and checkpoints of the Lightweight-SSL project."""

ssl_host_api = 1
