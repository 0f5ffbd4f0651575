"""DeepCluster v2 against the authors' code, at float64."""

import torch

from ssl_host import spherical_kmeans


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def embed(method, view):
    z = method.projector(method.backbone(view))
    return z / z.norm(dim=1, keepdim=True)


def test_step_equals_the_mean_cross_entropy_of_all_views(method_case):
    """Images without a cluster are left out."""
    case = method_case("deepclusterv2", num_clusters=4)
    method, batch = case.fresh(), case.batch(6)
    method.clusters[0, batch.index[2]] = -100
    method.eval()  # the same batch norm for one view and for all
    actual = case.step(method, batch).loss
    losses = []
    for view in batch.views:
        z = embed(method, view)
        for k in range(3):
            terms = []
            for i, index in enumerate(batch.index.tolist()):
                label = int(method.clusters[k, index])
                if label >= 0:
                    logits = method.centroids[k] @ z[i] / 0.1
                    terms.append(logits.exp().sum().log() - logits[label])
            losses.append(torch.stack(terms).mean())
    expected = torch.stack(losses).mean()
    assert close(actual, expected)
    parameters = [p for _, p in method.trainable_parameters()]
    gradients = torch.autograd.grad(actual, parameters)
    for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert close(a, b)


def test_memory_receives_each_full_view_after_the_step(method_case):
    case = method_case("deepclusterv2", num_clusters=4)
    method, batch = case.fresh(), case.batch(6)
    before = method.memory1.rows.clone()
    out = case.step(method, batch)
    assert torch.equal(method.memory1.rows, before)
    method.finish_step(out, 0, 20)
    for memory, name in ((method.memory0, "memory0"), (method.memory1, "memory1")):
        assert torch.equal(memory.rows[batch.index], out.enqueue[name][1])
        assert close(memory.rows[batch.index].norm(dim=1), torch.ones(6).double())


def test_first_pass_fills_the_memories_by_the_number_of_each_image(method_case):
    """In whatever order the images come."""
    case = method_case("deepclusterv2", num_clusters=4)
    method = case.fresh().eval()
    batches = [case.batch(6, seed=seed) for seed in range(2)]

    class Images:
        def batches(self):
            return iter(batches)

    method.memory0.seen.zero_()
    with torch.no_grad():
        method.on_epoch_start(Images())
    for memory in (method.memory0, method.memory1):
        rows = embed(method, batches[-1].views[0])
        assert close(memory.rows[batches[-1].index], rows)


def test_epoch_clusters_the_memories_in_turn(method_case):
    case = method_case("deepclusterv2", num_clusters=4)
    method = case.fresh()
    case.train(method, 2)
    case.start_epoch(method, 2)
    for k, memory in enumerate((method.memory0, method.memory1, method.memory0)):
        centroids, clusters = spherical_kmeans(memory.rows, 4, 10, 1000 + k)
        assert torch.equal(method.centroids[k], centroids)
        assert torch.equal(method.clusters[k], clusters)


def test_centroids_are_never_trained(method_case):
    method = method_case("deepclusterv2", num_clusters=4).fresh()
    assert "centroids" not in dict(method.named_parameters())
    assert not method.centroids.requires_grad
