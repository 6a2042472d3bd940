import os
import socket

import pytest

from tvdim_jax.data import files
from tvdim_jax.data.errors import BadExample
from tvdim_jax.data.files import read_inside


def reason_of(root, name: str) -> str:
    with pytest.raises(BadExample) as error:
        read_inside(root, name)
    return error.value.reason


def test_reads_files_below_the_root(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "12:30.jpg").write_bytes(b"x")
    (tmp_path / "inner").symlink_to(tmp_path / "a")
    assert read_inside(tmp_path, "a/12:30.jpg") == b"x"
    assert read_inside(tmp_path, "a/../inner/12:30.jpg") == b"x"


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/../../secret", "/etc/hostname", "file:///etc/hostname", "file:secret",
     "http://host/x.jpg", "pipe:touch x", "C:\\x", "link", "links/secret"],
)  # fmt: skip
def test_names_that_lead_out_are_refused(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "links").symlink_to(tmp_path)
    assert reason_of(root, name) == "path outside the data folder"


@pytest.mark.parametrize(
    "name", ["none.jpg", "", "folder", "a\0b", "\ud800", "x" * 5000, "fifo", "socket", "loop"]
)
def test_names_without_a_regular_file(tmp_path, name, monkeypatch):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")  # reading it would wait for ever
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert reason_of(tmp_path, name) == "missing file"


def test_empty_and_too_large_files(tmp_path, monkeypatch):
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"12345")
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 4)
    assert reason_of(tmp_path, "empty") == "empty file"
    assert reason_of(tmp_path, "large") == "file too large"
