"""Tests of record sources and file patterns: labels, splits, braces."""

from dataclasses import replace

import pytest
import torch

from ssl_host import ArrayImages, DataError, Records, RecordSource
from ssl_host.toolkit.file_patterns import expand_braces


class TableSource(RecordSource):
    """Data source with the records of a test."""

    train: Records
    test: Records | None = None

    def records(self, held_out):
        return self.test if held_out else self.train


def source(labels, test=None, classes=None, **settings):
    table = TableSource(TableSource.Config(**settings))
    table.train = records(labels, classes)
    table.test = None if test is None else records(test, classes)
    return table


def records(labels, classes=None):
    images = ArrayImages(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8))
    return Records(images, labels, classes, "table")


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 9, -1], ("9", "10"), [1, 0, -1]),
        (["cat", "dog", "-1", "nan", "", None], ("cat", "dog"), [0, 1, -1, -1, -1, -1]),
        ([1.0, 0.0, float("nan"), 1.0], ("0", "1"), [1, 0, -1, 1]),
        (["1.0", " 0", "NaN", "<NA>", "-1.0"], ("0", "1"), [1, 0, -1, -1, -1]),
        (["crane, bird", "crane, machine"], ("crane, bird", "crane, machine"), [0, 1]),
        ([7, 3, 12, 3], ("3", "7", "12"), [1, 0, 2, 0]),
        (["10", "9", "010"], ("9", "010", "10"), [2, 0, 1]),
        (["10", "9", "x"], ("10", "9", "x"), [0, 1, 2]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
    ],
)
def test_labels_of_any_type_become_class_indices(labels, classes, numbers):
    images = source(labels).open("train")
    assert images.classes == classes
    assert images.labels.tolist() == numbers


def test_defined_classes_keep_their_order():
    images = source(["z", "a"], classes=["z", "m", "a"]).open("train")
    assert images.classes == ("z", "m", "a")
    assert images.labels.tolist() == [0, 2]


@pytest.mark.parametrize("labels", [[None, None], ["", None], None])
def test_images_without_any_label_are_unlabelled(labels):
    table = source(["a", "b"])
    table.train = Records(records(["a", "b"]).images, labels)
    images = table.open("train")
    assert (images.labels, images.classes) == (None, ())


def test_probe_split_of_unlabelled_images_is_none():
    table = source([None, None])
    assert table.open("train").labels is None
    assert table.open("probe") is None
    labelled = source(["a", "b"])
    labelled.open("train")
    assert labelled.open("probe").labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        ([i / 40 for i in range(40)], ["numbers", "40 images", "0.025", "labelled = true"]),
        ([f"0,{i}" for i in range(1, 40)], ["numbers", "0,1"]),
        ([20 + (i * 7) % 60 for i in range(40)], ["numbers", "labelled = false"]),
        ([18 + i % 60 for i in range(600)], ["numbers", "60 different values"]),
        (list(range(40)), ["numbers"]),
        ([-2, -1, 0, 1, 2], ["numbers"]),
        ([*(i / 9 for i in range(30)), "unknown"], ["numbers"]),
        (["cat", "dog", "cat|dog"], ["'cat|dog' combines several classes"]),
        (["cat|dog", "dog|bird", "bird"], ["combines", "labelled = true"]),
        (["cat", "dog", "cat, dog"], ["combines"]),
        (["['cat']", "['dog']", "['cat', 'dog']", "cat", "dog"], ["combines"]),
        ([f"caption {i}" for i in range(40)], ["each of 40 images", "caption 0"]),
        ([1, -1, 1], ["labels are -1 and 1", "write 0 and 1"]),
        (["+1", "-1", "1.0"], ["labels are -1 and 1", "write 0 and 1"]),
        ([20 + i % 15 for i in range(60)], ["numbers", "15 different values such as 20"]),
        ([1990 + i % 18 for i in range(60)], ["numbers", "1990"]),
        ([f"{i % 20 * 5}%" for i in range(40)], ["quantities", "20 different values"]),
        ([f"{60 + i % 20} kg" for i in range(40)], ["quantities", "60 kg"]),
        ([f"2024-01-{1 + i % 20:02}" for i in range(40)], ["dates", "2024-01-01"]),
        (["1 0 0", "0 1 0", "1 1 0"], ["'1 0 0'", "one-hot"]),
        (["1 0 0", "0 1 0"], ["one-hot", "name or the index of the class"]),
        (["1,0,0", "0,1,0"], ["one-hot"]),
        (["[1, 0, 0]", "[0, 1, 0]"], ["one-hot"]),
        (["[1. 0.]", "[0. 1.]"], ["one-hot"]),
        ([f"12:{i % 20 + 10}" for i in range(40)], ["dates"]),
    ],
)
def test_labels_that_are_no_classes_are_rejected_with_advice(labels, parts):
    with pytest.raises(DataError) as caught:
        source(labels).open("train")
    for part in ("table", *parts):
        assert part in str(caught.value)
    assert source(labels, labelled=False).open("train").labels is None


