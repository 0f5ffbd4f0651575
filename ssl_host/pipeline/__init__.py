"""A whole run, from its configuration to its folder; what commands and ``ssl_host.run`` call."""
