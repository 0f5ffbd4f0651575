"""Parquet and Arrow files: ten images come back, whatever wrote them; and files that are wrong."""

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
"""Not in the order of the alphabet: a ClassLabel's order counts."""

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
"""As `datasets` writes it; a test holds it to the package where that is installed."""


def label(number):
    return NAMES.index(label_of(number))


def rows(seeds, metadata=METADATA, contents=encoded):
    """A table with the schema and the metadata of `datasets`."""
    image = [{"bytes": contents(i), "path": f"{i}.png"} for i in seeds]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"image": pa.array(image, kind), "label": pa.array([label(i) for i in seeds])}
    return pa.table(columns).replace_schema_metadata(metadata)


def write(path, table, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **how)
    return path


@pytest.fixture
def snapshot(tmp_path):
    """A snapshot of the hub: two files of five, two row groups each, and three to hold out."""
    for number in range(2):
        seeds = range(5 * number, 5 * number + 5)
        name = f"train-{number:05}-of-00002.parquet"
        write(tmp_path / "pets/data" / name, rows(seeds), row_group_size=3)
    write(tmp_path / "pets/data/test-00000-of-00001.parquet", rows(range(10, 13)))
    return tmp_path / "pets"


def build(root, **settings):
    return ssl_host.build("data", "parquet", root=root, image_size=16, **settings)


def check_ten(images, names=tuple(NAMES)):
    """All pixels, labels and names, in their order."""
    assert len(images) == 10
    assert all(is_picture(images.read(i), i) for i in range(10))
    assert images.classes == names
    assert [images.classes[k] for k in images.labels] == [label_of(i) for i in range(10)]


@pytest.fixture
def beside(snapshot, monkeypatch):
    monkeypatch.chdir(snapshot.parent)


pytestmark = pytest.mark.usefixtures("beside")
test_conforms = conformance("data", "parquet", root="pets")


def test_a_snapshot_of_the_hub(snapshot):
    """Seen to fail with rows numbered anew in every row group."""
    source = build(snapshot)
    test, train = source.open("test"), source.open("train")
    check_ten(train)
    assert train.name(9) == "data/train-00001-of-00002.parquet:image[4]"
    assert len(test) == 3
    assert is_picture(test.read(2), 12)
    assert test.labels.tolist() == [label(i) for i in (10, 11, 12)]


def real(seeds):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    )
    content = {"image": [picture(i) for i in seeds], "label": [label(i) for i in seeds]}
    return datasets.Dataset.from_dict(content, features=features)


def test_what_datasets_saves_to_disk(tmp_path):
    real(range(10)).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    source = build(tmp_path / "saved")
    check_ten(source.open("train"))
    assert source.open("train").name(9) == "data-00002-of-00003.arrow:image[2]"
    assert source.open("test") is None


def test_what_a_dict_of_datasets_saves_to_disk(tmp_path):
    import datasets

    splits = {"train": real(range(10)), "validation": real(range(10, 12)), "test": real([12])}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    source = build(tmp_path / "saved")
    check_ten(source.open("train"))
    held_out = source.open("test")
    assert len(held_out) == 2  # validation stands before test
    assert is_picture(held_out.read(1), 11)
    check_ten(build(tmp_path / "saved" / "train").open("train"))


def test_a_choice_of_rows_is_saved_as_chosen(tmp_path):
    real(range(12)).select(range(9, -1, -1)).save_to_disk(str(tmp_path / "saved"))
    images = build(tmp_path / "saved").open("train")
    assert all(is_picture(images.read(i), 9 - i) for i in range(10))


def test_what_datasets_writes_as_parquet(tmp_path):
    for number in range(2):
        part = real(range(5 * number, 5 * number + 5))
        name = tmp_path / "data" / f"train-{number:05}-of-00002.parquet"
        name.parent.mkdir(exist_ok=True)
        part.to_parquet(str(name))
    check_ten(build(tmp_path / "data").open("train"))


def test_the_metadata_made_here_is_that_of_datasets(tmp_path):
    real([0]).to_parquet(str(tmp_path / "x.parquet"))
    found = pq.read_schema(tmp_path / "x.parquet")
    assert (
        json.loads(found.metadata[b"huggingface"])["info"]["features"]
        == (json.loads(METADATA["huggingface"])["info"]["features"])
    )
    assert found.field("image").type == rows([0]).schema.field("image").type


def test_labels_that_datasets_calls_unknown(tmp_path):
    """-1 is how a ClassLabel says that there is no label."""
    table = rows(range(10)).set_column(1, "label", pa.array([-1] * 10))
    found = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (found.labels, found.classes) == (None, ())


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([label_of(i) for i in range(10)], tuple(sorted(NAMES))),
        (pa.array([label_of(i) for i in range(10)]).dictionary_encode(), tuple(sorted(NAMES))),
    ],
)
def test_plain_bytes_and_labels_of_text(values, classes, tmp_path):
    table = pa.table(
        {"number": range(10), "photo": [encoded(i) for i in range(10)], "label": values}
    )
    check_ten(build(write(tmp_path / "x.parquet", table)).open("train"), classes)


