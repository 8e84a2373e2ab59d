"""`latest`: a link, a text file where links are impossible, and never in the way of a folder of that name."""

from pathlib import Path

from steerctl.store.folder import RunFolder
from steerctl.store.latest import latest_name, point_latest


def create(path):
    return RunFolder.create(path, '{"name": "toy", "steps": 10}', environment={"run_id": "abc"})


def test_no_pointer_no_name(tmp_path):
    assert latest_name(tmp_path / "toy") is None


def test_the_name_comes_back(tmp_path):
    point_latest(tmp_path / "toy")
    assert latest_name(tmp_path / "toy") == latest_name(tmp_path / "other") == "toy"


def test_pointer_file_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_arguments, **_settings):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    create(tmp_path / "toy").close()
    assert (tmp_path / "latest").read_text() == "toy\n"
    assert RunFolder.read(tmp_path / "latest").name == latest_name(tmp_path / "toy") == "toy"


def test_a_folder_called_latest_stays(tmp_path):
    (tmp_path / "latest").mkdir()
    create(tmp_path / "toy").close()
    assert (tmp_path / "latest").is_dir()
    assert not (tmp_path / "latest").is_symlink()
