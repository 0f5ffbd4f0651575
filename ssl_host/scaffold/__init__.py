"""Write the package of a new plugin from templates, for ``ssl-host plugin new``."""