def test_columns_by_their_names(tmp_path):
    table = pa.table(
        {
            "thumb": [encoded(50 + i) for i in range(10)],
            "photo": pa.array([encoded(i) for i in range(10)], pa.large_binary()),
            "label": range(10),
            "kind": [label_of(i) for i in range(10)],
        }
    )
    path = write(tmp_path / "x.parquet", table)
    found = build(path, image_column="photo", label_column="kind").open("train")
    check_ten(found, tuple(sorted(NAMES)))
    assert found.name(3) == "x.parquet:photo[3]"
    assert is_picture(build(path).open("train").read(0), 50)


@pytest.mark.parametrize("form", [pa.ipc.new_stream, pa.ipc.new_file])
def test_both_forms_of_arrow_files(form, tmp_path):
    table = rows(range(10))
    with form(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    check_ten(build(tmp_path / "x.arrow").open("train"))


def test_patterns_and_a_test_of_its_own(snapshot):
    data = snapshot / "data"
    source = build(
        data / "train-{00000..00001}-of-00002.parquet", test=data / "test-00000-of-00001.parquet"
    )
    check_ten(source.open("train"))
    assert len(source.open("test")) == 3


def test_without_labels(tmp_path):
    table = pa.table({"image": [encoded(i) for i in range(10)]})
    found = build(write(tmp_path / "x.parquet", table)).open("train")
    assert (found.labels, found.classes, len(found)) == (None, (), 10)


def test_threads_forks_and_copies_read_the_same(snapshot):
    """Seen to fail with a file's schema and an open handle kept in the images."""
    images = build(snapshot).open("train")
    numbers = list(range(10)) * 10
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(images.read, numbers))
    assert all(is_picture(image, i) for image, i in zip(found, numbers, strict=True))
    copy = pickle.loads(pickle.dumps(images))
    assert all(is_picture(copy.read(i), i) for i in range(10))
    child = os.fork()
    if child == 0:
        os._exit(not all(is_picture(images.read(i), i) for i in range(10)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def bad(seed):
    return {1: encoded(1)[:70], 2: b"", 3: b"no image", 4: None}.get(seed, encoded(seed))


def test_bad_images_are_named_by_file_column_and_row(tmp_path):
    path = write(tmp_path / "x.parquet", rows(range(10), contents=bad), row_group_size=4)
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
    assert reasons["x.parquet:image[4]"] == "only its path is there: 4.png"


def test_a_run_counts_and_lists_them(tmp_path):
    """Through the real command: paths relative to the configuration, a held-out part cut."""
    write(tmp_path / "pictures/x.parquet", rows(range(20), contents=bad))
    (tmp_path / "run.ini").write_text(
        "[run]\nepochs = 1\nbatch_size = 4\n[data]\nname = parquet\nroot = pictures\n"
        "image_size = 16\n[method]\nname = simclr\n[backbone]\nname = small_conv\nwidth = 8\n"
        "num_stages = 3\n[evaluator.knn]\nk = 1\n[loader]\ncache_dir = cache\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ssl_host", "run", "run.ini", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["classes"] == NAMES
    assert sorted(s["image"] for s in results["skipped"]) == [
        f"x.parquet:image[{i}]" for i in (1, 2, 3, 4)
    ]
    assert results["images"]["train"] + results["images"]["test"] == 16


def text(path):
    path.write_text("no parquet file")


def torn(path):
    write(path, rows(range(10)))
    path.write_bytes(path.read_bytes()[:-200])


def of(columns, metadata=None):
    return lambda path: write(path, pa.table(columns).replace_schema_metadata(metadata))


WRONG = {
    "text": (text, {}, "is damaged, or no parquet file"),
    "torn": (torn, {}, "is damaged, or no parquet file"),
    "missing": (lambda p: None, {}, "no such file"),
    "no_images": (of({"a": [1], "b": ["x"]}), {}, r"no column holds encoded.*a \(int64\), b \(str"),
    "no_rows": (of({"image": pa.array([], pa.binary())}), {}, "has no rows"),
    "no_column": (of({"a": [b"x"]}), {"image_column": "i"}, "image_column = i: no such column; th"),
    "no_label": (of({"a": [b"x"]}), {"label_column": "l"}, "label_column = l: no such column"),
    "pixels": (of({"a": [[1, 2]]}), {"image_column": "a"}, "a is of type list.*encoded images are"),
    "floats": (of({"a": [b"x"], "l": [0.5]}), {"label_column": "l"}, "l is of type double; labels"),
    "strange_label": (
        of({"image": [b"x", b"y"], "label": [0, 3]}, METADATA),
        {},
        r"x\.parquet:label\[1\]: label 3, and there are names for 3 classes",
    ),
    "some_labels": (
        of({"image": [b"x", b"y"], "label": [0, None]}),
        {},
        r"1 of 2 images have no label, the first is x\.parquet:image\[1\]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_named(name, tmp_path):
    make, settings, message = WRONG[name]
    make(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as caught:
        build(tmp_path / "x.parquet", **settings).open("train")
    assert "x.parquet" in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_file_with_random_damage_is_read_or_told(suffix, tmp_path):
    table = rows(range(4)).set_column(1, "label", pa.array([label_of(i) for i in range(4)]))
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".parquet":
        write(whole, table, row_group_size=2)
    else:
        with pa.ipc.new_stream(whole, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    check_corrupted_copies(whole, build)


def test_a_label_that_is_no_text(tmp_path):
    """Seen to fail with the error of decoding it let through."""
    label = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    path = write(tmp_path / "x.parquet", pa.table({"image": [encoded(0)], "label": label}))
    with pytest.raises(DataError, match=r"x\.parquet: is damaged.*can't decode byte 0xff"):
        build(path).open("train")


def test_an_image_that_lies_beyond_its_file(tmp_path):
    """Seen to fail with places left unchecked: pyarrow ended the process."""
    path = tmp_path / "x.arrow"
    table = rows(range(2))
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    first, second = len(encoded(0)), len(encoded(1))
    whole = struct.pack("<3i", 0, first, first + second)
    content = path.read_bytes()
    assert content.count(whole) == 1
    path.write_bytes(content.replace(whole, struct.pack("<3i", 0, first, 2**31 - 1)))
    with pytest.raises(DataError, match=r"x\.arrow: is damaged"):
        build(path).open("train")


def test_metadata_of_others_is_left_alone(tmp_path):
    for value in ("{", "[]", '{"info": 1}', '{"info": {"features": [1]}}'):
        table = rows(range(10), {"huggingface": value})
        found = build(write(tmp_path / "x.parquet", table)).open("train")
        assert found.classes == ("0", "1", "2")


def test_hidden_files_are_no_data(snapshot):
    """What the hub's client keeps beside a download."""
    write(snapshot / ".cache/huggingface/train-00009-of-00010.parquet", rows([5]))
    check_ten(build(snapshot).open("train"))


def test_a_file_without_the_others_column(snapshot):
    write(snapshot / "data/train-00002-of-00003.parquet", pa.table({"img": [encoded(0)]}))
    with pytest.raises(DataError, match=r"train-00002.*: no column image, which train-00000-of"):
        build(snapshot).open("train")


def test_configurations_are_not_mixed(tmp_path):
    for name in ("plain", "large"):
        write(tmp_path / "x" / name / "train-00000-of-00001.parquet", rows(range(10)))
    with pytest.raises(DataError, match="several folders have files to train on: large, plain; se"):
        build(tmp_path / "x").open("train")
    check_ten(build(tmp_path / "x" / "plain").open("train"))


def saved(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"state": "{"}, r"state\.json: is damaged"),
        ({"state": "{}"}, r"state\.json: lists no files"),
        ({"state": '{"_data_files": [{"filename": "d.arrow"}]}'}, r"d\.arrow is missing; copy it"),
        (
            {"state": '{"_data_files": [{"filename": "d"}], "_indices_data_files": [1]}'},
            "load and save it again",
        ),
        ({"dataset_dict": '{"splits": ["a", "b"]}'}, "no split is called train, only a, b; set"),
        ({"dataset_dict": "[]"}, "no split is called train"),
    ],
)
def test_a_saved_folder_that_is_not_complete(files, message, tmp_path):
    with pytest.raises(DataError, match=message):
        build(saved(tmp_path / "saved", **files)).open("train")


def test_a_file_that_is_written_anew_is_not_the_old_one(tmp_path):
    """Row groups that are kept belong to a state of the file."""
    path = write(tmp_path / "x.parquet", rows(range(10)))
    assert is_picture(build(path).open("train").read(0), 0)
    write(path, rows(range(5, 15)))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert is_picture(build(path).open("train").read(0), 5)


def test_without_pyarrow_one_line_says_what_is_missing(tmp_path):
    """Lists need no pyarrow."""
    (tmp_path / "x.ini").write_text("[method]\nname = simclr\n[data]\nname = parquet\nroot = x\n")
    done = command_without("pyarrow", "config", "check", "x.ini", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No module named 'pyarrow'" in done.stderr
    assert "repair or upgrade ssl-plugin-parquet" in done.stderr
    done = command_without("pyarrow", "component", "list", "data", folder=tmp_path)
    assert "parquet files, or a Hugging Face dataset on disk" in done.stdout


def test_registering_imports_neither_torch_nor_pyarrow():
    code = "import sys, ssl_plugin_parquet; sys.exit(bool({'torch', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
