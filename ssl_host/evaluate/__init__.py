"""Evaluation of a trained network, and of baselines to compare it with."""
