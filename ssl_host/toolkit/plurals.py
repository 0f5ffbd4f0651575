"""Numbers with nouns in the singular or plural, for messages."""


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural: ``1 image``, ``2,000 images``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
