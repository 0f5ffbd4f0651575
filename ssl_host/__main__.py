"""Run the command line as ``python -m ssl_host``."""

from ssl_host.cli import main

main()
