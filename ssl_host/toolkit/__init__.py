"""Queues, schedules, distributed operations and file helpers for methods and data sources."""
