import os
import stat
from pathlib import Path

import pytest

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.errors import ProtocolError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_gets_in(path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        write_owner_only(path, b"secret")
    finally:
        os.umask(previous)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert read_owner_only(path) == b"secret"
    assert list(path.parent.iterdir()) == [path]


def test_never_replaces_a_secret(path: Path) -> None:
    write_owner_only(path, b"first")
    with pytest.raises(ProtocolError, match="exists"):
        write_owner_only(path, b"second")
    assert read_owner_only(path) == b"first"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o610])
def test_refuses_a_file_that_others_can_open(path: Path, bits: int) -> None:
    write_owner_only(path, b"secret")
    path.chmod(bits)
    with pytest.raises(ProtocolError, match=f"mode {bits:04o}.*chmod 600"):
        read_owner_only(path)


def test_refuses_a_folder_that_others_can_enter(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o755)
    with pytest.raises(ProtocolError, match="chmod 700"):
        write_owner_only(path, b"secret")
    assert not any(path.parent.iterdir())


def test_refuses_links_folders_and_missing_files(path: Path) -> None:
    write_owner_only(path, b"secret")
    link = path.with_name("link")
    link.symlink_to(path)
    for unreadable in (link, path.parent, path.with_name("missing")):
        with pytest.raises(ProtocolError, match="cannot read"):
            read_owner_only(unreadable)
