"""Find the installed plugins and register their components."""
