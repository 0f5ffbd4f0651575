"""What a plugin's author subclasses, one file a family of kinds. It imports no other room."""
