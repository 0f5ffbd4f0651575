"""Run folders: reading, writing, locking, and comparison with a new configuration."""
