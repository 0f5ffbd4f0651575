"""A whole run, from its configuration to its folder; the commands and ``ssl_host.run`` use it."""
