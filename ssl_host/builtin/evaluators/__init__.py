"""Evaluators that ship with the host, one file each."""
