"""Opens the images of data sources: splits, stores and batches."""
