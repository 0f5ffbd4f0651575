"""Write reports of runs: tables in the terminal, HTML pages and comparisons."""
