"""The description of a data set: sizes, colours, labels, groups, copies, unreadable images."""

import numpy as np
import pytest
from PIL import Image
from ssl_plugin_init.findings import findings
from ssl_plugin_init.name_groups import name_groups


def test_sizes_brightness_and_contrast_are_those_of_the_files(write_image, describe, tmp_path):
    write_image("a.png", 0, width=40, height=32)
    write_image("b.png", 1, width=100, height=20)
    Image.new("RGB", (64, 64), (255, 255, 255)).save(tmp_path / "images" / "white.png")
    data = describe()
    assert (data.num_images, data.num_test, data.num_read) == (3, None, 3)
    assert (data.widths.smallest, data.widths.median, data.widths.largest) == (40, 64, 100)
    assert (data.short_sides.smallest, data.short_sides.largest) == (20, 64)
    assert data.ratios.largest == pytest.approx(5)
    pixels = [np.asarray(Image.open(tmp_path / "images" / f"{name}.png")) for name in "ab"]
    assert data.brightness.smallest == pytest.approx(min(p.mean() for p in pixels), abs=1e-3)
    largest = max(p.std(axis=(0, 1)).max() for p in pixels)
    assert data.contrast.largest == pytest.approx(largest, abs=1e-3)
    assert data.num_flat == 1
    assert data.bits == {8: 3}


def test_gray_images_are_recognised_in_colour_files(write_image, describe, tmp_path):
    for i in range(4):
        write_image(f"{i}.png", i, gray=True)
    noise = np.random.default_rng(9).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(noise).convert("RGB").save(tmp_path / "images" / "colour-file.png")
    assert describe().is_gray
    write_image("coloured.png", 7)
    data = describe()
    assert data.gray_fraction == pytest.approx(5 / 6)
    assert not data.is_gray


def test_transparent_pixels_are_reported(write_image, describe, tmp_path):
    write_image("opaque.png", 0)
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 255))
    picture.save(tmp_path / "images" / "no-hidden-pixels.png")
    picture.putpixel((3, 3), (9, 9, 9, 0))
    picture.save(tmp_path / "images" / "hidden.png")
    data = describe()
    assert data.num_transparent == 1
    assert any("transparent" in text for text in findings(data))


def test_sixteen_bits_are_reported(describe, tmp_path):
    (tmp_path / "images").mkdir()
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60
    Image.fromarray(values).save(tmp_path / "images" / "deep.png")
    data = describe()
    assert data.bits == {16: 1}
    assert any("value_range" in text for text in findings(data))


def test_unreadable_images_are_listed_with_a_reason(write_image, describe, tmp_path):
    write_image("good.png", 0)
    (tmp_path / "images" / "broken.png").write_bytes(b"not an image")
    (tmp_path / "images" / "empty.jpg").write_bytes(b"")
    data = describe()
    assert data.num_unreadable == 2
    assert dict(data.unreadable)["empty.jpg"] == "the file is empty"
    assert "2 of 3" in findings(data)[0]


def test_copies_and_leaked_images_are_found(write_image, describe):
    for split, seeds in {"train": (0, 1, 2, 3), "test": (4, 5)}.items():
        for name in "ab":
            for seed in seeds:
                write_image(f"{split}/{name}/{name}{seed}.png", 10 * seed + ord(name))
    assert describe().num_copies == 0
    write_image("train/a/again.png", ord("a"))
    write_image("test/b/seen.png", 10 + ord("b"))
    data = describe()
    assert (data.num_copies, data.num_leaked) == (2, 1)
    copies = sorted(sorted(name.split("/")[-1] for name in names) for names in data.duplicates)
    assert copies == [["a0.png", "again.png"], ["b1.png", "seen.png"]]
    assert data.has_own_test
    assert any("1 held-out image " in text for text in findings(data))


def test_images_of_equal_pixels_and_other_shape_are_no_copies(describe, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("L", (32, 64), 7).save(tmp_path / "images" / "tall.png")
    Image.new("L", (64, 32), 7).save(tmp_path / "images" / "wide.png")
    assert describe().num_copies == 0


def test_classes_are_counted_with_the_held_out_part(write_image, describe):
    for i in range(20):
        write_image(f"cats/{i}.png", i)
    for i in range(5):
        write_image(f"dogs/{i}.png", 100 + i)
    write_image("loose.png", 200)
    data = describe()
    assert data.classes == {"cats": 20, "dogs": 5}
    assert (data.num_images, data.num_test, data.has_own_test) == (21, 5, False)
    assert data.num_unlabelled == 1
    texts = " ".join(findings(data))
    assert "80 %" in texts
    assert "1 class with fewer than 10 images, such as dogs" in texts


def test_large_data_sets_are_sampled_evenly(write_image, describe):
    for i in range(30):
        write_image(f"{i:02}.png", i)
    data = describe(limit=10)
    assert (data.num_images, data.num_read) == (30, 10)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([f"p{p}_slice{i}.png" for p in range(3) for i in range(4)], {"p0_slice#": 4}),
        ([f"{i:04}.png" for i in range(12)], {}),  # one series
        ([f"{c}/{i}.png" for c in "abc" for i in range(4)], {}),  # one series in each class
        (["cat.png", "dog.png"], {}),
    ],
)
def test_groups_of_names_are_series_that_differ_in_the_last_number(names, groups):
    found = name_groups(names)
    assert len(found) == (3 if groups else 0)
    assert groups.items() <= found.items()
