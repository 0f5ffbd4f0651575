"""The folder of one run: its files, its lock, its stored configuration."""
