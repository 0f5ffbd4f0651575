"""Make the augmented views of a batch of images, on a CPU or a GPU."""
