"""What a plugin's author subclasses: one file a family of kinds. A leaf; it imports no other room."""
