"""Base classes that plugin authors subclass. This package imports no other one but errors."""
