"""Training on pytorch-lightning: the one module, its callbacks, the checkpoints."""
