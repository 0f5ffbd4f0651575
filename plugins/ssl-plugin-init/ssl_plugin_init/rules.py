"""Rules that choose settings from the number of images, their size, and the number of steps.

They start from the recipe of a method that was measured on 4,000 digits, its preset ``mnist5k``,
and say how its values change with the data and the length of the run.
"""

from __future__ import annotations

import math

SIZES = (32, 48, 64, 96, 128, 160, 224)
"""Image sizes to choose from; all are multiples of 16 with many divisors, for patches."""
MIN_BATCHES = 8
"""Smallest number of batches in an epoch, so that few images still make enough steps."""
MAX_EPOCHS = 1000
"""Largest number of epochs."""
WARMUP_FRACTION = 0.1
"""Largest part of a run during which the learning rate rises."""
MAX_EMA_DECAY = 0.9995
"""Largest decay of a moving average that the rule for long runs gives."""
MIN_PATCHES = 7
"""Smallest number of patches along the side of an image, as in MAE's small recipes."""


def image_sizes(short_side: float) -> list[int]:
    """Return the image sizes that do not enlarge most images, smallest first.

    Args:
        short_side: typical length of the images' shorter side in pixels.
    """
    sizes = [size for size in SIZES if size <= short_side]
    return sizes or [max(8, int(short_side) // 4 * 4)]


def batch_size(reference: int, num_images: int) -> int:
    """Return the batch size: the recipe's, or less if an epoch would have too few batches."""
    largest: int = 2 ** int(math.log2(max(2, num_images / MIN_BATCHES)))
    return max(2, min(reference, largest))


def learning_rate(reference: float, reference_batch: int, batch: int) -> float:
    """Return the recipe's learning rate for another batch size.

    AdamW's rate follows the square root of the batch size (Malladi et al., arXiv:2205.10287).
    """
    return float(f"{reference * math.sqrt(batch / reference_batch):.2g}")


def warmup_epochs(reference_steps: float, epochs: int, steps_per_epoch: int) -> float:
    """Return the warm-up in epochs: as many steps as in the recipe, at most a tenth of the run."""
    return round(min(reference_steps / steps_per_epoch, WARMUP_FRACTION * epochs), 1)


def ema_decay(reference: float, reference_steps: int, steps: int) -> float:
    """Return the decay of a moving average for a run of another length.

    The average covers the same fraction of the run: 1 - decay is proportional to 1 / steps. This
    agrees with BYOL, which learns best with 0.5 in 2,500 steps on digits and uses 0.996 in 312,000
    steps on ImageNet (arXiv:2006.07733). Runs shorter than the recipe's keep its decay.
    """
    decay = 1 - (1 - reference) * min(1.0, reference_steps / steps)
    return float(f"{min(decay, max(MAX_EMA_DECAY, reference)):.4g}")


def queue_size(reference: int, num_images: int, batch: int) -> int:
    """Return the length of a queue: the recipe's, at most a quarter of the images.

    The result is a multiple of the batch size, because batches replace rows from the start.
    """
    rows = min(reference, num_images // 4)
    return max(batch, rows // batch * batch)


def patch_size(image_size: int) -> int:
    """Return the largest patch size up to 16 that divides the image into enough patches."""
    fitting = [p for p in range(2, 17) if image_size % p == 0 and image_size // p >= MIN_PATCHES]
    return max(fitting, default=2)


def local_size(image_size: int, patch: int) -> int:
    """Return the side of small views: 3/7 of the image, in whole patches.

    Args:
        image_size: side of a full-size view in pixels.
        patch: patch size of a transformer in pixels; 1 for a convolutional network.
    """
    return max(1, round(3 / 7 * image_size / patch)) * patch
