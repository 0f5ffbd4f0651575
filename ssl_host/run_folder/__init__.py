"""The folder of a run: its files, its lock, and the configuration that it belongs to."""
