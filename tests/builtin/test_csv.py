"""CSV files of paths and labels."""

import json

import pytest
import torch

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.images import COLOURS, is_picture, label_of, write_pictures
from tests.conftest import as_ini, tiny


@pytest.fixture
def table(tmp_path):
    """Writes a CSV file beside ten pictures in images/."""
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


def test_ten_images_come_back(table):
    """Seen to fail with rows sorted by path."""
    backwards = rows(seeds=range(9, -1, -1))
    found = build(table(backwards)).open("train")
    assert len(found) == 10
    assert all(is_picture(found.read(9 - i), i) for i in range(10))
    assert found.classes == COLOURS
    assert [found.classes[k] for k in found.labels] == [label_of(i) for i in range(9, -1, -1)]
    assert [found.name(i) for i in range(2)] == ["images/09.png", "images/08.png"]
    assert build(table(backwards)).open("test") is None


def test_lines_may_end_as_on_old_macs(table):
    """Seen to fail with the component attribute_errors."""
    assert len(build(table(rows().replace("\n", "\r"))).open("train")) == 10


def test_columns_delimiters_and_roots_of_ones_own(table, tmp_path):
    text = rows("{i:02}.png;{i};{label}", "\ufefffile ; number;kind")
    source = build(table(text), root=tmp_path / "images", path_column="file", label_column="number")
    found = source.open("train")
    assert found.classes == tuple(map(str, range(10)))  # by number, not by text
    assert torch.equal(found.labels, torch.arange(10))
    assert is_picture(found.read(3), 3)
    assert found.name(3) == "03.png"


def test_a_path_may_be_absolute(table, tmp_path):
    found = build(table(rows(f"{tmp_path}/images/{{i:02}}.png", "path")), root=tmp_path / "x")
    images = found.open("train")
    assert images.labels is None
    assert images.classes == ()
    assert images.name(0) == str(tmp_path / "images/00.png")


def test_a_column_of_splits(table):
    """Seen to fail with the test rows' classes numbered anew."""
    text = rows("images/{i:02}.png,{label},{split}", "path,label,split").replace("green", "cyan")
    text = text.replace("images/07.png,blue", "images/07.png,red")
    text = text.replace("images/09.png,cyan", "images/09.png,red")
    source = build(table(text))
    test, train = source.open("test"), source.open("train")
    assert (len(train), len(test)) == (7, 3)
    assert train.classes == test.classes == ("blue", "cyan", "red")
    assert test.labels.tolist() == [2, 2, 2]
    assert test.name(0) == "images/07.png"


def test_a_test_file_of_its_own(table):
    train = table(rows(seeds=range(7)))
    source = build(train, test_file=table(rows(seeds=range(7, 10)), "test.csv"))
    assert (len(source.open("train")), len(source.open("test"))) == (7, 3)
    with pytest.raises(DataError, match=r"test\.csv:2: .*06\.png is among the training images"):
        build(train, test_file=table(rows(seeds=range(6, 10)), "test.csv")).open("test")


def test_labels_are_left_alone_on_request(table):
    assert build(table(rows()), labelled=False).open("train").labels is None
    with pytest.raises(
        DataError, match=r"labelled = true, and there are no labels in .*table\.csv"
    ):
        build(table(rows("images/{i:02}.png", "path")), labelled=True).open("train")


BAD = {
    "no_path_column": ("file,label\na.png,x\n", r"1: no column is called 'path', only 'file', 'l"),
    "no_label_column": ("path\na.png\n", r"1: no column is called 'kind', only 'path'; set \[data"),
    "leads_out": ("path,kind\na.png,x\n../b.png,x\n", r"3: path '\.\./b\.png' leads out of"),
    "leads_out_in_the_middle": ("path,kind\na/../../b.png,x\n", "2: path 'a/../../b.png' leads"),
    "twice": ("path,kind\na.png,x\n./a.png,y\n", r"3: \./a\.png is in line 2 already"),
    "no_path": ("path,kind\n,x\n", "2: has no path"),
    "fields": ("path,kind\na.png,x,y\n", "2: has 3 fields, and the header has 2"),
    "unclosed": ('path,kind\na.png,x\nb.png,"y\nc.png,z\n', "3: a quotation mark here is never"),
    "over_lines": ('path,kind\na.png,x\n"b\n.png",y,z\n', "3: has 3 fields"),
    "quoted_within": ('path,kind\n"a".png,x\n', "2: ',' expected after '\"'"),
    "no_rows": ("path,kind\n", "1: has a header and no rows"),
    "long_header": ("x" * 140_000, "1: is no header of a table: field larger than field limit"),
    "empty": ("\n", r"table\.csv: is empty"),
    "nul": ("path,kind\na\0.png,x\n", "2: "),
    "split": ("path,kind,split\na.png,x,trian\n", "2: split 'trian' is none of train, val, test"),
    "no_train": ("path,kind,split\na.png,x,test\n", "1: no row has the split train"),
    "some_labels": ("path,kind\na.png,x\nb.png,\n", "1 of 2 images have no label, the first is b"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_table_is_told_with_its_line(name, table):
    text, message = BAD[name]
    with pytest.raises(DataError, match=message) as caught:
        build(table(text), label_column="kind").open("train")
    assert "table.csv" in str(caught.value)


def test_a_relative_table_leads_out_as_little(table):
    """Seen to fail with the root left relative: everything lies within the folder '.'."""
    table("path\n../b.png\n")
    with pytest.raises(DataError, match="leads out of"):
        build("table.csv").open("train")
    table(rows())
    assert build("table.csv").open("train").name(0) == "images/00.png"


def test_another_encoding_is_told_with_its_line(table):
    file = table("path\na.png\nü.png\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"table\.csv:3: is not UTF-8"):
        build(file).open("train")


def test_a_class_of_the_test_rows_alone(table):
    text = "path,label,split\nimages/01.png,a,train\nimages/02.png,b,test\n"
    with pytest.raises(DataError, match=r"class b of images/02\.png is not among the training"):
        build(table(text)).open("test")


def test_a_run_counts_and_lists_what_is_missing_or_torn(table, ssl_host, tmp_path):
    """Through the real command, paths relative to the configuration's folder."""
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
    assert skipped["images/never.png"] == "the file is gone"
    assert any("were held out, by class" in note for note in results["notes"])
    assert sum(results["images"][split] for split in ("train", "test")) == 8


def test_an_unreadable_image_says_why(table):
    found = build(table("path\nimages/00.png\nno/such.png\n")).open("train")
    with pytest.raises(UnreadableImage, match="the file is gone"):
        found.read(1)
