"""Opens data sources, splits and stores their images, and makes batches of the images."""
