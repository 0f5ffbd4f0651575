"""Open data sources, split and store their images, and make batches of the images."""
