"""Segmentation of patches with known results, against scikit-learn and plain loops."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score
from ssl_plugin_evaluators.masks import count_classes, read_masks
from ssl_plugin_evaluators.network import NetworkOutputs
from ssl_plugin_evaluators.patch_classifiers import (
    LinearPatches,
    NearestPatches,
    class_fractions,
    reduce_masks,
    train_linear,
)
from torch import nn
from torch.nn import functional

import ssl_host
from ssl_host import (
    ArrayImages,
    FeatureBank,
    Features,
    FileImages,
    Tokens,
    UserError,
    resize_to_square,
)

SIZE, PATCH = 16, 4
SHADES = torch.tensor([20, 120, 220])
"""Shade of the pixels of each class."""


class PatchMeans(nn.Module):
    """Network whose tokens are soft class assignments of the mean shade of each patch."""

    def __init__(self, constant=False):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.constant = constant

    def tokens(self, images):
        means = functional.avg_pool2d(images[:, :1], PATCH).flatten(2).transpose(1, 2)
        patches = (-((means - SHADES / 255) ** 2) * 40).exp()
        if self.constant:
            patches = patches * 0 + 1
        return Tokens(patches[:, :0], patches, patches.mean(dim=1))


def stripes(i):
    """Return a mask of vertical stripes of whole patches; the classes depend on ``i``."""
    return (torch.arange(SIZE) // PATCH + i).remainder(3).expand(SIZE, SIZE)


def write_image(folder, name, mask, pixels=None, palette=False):
    """Write an image with the shades of the classes of a mask, and the mask."""
    shades = SHADES[mask.clamp(max=2)] if pixels is None else pixels
    (folder / "images").mkdir(exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    shown = Image.fromarray(shades.numpy().astype(np.uint8)).convert("RGB")
    shown.save(folder / "images" / f"{name}.png")
    file = Image.fromarray(mask.numpy().astype(np.uint8))
    if palette:
        file = file.convert("P")
        file.putdata(mask.flatten().tolist())
    file.save(folder / "masks" / f"{name}.png")


def bank_of(folder, names, test_names, encoder=PatchMeans, size=SIZE):
    """Return the bank of images in a folder, stored as the host stores them."""

    def open_images(chosen):
        root = folder / "images"
        dataset = FileImages([root / f"{name}.png" for name in chosen], root=root)
        stored = [resize_to_square(dataset.read(i), size) for i in range(len(dataset))]
        return dataset, torch.stack(stored)

    (train, x), (test, xt) = open_images(names), open_images(test_names)
    return FeatureBank(
        Features(torch.zeros(len(x), 3)),
        Features(torch.zeros(len(xt), 3)),
        seed=3,
        encoder=encoder,
        train_images=x,
        test_images=xt,
        eval_transform=lambda batch: batch / 255,
        train_transform=lambda batch, index, epoch: batch / 255,
        train_dataset=lambda: train,
        test_dataset=lambda: test,
    )


@pytest.fixture
def folder(tmp_path):
    for i in range(12):
        write_image(tmp_path, f"{i}", stripes(i), palette=i % 2 == 1)
    return tmp_path


def bank(folder, **settings):
    return bank_of(folder, range(8), range(8, 12), **settings)


def evaluate(b, folder, **settings):
    settings = {"masks": folder / "masks", "steps": 60, "learning_rate": 0.1, **settings}
    return ssl_host.build("evaluator", "segmentation", **settings).evaluate(b)


def test_perfect_tokens_have_a_mean_iou_of_one(folder):
    found = evaluate(bank(folder), folder).metrics
    assert found == {
        "linear.miou": 1,
        "linear.accuracy": 1,
        "knn.miou": 1,
        "knn.accuracy": 1,
    }


def test_collapsed_tokens_predict_the_most_frequent_class(tmp_path):
    mask = torch.zeros(SIZE, SIZE, dtype=torch.int64)
    mask[:PATCH] = 1
    for i in range(6):
        write_image(tmp_path, f"{i}", mask)
    b = bank_of(tmp_path, range(4), range(4, 6), encoder=lambda: PatchMeans(constant=True))
    found = evaluate(b, tmp_path, k=1000).metrics
    for name in ("linear", "knn"):
        assert found[f"{name}.accuracy"] == 0.75
        assert found[f"{name}.miou"] == pytest.approx(0.75 / 2, abs=1e-6)


def test_random_tokens_have_the_mean_iou_of_guessing(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for i in range(40):
        small = torch.randint(0, 2, (4, 4), generator=generator)
        noise = torch.randint(0, 256, (SIZE, SIZE), generator=generator)
        write_image(tmp_path, f"{i}", small.repeat_interleave(4, 0).repeat_interleave(4, 1), noise)
    found = evaluate(bank_of(tmp_path, range(20), range(20, 40)), tmp_path).metrics
    for name in ("linear", "knn"):
        assert found[f"{name}.accuracy"] == pytest.approx(1 / 2, abs=0.06)
        assert found[f"{name}.miou"] == pytest.approx(1 / 3, abs=0.06)


def noisy(tmp_path, count=10):
    """Write images whose shades only partly show the class; some pixels are ignored."""
    generator = torch.Generator().manual_seed(1)
    for i in range(count):
        mask = torch.randint(0, 3, (4, 4), generator=generator).repeat_interleave(4, 0)
        mask = mask.repeat_interleave(4, 1)
        shades = SHADES[mask] + torch.randint(-90, 90, mask.shape, generator=generator)
        mask[i % 4 : i % 4 + 2, :9] = 255
        write_image(tmp_path, f"{i}", mask, shades.clamp(0, 255))
    return bank_of(tmp_path, range(6), range(6, count))


def tokens_of(images):
    return PatchMeans().tokens(images / 255).patches


def reference_scores(scores, masks):
    """Return accuracy and mean IoU by scikit-learn for scores of patches."""
    size = (SIZE, SIZE)
    predicted = functional.interpolate(scores, size, mode="bilinear").argmax(dim=1)
    kept = masks != 255
    y, p = masks[kept].numpy(), predicted[kept].numpy()
    return accuracy_score(y, p), jaccard_score(y, p, average="macro")


def test_knn_equals_a_plain_loop_and_scikit_learn(tmp_path):
    b = noisy(tmp_path)
    found = evaluate(b, tmp_path, k=5, temperature=0.1, steps=1).metrics
    masks = read_masks(b.train_dataset(), range(6), tmp_path / "masks", SIZE, 255)
    keys, values = [], []
    for image, mask in zip(b.train_images, masks, strict=True):
        tokens = tokens_of(image[None])[0]
        for n, token in enumerate(tokens):
            top, left = PATCH * (n // 4), PATCH * (n % 4)
            pixels = mask[top : top + PATCH, left : left + PATCH].flatten().long()
            pixels = pixels[pixels != 255]
            if len(pixels):
                keys.append((token / token.norm()).double().numpy())
                values.append(np.bincount(pixels, minlength=3) / len(pixels))
    keys, values = np.array(keys), np.array(values)
    scores = torch.zeros(4, 3, 4, 4, dtype=torch.float64)
    for i, image in enumerate(b.test_images):
        for n, token in enumerate(tokens_of(image[None])[0]):
            similarity = keys @ (token / token.norm()).double().numpy()
            nearest = np.argsort(-similarity)[:5]
            weights = np.exp(similarity[nearest] / 0.1)
            average = (weights[:, None] * values[nearest]).sum(0) / weights.sum()
            scores[i, :, n // 4, n % 4] = torch.from_numpy(average)
    nearest = NearestPatches(
        NetworkOutputs(torch.arange(6), lambda rows: tokens_of(b.train_images[rows])),
        masks, 3, ignore_index=255, max_patches=10**6, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    assert (nearest.scores(tokens_of(b.test_images), 5, 0.1) - scores).abs().max() < 1e-5
    truth = read_masks(b.test_dataset(), range(4), tmp_path / "masks", SIZE, 255).long()
    accuracy, miou = reference_scores(scores, truth)
    assert 0.3 < miou < 0.99
    assert found["knn.miou"] == pytest.approx(miou, abs=1e-6)
    assert found["knn.accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_linear_equals_a_plain_loop_and_scikit_learn(tmp_path):
    b = noisy(tmp_path)
    found = evaluate(b, tmp_path, steps=7, batch_size=4, learning_rate=0.03).metrics
    masks = read_masks(b.train_dataset(), range(6), tmp_path / "masks", SIZE, 255).long()
    torch.manual_seed(b.seed)
    norm, layer = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
    nn.init.normal_(layer.weight, std=0.01)
    parameters = [*norm.parameters(), *layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.03, weight_decay=1e-4)
    order, step = torch.Generator().manual_seed(b.seed), 0
    for _ in range(4):
        for rows in torch.randperm(6, generator=order).split(4):
            optimizer.param_groups[0]["lr"] = 0.03 * (1 + math.cos(math.pi * step / 8)) / 2
            grid = tokens_of(b.train_images[rows]).transpose(1, 2).unflatten(2, (4, 4))
            logits = functional.interpolate(layer(norm(grid)), (SIZE, SIZE), mode="bilinear")
            loss = functional.cross_entropy(logits, masks[rows], ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    torch.manual_seed(b.seed)
    model = LinearPatches(3, 3)
    train_linear(
        model, torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=1e-4),
        NetworkOutputs(torch.arange(6), lambda rows: tokens_of(b.train_images[rows])),
        masks, ignore_index=255, epochs=4, batch_size=4, seed=b.seed,
    )  # fmt: skip
    assert (model.head.weight - layer.weight).abs().max() < 1e-6
    norm.eval()
    with torch.no_grad():
        scores = layer(norm(tokens_of(b.test_images).transpose(1, 2).unflatten(2, (4, 4))))
    truth = read_masks(b.test_dataset(), range(4), tmp_path / "masks", SIZE, 255).long()
    accuracy, miou = reference_scores(scores, truth)
    assert found["linear.miou"] == pytest.approx(miou, abs=1e-6)
    assert found["linear.accuracy"] == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(40, 60), (61, 33), (50, 50), (37, 300), (7, 9)])
def test_masks_lie_on_the_pixels_of_stored_images(tmp_path, fit, shape):
    """Beyond the midpoint of two shades, the class of the nearest pixel follows from the shade."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    for i, line in enumerate((rows - shape[0] // 3, columns - shape[1] * 12 // 25)):
        mask = (line >= 0).long()
        write_image(tmp_path, f"{i}", mask, torch.tensor([100, 240])[mask])
    root = tmp_path / "images"
    dataset = FileImages([root / "0.png", root / "1.png"], root=root)
    dataset.fit = fit
    masks = read_masks(dataset, [0, 1], tmp_path / "masks", 24, 255)
    for i in range(2):
        stored = resize_to_square(dataset.read(i), 24, fit)[0].long()
        expected = (stored > 170).long()
        expected[stored < 40] = 255
        is_clear = (stored - 170).abs() > 6
        assert torch.equal(masks[i].long()[is_clear], expected[is_clear])
        assert is_clear.float().mean() > 0.9
        assert set(masks[i].unique().tolist()) >= {0, 1}
    assert (masks == 255).any() == (fit == "pad" and shape[0] != shape[1])


