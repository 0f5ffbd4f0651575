"""What sources share: patterns of files, names of splits, labels of any kind."""

import pytest
import torch

from ssl_host import ArrayImages, DataError, Records, RecordSource
from ssl_host.toolkit.file_patterns import expand_braces


class Made(RecordSource):
    """Images with the labels that a test gives."""

    train: Records
    test: Records | None = None

    def records(self, held_out):
        return self.test if held_out else self.train


def source(labels, test=None, classes=None, **settings):
    made = Made(Made.Config(**settings))
    made.train = records(labels, classes)
    made.test = None if test is None else records(test, classes)
    return made


def records(labels, classes=None):
    images = ArrayImages(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8))
    return Records(images, labels, classes, "made")


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 9, -1], ("-1", "9", "10"), [2, 1, 0]),
        (["10", "9", "010"], ("9", "010", "10"), [2, 0, 1]),
        (["10", "9", "x"], ("10", "9", "x"), [0, 1, 2]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
    ],
)
def test_labels_of_any_kind_become_numbers(labels, classes, numbers):
    found = source(labels).open("train")
    assert found.classes == classes
    assert found.labels.tolist() == numbers


def test_known_names_keep_their_order_and_the_unused_ones_theirs():
    found = source(["z", "a"], classes=["z", "m", "a"]).open("train")
    assert found.classes == ("z", "m", "a")
    assert found.labels.tolist() == [0, 2]


@pytest.mark.parametrize("labels", [[None, None], ["", None], None])
def test_no_label_at_all_is_no_labels(labels):
    made = source(["a", "b"])
    made.train = Records(records(["a", "b"]).images, labels)
    found = made.open("train")
    assert (found.labels, found.classes) == (None, ())


def test_what_has_no_labels_is_not_looked_through_again():
    made = source([None, None])
    assert made.open("train").labels is None
    assert made.open("probe") is None
    labelled = source(["a", "b"])
    labelled.open("train")
    assert labelled.open("probe").labels.tolist() == [0, 1]


def test_some_labels_are_refused():
    with pytest.raises(DataError, match="made: 1 of 2 images have no label, the first is image 1"):
        source(["a", None]).open("train")
    assert source(["a", None], labelled=False).open("train").labels is None


def test_the_test_images_have_the_training_images_classes():
    """Seen to fail with the classes of each split on its own."""
    made = source(["a", "b", "c"], ["c", "a"])
    test = made.open("test")
    assert test.labels.tolist() == [2, 0]
    assert test.classes == ("a", "b", "c")
    with pytest.raises(DataError, match="class d of image 1 is not among the training classes"):
        source(["a"], ["a", "d"]).open("test")


def test_test_images_without_labels_leave_the_cut_to_the_host():
    assert source(["a", "b"], [None, None]).open("test") is None
    unlabelled = source([None], ["a"]).open("test")
    assert unlabelled.labels is None


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
    ],
)
def test_splits_by_names(names, train, test, tmp_path):
    found = RecordSource.split_files([tmp_path / name for name in names], tmp_path)
    assert found == ([tmp_path / n for n in train], [tmp_path / n for n in test])


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
def test_braces_are_the_shells(pattern, expected):
    assert expand_braces(pattern) == expected


@pytest.mark.parametrize("pattern", ["{0..100000000000}", "{0..999}{0..999}"])
def test_braces_that_stand_for_too_much(pattern):
    with pytest.raises(DataError, match="stands for more than 100,000 files"):
        expand_braces(pattern)
