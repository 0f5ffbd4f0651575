"""Trains a method with pytorch-lightning: steps, state, metrics and checkpoints."""
