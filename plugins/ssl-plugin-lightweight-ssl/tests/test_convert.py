"""Conversion of files and the command ``ssl-host config convert``."""

import pytest
from ssl_plugin_lightweight_ssl.convert import convert_file
from ssl_plugin_lightweight_ssl.dialect import is_flat_config

from ssl_host import ConfigError, resolve_file


@pytest.fixture
def command(ssl_host_command):
    """Run ssl-host in this process."""
    return ssl_host_command


def test_converted_file_resolves_to_the_same_config_and_keeps_comments(
    catalog, write_config, tmp_path
):
    file = write_config()
    text = convert_file(file, catalog)
    for comment in ("# a run of Lightweight-SSL", "## how long", "## the method", "# narrower"):
        assert text.count(comment) == 1
    assert "epochs = 100  ## how long" in text
    assert "@" not in text
    assert not is_flat_config(text)
    converted = tmp_path / "pretrain" / "converted.ini"
    converted.write_text(text, encoding="utf-8")
    one, two = (resolve_file(f, ("run.name=x",), catalog) for f in (file, converted))
    assert one.to_ini() == two.to_ini()


@pytest.mark.parametrize("quotes", ['"', "'"])
def test_quoted_path_keeps_its_number_sign_and_comment(quotes, catalog, write_config, tmp_path):
    folder = tmp_path / "data #2"
    folder.mkdir()
    line = f"{quotes}{folder}{quotes}@str  # the data"
    file = write_config(replace=(f"{tmp_path}/data@str", line))
    assert resolve_file(file, (), catalog).components["data"].settings.root == folder
    assert f'root = "{folder}"  # the data\n' in convert_file(file, catalog)


@pytest.mark.parametrize(
    ("line", "part"),
    [("data #2@str", "'#2@str' is read as a comment"), ("data #2", "data #2 exists")],
)
def test_path_that_is_cut_at_a_comment_is_refused(line, part, catalog, write_config, tmp_path):
    (tmp_path / "data #2").mkdir()
    file = write_config(replace=("/data@str", f"/{line}"))
    with pytest.raises(ConfigError, match=part):
        resolve_file(file, (), catalog)


def test_checkpoint_relative_to_the_working_folder_is_converted_to_an_absolute_path(
    catalog, write_config, tmp_path, monkeypatch
):
    (tmp_path / "simclr.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    file = write_config(phase="linear_eval", replace=("/somewhere/simclr.ckpt", "simclr.ckpt"))
    assert resolve_file(file, (), catalog).run.init_from == tmp_path / "simclr.ckpt"
    assert f"init_from = {tmp_path / 'simclr.ckpt'}" in convert_file(file, catalog)


def test_ini_file_of_ssl_host_cannot_be_converted(catalog, tmp_path):
    file = tmp_path / "run.ini"
    file.write_text("[method]\nname = simclr\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a Lightweight-SSL file"):
        convert_file(file, catalog)


def test_command_prints_the_converted_file(command, write_config):
    done = command("config", "convert", write_config())
    assert done.returncode == 0, done.stderr
    assert "name = simclr\n" in done.stdout


def test_command_is_listed_in_the_help_of_its_group(command):
    assert "convert" in command("config", "--help").stdout


def test_command_of_a_blocked_plugin_reports_the_plugin(command):
    done = command("-p", "no:lightweight_ssl", "config", "convert", "old.ini")
    assert done.returncode == 2
    assert "ssl-plugin-lightweight-ssl" in done.stderr
    assert "is blocked" in done.stderr


def test_run_without_argument_reads_the_path_from_the_environment(command):
    done = command("run", env={"CONFIGER_PATH": "missing.ini"})
    assert done.returncode == 2
    assert done.stderr == "missing.ini: no such file\n"


def test_views_that_the_method_does_not_take_are_reported(command, write_config):
    done = command("config", "check", write_config(replace=("[2]@list", "[2, 6]@list")))
    assert done.returncode == 2
    assert "multicrop makes 8 views, but method simclr takes exactly 2" in done.stderr


@pytest.mark.parametrize("phase", ["pretrain", "linear_eval"])
def test_missing_data_are_noted_by_check_and_convert_and_refused_by_run(
    phase, command, write_config, tmp_path
):
    file = write_config(phase=phase, replace=("/data@str", "/nowhere@str"))
    checked = command("config", "check", file)
    assert checked.returncode == 0, checked.stderr
    assert "note: " in checked.stdout
    assert f"there is no folder {tmp_path / 'nowhere'}" in checked.stdout
    converted = command("config", "convert", file)
    assert converted.returncode == 0, converted.stderr
    assert f"there is no folder {tmp_path / 'nowhere'}" in converted.stdout
    one_cpu = ("-o", "trainer.accelerator=cpu", "-o", "trainer.devices=1", "-o", "run.dir=runs")
    for more in ((), ("--dry-run",)):
        done = command("run", file, *one_cpu, *more)
        assert done.returncode == 2
        assert f"[data] root = {tmp_path / 'nowhere'}: no such folder" in done.stderr
    assert not (tmp_path / "nowhere").exists()
