"""Numbers with nouns in the singular or plural, for messages."""


def pluralize(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun in the singular or plural: ``1 image``, ``2,000 images``.

    Args:
        number: the number.
        noun: the noun in the singular.
        plural: its plural; None to add an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
