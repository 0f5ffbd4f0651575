"""Which plugins are there, and the components they register."""
