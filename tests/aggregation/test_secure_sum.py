"""What every protocol must do, whatever it hides."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from parties import Party

from pride_jax.aggregation import messages as refusals
from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.secure_sum import Directory, Public, Role, Secret, Terms
from pride_jax.errors import ConfigError, ProtocolError


def vectors_of(directory: Directory, seed: int, clients: int) -> dict[int, np.ndarray]:
    largest = directory.terms.largest_value
    draws = np.random.default_rng(seed).integers(
        -largest, largest + 1, (clients, directory.terms.length), np.int64
    )
    return dict(zip(directory.roster, draws, strict=False))


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(2, 32),
    clients=st.integers(1, 6),
    length=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
def test_sum_is_exact(party: Party, bits: int, clients: int, length: int, seed: int) -> None:
    directory = party.directory(range(100, 106), length, bits)
    vectors = vectors_of(directory, seed, clients)
    np.testing.assert_array_equal(party.sum(directory, vectors), sum(vectors.values()))


@settings(max_examples=10, deadline=None)
@given(
    bits=st.sampled_from([2, 8, 16, 24, 32]),
    signs=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=5),
)
def test_sum_of_extreme_integers_is_exact(party: Party, bits: int, signs: list[int]) -> None:
    directory = party.directory(range(5), length=60, bits=bits)
    extreme = np.full(60, directory.terms.largest_value, np.int64)
    extreme[1::2] *= -1
    vectors = {client: sign * extreme for client, sign in enumerate(signs)}
    np.testing.assert_array_equal(party.sum(directory, vectors), sum(signs) * extreme)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_cohort_all_at_the_extreme(party: Party, bits: int, sign: int) -> None:
    directory = party.directory(range(256), length=3, bits=bits, largest=256)
    extreme = np.full(3, sign * directory.terms.largest_value)
    summed = party.sum(directory, dict.fromkeys(directory.roster, extreme))
    np.testing.assert_array_equal(summed, 256 * extreme)


@pytest.mark.parametrize("length", [1, 41, 42, 43, 84, 85, 200])
def test_any_length(party: Party, length: int) -> None:
    directory = party.directory([0, 1], length)
    vectors = vectors_of(directory, length, 2)
    np.testing.assert_array_equal(party.sum(directory, vectors), vectors[0] + vectors[1])


def test_single_client(party: Party) -> None:
    directory = party.directory([7], length=5)
    vector = np.array([1, -2, 3, 32767, -32767], np.int32)
    summed = party.sum(directory, {7: vector})
    np.testing.assert_array_equal(summed, vector)
    assert summed.dtype == np.int64


def test_order_of_messages_changes_nothing(party: Party) -> None:
    directory = party.directory(range(5), length=50)
    messages = [party.protect(directory, c, v) for c, v in vectors_of(directory, 0, 5).items()]
    assert party.protocol.combine(directory, messages) == party.protocol.combine(
        directory, messages[::-1]
    )


def test_round_goes_on_without_absent_clients(party: Party) -> None:
    directory = party.directory(range(5), length=9, smallest=2)
    vectors = vectors_of(directory, 1, 5)
    present = {client: vectors[client] for client in (4, 1)}
    np.testing.assert_array_equal(party.sum(directory, present), vectors[4] + vectors[1])


def test_messages_survive_the_wire(party: Party) -> None:
    directory = party.directory([3, 9], length=50)
    vectors = vectors_of(directory, 2, 2)
    sent = [to_bytes(party.protect(directory, c, v)) for c, v in vectors.items()]
    received = [from_bytes(data) for data in sent]
    assert [to_bytes(message) for message in received] == sent
    np.testing.assert_array_equal(party.reveal(directory, received), vectors[3] + vectors[9])


class TestRefusals:
    """Each names the client, and leaves the others' messages good."""

    @pytest.fixture
    def directory(self, party: Party) -> Directory:
        return party.directory([10, 11, 12], length=50, smallest=2)

    @pytest.fixture
    def vector(self) -> np.ndarray:
        return np.arange(50)

    def refuses(self, party: Party, directory: Directory, bad, error: type, client: int) -> None:
        good = [party.protect(directory, c, np.arange(50)) for c in (10, 11)]
        with pytest.raises(error, match=f"client {client}") as refusal:
            party.protocol.combine(directory, [*good, bad])
        assert refusal.value.client == client
        np.testing.assert_array_equal(party.reveal(directory, good), 2 * np.arange(50))

    def test_other_round(self, party, directory, vector) -> None:
        stale = party.directory([10, 11, 12], length=50, smallest=2, round=2)
        bad = party.protect(stale, 12, vector)
        self.refuses(party, directory, bad, refusals.WrongRoundError, 12)

    def test_other_keys(self, party, directory, vector) -> None:
        bad = party.protect(directory, 12, vector)
        bad = bad._replace(header=bad.header._replace(fingerprint=bytes(32)))
        self.refuses(party, directory, bad, refusals.WrongKeyError, 12)

    def test_other_protocol(self, party, directory, vector) -> None:
        bad = party.protect(directory, 12, vector)
        bad = bad._replace(header=bad.header._replace(protocol="paillier-2048"))
        self.refuses(party, directory, bad, refusals.WrongProtocolError, 12)

    @pytest.mark.parametrize("change", [{"length": 49}, {"bits": 15}, {"largest": 127}])
    def test_other_terms(self, party, directory, change) -> None:
        other = party.directory([12], **{"length": 50, "smallest": 2, **change})
        bad = party.protect(other, 12, np.zeros(other.terms.length, int))
        self.refuses(party, directory, bad, refusals.WrongTermsError, 12)

    def test_stranger(self, party, directory, vector) -> None:
        bad = party.protect(directory, 99, vector)
        self.refuses(party, directory, bad, refusals.NotInRosterError, 99)

    def test_duplicate(self, party, directory, vector) -> None:
        bad = party.protect(directory, 11, vector)
        self.refuses(party, directory, bad, refusals.DuplicateClientError, 11)

    def test_replay(self, party, directory, vector) -> None:
        message = party.protect(directory, 10, vector)
        with pytest.raises(refusals.DuplicateClientError, match="client 10"):
            party.protocol.combine(directory, [message, message])

    @pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
    def test_body_size(self, party, directory, vector, change) -> None:
        bad = party.protect(directory, 12, vector)
        bad = bad._replace(body=change(bad.body))
        self.refuses(party, directory, bad, refusals.WrongBodySizeError, 12)

    def test_value_or_ciphertext_out_of_range(self, party, directory, vector) -> None:
        bad = party.protect(directory, 12, vector)
        bad = bad._replace(body=b"\xff\xff\xff\x7f" * (len(bad.body) // 4))
        self.refuses(party, directory, bad, refusals.OutOfRangeError, 12)

    def test_nothing_to_combine(self, party, directory) -> None:
        with pytest.raises(ProtocolError, match="no messages"):
            party.protocol.combine(directory, [])

    @pytest.mark.parametrize(
        "vector",
        [
            np.arange(49),
            np.zeros((50, 1), int),
            np.zeros(50),
            np.full(50, 32768),
            np.full(50, -32768),
            np.full(50, -(2**31), np.int32),
            np.full(50, 2**64 - 1, np.uint64),
        ],
    )
    def test_vector_that_the_terms_do_not_allow(self, party, directory, vector) -> None:
        with pytest.raises((ProtocolError, TypeCheckError)) as refusal:
            party.protect(directory, 12, vector)
        assert isinstance(refusal.value, TypeCheckError) or "Client 12" in str(refusal.value)

    def test_too_few_contributions(self, party, directory, vector) -> None:
        total = party.protocol.combine(directory, [party.protect(directory, 10, vector)])
        with pytest.raises(ProtocolError, match="smallest_cohort=2"):
            party.protocol.share(directory, party.secret, total)
        with pytest.raises(ProtocolError, match="smallest_cohort=2"):
            party.protocol.open(directory, total, [])

    @pytest.mark.parametrize("contributors", [(10, 10), (11, 10), (10, 99), (10, 11, 12, 13)])
    def test_total_with_impossible_contributors(self, party, directory, contributors) -> None:
        messages = [party.protect(directory, c, np.arange(50)) for c in (10, 11)]
        total = party.protocol.combine(directory, messages)._replace(contributors=contributors)
        with pytest.raises(ProtocolError, match="contributors"):
            party.protocol.share(directory, party.secret, total)

    def test_total_of_another_round(self, party, directory) -> None:
        messages = [party.protect(directory, c, np.arange(50)) for c in (10, 11)]
        total = party.protocol.combine(directory, messages)
        later = party.directory([10, 11, 12], length=50, smallest=2, round=4)
        with pytest.raises(ProtocolError, match="round 3"):
            party.protocol.share(later, party.secret, total)

    def test_truncated_total(self, party, directory) -> None:
        messages = [party.protect(directory, c, np.arange(50)) for c in (10, 11)]
        total = party.protocol.combine(directory, messages)
        with pytest.raises(ProtocolError, match="bytes of body"):
            party.protocol.share(directory, party.secret, total._replace(body=total.body[1:]))

    def test_share_of_another_total(self, party, directory) -> None:
        messages = [party.protect(directory, c, np.arange(50)) for c in (10, 11, 12)]
        whole = party.protocol.combine(directory, messages)
        share = party.protocol.share(directory, party.secret, whole)
        part = party.protocol.combine(directory, messages[:2])
        with pytest.raises(ProtocolError, match="another total"):
            party.protocol.open(directory, part, [share])
        with pytest.raises(ProtocolError, match="0 shares"):
            party.protocol.open(directory, whole, [])
        with pytest.raises(ProtocolError, match="bytes of body"):
            party.protocol.open(directory, whole, [share._replace(body=share.body + b"\0")])


def test_prepared_material_is_used_once_and_for_its_round(party: Party) -> None:
    directory = party.directory([1], length=4)
    protect, vector = party.protocol.protect, np.arange(4)
    prepared = party.protocol.prepare(os.urandom, directory, Secret(), 1)
    with pytest.raises(ProtocolError, match="prepared for round 3"):
        protect(party.directory([1], length=4, round=4), prepared, vector)
    with pytest.raises(ProtocolError, match="span"):
        protect(directory, prepared, vector + 40000)
    protect(directory, prepared, vector)
    with pytest.raises(ProtocolError, match="already protected"):
        protect(directory, prepared, vector)


def test_secrets_are_not_printed_or_pickled(party: Party) -> None:
    prepared = party.protocol.prepare(os.urandom, party.directory([1], length=4), Secret(), 1)
    for secret in (party.secret, prepared):
        assert repr(secret) == str(secret) == f"<{type(secret).__name__}: secret>"
        assert f"{secret!r:>5}" == repr(secret)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="secrets stay"):
                pickle.dumps(secret, protocol)


def test_public_values_travel(party: Party) -> None:
    directory = party.directory([1, 2], length=4)
    message = party.protect(directory, 1, np.arange(4))
    total = party.protocol.combine(directory, [message])
    for value in (directory, message, total):
        assert pickle.loads(pickle.dumps(value)) == value


def test_same_keys_have_the_same_fingerprint(party: Party) -> None:
    first, second = party.directory([1], length=4), party.directory([2], length=5, round=9)
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 32
    nobody = Directory(0, (1,), first.terms, {})
    somebody = Directory(0, (1,), first.terms, {Role.CLIENT: Public()})
    assert len({first.fingerprint, nobody.fingerprint, somebody.fingerprint}) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", 0),
        ("bits", 1),
        ("bits", 33),
        ("limit", 0.0),
        ("limit", float("nan")),
        ("limit", float("inf")),
        ("smallest_cohort", 0),
        ("smallest_cohort", 11),
        ("largest_cohort", 2**31),
    ],
)
def test_impossible_terms(field: str, value: float) -> None:
    good = {"length": 5, "bits": 8, "limit": 1.0, "smallest_cohort": 1, "largest_cohort": 10}
    Terms(**good)
    with pytest.raises(ConfigError, match=f"{field}="):
        Terms(**{**good, field: value})


@pytest.mark.parametrize(
    ("round", "roster", "message"),
    [
        (-1, (1,), "round=-1"),
        (0, (-1,), "id outside"),
        (0, (1, 2, 1), "client 1 more than once"),
        (0, (1, 2, 3), "3 clients"),
    ],
)
def test_impossible_directory(round: int, roster: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Directory(round, roster, Terms(5, 8, 1.0, 1, 2))
