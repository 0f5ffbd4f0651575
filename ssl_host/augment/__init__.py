"""The batched augmentation engine: view specs in, views out."""
