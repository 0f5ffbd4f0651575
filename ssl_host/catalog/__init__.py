"""Find the installed plugins and registers their components."""
