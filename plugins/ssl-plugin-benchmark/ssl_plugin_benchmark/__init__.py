"""Suites of runs, compared in one table."""

ssl_host_api = 1
