"""Data sources that come with the host."""
