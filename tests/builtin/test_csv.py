"""Data source csv."""

import json
import os

import pytest
import torch

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.images import COLOURS, is_picture, label_of, write_pictures
from tests.conftest import as_ini, tiny


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV file next to images/ with ten images."""
    write_pictures(tmp_path / "images", range(10))

    def write(text, name="table.csv", encoding="utf-8"):
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


def rows(form="images/{i:02}.png,{label}", header="path,label", seeds=range(10)):
    lines = [form.format(i=i, label=label_of(i), split="val" if i > 6 else "train") for i in seeds]
    return "\n".join([header, *lines]) + "\n"


def build(file, **settings):
    return ssl_host.build("data", "csv", file=file, image_size=16, **settings)


@pytest.fixture
def conforming(table, tmp_path, monkeypatch):
    table(rows("images/{i:02}.png,{label},{split}", "path,label,split"))
    monkeypatch.chdir(tmp_path)


pytestmark = pytest.mark.usefixtures("conforming")
test_conforms = conformance("data", "csv", file="table.csv")


def test_open_returns_images_labels_and_names_in_order(table):
    backwards = rows(seeds=range(9, -1, -1))
    found = build(table(backwards)).open("train")
    assert len(found) == 10
    assert all(is_picture(found.read(9 - i), i) for i in range(10))
    assert found.classes == COLOURS
    assert [found.classes[k] for k in found.labels] == [label_of(i) for i in range(9, -1, -1)]
    assert [found.name(i) for i in range(2)] == ["images/09.png", "images/08.png"]
    assert build(table(backwards)).open("test") is None


def test_carriage_returns_end_lines(table):
    assert len(build(table(rows().replace("\n", "\r"))).open("train")) == 10


def test_columns_delimiter_and_root_can_be_set(table, tmp_path):
    text = rows("{i:02}.png;{i};{label}", "\ufefffile ; number;kind")
    source = build(table(text), root=tmp_path / "images", path_column="file", label_column="number")
    found = source.open("train")
    assert found.classes == tuple(map(str, range(10)))  # by number, not by text
    assert torch.equal(found.labels, torch.arange(10))
    assert is_picture(found.read(3), 3)
    assert found.name(3) == "03.png"


def test_absolute_paths_are_read(table, tmp_path):
    found = build(table(rows(f"{tmp_path}/images/{{i:02}}.png", "path")), root=tmp_path / "x")
    images = found.open("train")
    assert images.labels is None
    assert images.classes == ()
    assert images.name(0) == str(tmp_path / "images/00.png")


def test_split_column_holds_out_rows_with_training_classes(table):
    text = rows("images/{i:02}.png,{label},{split}", "path,label,split").replace("green", "cyan")
    text = text.replace("images/07.png,blue", "images/07.png,red")
    text = text.replace("images/09.png,cyan", "images/09.png,red")
    source = build(table(text))
    test, train = source.open("test"), source.open("train")
    assert (len(train), len(test)) == (7, 3)
    assert train.classes == test.classes == ("blue", "cyan", "red")
    assert test.labels.tolist() == [2, 2, 2]
    assert test.name(0) == "images/07.png"


def test_rows_without_label_are_unlabelled(table):
    labels = ["red", "", "nan", "-1", "NaN", "blue", "-1.0"]
    text = "path,label\n" + "".join(f"images/{i:02}.png,{k}\n" for i, k in enumerate(labels))
    found = build(table(text)).open("train")
    assert found.classes == ("blue", "red")
    assert found.labels.tolist() == [1, -1, -1, -1, -1, 0, -1]


def test_backslashes_in_paths_are_read_as_slashes(table, tmp_path):
    file = table(rows("images\\{i:02}.png,{label}"))
    found = build(file).open("train")
    assert found.name(3) == "images/03.png"
    assert is_picture(found.read(3), 3)
    (tmp_path / "a\\b.png").write_bytes((tmp_path / "images/00.png").read_bytes())
    found = build(table("path\na\\b.png\n")).open("train")
    assert found.name(0) == "a\\b.png"  # a file with this name exists


@pytest.mark.parametrize("path", ["C:\\data\\a.png", "C:/data/a.png", "\\\\server\\share\\a.png"])
def test_windows_path_with_a_drive_raises_data_error(path, table):
    with pytest.raises(DataError, match=r"table\.csv:2: .*Windows.*relative"):
        build(table(f"path\n{path}\n")).open("train")


@pytest.mark.parametrize(
    "form",
    [
        "images/{i:02}",
        "Images/{i:02}.PNG",
        '"images/{i:02}.png "',
        "set\\images\\{i:02}.png",
        "set/images/{i:02}",
        "\\images\\{i:02}.png",
    ],
)
def test_path_that_fits_only_one_file_is_accepted_with_a_note(form, table, tmp_path):
    table(rows())
    (tmp_path / "set").mkdir()
    (tmp_path / "images").rename(tmp_path / "set/images")
    source = build(table(rows(form + ",{label}")), root=tmp_path / "set")
    found = source.open("train")
    assert is_picture(found.read(3), 3)
    assert found.name(3) == "images/03.png"
    (note,) = source.notes
    assert "10 paths do not match files exactly" in note


def test_path_that_fits_several_files_is_not_changed(table, tmp_path):
    for suffix in ("jpg", "PNG"):
        (tmp_path / f"images/00.{suffix}").write_bytes((tmp_path / "images/00.png").read_bytes())
    for name in ("images/00", "images/00.Png"):
        found = build(table(f"path\n{name}\n")).open("train")
        assert found.name(0) == name


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_link_to_a_listed_file_raises_data_error(link, table, tmp_path):
    link(tmp_path / "images/00.png", tmp_path / "images/copy.png")
    with pytest.raises(
        DataError, match=r"table\.csv:12: images/copy\.png is the same file.*line 2"
    ):
        build(table(rows() + "images/copy.png,red\n")).open("train")
    held_out = table("path,label\nimages/copy.png,red\n", "test.csv")
    with pytest.raises(
        DataError, match=r"copy\.png is held out, but it is also among the training"
    ):
        build(table(rows()), test_file=held_out).open("test")


def test_names_of_columns_may_have_another_case(table):
    text = rows("images/{i:02}.png,{label},{split}", "Path,LABEL,Split")
    source = build(table(text))
    assert (len(source.open("train")), len(source.open("test"))) == (7, 3)
    assert source.open("train").classes == COLOURS
    with pytest.raises(DataError, match=r"several columns match 'label' .*: 'Label', 'LABEL'; set"):
        build(table(rows("images/{i:02}.png,{label},x", "path,Label,LABEL"))).open("train")


def test_columns_that_may_contain_labels_or_splits_are_noted(table):
    source = build(table(rows("images/{i:02}.png,{label},{split}", "path,Class,set")))
    assert source.open("train").labels is None
    labels, splits = source.notes
    assert "column 'Class' is not used" in labels
    assert "label_column = Class" in labels
    assert "split_column = set" in splits


def test_column_with_the_name_of_a_quantity_has_no_classes(table):
    text = rows("images/{i:02}.png,{i}", "path,age")
    with pytest.raises(DataError, match="look like numbers"):
        build(table(text), label_column="age").open("train")


def test_test_file_holds_out_its_images(table):
    train = table(rows(seeds=range(7)))
    source = build(train, test_file=table(rows(seeds=range(7, 10)), "test.csv"))
    assert (len(source.open("train")), len(source.open("test"))) == (7, 3)
    with pytest.raises(DataError, match=r"test\.csv:2: .*06\.png .*training image"):
        build(train, test_file=table(rows(seeds=range(6, 10)), "test.csv")).open("test")


def test_labelled_setting_ignores_or_requires_labels(table):
    assert build(table(rows()), labelled=False).open("train").labels is None
    with pytest.raises(DataError, match=r"labelled = true.* no labels in .*table\.csv"):
        build(table(rows("images/{i:02}.png", "path")), labelled=True).open("train")


BAD = {
    "no_path_column": (
        "file,label\na.png,x\n",
        r"1: has no column 'path'; the columns are 'file', 'label'",
    ),
    "no_label_column": (
        "path\na.png\n",
        r"1: has no column 'kind'; the columns are 'path'; set \[data",
    ),
    "leads_out": ("path,kind\na.png,x\n../b.png,x\n", r"3: path '\.\./b\.png' leads out of"),
    "leads_out_in_the_middle": ("path,kind\na/../../b.png,x\n", "2: path 'a/../../b.png' leads"),
    "twice": ("path,kind\na.png,x\n./a.png,y\n", r"3: \./a\.png is already listed on line 2"),
    "no_path": ("path,kind\n,x\n", "2: has no path"),
    "fields": ("path,kind\na.png,x,y\n", "2: has 3 fields, .*header has 2"),
    "unclosed": ('path,kind\na.png,x\nb.png,"y\nc.png,z\n', "3: a quotation mark"),
    "over_lines": ('path,kind\na.png,x\n"b\n.png",y,z\n', "3: has 3 fields"),
    "quoted_within": ('path,kind\n"a".png,x\n', "2: ',' expected after '\"'"),
    "no_rows": ("path,kind\n", "1: has a header but no rows"),
    "long_header": ("x" * 140_000, "1: .*header.*: field larger than field limit"),
    "empty": ("\n", r"table\.csv: is empty"),
    "nul": ("path,kind\na\0.png,x\n", "2: "),
    "split": ("path,kind,split\na.png,x,trian\n", "2: split 'trian' .*train, val, test"),
    "no_train": ("path,kind,split\na.png,x,test\n", "1: no row has the split 'train'"),
    "numbers": (
        "path,kind\n" + "".join(f"{i}.png,0.{i + 1}\n" for i in range(20)),
        r"table\.csv: .*numbers.* 20 images have 20 different values such as 0\.1",
    ),
    "combinations": ("path,kind\na.png,x\nb.png,y\nc.png,x|y\n", r"'x\|y' combines several"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_table_raises_data_error_with_file_and_line(name, table):
    text, message = BAD[name]
    with pytest.raises(DataError, match=message) as caught:
        build(table(text), label_column="kind").open("train")
    assert "table.csv" in str(caught.value)


def test_relative_table_path_outside_its_folder_raises_data_error(table):
    table("path\n../b.png\n")
    with pytest.raises(DataError, match="leads out of"):
        build("table.csv").open("train")
    table(rows())
    assert build("table.csv").open("train").name(0) == "images/00.png"


def test_table_that_is_not_utf8_raises_data_error_with_line(table):
    file = table("path\na.png\nü.png\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"table\.csv:3: is not UTF-8"):
        build(file).open("train")


def test_class_only_in_test_rows_raises_data_error(table):
    text = "path,label,split\nimages/01.png,a,train\nimages/02.png,b,test\n"
    with pytest.raises(DataError, match=r"class b of images/02\.png .*training"):
        build(table(text)).open("test")


def test_run_lists_missing_and_unreadable_images(table, ssl_host, tmp_path):
    """Paths are relative to the configuration's folder."""
    (tmp_path / "images/04.png").write_bytes(b"")
    (tmp_path / "images/05.png").write_bytes((tmp_path / "images/05.png").read_bytes()[:90])
    table(rows() + "images/never.png,red\n")
    config = tiny(run={"batch_size": 2, "epochs": 1})
    config["data"] = {"name": "csv", "file": "table.csv", "image_size": 16}
    config["loader"] = {"cache_dir": "cache"}
    (tmp_path / "run.ini").write_text(as_ini(config), encoding="utf-8")
    done = ssl_host("run", "run.ini", "-o", "evaluator.knn.k=1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == list(COLOURS)
    skipped = {item["image"]: item["reason"] for item in results["skipped"]}
    assert sorted(skipped) == ["images/04.png", "images/05.png", "images/never.png"]
    assert skipped["images/04.png"] == "the file is empty"
    assert skipped["images/never.png"] == "there is no such file"
    assert any("were held out, by class" in note for note in results["notes"])
    assert sum(results["images"][split] for split in ("train", "test")) == 8


def test_read_missing_image_raises_unreadable_image(table):
    found = build(table("path\nimages/00.png\nno/such.png\n")).open("train")
    with pytest.raises(UnreadableImage, match="there is no such file"):
        found.read(1)
