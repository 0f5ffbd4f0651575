"""Augmentation engine: makes the views of a batch from view specs, on a CPU or a GPU."""
