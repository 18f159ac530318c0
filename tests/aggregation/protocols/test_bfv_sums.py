"""BFV: its parameters, its exactness under blinds, what it refuses, and its keys of a round."""

import dataclasses
import importlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st
from parties import Party, party_of
from scipy import stats
from tenseal import sealapi

from pride_jax.aggregation import seal
from pride_jax.aggregation.bfv_keys import BFVSecret, public_from_bytes, secret_from_bytes
from pride_jax.aggregation.messages import from_bytes, question_of, to_bytes
from pride_jax.aggregation.protocols import bfv as protocol
from pride_jax.aggregation.protocols.bfv import Layout, bfv, blinds, join, layout, split
from pride_jax.aggregation.refusals import MessageError, OutOfRangeError
from pride_jax.aggregation.seal import (
    CIPHERTEXT_BYTES,
    COEFFICIENT_BYTES,
    MODULUS,
    PLAIN_MODULUS,
    SLOTS,
    from_fixed_width,
    to_fixed_width,
)
from pride_jax.aggregation.secure_sum import Directory, Message, Public, Role, Secret
from pride_jax.aggregation.terms import Terms
from pride_jax.aggregation.words import SEED_BYTES
from pride_jax.errors import ConfigError, ProtocolError


@pytest.fixture(scope="module")
def party() -> Party:
    return party_of(bfv())


@pytest.fixture
def directory(party: Party) -> Directory:
    return party.directory([1, 2, 3], length=40)


def terms(bits: int, clients: int, length: int = 10) -> Terms:
    return Terms(length, bits, 1.0, 1, clients)


def opened(party: Party, directory: Directory, messages: list[Message]) -> np.ndarray:
    total = party.protocol.combine(directory, messages)
    share = party.protocol.share(directory, party.secret, question_of(messages))
    return party.protocol.open(directory, total, [share])


class TestParameters:
    def test_modulus_is_what_seal_chose(self) -> None:
        primes = sealapi.CoeffModulus.Create(SLOTS, [48, 60])
        assert primes[0].value() == MODULUS < 256**COEFFICIENT_BYTES

    def test_moduli_have_128_bits_of_security_by_the_standard(self) -> None:
        level = sealapi.SEC_LEVEL_TYPE.TC128
        assert sealapi.CoeffModulus.MaxBitCount(SLOTS, level) == 109 >= 48 + 60

    def test_exact_sums_as_documented(self) -> None:
        assert layout(terms(16, 256)).digits == 1
        assert layout(terms(17, 256)).digits == 2

    def test_largest_cohort_as_documented(self) -> None:
        assert layout(terms(16, 2043)).digits == 2
        with pytest.raises(ConfigError, match=r"largest_cohort=2044.*two_servers"):
            layout(terms(16, 2044))

    @given(bits=st.integers(2, 32), clients=st.integers(1, 2043))
    def test_sums_of_digits_always_fit(self, bits: int, clients: int) -> None:
        where = layout(terms(bits, clients))
        assert where.digits * where.width >= bits
        assert 2 * clients * where.largest < PLAIN_MODULUS


class TestDigits:
    @given(
        digits=st.integers(1, 5),
        width=st.integers(2, 8),
        values=st.lists(st.floats(-1, 1), min_size=1, max_size=20),
    )
    def test_split_and_joined(self, digits: int, width: int, values: list[float]) -> None:
        most = 2 ** (digits * width - 1) - 1
        integers = np.array([round(v * most) for v in values], np.int64)
        where = Layout(digits, width, 2 ** (width - 1), len(values))
        parts = split(where, integers)
        assert parts.shape == (digits, len(values))
        assert np.abs(parts).max() <= where.largest
        np.testing.assert_array_equal(join(where, parts), integers)


