"""A file holds what was written last, whole, or what it held before."""

import json
import stat

import pytest

from pride_jax.errors import RunError
from pride_jax.files import read_json, write_atomically, write_json


@pytest.mark.parametrize("content", ["", "größer\n", b"\x00\xff"])
def test_a_file_holds_what_was_written_last(tmp_path, content):
    path = tmp_path / "file"
    write_atomically(path, "something else")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_is_no_secret(tmp_path):
    write_atomically(tmp_path / "file", "")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, 1)
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, float("nan"))
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunError, match=r"Cannot write .*nowhere/file: No such file.*--workdir"):
        write_atomically(tmp_path / "nowhere" / "file", "")


def test_a_path_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RunError, match=r"Cannot read .*file: No such file"):
        read_json(tmp_path / "file")


def test_what_is_not_json_is_named(tmp_path):
    (tmp_path / "file").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(RunError, match="file is not JSON"):
        read_json(tmp_path / "file")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"{"])
def test_what_is_no_json_is_told_however_deep(tmp_path, content):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(RunError, match="is not JSON"):
        read_json(tmp_path / "file.json")
