"""Complete runs of a configuration, for the command line and ``ssl_host.run``."""
