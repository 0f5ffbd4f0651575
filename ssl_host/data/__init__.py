"""Opens data sources: splits their images, stores them and makes batches."""
