"""Methods against each other: a suite file, its cells, and the table they make."""
