"""Tests of reading valid and invalid parquet and Arrow files."""

import json
import os
import pickle
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ssl_host
from ssl_host import DataError, UnreadableImage
from ssl_host.testing import conformance
from ssl_host.testing.corruption import check_corrupted_copies
from ssl_host.testing.images import encoded, is_picture, label_of, picture
from ssl_host.testing.interruption import command_without

NAMES = ["red", "green", "blue"]
"""Class names that are not in alphabetical order, because the order of a ClassLabel counts."""

METADATA = {
    "huggingface": json.dumps(
        {
            "info": {
                "features": {
                    "image": {"_type": "Image"},
                    "label": {"names": NAMES, "_type": "ClassLabel"},
                }
            }
        }
    )
}
"""Metadata as written by `datasets`; a test compares it with the package if it is installed."""


def label(number):
    return NAMES.index(label_of(number))


def rows(seeds, metadata=METADATA, contents=encoded):
    """Return a table with the schema and the metadata of `datasets`."""
    image = [{"bytes": contents(i), "path": f"{i}.png"} for i in seeds]
    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"image": pa.array(image, image_type), "label": pa.array([label(i) for i in seeds])}
    return pa.table(columns).replace_schema_metadata(metadata)


def write(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def snapshot(tmp_path):
    """Write a hub snapshot: two files of five images in two row groups, and three test images."""
    for number in range(2):
        seeds = range(5 * number, 5 * number + 5)
        name = f"train-{number:05}-of-00002.parquet"
        write(tmp_path / "pets/data" / name, rows(seeds), row_group_size=3)
    write(tmp_path / "pets/data/test-00000-of-00001.parquet", rows(range(10, 13)))
    return tmp_path / "pets"


def build(root, **settings):
    return ssl_host.build("data", "parquet", root=root, image_size=16, **settings)


def check_ten(images, names=tuple(NAMES)):
    """Check pixels, labels and class names of the ten images, in order."""
    assert len(images) == 10
    assert all(is_picture(images.read(i), i) for i in range(10))
    assert images.classes == names
    assert [images.classes[k] for k in images.labels] == [label_of(i) for i in range(10)]


@pytest.fixture
def current_folder(snapshot, monkeypatch):
    monkeypatch.chdir(snapshot.parent)


pytestmark = pytest.mark.usefixtures("current_folder")
test_conforms = conformance("data", "parquet", root="pets")


def test_hub_snapshot_is_read(snapshot):
    source = build(snapshot)
    test, train = source.open("test"), source.open("train")
    check_ten(train)
    assert train.name(9) == "data/train-00001-of-00002.parquet:image[4]"
    assert len(test) == 3
    assert is_picture(test.read(2), 12)
    assert test.labels.tolist() == [label(i) for i in (10, 11, 12)]


def hf_dataset(seeds):
    """Return a dataset of the package `datasets`."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    )
    content = {"image": [picture(i) for i in seeds], "label": [label(i) for i in seeds]}
    return datasets.Dataset.from_dict(content, features=features)


def test_saved_dataset_is_read(tmp_path):
    hf_dataset(range(10)).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    source = build(tmp_path / "saved")
    check_ten(source.open("train"))
    assert source.open("train").name(9) == "data-00002-of-00003.arrow:image[2]"
    assert source.open("test") is None


def test_saved_dataset_dict_is_read(tmp_path):
    import datasets

    splits = {
        "train": hf_dataset(range(10)),
        "validation": hf_dataset(range(10, 12)),
        "test": hf_dataset([12]),
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    source = build(tmp_path / "saved")
    check_ten(source.open("train"))
    test = source.open("test")
    assert len(test) == 2  # validation has priority over test
    assert is_picture(test.read(1), 11)
    check_ten(build(tmp_path / "saved" / "train").open("train"))


def test_saved_selection_of_rows_is_read_in_its_order(tmp_path):
    hf_dataset(range(12)).select(range(9, -1, -1)).save_to_disk(str(tmp_path / "saved"))
    images = build(tmp_path / "saved").open("train")
    assert all(is_picture(images.read(i), 9 - i) for i in range(10))


def test_parquet_files_of_datasets_are_read(tmp_path):
    for number in range(2):
        shard = hf_dataset(range(5 * number, 5 * number + 5))
        name = tmp_path / "data" / f"train-{number:05}-of-00002.parquet"
        name.parent.mkdir(exist_ok=True)
        shard.to_parquet(str(name))
    check_ten(build(tmp_path / "data").open("train"))


def test_metadata_equals_that_of_datasets(tmp_path):
    hf_dataset([0]).to_parquet(str(tmp_path / "x.parquet"))
    schema = pq.read_schema(tmp_path / "x.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == json.loads(METADATA["huggingface"])["info"]["features"]
    assert schema.field("image").type == rows([0]).schema.field("image").type


def test_class_label_of_minus_1_means_no_label(tmp_path):
    table = rows(range(10)).set_column(1, "label", pa.array([-1] * 10))
    images = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (images.labels, images.classes) == (None, ())


@pytest.mark.parametrize(
    ("values", "classes", "labels"),
    [
        (pa.array([2, -1, None, 0, 2]), ("0", "2"), [1, -1, -1, 0, 1]),
        (pa.array([2.0, float("nan"), None, 0.0, 2.0]), ("0", "2"), [1, -1, -1, 0, 1]),
        (pa.array(["b", "", None, "a", "b"]), ("a", "b"), [1, -1, -1, 0, 1]),
    ],
)
def test_rows_without_label_are_unlabelled(values, classes, labels, tmp_path):
    table = pa.table({"image": [encoded(i) for i in range(5)], "label": values})
    images = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (images.classes, images.labels.tolist()) == (classes, labels)
    unlabelled = build(tmp_path / "x.parquet", labelled=False).open("train")
    assert unlabelled.labels is None


def test_class_label_column_may_be_labelled_in_part(tmp_path):
    labels = [label(0), -1, label(2)]
    table = rows(range(3)).set_column(1, "label", pa.array(labels))
    images = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (images.labels.tolist(), images.classes) == (labels, tuple(NAMES))


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([label_of(i) for i in range(10)], tuple(sorted(NAMES))),
        (pa.array([label_of(i) for i in range(10)]).dictionary_encode(), tuple(sorted(NAMES))),
    ],
)
def test_plain_bytes_and_text_labels_are_read(values, classes, tmp_path):
    table = pa.table(
        {"number": range(10), "photo": [encoded(i) for i in range(10)], "label": values}
    )
    check_ten(build(write(tmp_path / "x.parquet", table)).open("train"), classes)


def test_columns_are_selected_by_settings(tmp_path):
    table = pa.table(
        {
            "thumb": [encoded(50 + i) for i in range(10)],
            "photo": pa.array([encoded(i) for i in range(10)], pa.large_binary()),
            "label": range(10),
            "kind": [label_of(i) for i in range(10)],
        }
    )
    path = write(tmp_path / "x.parquet", table)
    images = build(path, image_column="photo", label_column="kind").open("train")
    check_ten(images, tuple(sorted(NAMES)))
    assert images.name(3) == "x.parquet:photo[3]"
    assert is_picture(build(path).open("train").read(0), 50)


@pytest.mark.parametrize("open_writer", [pa.ipc.new_stream, pa.ipc.new_file])
def test_both_formats_of_arrow_files_are_read(open_writer, tmp_path):
    table = rows(range(10))
    with open_writer(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    check_ten(build(tmp_path / "x.arrow").open("train"))


def test_pattern_and_test_file_are_read(snapshot):
    data = snapshot / "data"
    source = build(
        data / "train-{00000..00001}-of-00002.parquet", test=data / "test-00000-of-00001.parquet"
    )
    check_ten(source.open("train"))
    assert len(source.open("test")) == 3


def test_file_without_labels_has_no_classes(tmp_path):
    table = pa.table({"image": [encoded(i) for i in range(10)]})
    images = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (images.labels, images.classes, len(images)) == (None, (), 10)


def test_threads_forks_and_copies_read_equal_images(snapshot):
    images = build(snapshot).open("train")
    numbers = list(range(10)) * 10
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(images.read, numbers))
    assert all(is_picture(image, i) for image, i in zip(decoded, numbers, strict=True))
    copy = pickle.loads(pickle.dumps(images))
    assert all(is_picture(copy.read(i), i) for i in range(10))
    child = os.fork()
    if child == 0:
        os._exit(not all(is_picture(images.read(i), i) for i in range(10)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def content_with_errors(seed):
    return {1: encoded(1)[:70], 2: b"", 3: b"no image", 4: None}.get(seed, encoded(seed))


def test_unreadable_images_are_named_by_file_column_and_row(tmp_path):
    path = write(
        tmp_path / "x.parquet", rows(range(10), contents=content_with_errors), row_group_size=4
    )
    images = build(path).open("train")
    reasons = {}
    for i in range(10):
        try:
            assert is_picture(images.read(i), i)
        except UnreadableImage as error:
            reasons[images.name(i)] = str(error)
    assert list(reasons) == [f"x.parquet:image[{i}]" for i in (1, 2, 3, 4)]
    assert reasons["x.parquet:image[2]"] == "the file is empty"
    assert reasons["x.parquet:image[3]"].startswith("cannot be decoded: cannot identify image")
    assert reasons["x.parquet:image[4]"] == "only the path is stored: 4.png"


def test_run_skips_and_lists_unreadable_images(ssl_host_command, tmp_path):
    """The command gets a path relative to the INI file and splits off test images."""
    write(tmp_path / "pictures/x.parquet", rows(range(20), contents=content_with_errors))
    (tmp_path / "run.ini").write_text(
        "[run]\nepochs = 1\nbatch_size = 4\n[data]\nname = parquet\nroot = pictures\n"
        "image_size = 16\n[method]\nname = simclr\n[backbone]\nname = small_conv\nwidth = 8\n"
        "num_stages = 3\n[evaluator.knn]\nk = 1\n[loader]\ncache_dir = cache\n"
    )
    done = ssl_host_command("run", "run.ini", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == NAMES
    assert sorted(s["image"] for s in results["skipped"]) == [
        f"x.parquet:image[{i}]" for i in (1, 2, 3, 4)
    ]
    assert results["images"]["train"] + results["images"]["test"] == 16


def write_text(path):
    path.write_text("no parquet file")


def write_truncated(path):
    write(path, rows(range(10)))
    path.write_bytes(path.read_bytes()[:-200])


def writer(columns, metadata=None):
    """Return a function that writes columns into a file."""
    return lambda path: write(path, pa.table(columns).replace_schema_metadata(metadata))


INVALID = {
    "text": (write_text, {}, r"is damaged or is not a valid \.parquet file"),
    "torn": (write_truncated, {}, r"is damaged or is not a valid \.parquet file"),
    "missing": (lambda p: None, {}, "no such file"),
    "no_images": (
        writer({"a": [1], "b": ["x"]}),
        {},
        r"no column contains encoded.*a \(int64\), b \(str",
    ),
    "no_rows": (writer({"image": pa.array([], pa.binary())}), {}, "has no rows"),
    "no_column": (writer({"a": [b"x"]}), {"image_column": "i"}, "image_column = i: no such column"),
    "no_label": (writer({"a": [b"x"]}), {"label_column": "l"}, "label_column = l: no such column"),
    "pixels": (writer({"a": [[1, 2]]}), {"image_column": "a"}, "a has type list"),
    "floats": (
        writer({"a": [b"x"] * 2, "l": [0.5, 0.25]}),
        {"label_column": "l"},
        r"x\.parquet: the labels look like numbers.*0\.5",
    ),
    "lists": (
        writer({"image": [b"x"], "label": [["cat", "dog"]]}),
        {},
        "label_column = label has type list.* set label_column, or labelled = false",
    ),
    "unknown_label": (
        writer({"image": [b"x", b"y"], "label": [0, 3]}, METADATA),
        {},
        r"x\.parquet:label\[1\]: label 3 has no class name: .* 3 classes",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_file_raises_data_error_with_its_name(name, tmp_path):
    make, settings, message = INVALID[name]
    make(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as caught:
        build(tmp_path / "x.parquet", **settings).open("train")
    assert "x.parquet" in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_file_with_random_damage_raises_only_data_errors(suffix, tmp_path):
    table = rows(range(4)).set_column(1, "label", pa.array([label_of(i) for i in range(4)]))
    file = tmp_path / f"valid{suffix}"
    if suffix == ".parquet":
        write(file, table, row_group_size=2)
    else:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    check_corrupted_copies(file, build)


def test_label_with_invalid_utf8_raises_data_error(tmp_path):
    label = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    path = write(tmp_path / "x.parquet", pa.table({"image": [encoded(0)], "label": label}))
    with pytest.raises(DataError, match=r"x\.parquet: is damaged.*can't decode byte 0xff"):
        build(path).open("train")


def test_offset_beyond_the_file_raises_data_error(tmp_path):
    """Without the check pyarrow ends the process."""
    path = tmp_path / "x.arrow"
    table = rows(range(2))
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    first, second = len(encoded(0)), len(encoded(1))
    offsets = struct.pack("<3i", 0, first, first + second)
    content = path.read_bytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, struct.pack("<3i", 0, first, 2**31 - 1)))
    with pytest.raises(DataError, match=r"x\.arrow: is damaged"):
        build(path).open("train")


def test_unknown_metadata_is_ignored(tmp_path):
    for value in ("{", "[]", '{"info": 1}', '{"info": {"features": [1]}}'):
        table = rows(range(10), {"huggingface": value})
        images = build(write(tmp_path / "x.parquet", table)).open("train")
        assert images.classes == ("0", "1", "2")


def test_hidden_files_are_ignored(snapshot):
    """The hub's client keeps such files next to a download."""
    write(snapshot / ".cache/huggingface/train-00009-of-00010.parquet", rows([5]))
    check_ten(build(snapshot).open("train"))


def test_file_without_column_of_the_first_raises_data_error(snapshot):
    write(snapshot / "data/train-00002-of-00003.parquet", pa.table({"img": [encoded(0)]}))
    with pytest.raises(DataError, match=r"train-00002.*: no column image, but train-00000-of"):
        build(snapshot).open("train")


def test_several_configurations_raise_data_error(tmp_path):
    for name in ("plain", "large"):
        write(tmp_path / "x" / name / "train-00000-of-00001.parquet", rows(range(10)))
    with pytest.raises(DataError, match="several folders have training files: large, plain"):
        build(tmp_path / "x").open("train")
    check_ten(build(tmp_path / "x" / "plain").open("train"))


def write_json_files(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"state": "{"}, r"state\.json: is not valid JSON"),
        ({"state": "{}"}, r"state\.json: does not list files"),
        (
            {"state": '{"_data_files": [{"filename": "d.arrow"}]}'},
            r"d\.arrow is missing; copy the folder",
        ),
        (
            {"state": '{"_data_files": [{"filename": "d"}], "_indices_data_files": [1]}'},
            "load the dataset and save it again",
        ),
        ({"dataset_dict": '{"splits": ["a", "b"]}'}, "no split 'train', only a, b"),
        ({"dataset_dict": "[]"}, "no split 'train'"),
    ],
)
def test_incomplete_saved_folder_raises_data_error(files, message, tmp_path):
    with pytest.raises(DataError, match=message):
        build(write_json_files(tmp_path / "saved", **files)).open("train")


def test_replaced_file_is_read_again(tmp_path):
    """Cached row groups belong to one version of the file."""
    path = write(tmp_path / "x.parquet", rows(range(10)))
    assert is_picture(build(path).open("train").read(0), 0)
    write(path, rows(range(5, 15)))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert is_picture(build(path).open("train").read(0), 5)


def test_without_pyarrow_the_error_names_it_in_one_line(tmp_path):
    """Lists of components do not need pyarrow."""
    (tmp_path / "x.ini").write_text("[method]\nname = simclr\n[data]\nname = parquet\nroot = x\n")
    done = command_without("pyarrow", "config", "check", "x.ini", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No module named 'pyarrow'" in done.stderr
    assert "upgrade ssl-plugin-parquet" in done.stderr
    done = command_without("pyarrow", "component", "list", "data", folder=tmp_path)
    assert "Parquet files, or a Hugging Face dataset on disk" in done.stdout


def test_plugin_import_does_not_import_torch_or_pyarrow():
    code = "import sys, ssl_plugin_parquet; sys.exit(bool({'torch', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
