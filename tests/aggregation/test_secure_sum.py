"""What every protocol must do, whatever it hides: it runs over all of ``parties.CASES``."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from parties import CASES, Party, signing

from pride_jax.aggregation import refusals
from pride_jax.aggregation.checks import sift
from pride_jax.aggregation.corruption import ACCEPTED, of_messages, try_corruptions
from pride_jax.aggregation.messages import from_bytes, sign_message, to_bytes
from pride_jax.aggregation.secure_sum import Directory, Letter, Message, Public, Role, Share, Total
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError, ProtocolError


def vectors_of(directory: Directory, seed: int, clients: int) -> dict[int, np.ndarray]:
    largest = directory.terms.largest_value
    draws = np.random.default_rng(seed).integers(
        -largest, largest + 1, (clients, directory.terms.length), np.int64
    )
    return dict(zip(directory.roster, draws, strict=False))


def messages_of(party: Party, directory: Directory, clients: list[int]) -> list[Message]:
    vector = np.arange(directory.terms.length)
    return [party.protect(directory, client, vector) for client in clients]


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(2, 32),
    absent=st.integers(0, 5),
    length=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
def test_sum_is_exact(party: Party, bits: int, absent: int, length: int, seed: int) -> None:
    directory = party.directory(range(100, 106), length, bits=bits)
    present = max(6 - absent, party.fewest(directory))
    vectors = vectors_of(directory, seed, present)
    party.check_sum(directory, vectors, party.sum(directory, vectors))


@settings(max_examples=10, deadline=None)
@given(
    bits=st.sampled_from([2, 8, 16, 24, 32]),
    signs=st.lists(st.sampled_from([-1, 0, 1]), min_size=5, max_size=5),
)
def test_sum_of_extreme_integers_is_exact(party: Party, bits: int, signs: list[int]) -> None:
    directory = party.directory(range(5), length=60, bits=bits, largest=5)
    extreme = np.full(60, directory.terms.largest_value, np.int64)
    extreme[1::2] *= -1
    vectors = {client: sign * extreme for client, sign in enumerate(signs)}
    party.check_sum(directory, vectors, party.sum(directory, vectors))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_cohort_all_at_the_extreme(party: Party, bits: int, sign: int) -> None:
    crowd = party.crowd
    directory = party.directory(range(crowd), length=3, bits=bits, largest=crowd)
    extreme = np.full(3, sign * directory.terms.largest_value)
    vectors = dict.fromkeys(directory.roster, extreme)
    party.check_sum(directory, vectors, party.sum(directory, vectors))


@pytest.mark.parametrize("length", [1, 41, 42, 43, 84, 85, 200])
def test_any_length(party: Party, length: int) -> None:
    directory = party.directory([0, 1], length)
    vectors = vectors_of(directory, length, 2)
    party.check_sum(directory, vectors, party.sum(directory, vectors))


def test_fewest_clients(party: Party) -> None:
    clients = party.fewest(party.announce([7], length=5))
    directory = party.directory(range(clients), length=5)
    vectors = dict.fromkeys(range(clients), np.array([1, -2, 3, 32767, -32767], np.int32))
    party.check_sum(directory, vectors, party.sum(directory, vectors))


def test_order_of_messages_changes_nothing(party: Party) -> None:
    directory = party.directory(range(5), length=50)
    messages = messages_of(party, directory, [0, 1, 2, 3, 4])
    assert party.protocol.combine(directory, messages) == party.protocol.combine(
        directory, messages[::-1]
    )


def test_order_of_the_roster_changes_nothing(party: Party) -> None:
    directory = party.directory([5, 3, 9], length=50)
    vectors = vectors_of(directory, 3, 3)
    party.check_sum(directory, vectors, party.sum(directory, vectors))


def test_round_goes_on_without_absent_clients(party: Party) -> None:
    directory = party.directory(range(5), length=9, smallest=2)
    vectors = vectors_of(directory, 1, 5)
    present = {client: vectors[client] for client in (4, 1, 3, 2)}
    party.check_sum(directory, present, party.sum(directory, present))


def test_round_goes_on_without_bad_messages(party: Party) -> None:
    directory = party.directory(range(5), length=9, smallest=2)
    vectors = vectors_of(directory, 1, 5)
    good = [party.protect(directory, client, vector) for client, vector in vectors.items()]
    part = "body" if good[3].body else "enclosed"
    forged = good[2]._replace(**{part: getattr(good[3], part)})
    total, accepted, refused = sift(
        lambda messages: party.protocol.combine(directory, messages),
        [forged, *good[:4], good[1], good[4]._replace(signature=b"")],
    )
    assert [(type(error).__name__, error.client) for error in refused] == [
        ("WrongSignatureError", 2),
        ("DuplicateClientError", 1),
        ("MissingSignatureError", 4),
    ]
    assert sorted(accepted) == sorted(good[:4])
    summed = party.protocol.open(directory, total, party.shares(directory, accepted))
    party.check_sum(directory, {client: vectors[client] for client in range(4)}, summed)


def test_messages_survive_the_wire(party: Party) -> None:
    directory = party.directory([3, 9], length=50)
    vectors = vectors_of(directory, 2, 2)
    sent = [to_bytes(party.protect(directory, c, v)) for c, v in vectors.items()]
    received = [from_bytes(data) for data in sent]
    assert [to_bytes(message) for message in received] == sent
    party.check_sum(directory, vectors, party.reveal(directory, received))


def combine_elsewhere(name: str, directory: Directory, sent: list[bytes]) -> Total:
    return CASES[name].make().combine(directory, [from_bytes(data) for data in sent])


def open_elsewhere(
    name: str, directory: Directory, total: Total, shares: list[Share]
) -> np.ndarray:
    return CASES[name].make().open(directory, total, shares)


def test_an_aggregator_with_public_values_only(
    party: Party, request: pytest.FixtureRequest, elsewhere: ProcessPoolExecutor
) -> None:
    """Whatever pickles is no secret, and nothing else reaches the other process."""
    (name,) = [name for name in CASES if f"[{name}]" in request.node.name]
    directory = party.directory(range(4), length=50)
    vectors = vectors_of(directory, 2, 4)
    vectors.pop(2)
    messages = [party.protect(directory, c, v) for c, v in vectors.items()]
    sent = list(map(to_bytes, messages))
    total = elsewhere.submit(combine_elsewhere, name, directory, sent).result()
    shares = party.shares(directory, messages)
    summed = elsewhere.submit(open_elsewhere, name, directory, total, shares).result()
    party.check_sum(directory, vectors, summed)


class TestRefusals:
    """Each names the client, and leaves the others' messages good."""

    @pytest.fixture
    def directory(self, party: Party) -> Directory:
        return party.directory([10, 11, 12, 13], length=50, smallest=2)

    @pytest.fixture
    def good(self, party: Party, directory: Directory) -> Message:
        return messages_of(party, directory, [12])[0]

    def refuses(self, party: Party, directory: Directory, bad, error: type, client: int) -> None:
        others = messages_of(party, directory, [10, 11, 13])
        with pytest.raises(error, match=f"client {client}") as refusal:
            party.protocol.combine(directory, [*others, bad])
        assert refusal.value.client == client
        vectors = dict.fromkeys([10, 11, 13], np.arange(50))
        party.check_sum(directory, vectors, party.reveal(directory, others))

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"protocol": "paillier-4096"}, refusals.WrongProtocolError),
            ({"round": 2}, refusals.WrongRoundError),
            ({"round": 4}, refusals.WrongRoundError),
            ({"fingerprint": bytes(32)}, refusals.WrongKeyError),
        ],
    )
    def test_other_header(self, party, directory, good, change, error) -> None:
        bad = good._replace(header=good.header._replace(**change))
        self.refuses(party, directory, party.sign(bad), error, 12)

    @pytest.mark.parametrize(
        "change", [{"length": 49}, {"bits": 15}, {"limit": 0.5}, {"largest_cohort": 127}]
    )
    def test_other_terms(self, party, directory, good, change) -> None:
        other = replace(directory.terms, **change)
        bad = party.sign(good._replace(header=good.header._replace(terms=other)))
        self.refuses(party, directory, bad, refusals.WrongTermsError, 12)

    def test_message_of_another_round(self, party, directory) -> None:
        stale = party.directory([10, 11, 12, 13], length=50, smallest=2, round=2)
        (bad,) = messages_of(party, stale, [12])
        self.refuses(party, directory, bad, refusals.WrongRoundError, 12)

    def test_stranger(self, party, directory, good) -> None:
        bad = party.sign(good._replace(client=99))
        self.refuses(party, directory, bad, refusals.NotInRosterError, 99)

    def test_duplicate(self, party, directory) -> None:
        (bad,) = messages_of(party, directory, [11])
        self.refuses(party, directory, bad, refusals.DuplicateClientError, 11)

    def test_replay(self, party, directory, good) -> None:
        with pytest.raises(refusals.DuplicateClientError, match="client 12"):
            party.protocol.combine(directory, [good, good])

    @pytest.mark.parametrize("part", ["body", "enclosed"])
    @pytest.mark.parametrize("change", [lambda b: b + b"\0", lambda b: b[:-1] or b"\0"])
    def test_size(self, party, directory, good, part, change) -> None:
        bad = party.sign(good._replace(**{part: change(getattr(good, part))}))
        self.refuses(party, directory, bad, refusals.WrongBodySizeError, 12)

    def test_missing_signature(self, party, directory, good) -> None:
        bad = good._replace(signature=b"")
        self.refuses(party, directory, bad, refusals.MissingSignatureError, 12)

    def test_unknown_signer(self, party, directory, good) -> None:
        enrolled = {client: signing(client).public for client in (10, 11, 13)}
        others = replace(directory, signers=enrolled)
        bad = good._replace(header=good.header._replace(fingerprint=others.fingerprint))
        with pytest.raises(refusals.UnknownSignerError, match="client 12"):
            party.protocol.combine(others, [party.sign(bad)])

    def test_signature_of_another_client(self, party, directory, good) -> None:
        bad = sign_message(signing(10), good)
        self.refuses(party, directory, bad, refusals.ForeignSignatureError, 12)

    def test_signature_of_a_stranger(self, party, directory, good) -> None:
        bad = sign_message(signing(99), good)
        self.refuses(party, directory, bad, refusals.WrongSignatureError, 12)

    def test_client_id_of_a_silent_client(self, party, directory, good) -> None:
        (message,) = messages_of(party, directory, [11])
        bad = message._replace(client=12)
        with pytest.raises(refusals.WrongSignatureError, match="client 12"):
            party.protocol.combine(directory, [bad])

    def test_body_of_another_message(self, party, directory, good) -> None:
        (again,) = messages_of(party, party.directory([10, 11, 12, 13], length=50), [12])
        for part in ("body", "enclosed"):
            if content := getattr(again, part):
                other = content[:-1] + bytes([content[-1] ^ 1])
                bad = good._replace(**{part: other})
                self.refuses(party, directory, bad, refusals.WrongSignatureError, 12)

    def test_value_or_ciphertext_out_of_range(self, party, directory, good) -> None:
        """By a client that signs it: refused as it arrives, or where no message shows its range
        (masking), when the sum is opened."""
        part = "enclosed" if len(good.enclosed) > len(good.body) else "body"
        size = len(getattr(good, part))
        far = (b"\xff\xff\xff\x7f" * size)[:size]
        bad = party.sign(good._replace(**{part: far}))
        others = messages_of(party, directory, [10, 11, 13])
        with pytest.raises(ProtocolError) as refusal:
            party.reveal(directory, [*others, bad])
        assert isinstance(refusal.value, refusals.OutOfRangeError) or "range" in str(refusal.value)

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

    def test_too_few_contributions(self, party, directory, good) -> None:
        total = party.protocol.combine(directory, [good])
        with pytest.raises(ProtocolError, match="smallest_cohort=2"):
            party.shares(directory, [good])
        with pytest.raises(ProtocolError, match="smallest_cohort=2"):
            party.protocol.open(directory, total, [])

    @pytest.mark.parametrize("contributors", [(10, 10), (11, 10), (10, 99), (10, 11, 12, 14)])
    def test_question_with_impossible_contributors(self, party, directory, contributors) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        holder, question = self.asked(party, directory, messages)
        with pytest.raises(ProtocolError, match="contributors"):
            party.protocol.share(directory, holder, question._replace(contributors=contributors))

    def test_question_of_another_round(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        holder, question = self.asked(party, directory, messages)
        with pytest.raises(ProtocolError, match="round 3"):
            party.protocol.share(replace(directory, round=4), holder, question)

    def test_question_without_what_a_contributor_enclosed(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        holder, question = self.asked(party, directory, messages)
        if any(each.enclosed for each in question.enclosed):
            with pytest.raises(ProtocolError, match="each contributor"):
                party.protocol.share(
                    directory, holder, question._replace(enclosed=question.enclosed[1:])
                )

    def asked(self, party, directory, messages):
        holder, *_ = party.holders(directory, party.protocol.combine(directory, messages))
        return holder, party.questions(directory, messages)[0]

    def test_truncated_total(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        total = party.protocol.combine(directory, messages)
        with pytest.raises(ProtocolError, match="bytes of body"):
            party.protocol.open(
                directory,
                total._replace(body=total.body + b"\0"),
                party.shares(directory, messages),
            )

    def test_shares_of_another_total(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 12, 13])
        shares = party.shares(directory, messages)
        part = party.protocol.combine(directory, messages[:3])
        with pytest.raises(ProtocolError, match="another total"):
            party.protocol.open(directory, part, shares)

    def test_too_few_shares(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        total, shares = (
            party.protocol.combine(directory, messages),
            party.shares(directory, messages),
        )
        for few in (shares[: party.protocol.quorum(directory) - 1], []):
            with pytest.raises(ProtocolError, match=f"{len(few)} shares"):
                party.protocol.open(directory, total, few)

    def test_damaged_shares(self, party, directory) -> None:
        messages = messages_of(party, directory, [10, 11, 13])
        total = party.protocol.combine(directory, messages)
        given = party.shares(directory, messages)
        shares = [each._replace(body=each.body + b"\0") for each in given]
        with pytest.raises(ProtocolError):
            party.protocol.open(directory, total, shares)


def test_damaged_messages_never_crash_and_are_never_accepted(party: Party) -> None:
    directory = party.directory([1, 2**62, 3], length=20)
    messages = messages_of(party, directory, [1, 2**62, 3])
    outcomes = try_corruptions(of_messages(party.protocol, directory, messages), 2000, seed=0)
    assert outcomes.total() == 2000
    assert outcomes[ACCEPTED] == 0
    # The damage reaches every check: it is not all refused by the first.
    assert len(outcomes) >= 7


def test_prepared_material_is_used_once_and_for_its_round(party: Party) -> None:
    directory = party.directory([1, 2], length=4)
    protect, vector = party.protocol.protect, np.arange(4)
    prepared = party.prepare(directory, 1)
    with pytest.raises(ProtocolError, match="prepared for round 3"):
        protect(replace(directory, round=4), prepared, vector)
    with pytest.raises(ProtocolError, match="span"):
        protect(directory, prepared, vector + 40000)
    protect(directory, prepared, vector)
    with pytest.raises(ProtocolError, match="already protected"):
        protect(directory, prepared, vector)


def test_secrets_are_not_printed_or_pickled(party: Party) -> None:
    directory = party.directory([1, 2], length=4)
    prepared, client_secret = party.prepare(directory, 1), party.client_secret(directory, 1)
    for secret in (party.secret, client_secret, prepared, signing(1)):
        assert repr(secret) == str(secret) == f"<{type(secret).__name__}: secret>"
        assert f"{secret!r:>5}" == repr(secret)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="secrets stay"):
                pickle.dumps(secret, protocol)


def test_public_values_travel(party: Party) -> None:
    directory = party.directory([1, 2], length=4)
    messages = messages_of(party, directory, [1, 2])
    total, questions = (
        party.protocol.combine(directory, messages),
        party.questions(directory, messages),
    )
    for value in (directory, messages, total, questions, party.shares(directory, messages)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_fingerprint_is_that_of_run_model_keys_signers_and_letters() -> None:
    terms = Terms(4, 8, 1.0, 1, 5)
    bare = Directory(0, (1,), terms)
    letter = Letter(bytes(32))
    directories = [
        bare,
        replace(bare, keys={Role.CLIENT: Public()}),
        replace(bare, keys={1: Public()}),
        replace(bare, signers={1: b"key"}),
        replace(bare, signers={1: b"other"}),
        replace(bare, letters={1: letter}),
        replace(bare, letters={1: Letter(b"other")}),
        replace(bare, run=b"run"),
        replace(bare, model=b"run"),
    ]
    assert len({directory.fingerprint for directory in directories}) == len(directories)
    assert {len(directory.fingerprint) for directory in directories} == {32}
    same = Directory(9, (2, 3), Terms(5, 16, 2.0, 1, 5), signers={1: b"key"})
    assert same.fingerprint == directories[3].fingerprint


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


@pytest.mark.parametrize("letters", [{7: Letter(b"")}, {2: Letter(b"", (1, 2, 7))}])
def test_letters_are_from_and_to_clients_of_the_roster(letters: dict[int, Letter]) -> None:
    terms = Terms(5, 8, 1.0, 1, 3)
    with pytest.raises(ConfigError, match=r"clients \[7\], expected those of the 2 clients"):
        Directory(0, (1, 2), terms, letters=letters)
    assert Directory(0, (1, 2, 7), terms, letters=letters).members == frozenset(letters)