class TestBlinds:
    def test_uniform_below_the_plaintexts_prime(self) -> None:
        drawn = blinds(Layout(2, 8, 128, 100_000), bytes(range(32))).ravel()
        assert (drawn.min() >= 0, drawn.max() < PLAIN_MODULUS) == (True, True)
        counts = np.bincount(drawn * 64 // PLAIN_MODULUS, minlength=64)
        assert 1e-6 < stats.chisquare(counts).pvalue < 1 - 1e-6

    def test_reduced_from_128_bits_of_the_stream(self) -> None:
        stream = protocol.keystream(bytes(32), 48)
        numbers = [int.from_bytes(stream[at : at + 16], "little") for at in (0, 16, 32)]
        expected = [[number % PLAIN_MODULUS for number in numbers]]
        assert blinds(Layout(1, 16, 1, 3), bytes(32)).tolist() == expected

    @settings(max_examples=20, deadline=None)
    @given(bits=st.integers(2, 32), clients=st.integers(1, 5), seed=st.integers(0, 2**32))
    def test_digits_that_run_over_the_prime_add_up(self, party, bits, clients, seed) -> None:
        """Blinded digits wrap modulo t about as often as not, in ciphertexts and in their sum."""
        directory = party.directory(range(clients), length=50, bits=bits, largest=2043)
        most, rng = directory.terms.largest_value, np.random.default_rng(seed)
        vectors = rng.choice([-most, most], (clients, 50))
        messages = [party.protect(directory, c, v) for c, v in enumerate(vectors)]
        np.testing.assert_array_equal(opened(party, directory, messages), vectors.sum(0))

    def test_the_most_clients_at_the_extreme(self, party) -> None:
        """One ciphertext added 2,043 times, which adds errors in the worst way."""
        directory = party.directory(range(2043), length=50, largest=2043)
        extreme = np.full(50, 32767)
        extreme[1::2] *= -1
        message = party.protect(directory, 0, extreme)
        body, blinded = (
            from_fixed_width(message.enclosed),
            blinds(layout(directory.terms), message.body),
        )
        added = to_fixed_width((body.astype(object) * 2043 % MODULUS).astype(np.uint64))
        where = layout(directory.terms)
        ciphertexts = from_fixed_width(added).reshape(-1, seal.COEFFICIENTS)
        digits = seal.decrypted(party.secret.context, ciphertexts).reshape(where.digits, -1)[:, :50]
        half = PLAIN_MODULUS // 2
        left = (digits - 2043 * blinded + half) % PLAIN_MODULUS - half
        np.testing.assert_array_equal(join(where, left), 2043 * extreme)


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_rows_that_are_full_or_nearly(party: Party, length: int) -> None:
    directory = party.directory([0, 1], length)
    vectors = np.random.default_rng(length).integers(-32767, 32768, (2, length))
    np.testing.assert_array_equal(party.sum(directory, dict(enumerate(vectors))), vectors.sum(0))


def test_bytes_a_value(party: Party) -> None:
    directory = party.directory([1], length=20 * SLOTS - 100)
    message = party.protect(directory, 1, np.arange(directory.terms.length) % 1000)
    assert len(to_bytes(message)) / directory.terms.length < 12.1
    assert (len(message.body), len(message.enclosed)) == (SEED_BYTES, 20 * CIPHERTEXT_BYTES)


class TestRefusals:
    def test_coefficient_that_is_not_below_the_modulus(self, party, directory) -> None:
        good, message = (party.protect(directory, c, np.arange(40)) for c in (1, 2))
        start = len(message.enclosed) - COEFFICIENT_BYTES
        for coefficient in (MODULUS, 256**COEFFICIENT_BYTES - 1):
            last = coefficient.to_bytes(COEFFICIENT_BYTES, "little")
            bad = message._replace(enclosed=message.enclosed[:start] + last)
            with pytest.raises(OutOfRangeError, match="client 2"):
                party.protocol.combine(directory, [good, bad])
            with pytest.raises(OutOfRangeError, match="client 2"):
                party.protocol.share(directory, party.secret, question_of([good, bad]))

    def test_bytes_that_a_client_did_not_encrypt(self, party, directory) -> None:
        """Any coefficients are a ciphertext: what they decrypt to is out of every range."""
        message = party.protect(directory, 1, np.arange(40))
        random = np.random.default_rng(0).integers(0, MODULUS, 8192).astype(np.uint64)
        with pytest.raises(ProtocolError, match="cannot reach"):
            opened(party, directory, [message._replace(enclosed=to_fixed_width(random))])

    def test_numbers_that_nobody_decrypts_to(self, party, directory) -> None:
        messages = [party.protect(directory, 1, np.arange(40))]
        total = party.protocol.combine(directory, messages)
        share = party.protocol.share(directory, party.secret, question_of(messages))
        beyond = share._replace(body=b"\xff" * len(share.body))
        with pytest.raises(ProtocolError, match="nobody decrypts to"):
            party.protocol.open(directory, total, [beyond])

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

    def test_another_key(self, party, directory) -> None:
        other = party_of(party.protocol)
        question = question_of([party.protect(directory, 1, np.arange(40))])
        for secret in (other.secret, Secret()):
            with pytest.raises(ProtocolError, match="secret is not that of"):
                other.protocol.share(directory, secret, question)

    def test_directory_without_a_fitting_key(self, directory) -> None:
        for keys in ({}, {Role.KEY_HOLDER: Public()}):
            elsewhere = Directory(0, (1,), directory.terms, keys)
            with pytest.raises(ProtocolError, match=r"Role\.KEY_HOLDER"):
                bfv().prepare(os.urandom, elsewhere, Secret(), 1)

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
        vector = seal.encrypted(party.secret.context, np.zeros(SLOTS, np.int64))
        data = bytearray(vector.serialize())
        data[8 + 5] = 1
        with pytest.raises(ProtocolError, match=r"tenseal>=0\.3\.16"):
            seal.Template.of(bytes(data))


def test_the_aggregator_does_not_need_tenseal(party: Party, directory, tmp_path: Path) -> None:
    messages = [party.protect(directory, client, np.arange(40)) for client in (1, 3)]
    share = party.protocol.share(directory, party.secret, question_of(messages))
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(pickle.dumps((directory, messages, share)))
    script = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from pride_jax.aggregation.protocols.bfv import bfv\n"
        "directory, messages, share = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "total = bfv().combine(directory, messages)\n"
        "summed = bfv().open(directory, total, [share])\n"
        "assert not {'tenseal', 'zstandard', 'jax'} & set(sys.modules)\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(summed))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script, sent, received], check=True)
    np.testing.assert_array_equal(pickle.loads(received.read_bytes()), 2 * np.arange(40))


class TestSecrecy:
    def test_same_vector_never_gives_the_same_bytes(self, party, directory) -> None:
        messages = [party.protect(directory, 1, np.zeros(40, int)) for _ in range(5)]
        assert len({message.body for message in messages}) == 5
        first, *others = (from_fixed_width(message.enclosed) for message in messages)
        assert all((first == other).mean() < 0.01 for other in others)

    def test_public_context_cannot_decrypt(self, party) -> None:
        context = tenseal.context_from(party.public.context)
        assert context.has_public_key()
        assert not context.has_secret_key()
        with pytest.raises(ValueError, match="secret_key"):
            seal.encrypted(context, np.zeros(SLOTS, np.int64)).decrypt()

    def test_nothing_public_holds_the_secret(self, party, directory) -> None:
        whole = seal.context_bytes(party.secret.context, with_secret=True)
        objects = re.split(rb"\x5e\xa1\x10", whole)
        large = [part for part in objects if len(part) > 5000]
        (key,) = (part for part in large if part[100:-100] not in party.public.context)
        messages = [party.protect(directory, 1, np.arange(40))]
        total = party.protocol.combine(directory, messages)
        share = party.protocol.share(directory, party.secret, question_of(messages))
        sent = pickle.dumps((directory, messages, total, share))
        windows = [key[at : at + 32] for at in range(len(key) // 4, 3 * len(key) // 4, 512)]
        assert len(windows) > 3
        assert not any(window in sent for window in windows)


class TestKeys:
    def test_kept_and_found_again(self, party, directory) -> None:
        assert isinstance(party.secret, BFVSecret)
        kept = secret_from_bytes(party.secret.to_bytes())
        assert kept.public == party.public
        question = question_of([party.protect(directory, 1, np.arange(40))])
        shares = [party.protocol.share(directory, s, question) for s in (kept, party.secret)]
        assert shares[0] == shares[1]

    def test_public_keys_as_bytes(self, party) -> None:
        data = party.public.to_bytes()
        assert public_from_bytes(data) == party.public
        private = seal.context_bytes(party.secret.context, with_secret=True)
        for bad in (b"", data[:-9], private):
            with pytest.raises(ProtocolError, match="key of the round"):
                public_from_bytes(bad)

    def test_every_key_is_new(self, party) -> None:
        assert party_of(party.protocol).public != party.public
