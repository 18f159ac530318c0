"""A run's key is made once, kept where only its owner reads it, and found again."""

import os
import stat

import pytest

from pride_jax.aggregation.paillier import paillier
from pride_jax.errors import ProtocolError, RunError
from pride_jax.runs.secrets import keep_paillier_key, paillier_key

PROTOCOL = paillier(1024)


def new_key(folder):
    return paillier_key(folder, PROTOCOL, os.urandom)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_not_kept_before_it_is_asked_for(tmp_path):
    new_key(tmp_path / "secrets")
    assert not list(tmp_path.iterdir())


def test_a_kept_key_is_found_again(tmp_path):
    secret, public = new_key(tmp_path / "secrets")
    keep_paillier_key(tmp_path / "secrets", secret)
    again, public_again = new_key(tmp_path / "secrets")
    assert (again.key.p, again.key.q, public_again) == (secret.key.p, secret.key.q, public)


def test_keeping_a_key_again_changes_nothing(tmp_path):
    secret, _ = new_key(tmp_path / "secrets")
    keep_paillier_key(tmp_path / "secrets", secret)
    (file,) = (tmp_path / "secrets").iterdir()
    before = file.stat().st_mtime_ns, file.read_bytes()
    keep_paillier_key(tmp_path / "secrets", new_key(tmp_path / "secrets")[0])
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


def test_only_the_owner_can_read_a_kept_key(tmp_path):
    keep_paillier_key(tmp_path / "secrets", new_key(tmp_path / "secrets")[0])
    (file,) = (tmp_path / "secrets").iterdir()
    assert mode(tmp_path / "secrets") == 0o700
    assert mode(file) == 0o600


@pytest.mark.parametrize("leftover", [(), ("tmpx1y2",)])
def test_a_crash_while_a_key_was_kept_leaves_room_for_a_new_one(tmp_path, leftover):
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name in leftover:
        (folder / name).write_text('{"p": "0x')
    secret, _ = new_key(folder)
    keep_paillier_key(folder, secret)
    assert new_key(folder)[0].key.p == secret.key.p


def test_a_kept_key_that_others_could_read_is_refused(tmp_path):
    keep_paillier_key(tmp_path / "secrets", new_key(tmp_path / "secrets")[0])
    (file,) = (tmp_path / "secrets").iterdir()
    file.chmod(0o644)
    with pytest.raises(ProtocolError, match=r"paillier-key\.json"):
        new_key(tmp_path / "secrets")


def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(ProtocolError, match=r"has mode 0755.*chmod 700"):
        keep_paillier_key(tmp_path / "secrets", new_key(tmp_path / "secrets")[0])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "secrets"
    with pytest.raises(RunError, match=r"Cannot write to .*file/secrets"):
        keep_paillier_key(folder, new_key(folder)[0])
