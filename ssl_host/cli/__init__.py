"""The command line, one file a command. Importing it imports no torch."""

from __future__ import annotations

from ssl_host.cli.app import main as main
