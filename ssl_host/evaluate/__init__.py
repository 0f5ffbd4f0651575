"""Runs the evaluators on a trained network and on baselines to compare it with."""
