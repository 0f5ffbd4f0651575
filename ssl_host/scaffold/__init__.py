"""Writes new plugins from templates, for ``ssl-host plugin new``."""
