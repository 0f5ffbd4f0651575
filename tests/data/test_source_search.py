"""Tests of finding the data source for a path."""

import pytest

from ssl_host import find_source
from ssl_host.errors import DataError, PluginError

SOURCE = """
from ssl_host import DataSource, Settings, hookimpl

@hookimpl
def register_data(register):
    register("mine", "ssl_plugin_mine:Mine")

class Mine(DataSource):
    class Config(Settings):
        pass

    @classmethod
    def settings_for_path(cls, path):
        {body}
"""


def touch(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize(
    ("files", "path", "name", "key"),
    [
        (["cats/1.JPG"], "", "imagefolder", "root"),
        (["train/cats/1.png", "notes.txt"], "", "imagefolder", "root"),
        (["images.csv", "a.jpg"], "images.csv", "csv", "file"),
        (["images.TSV"], "images.TSV", "csv", "file"),
        (["a.tar"], "a.tar", "webdataset", "root"),
        (["train/train-0.tar"], "", "webdataset", "root"),
        ([], "train-{000..003}.tar", "webdataset", "root"),
        ([], "*.tar", "webdataset", "root"),
        (["a.parquet"], "a.parquet", "parquet", "root"),
        (["data/train-0.parquet"], "", "parquet", "root"),
        (["dataset.arrow", "state.json"], "", "parquet", "root"),
        (["a.h5"], "a.h5", "hdf5", "file"),
        (["a.hdf5"], "a.hdf5", "hdf5", "file"),
        (["a.beton"], "a.beton", "ffcv", "path"),
    ],
)
def test_source_of_a_path_is_found_by_its_names(tmp_path, catalog, files, path, name, key):
    touch(tmp_path, *files)
    assert find_source(tmp_path / path, catalog) == (name, {key: tmp_path / path})


def test_missing_path_raises_an_error(tmp_path, catalog):
    with pytest.raises(DataError, match=r"nowhere\.tar: no such file"):
        find_source(tmp_path / "nowhere.tar", catalog)


@pytest.mark.parametrize(("files", "content"), [([], "empty"), (["a.xyz", ".b/1.jpg"], r"a\.xyz")])
def test_path_of_no_source_raises_an_error_with_its_content(tmp_path, catalog, files, content):
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=rf"{content}.*imagefolder.*--data NAME"):
        find_source(tmp_path, catalog)


def test_path_of_several_sources_raises_an_error_with_their_names(tmp_path, catalog):
    touch(tmp_path, "1.jpg", "shards/1.tar")
    with pytest.raises(DataError, match=r"imagefolder, webdataset;.*--data imagefolder"):
        find_source(tmp_path, catalog)


def test_source_of_a_plugin_is_asked(tmp_path, install):
    install(
        "ssl-plugin-mine", SOURCE.format(body="return {'a': 1} if path.suffix == '.mine' else None")
    )
    touch(tmp_path, "data.mine")
    assert find_source(str(tmp_path / "data.mine")) == ("mine", {"a": 1})


def test_source_that_fails_raises_an_error_with_its_line(tmp_path, install):
    file = install("ssl-plugin-mine", SOURCE.format(body="return 1 / 0"))
    with pytest.raises(PluginError, match=rf"ssl-plugin-mine.*ZeroDivisionError.*{file.name}:14"):
        find_source(tmp_path)


def test_source_that_cannot_be_imported_leaves_the_others_usable(tmp_path, install):
    install("ssl-plugin-mine", SOURCE.format(body="return None") + "\nraise ImportError('x')\n")
    touch(tmp_path, "1.jpg")
    assert find_source(tmp_path)[0] == "imagefolder"


def test_source_whose_class_cannot_be_loaded_is_named_if_none_reads_the_path(tmp_path, install):
    code = SOURCE.format(body="return None").replace("ssl_plugin_mine:Mine", "ssl_plugin_gone:Mine")
    install("ssl-plugin-mine", code)
    with pytest.raises(DataError, match="ssl_plugin_gone"):
        find_source(tmp_path)
    touch(tmp_path, "1.jpg")
    assert find_source(tmp_path)[0] == "imagefolder"
