"""Online probe on partly labelled images."""

import math

import torch

from ssl_host.config.schema import ProbeSettings
from ssl_host.train.probe import OnlineProbe


def probe():
    return OnlineProbe(ProbeSettings(), 6, 3, seed=0)


def test_probe_ignores_images_without_label():
    """The batch norm sees all features, so the labelled ones are standardised beforehand."""
    features = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    features = torch.cat([features, -features])
    features = (features - features.mean(0)) / features.std(0, correction=0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    whole, partly = probe(), probe()
    whole.network[0].eval()
    partly.network[0].eval()
    for _ in range(3):
        whole.step(features[:8], labels)
        partly.step(features, torch.cat([labels, torch.full((8,), -1)]))
    assert torch.allclose(whole.layer.weight, partly.layer.weight, atol=1e-6)
    assert float(partly.seen) == 24
    assert whole.accuracy() == partly.accuracy()


def test_probe_batch_without_labels_changes_nothing():
    one = probe()
    before = one.layer.weight.clone()
    one.step(torch.randn(4, 6), torch.full((4,), -1))
    assert torch.equal(one.layer.weight, before)
    assert math.isnan(one.accuracy())


def test_probe_counts_are_restored_from_a_checkpoint():
    one, two = probe(), probe()
    one.step(torch.randn(4, 6), torch.tensor([0, 1, -1, 2]))
    two.load_state_dict(one.state_dict())
    assert float(two.seen) == 3
    assert one.accuracy() == two.accuracy()
