"""Reports of runs: tables for the terminal, HTML pages, comparisons."""
