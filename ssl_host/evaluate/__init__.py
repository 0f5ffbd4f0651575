"""Evaluate a trained network, and baselines to compare it with."""
