"""Select the image of each sample in tar shards, and match labels stored elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ssl_host import DataError
from ssl_host.builtin.sources.shards import IMAGE_SUFFIXES, Sample


def select_images(
    path: Path, samples: Sequence[Sample], image_key: str | None, suffixes: Counter[str]
) -> list[tuple[Sample, str]]:
    """Return the samples that have an image, each with the suffix of its image.

    Args:
        path: folder or pattern of the shards, for error messages.
        samples: the samples of all shards.
        image_key: suffix of the images; None to detect it.
        suffixes: number of files with each suffix, for error messages.

    Raises:
        DataError: if no sample has an image, or if samples have several images.
    """
    if image_key is None:
        chosen = [(sample, _only_image(path, sample)) for sample in samples if sample.images]
        found = [(sample, suffix) for sample, suffix in chosen if suffix is not None]
        others = {suffix for sample in samples for suffix in sample.images}
        if not found and len(others) == 1:
            return select_images(path, samples, others.pop(), suffixes)
    else:
        key = image_key.lower().lstrip(".")
        found = [(sample, key) for sample in samples if key in sample.images]
    if not found:
        wanted = "" if image_key is None else f" with image_key = {image_key}"
        raise DataError(
            f"[data] {path}: no image{wanted}; the shards have files with the suffixes "
            f"{list_suffixes(suffixes)}{_image_advice(samples)}"
        )
    return found


def _image_advice(samples: Sequence[Sample]) -> str:
    """Return advice on how to select or rename the images, or an empty string."""
    images = sorted({suffix for sample in samples for suffix in sample.images})
    num_samples = sum(bool(sample.images) for sample in samples)
    if len(images) > max(3, num_samples):  # the suffix is part of the name of a single image
        key = next(sample.key for sample in samples if sample.images)
        return (
            f"; a sample's name ends at the first dot, so {len(images)} images belong to "
            f"{num_samples} {'sample' if num_samples == 1 else 'samples'} such as {key}: "
            "rename the files so that there are no dots before the suffix"
        )
    return f"; set [data] image_key = {images[0]}, for example" if images else ""


def _only_image(path: Path, sample: Sample) -> str | None:
    """Return the suffix of the only image with a plain suffix such as ``jpg``, or None.

    Raises:
        DataError: if several images of the sample have plain suffixes.
    """
    plain = sorted(suffix for suffix in sample.images if suffix in IMAGE_SUFFIXES)
    if len(plain) > 1:
        raise DataError(
            f"[data] {path}: {sample.name} has several images: {', '.join(plain)}; set [data] "
            f"image_key = {plain[0]}, for example"
        )
    return plain[0] if plain else None


def list_suffixes(suffixes: Counter[str]) -> str:
    """Return the most frequent suffixes with their counts, as text for a message."""
    shown = [f"{suffix or '(none)'} ({count})" for suffix, count in suffixes.most_common(8)]
    return ", ".join(shown) or "(none)"


def join_labels(
    path: Path, images: Sequence[Sample], labels: Sequence[Sample]
) -> tuple[list[str | float | None], list[Sample]]:
    """Return the label of each image or None, and the samples whose labels match no image.

    A label that is not next to its image belongs to the image with the same key in the same shard,
    or else to the only image with this key.

    Args:
        path: folder or pattern of the shards, for error messages.
        images: the samples with an image.
        labels: the samples with a label and without an image.

    Raises:
        DataError: if a label may belong to several images, or several labels to one image.
    """
    values = [sample.label for sample in images]
    unlabelled: defaultdict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(images):
        if sample.label is None:
            unlabelled[sample.key].append(i)
    unmatched = []
    sources: dict[int, Sample] = {}
    for sample in labels:
        candidates = unlabelled.get(sample.key, [])
        near = [i for i in candidates if images[i].shard == sample.shard] or candidates
        if len(near) > 1:
            raise DataError(
                f"[data] {path}: the label {sample.name} may belong to {images[near[0]].name} or "
                f"{images[near[1]].name}; give the images different names"
            )
        if not near:
            unmatched.append(sample)
            continue
        other = sources.setdefault(near[0], sample)
        if other.label != sample.label:
            raise DataError(
                f"[data] {path}: {images[near[0]].name} has two labels: {other.label} in "
                f"{other.shard.name} and {sample.label} in {sample.shard.name}; remove one"
            )
        values[near[0]] = sample.label
    return values, unmatched
