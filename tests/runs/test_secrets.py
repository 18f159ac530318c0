"""A run's keys are made once, kept where only their owner reads them, and found again."""

import os
import stat
from functools import partial

import pytest

from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.secure_sum import Directory, Role
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError, RunError
from pride_jax.runs.secrets import keep, key_holder_keys, private_seed, save_seed
from pride_jax.settings.experiment import Aggregation
from pride_jax.settings.protocols import build_key_files, build_secure_sum

KEYED = [
    Aggregation("paillier", key_bits=1024),
    Aggregation("threshold", key_bits=1024, holders=3, threshold=2),
    Aggregation("two_servers"),
]


@pytest.fixture(params=KEYED, ids=lambda settings: settings.protocol, scope="module")
def keys(request):
    protocol, files = build_secure_sum(request.param), build_key_files(request.param)
    return protocol, files, protocol.keygen(os.urandom, Role.KEY_HOLDER)


def saver(files, secret):
    return partial(files.save, secret=secret)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def opened_by(protocol, secret, public):
    """What a holder of ``secret`` finds in a sum of two clients under ``public``."""
    directory = Directory(0, (0, 1), Terms(3, 16, 1.0, 2, 2), {Role.KEY_HOLDER: public})
    prepared = [
        protocol.prepare(os.urandom, directory, protocol.keygen(os.urandom, Role.CLIENT)[0], client)
        for client in (0, 1)
    ]
    vectors = ([1, -2, 3], [10, 20, -30])
    sent = [protocol.protect(directory, *pair) for pair in zip(prepared, vectors, strict=True)]
    total = protocol.combine(directory, sent)
    holders = protocol.deal(secret)[: protocol.quorum(directory)]
    shares = [protocol.share(directory, holder, question_of(sent)) for holder in holders]
    return protocol.open(directory, total, shares).tolist()


def test_new_keys_are_not_kept_before_they_are_asked_for(tmp_path, keys):
    protocol, files, _ = keys
    key_holder_keys(tmp_path / "secrets", protocol, files, os.urandom)
    assert not list(tmp_path.iterdir())


def test_kept_keys_are_found_again_and_open_the_same_sums(tmp_path, keys):
    protocol, files, (secret, public) = keys
    keep(tmp_path / "secrets", [saver(files, secret)])
    again, public_again = key_holder_keys(tmp_path / "secrets", protocol, files, os.urandom)
    assert public_again.to_bytes() == public.to_bytes()
    assert opened_by(protocol, again, public) == [11, 18, -27]


def test_keeping_keys_again_changes_nothing(tmp_path, keys):
    _, files, (secret, _) = keys
    keep(tmp_path / "secrets", [saver(files, secret)])

    def content():
        return {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}

    before = content()
    keep(tmp_path / "secrets", [saver(files, secret)])
    assert content() == before


def test_only_the_owner_can_read_kept_keys(tmp_path, keys):
    _, files, (secret, _) = keys
    keep(tmp_path / "secrets", [saver(files, secret)])
    assert mode(tmp_path / "secrets") == 0o700
    for file in (tmp_path / "secrets").iterdir():
        assert mode(file) == 0o600


def test_a_crash_while_keys_were_kept_leaves_room_for_new_ones(tmp_path, keys):
    protocol, files, (secret, public) = keys
    (tmp_path / "secrets.tmp").mkdir(mode=0o700)
    (tmp_path / "secrets.tmp" / "paillier-key.json").write_text('{"p": "0x')
    keep(tmp_path / "secrets", [saver(files, secret)])
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]
    again, _ = key_holder_keys(tmp_path / "secrets", protocol, files, os.urandom)
    assert opened_by(protocol, again, public) == [11, 18, -27]


def test_kept_keys_that_others_could_read_are_refused(tmp_path, keys):
    protocol, files, (secret, _) = keys
    keep(tmp_path / "secrets", [saver(files, secret)])
    for file in (tmp_path / "secrets").iterdir():
        file.chmod(0o644)
    with pytest.raises(ProtocolError, match=r"has mode 0644.*chmod 600"):
        key_holder_keys(tmp_path / "secrets", protocol, files, os.urandom)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, keys):
    _, files, (secret, _) = keys
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"Cannot write to .*file/secrets"):
        keep(tmp_path / "file" / "secrets", [saver(files, secret)])


@pytest.mark.parametrize("protocol", ["plain", "masking", "bfv"])
def test_where_no_key_holder_has_keys_nothing_is_kept(tmp_path, protocol):
    assert build_key_files(Aggregation(protocol)) is None
    keep(tmp_path / "secrets", [])
    assert not list(tmp_path.iterdir())


def test_the_seed_of_noise_is_new_until_it_is_kept_for_its_owner(tmp_path):
    folder = tmp_path / "secrets"
    seed, other = private_seed(folder, os.urandom), private_seed(folder, os.urandom)
    assert len(seed) == 32 and seed != other
    keep(folder, [partial(save_seed, seed=seed)])
    assert private_seed(folder, os.urandom) == seed
    (file,) = folder.iterdir()
    assert (mode(folder), mode(file)) == (0o700, 0o600)


def test_a_seed_that_is_lost_damaged_or_open_to_others_is_refused(tmp_path):
    folder = tmp_path / "secrets"
    keep(folder, [partial(save_seed, seed=bytes(32))])
    (file,) = folder.iterdir()
    file.chmod(0o640)
    with pytest.raises(ProtocolError, match="mode 0640"):
        private_seed(folder, os.urandom)
    file.chmod(0o600)
    file.write_bytes(bytes(31))
    with pytest.raises(ProtocolError, match="holds 31 bytes, expected 32"):
        private_seed(folder, os.urandom)
    file.unlink()
    with pytest.raises(ProtocolError, match="cannot read the secret"):
        private_seed(folder, os.urandom)
