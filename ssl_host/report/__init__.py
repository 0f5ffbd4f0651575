"""Results for people's eyes: tables for the terminal, one HTML page a run."""
