"""Run configurations from start to end, for the command line and ``ssl_host.run``."""
