"""DINO's step against algorithm 1 of the paper, at float64."""

import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def log_softmax(row):
    return row - row.exp().sum().log()


def reference(dino, batch, centre):
    """Return the loss, written image by image, and the teacher's scores of both views."""
    with torch.no_grad():
        teacher = [dino.ema_projector(dino.ema_backbone(view)) for view in batch.views[:2]]
    student = [dino.projector(dino.backbone(view)) for view in batch.views]
    total, terms = 0, 0
    for q in range(2):
        for v in range(len(student)):
            if v == q:
                continue
            for t, s in zip(teacher[q], student[v], strict=True):
                target = log_softmax((t - centre) / float(dino.teacher_temperature)).exp()
                total = total - (target * log_softmax(s / 0.1)).sum()
                terms += 1
    return total / terms, torch.cat(teacher)


def test_three_steps_equal_algorithm_1(method_case):
    """Loss, gradients, centre and teacher, with small views and a rising temperature."""
    case = method_case("dino", warmup_teacher_epochs=5.0, teacher_temperature=0.07)
    dino = case.fresh()
    parameters = [p for _, p in dino.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    centre = torch.zeros(dino.projector.output_dim).double()
    for step in range(3):
        batch = case.batch(5, seed=step)
        assert len(batch.views) == 4
        out = case.step(dino, batch)
        expected, scores = reference(dino, batch, centre)
        assert close(out.loss, expected)
        gradients = torch.autograd.grad(out.loss, parameters)
        for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
            assert close(a, b)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        before = [p.clone() for p in dino.ema_backbone.parameters()]
        optimizer.step()
        decay = float(dino.ema_decay)
        dino.finish_step(out, step, 20)
        centre = 0.9 * centre + 0.1 * scores.mean(dim=0)
        assert close(dino.centre.mean, centre)
        teacher, online = dino.ema_backbone.parameters(), dino.backbone.parameters()
        for t, old, new in zip(teacher, before, online, strict=True):
            assert close(t, decay * old + (1 - decay) * new)


def test_teacher_temperature_rises_over_the_warm_up(method_case):
    dino = method_case("dino", warmup_teacher_epochs=5.0, teacher_temperature=0.07).fresh()
    assert dino.plan.epochs == 10
    for step, expected in ((0, 0.04), (5, 0.055), (10, 0.07), (20, 0.07)):
        dino.teacher_temperature.set_step(step, 20)
        assert abs(float(dino.teacher_temperature) - expected) < 1e-12


def test_prototypes_are_frozen_in_the_first_epoch(method_case):
    case = method_case("dino")
    dino = case.fresh()
    first = dino.projector.prototypes.clone()
    case.train(dino, 2)  # an epoch of two steps
    assert torch.equal(dino.projector.prototypes, first)
    case.train(dino, 1, start=2)
    assert not torch.equal(dino.projector.prototypes, first)


def test_features_are_the_teachers(method_case):
    """The online probe learns from the network that is evaluated."""
    case = method_case("dino")
    dino = case.fresh()
    batch = case.batch(4)
    assert dino.encoder == "ema_backbone"
    assert torch.equal(case.step(dino, batch).features, dino.ema_backbone(batch.views[0]))
