"""Runs a configuration from start to end, for the commands and ``ssl_host.run``."""
