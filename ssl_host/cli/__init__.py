"""Command line of ssl-host, one module per command. Importing it does not import torch."""

from __future__ import annotations

from ssl_host.cli.app import main as main
