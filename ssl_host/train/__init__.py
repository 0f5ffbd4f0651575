"""Train an SSL method with pytorch-lightning: steps, state, metrics and checkpoints."""
