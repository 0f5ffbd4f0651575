"""Image data: data sources, splits, image stores and loaders of batches."""
