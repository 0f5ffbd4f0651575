"""Read INI files, presets and options, and merge them into validated settings."""
