"""Configurations: INI files, presets and options resolved to validated settings with origins."""
