"""Sources to splits, splits to stores, stores to batches."""
