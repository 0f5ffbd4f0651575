"""The KoLeo regulariser, which spreads features over the sphere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host import full_precision, gather, gather_offset


def koleo(features: Tensor) -> Tensor:
    """Return minus the mean log distance of each feature (B, D) to its nearest neighbour.

    Sablayrolles et al., arXiv:1806.03198, equation 3. The neighbours are the images of all
    processes.
    """
    with full_precision(features) as (exact,):
        unit = functional.normalize(exact, dim=1)
        everything = gather(unit)
        with torch.no_grad():
            similarity = unit @ everything.T
            own = torch.arange(len(unit), device=unit.device) + gather_offset(unit)
            nearest = similarity.scatter(1, own[:, None], -2.0).argmax(dim=1)
        # The norm of 0 has the gradient 0 in torch, so duplicates are harmless.
        distance = (unit - everything[nearest]).norm(dim=1)
        loss: Tensor = -(distance + 1e-8).log().mean()
        return loss
