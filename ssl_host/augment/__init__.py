"""Augmented views of a batch of images, made on a CPU or a GPU."""
