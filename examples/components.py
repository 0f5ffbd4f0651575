"""Builds an augmentation, a loss and a backbone in a script, and uses them on random images."""

import torch

import ssl_host

views = ssl_host.build("augmentation", "simclr", image_size=32)
first, second = views(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
loss = ssl_host.build("loss", "nt_xent", temperature=0.5)
backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=32)
print(f"loss {float(loss(backbone(first), backbone(second))):.3f}")
