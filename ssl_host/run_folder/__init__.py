"""Reads, writes and locks a run folder, and compares its configuration with a new one."""
