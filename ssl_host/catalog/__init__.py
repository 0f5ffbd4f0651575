"""Finds the installed plugins and registers their components."""
