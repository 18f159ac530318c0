import dataclasses
import functools
import importlib
import os
import pickle
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st
from parties import Party, party_of
from tenseal import sealapi

from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.protocols import lattice
from pride_jax.aggregation.protocols.lattice import (
    LatticeSecret,
    Layout,
    bfv,
    ckks,
    ckks_error,
    decrypt_rows,
    join,
    layout,
    load_secret,
    save_secret,
    split,
)
from pride_jax.aggregation.refusals import MessageError, OutOfRangeError, WrongBodySizeError
from pride_jax.aggregation.secure_sum import Directory, Public, Role, Secret, Terms, Total
from pride_jax.errors import ConfigError, ProtocolError

SCHEMES = {"bfv-4096": lattice._BFV, "ckks-4096": lattice._CKKS}
PROTOCOLS = {"bfv-4096": bfv, "ckks-4096": ckks}
VALUE_BITS = {"bfv-4096": (16, 256), "ckks-4096": (21, 256)}


@pytest.fixture(scope="module", params=SCHEMES)
def party(request: pytest.FixtureRequest) -> Party:
    return party_of(PROTOCOLS[request.param]())


@pytest.fixture
def directory(party: Party) -> Directory:
    return party.directory([1, 2, 3], length=40)


def terms(bits: int, clients: int, length: int = 10) -> Terms:
    return Terms(length, bits, 1.0, 1, clients)


def repack(scheme: lattice.Scheme, coefficients: list[int]) -> bytes:
    return b"".join(c.to_bytes(scheme.coefficient_bytes, "little") for c in coefficients)


class TestParameters:
    def test_modulus_is_what_seal_chose(self) -> None:
        for scheme, bits in ((lattice._BFV, [48, 60]), (lattice._CKKS, [54, 55])):
            primes = sealapi.CoeffModulus.Create(4096, bits)
            assert primes[0].value() == scheme.modulus < 256**scheme.coefficient_bytes

    def test_moduli_have_128_bits_of_security_by_the_standard(self) -> None:
        level = sealapi.SEC_LEVEL_TYPE.TC128
        assert sealapi.CoeffModulus.MaxBitCount(4096, level) == 109 >= max(48 + 60, 54 + 55)

    def test_exact_sums_as_documented(self) -> None:
        for name, (bits, clients) in VALUE_BITS.items():
            assert layout(SCHEMES[name], terms(bits, clients)).digits == 1
            assert layout(SCHEMES[name], terms(bits + 1, clients)).digits == 2

    def test_largest_cohort_as_documented(self) -> None:
        assert layout(lattice._BFV, terms(16, 2043)).digits == 2
        with pytest.raises(ConfigError, match=r"largest_cohort=2044.*paillier"):
            layout(lattice._BFV, terms(16, 2044))

    @given(bits=st.integers(2, 32), clients=st.integers(1, 2043))
    def test_sums_of_digits_always_fit(self, bits: int, clients: int) -> None:
        where = layout(lattice._BFV, terms(bits, clients))
        assert where.digits * where.width >= bits
        assert 2 * clients * where.largest < lattice._PLAIN_PRIME
        where = layout(lattice._CKKS, terms(bits, clients))
        assert ckks_error(clients, where.largest) < 0.5


class TestDigits:
    @given(
        digits=st.integers(1, 5),
        width=st.integers(2, 8),
        values=st.lists(st.floats(-1, 1), min_size=1, max_size=20),
    )
    def test_split_and_joined(self, digits: int, width: int, values: list[float]) -> None:
        most = 2 ** (digits * width - 1) - 1
        integers = np.array([round(v * most) for v in values], np.int64)
        where = Layout(digits, width, 2 ** (width - 1), 1)
        parts = split(where, integers)
        assert parts.shape == (digits, len(values))
        assert np.abs(parts).max() <= where.largest
        np.testing.assert_array_equal(join(where, parts), integers)


@pytest.mark.parametrize("length", [2047, 2048, 2049, 4096, 4097])
def test_rows_that_are_full_or_nearly(party: Party, length: int) -> None:
    directory = party.directory([0, 1], length)
    vectors = np.random.default_rng(length).integers(-32767, 32768, (2, length))
    np.testing.assert_array_equal(party.sum(directory, dict(enumerate(vectors))), vectors.sum(0))


