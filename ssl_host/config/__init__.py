"""Reads INI files, presets and options, and merges them into validated settings."""
