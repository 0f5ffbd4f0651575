"""The supervised contrastive loss against equation 2 of the paper, at float64."""

import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference, run_distributed


def reference(z1, z2, labels, temperature=0.1):
    """Return equation 2 anchor by anchor, scaled by temperature / 0.07 as in the authors' code."""
    z = torch.cat([z1, z2])
    z = z / z.norm(dim=1, keepdim=True)
    classes, count = [*labels, *labels], len(z1)
    total = 0
    for i in range(len(z)):
        logits = torch.stack([z[i] @ z[j] / temperature for j in range(len(z)) if j != i])
        log_sum = logits.exp().sum().log()
        positives = [
            j
            for j in range(len(z))
            if j != i and (classes[j] == classes[i] >= 0 or j % count == i % count)
        ]
        terms = [z[i] @ z[j] / temperature - log_sum for j in positives]
        total = total - sum(terms) / len(positives)
    return temperature / 0.07 * total / len(z)


def embeddings(count=6, width=5):
    return [torch.randn(count, width, dtype=torch.float64).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize(
    "labels", [[0, 0, 1, 1, 1, 2], [0] * 6, [-1, 0, -1, 0, 1, 2], list(range(6))]
)
@pytest.mark.parametrize("temperature", [0.07, 0.1])
def test_loss_equals_equation_2(labels, temperature):
    pair = embeddings()
    loss = ssl_host.build("loss", "sup_con", temperature=temperature)(*pair, torch.tensor(labels))
    assert_matches_reference(loss, reference(*pair, labels, temperature), pair)


def test_loss_without_labels_is_simclrs():
    pair = embeddings()
    ours = ssl_host.build("loss", "sup_con", temperature=0.07)(*pair)
    simclr = ssl_host.build("loss", "nt_xent", temperature=0.07)(*pair)
    assert_matches_reference(ours, simclr, pair)


def work(pair, labels):
    rank, size = torch.distributed.get_rank(), len(labels) // 2
    share = slice(rank * size, (rank + 1) * size)
    loss = ssl_host.build("loss", "sup_con")(*(z[share] for z in pair), labels[share])
    return float(loss)


def test_images_of_the_class_in_another_process_are_positives():
    pair, labels = [z.detach() for z in embeddings()], torch.tensor([0, 0, 1, 1, 0, 2])
    expected = float(reference(*pair, labels.tolist()))
    assert sum(run_distributed(work, pair, labels)) / 2 == pytest.approx(expected, abs=1e-12)


def test_step_uses_the_labels(method_case):
    case = method_case("supcon")
    method, batch = case.fresh(), case.batch(6)
    z1, z2 = (method.projector(method.backbone(view)) for view in batch.views)
    parameters = [p for _, p in method.trainable_parameters()]
    expected = reference(z1, z2, batch.labels.tolist())
    assert_matches_reference(case.step(method, batch).loss, expected, parameters)
