"""A run's backbone as other programs load it: weights, hub folders and ONNX, each with its card."""
