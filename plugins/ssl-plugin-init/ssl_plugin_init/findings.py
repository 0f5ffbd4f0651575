"""Say in sentences what is noteworthy about a data set, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from ssl_host import pluralize
from ssl_plugin_init.description import BRIGHT, DARK, DataDescription

ELONGATED = 1.6
"""Ratio of the sides above which the centred square leaves out much of an image."""
FEW_IMAGES = 500
"""Number of training images below which pretraining from scratch rarely helps."""
RARE_CLASS = 10
"""Number of images of a class below which accuracies of the class say little."""


def findings(data: DataDescription) -> list[str]:
    """Return what is noteworthy about a data set, most serious first; empty if nothing is."""
    return [*_problems(data), *_properties(data), *_label_findings(data)]


def _problems(data: DataDescription) -> Iterator[str]:
    """Yield what is probably a mistake in the data."""
    if data.num_unreadable:
        name, reason = data.unreadable[0]
        yield (
            f"{data.num_unreadable} of {data.num_read} images cannot be read, such as {name}: "
            + (f"{reason}; a run leaves them out and lists them")
        )
    if data.num_leaked:
        yield (
            f"{pluralize(data.num_leaked, 'held-out image')} also among the training images: "
            "accuracies are too high; remove the copies"
        )
    if data.num_copies:
        first = ", ".join(data.duplicates[0][:2])
        yield f"{pluralize(data.num_copies, 'copy', 'copies')} of other images, such as {first}"
    if data.num_transparent:
        yield (
            f"{pluralize(data.num_transparent, 'image')} with transparent pixels, which become "
            "white; save white pictures on another background"
        )
    if data.num_flat:
        yield f"{pluralize(data.num_flat, 'image')} with only one colour, or nearly"


def _properties(data: DataDescription) -> Iterator[str]:
    """Yield properties of the images that need a setting or a thought."""
    if data.num_images < FEW_IMAGES:
        yield (
            f"only {pluralize(data.num_images, 'training image')}: start from pretrained weights "
            "([backbone] pretrained or [run] init_from), or add unlabelled images of the same kind"
        )
    if data.ratios and data.ratios.median > ELONGATED:
        yield (
            f"half of the images are more than {data.ratios.median:.1f} times as long as wide, and "
            "evaluators see only their centred square; [data] fit = squash or pad shows all of it"
        )
    if data.is_gray and data.num_read > data.num_unreadable:
        yield "all images are gray: one channel is enough ([data] num_channels = 1)"
    if any(bits > 8 for bits in data.bits):
        yield (
            f"images with {max(data.bits)} bits per channel: if they use only part of that range, "
            "set [data] value_range, such as 0, 4095 for 12 bits"
        )
    if data.brightness and not DARK <= data.brightness.median <= BRIGHT:
        word = "dark" if data.brightness.median < DARK else "bright"
        yield (
            f"most images are very {word} (mean pixel value {data.brightness.median:.0f} of 255); "
            "check [data] value_range"
        )
    if data.num_groups and not data.has_own_test:
        pattern, size = next(iter(data.groups.items()))
        yield (
            f"names form {data.num_groups:,} groups, such as {pattern} with {size:,} images; if a "
            "group shows one object, hold out whole groups (folders train and test), because "
            "images of the same object in both parts make accuracies too high"
        )


def _label_findings(data: DataDescription) -> Iterator[str]:
    """Yield properties of the labels that limit what accuracies say."""
    if not data.has_classes:
        yield "no classes: runs are judged by label-free measures such as RankMe"
        return
    total, largest = sum(data.classes.values()), max(data.classes.values())
    if largest > total / 2:
        yield (
            f"{100 * largest / total:.0f} % of the labelled images are of the class "
            f"{next(iter(data.classes))}: compare accuracies with this number"
        )
    rare = [name for name, count in data.classes.items() if count < RARE_CLASS]
    if rare:
        count = pluralize(len(rare), "class", "classes")
        yield f"{count} with fewer than {RARE_CLASS} images, such as {rare[-1]}"
