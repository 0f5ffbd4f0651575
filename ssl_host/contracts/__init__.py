"""Base classes that plugins inherit from; of ssl_host they import only ``ssl_host.errors``."""
