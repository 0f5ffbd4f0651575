"""Images from sources: splits, stores and batches."""
