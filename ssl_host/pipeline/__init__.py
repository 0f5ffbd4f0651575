"""A whole run, from its configuration to its folder: what the commands and ``ssl_host.run`` call."""