@pytest.mark.parametrize(
    "labels", [[0.5, 1.5, 0.5], list(range(3, 60)), ["a|b", "a", "b"], [-3, -2, 2]]
)
def test_labelled_true_accepts_each_value_as_a_class(labels):
    images = source(labels, labelled=True).open("train")
    assert len(images.classes) == len(set(labels))
    assert int(images.labels.min()) == 0


def test_labelled_true_refuses_minus_one_among_negative_classes():
    with pytest.raises(DataError, match=r"-1 and -2, 2, .*stands for an image without a label"):
        source([-2, -1, 2], labelled=True).open("train")


@pytest.mark.parametrize("count", [100, 101])
def test_class_indices_without_gaps_are_classes_with_a_note(count):
    table = source([i % count + (count == 101) for i in range(300)])
    images = table.open("train")
    assert len(images.classes) == count
    (note,) = table.notes
    assert f"table: {count} whole numbers from" in note
    assert "labelled = false" in note


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ([1995, 1996, 1995], "2 whole numbers from 1995 to 1996"),
        ([3, 12, 7, 3], "3 whole numbers from 3 to 12"),
        (["5%", "10%", "5%"], "2 labels such as 5%, 10%"),
        (["4x", "10x", "40x"], "3 labels such as 4x"),
        ([f"{i % 12}0-{i % 12}9" for i in range(40)], "12 labels such as 00-09"),
        ([f"7{i % 12}7-200" for i in range(40)], "12 labels such as 707-200"),
        ([f"{i % 12 + 1}0kmh" for i in range(40)], "12 labels such as 10kmh"),
        (["front", "left", "front-left"], "'front-left' is treated as a separate class"),
        (["blue", "green", "blue_green"], "'blue_green'"),
        (["wet", "snow", "wet snow"], "'wet snow'"),
        (["yes", "no", "yes/no"], "'yes/no'"),
    ],
)
def test_few_numbers_that_may_be_quantities_are_classes_with_a_note(labels, part):
    table = source(labels)
    assert len(table.open("train").classes) == len(set(labels))
    (note,) = table.notes
    assert part in note


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2, 1],
        [1, 2, 3, 3],
        ["golden retriever", "golden eagle", "bald eagle"],
        ["small cat", "large cat", "small dog", "large dog"],
        ["c0", "c1", "c2"],
        [5, 5],
    ],
)
def test_usual_classes_have_no_note(labels):
    table = source(labels)
    assert len(table.open("train").classes) == len(set(labels))
    assert table.notes == ()


def test_numbers_with_the_name_of_a_quantity_are_no_classes():
    table = source([i % 91 for i in range(400)])
    table.train = replace(table.train, label_name="Age")
    with pytest.raises(DataError, match=r"look like numbers.*labelled = true"):
        table.open("train")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("age_group", [0, 1, 2, 3]),
        ("weight_class", [0, 1, 1]),
        ("Price Level", [1, 2, 3]),
        ("cls", [i % 100 for i in range(300)]),
        ("Label", [i % 100 for i in range(300)]),
    ],
)
def test_class_indices_with_the_name_of_classes_have_no_note(name, labels):
    table = source(labels)
    table.train = replace(table.train, label_name=name)
    assert len(table.open("train").classes) == len(set(labels))
    assert table.notes == ()


@pytest.mark.parametrize("name", ["day", "quality_score", "train/time"])
def test_numbers_that_are_refused_for_the_name_of_their_column_name_it(name):
    table = source([0, 1, 2])
    table.train = replace(table.train, label_name=name)
    with pytest.raises(DataError, match=f"column '{name}' is named like a quantity"):
        table.open("train")