def test_fractions_leave_out_ignored_pixels():
    mask = torch.tensor([[0, 1, 255, 255], [1, 1, 255, 255], [2, 2, 0, 0], [2, 255, 0, 0]])
    fractions = class_fractions(mask.to(torch.uint8), 2, 3, 255)
    expected = torch.tensor([[0.25, 0.75, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    assert (fractions - expected).abs().max() < 1e-6


@pytest.mark.parametrize(("size", "grid"), [(13, 4), (224, 7), (3, 5), (16, 16)])
def test_each_pixel_counts_in_the_one_patch_with_its_centre(size, grid):
    mask = torch.randint(0, 5, (size, size), generator=torch.Generator().manual_seed(2))
    counts = np.zeros((grid * grid, 5))
    for row in range(size):
        for column in range(size):
            top, left = (math.floor((n + 0.5) * grid / size) for n in (row, column))
            counts[top * grid + left, mask[row, column]] += 1
    found = class_fractions(mask.to(torch.uint8), grid, 5, 255)
    expected = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    assert np.abs(found.numpy() - expected).max() < 1e-6


def test_loss_of_many_classes_uses_reduced_masks():
    masks = torch.randint(0, 150, (3, 64, 64), generator=torch.Generator().manual_seed(2))
    masks = masks.to(torch.uint8)
    reduced = reduce_masks(masks, 4)
    assert torch.equal(reduced, masks[:, 2::4, 2::4])
    assert torch.equal(reduce_masks(masks, 16), masks)
    assert torch.equal(reduce_masks(masks, 37), masks)


class Map(PatchMeans):
    """Network with a given number of patches per image."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def tokens(self, images):
        patches = images.flatten(1)[:, : 3 * self.count].unflatten(1, (self.count, 3))
        return Tokens(patches[:, :0], patches, patches.mean(dim=1))


@pytest.mark.parametrize(("count", "expected"), [(1, "1 patch per image; use larger"), (6, "6 p")])
def test_networks_without_a_map_of_patches_are_skipped(folder, count, expected):
    found = evaluate(bank(folder, encoder=lambda: Map(count)), folder)
    assert not found.metrics
    assert f"segmentation was skipped, because the network has {expected}" in found.notes[0]


def test_last_batch_of_one_image_is_trained_on(folder):
    found = evaluate(bank(folder, encoder=lambda: Map(4)), folder, batch_size=7, steps=2)
    assert 0 <= found.metrics["linear.miou"] <= 1


def test_ignored_class_inside_the_range_does_not_count(folder):
    counted = evaluate(bank(folder), folder, ignore_index=0).metrics
    assert counted["linear.miou"] == counted["knn.miou"] == 1


def test_stored_patches_and_images_are_limited(folder):
    found = evaluate(bank(folder), folder, max_images=3, max_patches=7)
    assert "3 of 8 training images" in found.notes[0]
    assert "3 of 4 held-out images" in found.notes[1]
    tokens = NetworkOutputs(torch.arange(8), lambda rows: torch.ones(len(rows), 16, 3))
    masks = torch.zeros(8, SIZE, SIZE, dtype=torch.uint8)
    stored = NearestPatches(
        tokens, masks, 2, ignore_index=255, max_patches=7, seed=0, device=torch.device("cpu")
    )
    assert len(stored.keys) == 7


@pytest.mark.parametrize("backbone", ["small_conv", "timm"])
def test_backbones_with_patches_are_measured(folder, backbone):
    small = {"model": "vit_tiny_patch16_224", "patch_size": 4, "depth": 2, "embed_dim": 24,
             "num_heads": 2} if backbone == "timm" else {"width": 8}  # fmt: skip
    network = ssl_host.build("backbone", backbone, in_channels=3, image_size=32, **small)
    found = evaluate(bank(folder, encoder=lambda: network, size=32), folder, steps=3).metrics
    assert set(found) == {f"{a}.{b}" for a in ("linear", "knn") for b in ("miou", "accuracy")}
    assert all(0 <= value <= 1 for value in found.values())


def test_classes_of_test_masks_do_not_change_the_classifiers(folder):
    other = folder / "other"
    other.mkdir()
    for i in range(8, 12):
        Image.fromarray(stripes(i + 1).numpy().astype(np.uint8)).save(other / f"{i}.png")
    found = evaluate(bank(folder), folder, test_masks=other).metrics
    assert found["knn.accuracy"] == found["linear.accuracy"] == 0


def test_held_out_training_images_have_their_masks_in_the_training_folder(folder):
    other = folder / "other"
    other.mkdir()
    for i in range(8, 12):
        Image.fromarray(stripes(i + 1).numpy().astype(np.uint8)).save(other / f"{i}.png")
    found = evaluate(replace(bank(folder), test_is_from_train=True), folder, test_masks=other)
    assert found.metrics["linear.miou"] == found.metrics["knn.miou"] == 1


def run_sections(folder, tmp_path, **sections):
    """Return the configuration of a short run on the images of a folder, with their masks."""
    return {
        "run": {"name": "seg", "dir": tmp_path, "epochs": 2, "batch_size": 8},
        "method": {"name": "simclr"},
        "data": {"name": "imagefolder", "root": folder / "images", "image_size": 32},
        "backbone": {"name": "small_conv", "width": 8},
        "loader": {"cache_dir": tmp_path / "cache"},
        "trainer": {"accelerator": "cpu"},
        "evaluator.segmentation": {"masks": folder / "masks", "steps": 3},
        **sections,
    }


def test_a_run_that_is_evaluated_during_training_uses_the_masks_of_each_split(tmp_path):
    """Both splits have images with the same names, so only the folder tells their masks apart."""
    for split, count in (("train", 16), ("val", 8)):
        (tmp_path / split).mkdir()
        for i in range(count):
            write_image(
                tmp_path / split, f"{i}", stripes(i) if split == "train" else stripes(i) * 0
            )
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / split / "images").rename(tmp_path / "photos" / split)
    sections = run_sections(tmp_path, tmp_path)
    sections["data"]["root"] = tmp_path / "photos"
    sections["evaluate"] = {"every_epochs": 1, "evaluators": ["segmentation"]}
    sections["evaluator.segmentation"] = {
        "masks": tmp_path / "train" / "masks",
        "test_masks": tmp_path / "val" / "masks",
        "steps": 3,
        "k": 1000,
    }
    results = ssl_host.run(sections)
    with (tmp_path / "seg" / "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("segmentation.knn.accuracy")]
    assert len(rows) == 2
    assert all(0.2 < float(row["segmentation.knn.accuracy"]) < 0.7 for row in rows)
    assert "segmentation.knn.miou" in results["metrics"]
    assert results["figures"]["segmentation.knn.miou"]["needs_labels"] is True


def message_of(error, *parts):
    for part in parts:
        assert part in str(error.value)


def test_missing_masks_are_named_and_counted(folder):
    for i in (1, 3, 5, 7):
        (folder / "masks" / f"{i}.png").unlink()
    with pytest.raises(UserError) as error:
        evaluate(bank(folder), folder)
    message_of(error, "4 of 8 images", "1.png, 3.png, 5.png, …", str(folder / "masks" / "1.png"))
    (folder / "masks" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"expected .*1\.png; there is 1\.jpg, but"):
        evaluate(bank(folder), folder)


def test_missing_folder_is_refused_when_built(tmp_path):
    with pytest.raises(UserError, match=r"test_masks = .*none: no such folder"):
        evaluate(None, tmp_path, masks=tmp_path, test_masks=tmp_path / "none")


def test_masks_with_colours_or_another_size_or_damage_are_refused(folder):
    file = folder / "masks" / "2.png"
    Image.new("RGB", (SIZE, SIZE)).save(file)
    with pytest.raises(UserError) as error:
        evaluate(bank(folder), folder)
    message_of(error, str(file), "8-bit class indices", "RGB")
    Image.new("L", (SIZE, SIZE + 1)).save(file)
    with pytest.raises(UserError) as error:
        evaluate(bank(folder), folder)
    message_of(error, str(file), f"{SIZE} × {SIZE + 1}", f"{SIZE} × {SIZE}")
    file.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(bank(folder), folder)


def dataset_of(folder, *names):
    (folder / "masks").mkdir(exist_ok=True)
    for name in names:
        file = folder / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE)).save(file)
        halves = Image.fromarray((np.indices((SIZE, SIZE))[1] // (SIZE // 2)).astype(np.uint8))
        halves.save(folder / "masks" / f"{file.stem}.png")
    return [folder / "images" / name for name in names]


@pytest.mark.parametrize(
    ("names", "has_root"), [(("a/1.jpg", "b/1.jpg"), False), (("x.jpg", "x.png"), True)]
)
def test_two_images_with_the_same_mask_are_refused(tmp_path, names, has_root):
    files = dataset_of(tmp_path, *names)
    dataset = FileImages(files, root=tmp_path / "images" if has_root else None)
    with pytest.raises(UserError) as error:
        read_masks(dataset, [0, 1], tmp_path / "masks", SIZE, 255)
    message_of(error, *(dataset.name(i) for i in range(2)), "the same mask")
    again = FileImages([files[0], files[0]])
    assert len(read_masks(again, [0, 1], tmp_path / "masks", SIZE, 255)) == 2


def test_masks_shared_by_both_splits_are_refused(tmp_path):
    files = dataset_of(tmp_path, "train/1.png", "val/1.png")
    train, test = (FileImages([file], root=file.parent) for file in files)
    segmentation = ssl_host.build("evaluator", "segmentation", masks=tmp_path / "masks")
    with pytest.raises(UserError, match="set test_masks"):
        segmentation.check(train, test)
    segmentation.check(train, train)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, 2 * SIZE)])
def test_images_that_their_exif_data_rotates_are_refused(tmp_path, shape):
    (tmp_path / "masks").mkdir()
    image = Image.new("RGB", shape)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "1.jpg", exif=exif)
    Image.new("L", shape).save(tmp_path / "masks" / "1.png")
    with pytest.raises(UserError, match=r"1\.jpg .*orientation 6"):
        read_masks(FileImages([tmp_path / "1.jpg"]), [0], tmp_path / "masks", SIZE, 255)


def test_masks_are_read_once_for_all_banks_and_images_are_not_decoded(folder, monkeypatch):
    b = bank(folder)
    for dataset in (b.train_dataset(), b.test_dataset()):
        monkeypatch.setattr(dataset, "read", None)
    segmentation = ssl_host.build("evaluator", "segmentation", masks=folder / "masks", steps=3)
    first = segmentation.evaluate(b)
    (folder / "masks").rename(folder / "elsewhere")
    assert segmentation.evaluate(b) == first
    shown = {"train_dataset": b.test_dataset, "train_images": b.test_images}
    with pytest.raises(UserError, match="4 of 4 images have no mask"):
        segmentation.evaluate(replace(b, **shown))


def test_image_that_became_unreadable_is_an_error_of_the_user(folder):
    b = bank(folder)
    (folder / "images" / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3\.png .*empty"):
        evaluate(b, folder)


def test_missing_and_invalid_masks_are_found_before_the_first_step(folder, tmp_path):
    """The message names the section of the configuration and the line."""
    photos, masks = tmp_path / "photos", folder / "masks"
    photos.mkdir()
    (folder / "images").rename(photos / "train")
    sections = run_sections(folder, tmp_path)
    sections["data"]["root"] = photos
    del sections["evaluator.segmentation"]
    sections["evaluator.voc"] = {"name": "segmentation", "masks": masks}
    (photos / "val").mkdir()
    (photos / "train" / "11.png").rename(photos / "val" / "11.png")
    Image.new("L", (SIZE, SIZE + 1)).save(masks / "0.png")
    with pytest.raises(UserError) as error:
        ssl_host.run(sections)
    message_of(error, "[evaluator.voc]", "0.png", f"{SIZE} × {SIZE + 1}")
    (masks / "5.png").unlink()
    with pytest.raises(UserError) as error:
        ssl_host.run(sections)
    message_of(error, "[evaluator.voc]", "1 of 11 images have no mask", "5.png")
    assert not (tmp_path / "seg" / "metrics.csv").exists()
    sections["evaluator.voc"]["masks"] = tmp_path / "none"
    with pytest.raises(UserError, match=r"masks = .*none: no such folder"):
        ssl_host.run(sections)


def test_class_out_of_range_and_masks_without_classes_are_refused(folder):
    with pytest.raises(UserError, match=r"class 2, but num_classes = 2 allows 0 to 1"):
        evaluate(bank(folder), folder, num_classes=2)
    with pytest.raises(UserError, match="all pixels of the masks are 255"):
        count_classes([torch.full((1, 2, 2), 255, dtype=torch.uint8)], None, 255)


@pytest.mark.parametrize("values", [(0, 255), (0,)])
def test_masks_of_one_class_are_refused_before_the_first_step(tmp_path, values):
    """Masks of 0 and 255 are common, and 255 is ignored: every network would have 100 %."""
    files = dataset_of(tmp_path, "1.png", "2.png")
    for file in files:
        mask = torch.tensor(values, dtype=torch.uint8).repeat(SIZE, SIZE // len(values))
        Image.fromarray(mask.numpy()).save(tmp_path / "masks" / file.name)
    segmentation = ssl_host.build("evaluator", "segmentation", masks=tmp_path / "masks")
    with pytest.raises(UserError) as error:
        segmentation.check(FileImages(files, root=files[0].parent), None)
    message_of(error, "two classes", " and ".join(map(str, values)))
    assert ("255 is ignore_index" in str(error.value)) == (255 in values)


def test_size_and_mode_of_masks_are_checked_before_the_first_step(tmp_path):
    files = dataset_of(tmp_path, *(f"{i}.png" for i in range(5)))
    segmentation = ssl_host.build("evaluator", "segmentation", masks=tmp_path / "masks")
    images = FileImages(files, root=files[0].parent)
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "masks" / "3.png")
    with pytest.raises(UserError, match=r"3\.png: .*mode RGB"):
        segmentation.check(images, None)
    Image.new("L", (SIZE, 2 * SIZE)).save(tmp_path / "masks" / "3.png")
    with pytest.raises(UserError, match=r"3\.png: the mask has 16 × 32 pixels"):
        segmentation.check(images, None)


def test_class_indices_that_do_not_occur_are_noted(folder):
    for file in (folder / "masks").iterdir():
        values = np.array(Image.open(file)) * 100
        Image.fromarray(values.astype(np.uint8)).save(file)
    found = evaluate(bank(folder), folder)
    (note,) = found.notes
    assert "no mask has the 198 classes 1, 2, 3, …, although there are classes up to 200" in note


def test_ignored_index_below_the_classes_is_no_gap(folder):
    for file in (folder / "masks").iterdir():
        values = np.array(Image.open(file)) + 1
        Image.fromarray(values.astype(np.uint8)).save(file)
    assert evaluate(bank(folder), folder, ignore_index=0).notes == ()


def test_images_without_files_are_refused_and_without_tokens_skipped(folder):
    b = bank(folder)
    array = ArrayImages(b.train_images)
    with pytest.raises(UserError, match="have no file names"):
        evaluate(replace(b, train_dataset=lambda: array), folder)

    class NoTokens(PatchMeans):
        def tokens(self, images):
            raise UserError("NoTokens has no tokens")

    found = evaluate(bank(folder, encoder=NoTokens), folder)
    assert not found.metrics
    assert "NoTokens has no tokens" in found.notes[0]
    assert "cannot be read" in evaluate(replace(b, train_images=None), folder).notes[0]


def test_images_in_a_shard_and_with_dots_have_masks_by_key(tmp_path):
    class Shard(ArrayImages):
        def path(self, i):
            return tmp_path / "train-0.tar"

        def name(self, i):
            return ["sub/train-0.tar:cat/01", "sub/train-0.tar:v1.2"][i]

    (tmp_path / "cat").mkdir()
    for name in ("cat/01", "v1.2"):
        Image.new("L", (4, 4), 1).save(tmp_path / f"{name}.png")
    shard = Shard(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert read_masks(shard, [0, 1], tmp_path, 2, 255).tolist() == [[[1, 1], [1, 1]]] * 2
