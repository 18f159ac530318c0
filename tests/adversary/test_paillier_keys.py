"""T11: a key whose base of obfuscators hides nothing, or makes every run fail."""

import json
import os
from pathlib import Path

import gmpy2
import numpy as np
import pytest
from ciphertexts import called, ciphertexts_of, party_of_name, unblinded, vector_in
from gmpy2 import mpz
from parties import Party, party_of

from pride_jax.aggregation import paillier_keys
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.paillier_keys import PaillierSecret, load_secret, save_secret
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.secure_sum import Directory, Message
from pride_jax.errors import ProtocolError
from pride_jax.settings.experiment import Aggregation
from pride_jax.settings.protocols import build_key_files

CLIENTS = (1, 2, 3)
LENGTH = 24
VECTOR = np.arange(LENGTH) - 9


@pytest.fixture(scope="module")
def party() -> Party:
    return party_of_name("paillier")


@pytest.fixture
def directory(party: Party) -> Directory:
    return called(party, CLIENTS, LENGTH)


def read_without_a_key(party: Party, directory: Directory, message: Message) -> np.ndarray:
    """What the aggregator makes of 1 + n·x, up to its sign, with the blinds' seed."""
    n = mpz(party.public.key.n)
    found = []
    for ciphertext in ciphertexts_of(party, directory, message):
        for number in (ciphertext, n * n - ciphertext):
            multiple, rest = gmpy2.f_divmod(number, n)
            if rest == 1:
                found.append(multiple)
    if not found:
        raise ProtocolError("not one ciphertext is 1 + n·x")
    return vector_in(directory, unblinded(party, found, [(1, message.body)]))


def factors_of(party: Party, directory: Directory, count: int) -> set[mpz]:
    """What hides the plaintexts of messages: ciphertexts modulo n."""
    sent = [party.protect(directory, 1, VECTOR) for _ in range(count)]
    n = party.public.key.n
    return {each % n for message in sent for each in ciphertexts_of(party, directory, message)}


class TestBaseOfSmallOrder:
    """n² - 1, which is -1, passes for an n-th power of an invertible number."""

    def test_with_a_base_of_ones_own_the_aggregator_reads_everything(
        self, party: Party, directory: Directory, monkeypatch
    ) -> None:
        square = party.public.key.nsquare
        monkeypatch.setattr(paillier_keys, "obfuscation_base", lambda n: square - 1)
        assert len(factors_of(party, directory, 20)) <= 2
        message = party.protect(directory, 1, VECTOR)
        np.testing.assert_array_equal(read_without_a_key(party, directory, message), VECTOR)

    def test_the_base_is_the_modulus_own(self, party: Party, directory: Directory) -> None:
        assert len(factors_of(party, directory, 20)) == 20
        with pytest.raises(ProtocolError, match="not one"):
            read_without_a_key(party, directory, party.protect(directory, 1, VECTOR))

    def test_a_key_file_that_brings_one_is_refused(self, party: Party, tmp_path: Path) -> None:
        assert isinstance(party.secret, PaillierSecret)
        save_secret(tmp_path, party.secret)
        (path,) = tmp_path.iterdir()
        numbers = json.loads(path.read_text())
        path.write_text(
            json.dumps(numbers | {"obfuscation_base": hex(party.public.key.nsquare - 1)})
        )
        with pytest.raises(ProtocolError, match="does not hold a Paillier key"):
            load_secret(tmp_path)

    @pytest.mark.parametrize("protocol", ["paillier", "threshold"])
    def test_an_enrolment_that_brings_one_is_refused(self, party: Party, protocol: str) -> None:
        files = build_key_files(Aggregation(protocol, key_bits=1024))
        assert files is not None
        n, square = party.public.key.n, party.public.key.nsquare
        evil = n.to_bytes(128, "big") + (square - 1).to_bytes(256, "big")
        for data in (evil, n.to_bytes(256, "big") + evil[128:]):
            with pytest.raises(ProtocolError, match="enrol"):
                files.read_public(data)


class TestBaseThatIsNoPower:
    def test_with_any_number_for_a_base_no_sum_opens(
        self, party: Party, directory: Directory, monkeypatch
    ) -> None:
        number = int.from_bytes(os.urandom(200), "big")
        monkeypatch.setattr(paillier_keys, "obfuscation_base", lambda n: number)
        sent = [party.protect(directory, client, VECTOR) for client in CLIENTS]
        with pytest.raises(ProtocolError, match="forged or damaged"):
            party.reveal(directory, sent)

    def test_every_modulus_own_is_one_of_large_order(self) -> None:
        """base^λ = 1 modulo n², and no power with a small factor of λ left out is 1."""
        for _ in range(5):
            secret = paillier_keys.generate(os.urandom, 256)
            p, q, base = secret.key.p, secret.key.q, secret.public.obfuscation_base
            carmichael, square = (p - 1) * (q - 1) // 2, secret.public.key.nsquare
            assert pow(base, carmichael, square) == 1
            assert pow(base, 2 * int(gmpy2.fac(100)), square) != 1


@pytest.mark.parametrize("name", ["p", "q"])
def test_a_damaged_prime_is_refused(party: Party, tmp_path: Path, name: str) -> None:
    """One bit, anywhere: no run starts that would fail at its first sum."""
    assert isinstance(party.secret, PaillierSecret)
    save_secret(tmp_path, party.secret)
    (path,) = tmp_path.iterdir()
    numbers = json.loads(path.read_text())
    for bit in range(0, 512, 37):
        damaged = numbers | {name: hex(int(numbers[name], 16) ^ 1 << bit)}
        path.write_text(json.dumps(damaged))
        with pytest.raises(ProtocolError, match="does not hold a Paillier key"):
            load_secret(tmp_path)


def test_a_key_other_than_the_enrolled_one_opens_nothing(
    party: Party, directory: Directory
) -> None:
    other = party_of(paillier(1024))
    sent = [party.protect(directory, client, VECTOR) for client in CLIENTS]
    with pytest.raises(ProtocolError, match="secret is not that of"):
        other.protocol.share(directory, other.secret, question_of(sent))
