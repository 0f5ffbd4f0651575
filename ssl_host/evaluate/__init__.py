"""Features, baselines, and the evaluators run on them."""
