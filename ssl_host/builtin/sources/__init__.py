"""Data sources that ship with the host, one file each."""