def test_bytes_a_value() -> None:
    for protocol, most in ((bfv(), 12.1), (ckks(), 28.3)):
        party = party_of(protocol)
        directory = party.directory([1], length=20 * 4096 - 100)
        message = party.protect(directory, 1, np.arange(directory.terms.length) % 1000)
        assert len(to_bytes(message)) / directory.terms.length < most


class TestBFV:
    def test_the_most_clients_at_the_extreme(self) -> None:
        """Ciphertexts are added to themselves, which adds errors in the worst way."""
        party = party_of(bfv())
        directory = party.directory(range(2043), length=50, largest=2043)
        extreme = np.full(50, 32767)
        extreme[1::2] *= -1
        body = party.protect(directory, 0, extreme).body
        scheme = lattice._BFV
        coefficients = lattice._coefficients(scheme, body).astype(object) * 2043 % scheme.modulus
        total = Total(
            party.protect(directory, 0, extreme).header,
            tuple(range(2043)),
            lattice._fixed_width(scheme, coefficients.astype(np.uint64)),
        )
        share = party.protocol.share(directory, party.secret, total)
        np.testing.assert_array_equal(
            party.protocol.open(directory, total, [share]), 2043 * extreme
        )


@functools.cache
def ckks_party() -> Party:
    return party_of(ckks())


class TestCKKS:
    @settings(max_examples=25, deadline=None)
    @given(
        bits=st.integers(2, 21),
        clients=st.integers(1, 8),
        extreme=st.booleans(),
        seed=st.integers(0, 2**32),
    )
    def test_decrypts_within_the_stated_error(
        self, bits: int, clients: int, extreme: bool, seed: int
    ) -> None:
        party = ckks_party()
        directory = party.directory(range(8), length=2048, bits=bits, largest=8)
        most = directory.terms.largest_value
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-most, most + 1, (clients, 2048))
        if extreme:
            vectors = most * (2 * rng.integers(0, 2, (clients, 2048)) - 1)
        messages = [party.protect(directory, c, v) for c, v in enumerate(vectors)]
        total = party.protocol.combine(directory, messages)
        where = layout(lattice._CKKS, directory.terms)
        assert isinstance(party.secret, LatticeSecret)
        opened = decrypt_rows(lattice._CKKS, party.secret, where, 8, total.body)
        off = np.abs(opened - vectors.sum(0)).max()
        assert 0 < off < ckks_error(8, most) < 0.5

    def test_what_is_shared_holds_no_error(self) -> None:
        party = ckks_party()
        directory = party.directory(range(3), length=100)
        vectors = np.random.default_rng(0).integers(-32767, 32768, (3, 100))
        shares = []
        for _ in range(2):
            messages = [party.protect(directory, c, v) for c, v in enumerate(vectors)]
            total = party.protocol.combine(directory, messages)
            shares.append(party.protocol.share(directory, party.secret, total).body)
        assert shares[0] == shares[1] == vectors.sum(0).astype("<i8").tobytes()

    @pytest.mark.parametrize("clients", [1, 10, 128, 256])
    def test_error_falls_with_the_scale(self, clients: int) -> None:
        errors = [ckks_error(clients, 2 ** (bits - 1) - 1) for bits in (8, 16, 21)]
        assert 0 < errors[0] < errors[1] < errors[2] < 0.5
        assert ckks_error(128, 32767) < 0.004


