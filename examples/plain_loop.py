"""NNCLR in a PyTorch training loop, without the host's trainer."""

import torch

import ssl_host

images = ssl_host.build("data", "digits").open("train").images[:256]
views = ssl_host.build("augmentation", "digits", image_size=8, channels=1, mean=[0.3], std=[0.4])
backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, num_stages=2)
method = ssl_host.build("method", "nnclr", backbone=backbone, queue_size=128)
optimizer = ssl_host.build("optimizer", "adamw", params=method, lr=1e-3)
step, total_steps = 0, 2 * len(images) // 64
for epoch in range(2):
    for index in torch.randperm(len(images)).split(64):
        out = method.step(ssl_host.Batch(views(images[index], index, epoch), index))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, total_steps, epoch)
        step += 1
    print(f"epoch {epoch}: loss {float(out.loss):.3f}")
