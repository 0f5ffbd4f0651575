"""Reads, writes and locks the folder of a run, and compares its stored configuration."""