class TestRefusals:
    def test_coefficient_that_is_not_below_the_modulus(self, party, directory) -> None:
        scheme = SCHEMES[party.protocol.name]
        good = party.protect(directory, 1, np.arange(40))
        for coefficient in (scheme.modulus, 256**scheme.coefficient_bytes - 1):
            message = party.protect(directory, 2, np.arange(40))
            start = len(message.body) - scheme.coefficient_bytes
            bad = message._replace(body=message.body[:start] + repack(scheme, [coefficient]))
            with pytest.raises(OutOfRangeError, match="client 2"):
                party.protocol.combine(directory, [good, bad])
            total = party.protocol.combine(directory, [message])
            with pytest.raises(ProtocolError, match="not a ciphertext"):
                party.protocol.share(directory, party.secret, total._replace(body=bad.body))

    def test_bytes_that_a_client_did_not_encrypt(self, party, directory) -> None:
        """Any coefficients are a ciphertext: what they decrypt to is out of every range."""
        scheme = SCHEMES[party.protocol.name]
        message = party.protect(directory, 1, np.arange(40))
        random = np.random.default_rng(0).integers(0, scheme.modulus, 8192).tolist()
        total = party.protocol.combine(directory, [message._replace(body=repack(scheme, random))])
        with pytest.raises(ProtocolError, match="cannot reach"):
            party.protocol.share(directory, party.secret, total)

    def test_zeros_are_the_sum_of_nothing(self, party, directory) -> None:
        """A ciphertext without randomness decrypts; only signatures tell who sent it."""
        message = party.protect(directory, 1, np.arange(40))
        total = party.protocol.combine(directory, [message._replace(body=bytes(len(message.body)))])
        share = party.protocol.share(directory, party.secret, total)
        assert not party.protocol.open(directory, total, [share]).any()

    def test_value_beyond_the_claimed_clients(self, party, directory) -> None:
        messages = [party.protect(directory, c, np.full(40, 32767)) for c in (1, 2)]
        total = party.protocol.combine(directory, messages)
        with pytest.raises(ProtocolError, match="1 clients within their range"):
            party.protocol.share(directory, party.secret, total._replace(contributors=(1,)))

    def test_signed_bytes_that_changed_on_the_way(self, party) -> None:
        signing = dataclasses.replace(party, signed=True)
        signed = signing.directory([1], length=40)
        data = to_bytes(signing.protect(signed, 1, np.arange(40)))
        party.protocol.combine(signed, [from_bytes(data)])
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(data), 200):
            changed = bytearray(data)
            changed[place] ^= 1 << int(rng.integers(8))
            with pytest.raises(MessageError):
                party.protocol.combine(signed, [from_bytes(bytes(changed))])

    def test_body_of_the_other_scheme(self, directory) -> None:
        exact, approximate = party_of(bfv()), party_of(ckks())
        here = exact.directory([1], length=40)
        there = approximate.protect(approximate.directory([1], length=40), 1, np.arange(40))
        forged = there._replace(header=exact.protect(here, 1, np.arange(40)).header)
        with pytest.raises(WrongBodySizeError, match="client 1"):
            exact.protocol.combine(here, [forged])

    def test_another_key(self, party, directory) -> None:
        other = party_of(party.protocol)
        message = party.protect(directory, 1, np.arange(40))
        total = party.protocol.combine(directory, [message])
        for secret in (other.secret, Secret()):
            with pytest.raises(ProtocolError, match="secret is not that of"):
                other.protocol.share(directory, secret, total)

    def test_directory_without_a_fitting_key(self, party, directory) -> None:
        other = next(make for name, make in PROTOCOLS.items() if name != party.protocol.name)
        for keys in ({}, {Role.KEY_HOLDER: Public()}, {Role.KEY_HOLDER: party_of(other()).public}):
            elsewhere = Directory(0, (1,), directory.terms, keys)
            with pytest.raises(ProtocolError, match=r"Role\.KEY_HOLDER"):
                party.protocol.prepare(os.urandom, elsewhere, Secret(), 1)

    @pytest.mark.parametrize("missing", ["tenseal", "zstandard"])
    def test_without_the_extra(self, party, directory, missing, monkeypatch) -> None:
        found = importlib.import_module

        def fails(name: str):
            if name == missing:
                raise ImportError(f"No module named {name!r}")
            return found(name)

        message = party.protect(directory, 1, np.arange(40))
        monkeypatch.setattr(importlib, "import_module", fails)
        with pytest.raises(ConfigError, match=rf"{missing}.*pip install -e '\.\[lattice\]'"):
            party.protect(directory, 1, np.arange(40))
        party.protocol.combine(directory, [message])

    def test_unknown_form_of_tenseal(self, party) -> None:
        scheme = SCHEMES[party.protocol.name]
        data = bytearray(scheme.zeros(party.secret.context, 4, 100).serialize())
        data[8 + 5] = 1
        with pytest.raises(ProtocolError, match=r"tenseal>=0\.3\.16"):
            lattice._Template.of(bytes(data))


