"""Base classes of plugin components; from the host they import only ``ssl_host.errors``."""