@pytest.mark.parametrize(
    "word", ["", "NaN", "None", "null", "NA", "N/A", "-1", "-1.0", "Unlabeled", "unlabelled"]
)
def test_words_for_a_missing_label_mean_that_there_is_none(word):
    assert source(["cat", "dog", word]).open("train").labels.tolist() == [0, 1, -1]
    assert source(["cat", "dog"], [word, "dog"]).open("test").labels.tolist() == [-1, 1]
    defined = source(["cat", word], classes=["cat", word]).open("train")
    assert defined.labels.tolist() == [0, 1]


@pytest.mark.parametrize("word", ["none", "Na", "null", "N/A"])
def test_words_for_a_missing_label_are_noted_and_are_classes_if_labelled_is_true(word):
    labels = ["cat", "dog", word, word]
    table = source(labels)
    table.open("train")
    (note,) = table.notes
    assert f"label '{word}' (2 images) is treated as a missing label" in note
    assert "labelled = true" in note
    table = source([*labels, "", "nan", "-1"], [word], labelled=True)
    assert word in table.open("train").classes
    assert table.open("train").labels.tolist().count(-1) == 3
    assert table.open("test").labels.tolist() == [table.open("train").classes.index(word)]


def test_partly_labelled_test_split_keeps_its_labels():
    table = source(["a", "b", ""], ["b", "-1"])
    assert table.open("test").labels.tolist() == [1, -1]


def test_test_split_uses_the_training_classes():
    table = source(["a", "b", "c"], ["c", "a"])
    test = table.open("test")
    assert test.labels.tolist() == [2, 0]
    assert test.classes == ("a", "b", "c")
    with pytest.raises(DataError, match="class d of image 1 is not among the training classes"):
        source(["a"], ["a", "d"]).open("test")


def test_unlabelled_test_split_is_none_with_a_note_if_training_images_have_labels():
    table = source(["a", "b"], [None, None])
    assert table.open("test") is None
    assert table.notes == ("table: the 2 held-out images have no labels, so they are not used",)


def test_labels_of_the_test_split_are_not_used_if_training_images_have_none():
    table = source([None], ["a"])
    assert table.open("test").labels is None
    (note,) = table.notes
    assert "labels are not used, because the training images have none" in note


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["a.x", "b.x"], ["a.x", "b.x"], []),
        (["train-0.x", "train-1.x", "val-0.x"], ["train-0.x", "train-1.x"], ["val-0.x"]),
        (["train.x", "test.x", "extra.x"], ["train.x"], ["test.x"]),
        (["train.x", "test.x", "validation.x"], ["train.x"], ["validation.x"]),
        (["a/train/1.x", "a/dev/1.x"], ["a/train/1.x"], ["a/dev/1.x"]),
        (["train/test-1.x", "train/1.x"], ["train/1.x"], ["train/test-1.x"]),
        (["trainer.x", "latest.x"], ["latest.x", "trainer.x"], []),
        (["imagenet-train-0.x", "imagenet-val-0.x"], ["imagenet-train-0.x"], ["imagenet-val-0.x"]),
        (["cc3m_Validation.0.x", "cc3m.0.x"], ["cc3m.0.x"], ["cc3m_Validation.0.x"]),
        (["in_train/0.x", "in_testset/0.x"], ["in_train/0.x"], ["in_testset/0.x"]),
        (["train2017-0.x", "val2017-0.x"], ["train2017-0.x"], ["val2017-0.x"]),
        (["train-00000-of-00001-ab.x"], ["train-00000-of-00001-ab.x"], []),
    ],
)
def test_split_files_by_names(names, train, test, tmp_path):
    split = RecordSource.split_files([tmp_path / name for name in names], tmp_path)
    assert split == ([tmp_path / n for n in train], [tmp_path / n for n in test])


def test_split_files_with_two_splits_in_a_name_raises_data_error(tmp_path):
    with pytest.raises(DataError, match=r"a-train-val-0\.x contains the splits train, val.*rename"):
        RecordSource.split_files([tmp_path / "a-train-val-0.x", tmp_path / "a-val-1.x"], tmp_path)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a{0..2}", ["a0", "a1", "a2"]),
        ("a{08..10}b", ["a08b", "a09b", "a10b"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("{a..c}", ["a..c"]),
        ("a{", ["a{"]),
    ],
)
def test_braces_expand_as_in_the_shell(pattern, expected):
    assert expand_braces(pattern) == expected


@pytest.mark.parametrize("pattern", ["{0..100000000000}", "{0..999}{0..999}"])
def test_braces_that_expand_to_too_many_names_are_rejected(pattern):
    with pytest.raises(DataError, match="more than 100,000 files"):
        expand_braces(pattern)