def test_the_aggregator_does_not_need_tenseal(party: Party, directory, tmp_path: Path) -> None:
    messages = [party.protect(directory, client, np.arange(40)) for client in (1, 3)]
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(pickle.dumps((directory, messages)))
    script = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from pride_jax.aggregation.protocols.lattice import bfv, ckks\n"
        "directory, messages = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "protocol = {'bfv-4096': bfv, 'ckks-4096': ckks}[sys.argv[3]]()\n"
        "total = protocol.combine(directory, messages)\n"
        "assert not {'tenseal', 'zstandard', 'jax'} & set(sys.modules)\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(total))\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script, sent, received, party.protocol.name],
        check=True,
    )
    total = pickle.loads(received.read_bytes())
    share = party.protocol.share(directory, party.secret, total)
    summed = party.protocol.open(directory, total, [share])
    np.testing.assert_array_equal(summed, 2 * np.arange(40))


class TestSecrecy:
    def test_same_vector_never_gives_the_same_bytes(self, party, directory) -> None:
        scheme = SCHEMES[party.protocol.name]
        bodies = [party.protect(directory, 1, np.zeros(40, int)).body for _ in range(5)]
        first, *others = (lattice._coefficients(scheme, body) for body in bodies)
        assert all((first == other).mean() < 0.01 for other in others)

    def test_public_context_cannot_decrypt(self, party, directory) -> None:
        context = tenseal.context_from(party.public.context)
        assert context.has_public_key()
        assert not context.has_secret_key()
        scheme = SCHEMES[party.protocol.name]
        with pytest.raises(ValueError, match="secret_key"):
            scheme.zeros(context, 4, 100).decrypt()

    def test_nothing_public_holds_the_secret(self, party, directory) -> None:
        whole = lattice._serialize(party.secret.context, with_secret=True)
        objects = re.split(rb"\x5e\xa1\x10", whole)
        large = [part for part in objects if len(part) > 5000]
        (key,) = (part for part in large if part[100:-100] not in party.public.context)
        message = party.protect(directory, 1, np.arange(40))
        total = party.protocol.combine(directory, [message])
        share = party.protocol.share(directory, party.secret, total)
        sent = pickle.dumps((directory, message, total, share))
        windows = [key[at : at + 32] for at in range(len(key) // 4, 3 * len(key) // 4, 512)]
        assert len(windows) > 3
        assert not any(window in sent for window in windows)

    def test_secrets_are_not_printed_or_pickled(self, party) -> None:
        assert repr(party.secret) == "<LatticeSecret: secret>"
        with pytest.raises(TypeError, match="secrets stay"):
            pickle.dumps(party.secret)


class TestKeys:
    def test_saved_and_loaded(self, party, directory, tmp_path: Path) -> None:
        save_secret(tmp_path / "secrets", party.secret)
        file = tmp_path / "secrets" / "lattice-key"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        loaded = load_secret(tmp_path / "secrets")
        assert loaded.public == party.public
        total = party.protocol.combine(directory, [party.protect(directory, 1, np.arange(40))])
        assert party.protocol.share(directory, loaded, total) == party.protocol.share(
            directory, party.secret, total
        )
        with pytest.raises(ProtocolError, match="exists"):
            save_secret(tmp_path / "secrets", party.secret)

    def test_damaged_key(self, party, tmp_path: Path) -> None:
        save_secret(tmp_path / "secrets", party.secret)
        file = tmp_path / "secrets" / "lattice-key"
        good = file.read_bytes()
        for bad in (b"", good[:-1], good[:100], good[:500] + b"\0\1\2" + good[503:]):
            file.write_bytes(bad)
            with pytest.raises(ProtocolError, match="does not hold a lattice key"):
                load_secret(tmp_path / "secrets")

    def test_every_key_is_new(self, party) -> None:
        assert party_of(party.protocol).public != party.public
