"""Writes numbers of things in messages."""


def count(number: int, noun: str) -> str:
    """Return a number and a noun in the singular or plural: ``1 image``, ``2,000 images``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
