"""Evaluators that come with the host."""
