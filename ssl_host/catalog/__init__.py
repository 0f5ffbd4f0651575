"""Discovery of installed plugins and the registry of their components."""
