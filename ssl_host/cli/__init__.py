"""Command line of ssl-host with one module per command; importing it does not import torch."""

from __future__ import annotations

from ssl_host.cli.app import main as main
