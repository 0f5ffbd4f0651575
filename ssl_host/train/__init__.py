"""Training with pytorch-lightning: step, state, module, callbacks and checkpoints."""
