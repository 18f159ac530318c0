"""Pairwise masks: every message looks random alone, and the masks cancel in the sum.

A client and each of its neighbours agree on a mask that one adds and the other subtracts, modulo
2^bits. A client that falls silent leaves its masks in its neighbours' messages, so each has shared
the key of its pairwise masks out among helpers (Shamir), and those that are left give it back. If
such a client was only late, its message would then be bare; so each adds a mask of its own, too,
whose seed is shared out in the same way and given back for clients that are in the sum. Nobody
gives both for one client.

Stages: each client makes new keys for every round, and signs them with its enrolled key; draws its
helpers (``neighbours``), checks their signatures, and seals each one's shares for it in its only
letter of the round; reads what was sealed for it; adds its masks (``prepare``) and its vector
(``protect``), with a note to each helper that its vector is in this very sum; tells those whom it
helps to which set of contributors it agrees; and, once ``threshold`` of its own helpers have agreed
to the same set, gives its shares (``share``): of contributors whose note it has the seed's, of the
silent the pairing key's. Clients may fall silent at any stage.

Formal guarantees:
  n clients are in the roster, at most a share ``corrupted`` of them with the aggregator; k, t and c
  are degree, threshold and corrupted helpers of ``neighbours.neighbourhood``. Under the gap
  Diffie–Hellman assumption on Curve25519 in the random oracle model, with AES-256-CTR pseudorandom
  and AES-256-GCM authenticated encryption, but for a probability of 2^-40:

  - server="active": the aggregator and these clients, who send what they like, learn of an honest
    client's vector nothing beyond one sum, in which are at least t - c honest clients. Why: giving
    both of a client's secrets takes 2t <= k + 1 + c helpers, so one is all they get. Who gives a
    share has seen t helpers agree to a set that it is in itself, more than half of its honest ones;
    they give shares under no other set, so too few call it silent, and its pairing key stays
    hidden. To take a client's own mask off takes t - c such honest helpers, who have its note for
    the sum that they are in, too. Its masks with them stay, unless their vectors are in the same
    sum.
  - server="curious": one that follows the protocol learns, with these clients, the sum. One that
    does not can get a chosen client's vector: c < t <= (k + 1 + c)/2 lets it have both secrets.

  A tag under a key that two clients have from their signed round keys stands for the paper's
  signature, in notes and consents: only the one who is to be convinced reads it, and a hash takes
  far less time. In letters from clients that are no helpers of its own, a client looks at no
  signature: forged ones hold shares of nothing, and lead to masks that its own privacy does not
  rest on.

Edge cases:
  A sum of two tells each the other's vector. Corrupted clients are a share of each *round*: the
  aggregator chooses cohorts, and holders refuse small ones (``holder``). Helpers that give false
  shares of a secret are named, and the sum opens without them, if they are at most half of those
  beyond the threshold. Nobody sees whether the secret's owner sealed them these very shares; so it
  is named with them. More of them, or a false letter, stop a round: its writer is named, beside
  those helpers. Nonsense in the vector spoils the sum, which is seen if it leaves the range.

References:
  Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal & Seth 2017, Practical secure
  aggregation for privacy-preserving machine learning: section 6 for an active server.
  Bell, Bonawitz, Gascón, Lepoint & Raykova 2020, Secure single-server aggregation with
  (poly)logarithmic overhead.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt

from pride_jax.aggregation.checks import (
    check_messages,
    check_question,
    check_total,
    check_vector,
)
from pride_jax.aggregation.consents import (
    agreed_word,
    ask_all,
    check_agreement,
    digest_of,
    included_word,
    writers_of,
)
from pride_jax.aggregation.letters import (
    collect_letters,
    deliver,
    ids_to_bytes,
    read_letters,
    write_letter,
)
from pride_jax.aggregation.masking_shares import check_share, secrets_of
from pride_jax.aggregation.neighbours import (
    Neighbourhood,
    ServerModel,
    check_shares_of_clients,
    neighbourhood,
)
from pride_jax.aggregation.refusals import OutOfRangeError
from pride_jax.aggregation.round_keys import (
    TAG_BYTES,
    Member,
    new_round_keys,
    own_mask,
    pair_mask,
    pairing_key,
)
from pride_jax.aggregation.secret_sharing import SHARE_BYTES
from pride_jax.aggregation.secure_sum import (
    Directory,
    Letters,
    Message,
    Prepared,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
    header,
)
from pride_jax.aggregation.sights import (
    AGGREGATOR,
    DIFFERENCES,
    EVERYTHING,
    OTHER_CLIENTS,
    OTHERS,
    SUM,
    SUMS,
    Sight,
    both,
)
from pride_jax.aggregation.words import (
    from_bytes,
    is_canonical,
    sum_of_streams,
    to_bytes,
    to_signed,
    to_words,
    words_of,
)
from pride_jax.errors import ProtocolError, TooFewError

_T3 = "tests/adversary/test_t3_masking.py::"
_LISTS, _COLLUSION = f"{_T3}TestDifferentListsOfContributors::", f"{_T3}TestCollusion::"
_FEW, _MANY = (
    f"{AGGREGATOR} and at most `corrupted` of the clients",
    f"{AGGREGATOR} and `threshold` of a client's helpers",
)
_ALIKE = (
    Sight(
        AGGREGATOR, "curious", SUM, f"{_T3}TestCurious::test_its_view_fits_every_split_of_the_sum"
    ),
    DIFFERENCES,
    *OTHER_CLIENTS,
    Sight(_FEW, "curious", OTHERS, f"{_COLLUSION}test_the_shares_of_the_corrupted_are_too_few"),
    *both(_MANY, EVERYTHING, f"{_COLLUSION}test_as_many_as_the_threshold_have_every_secret"),
)
_ONE = (
    "any one client's vector: it tells some that this client is silent, and others that it is not"
)
_SIGHTS: Mapping[ServerModel, tuple[Sight, ...]] = {
    "curious": (
        *_ALIKE,
        *(
            Sight(who, "active", _ONE, f"{_LISTS}test_a_curious_threshold_gives_both")
            for who in (AGGREGATOR, _FEW)
        ),
    ),
    "active": (
        *_ALIKE,
        Sight(AGGREGATOR, "active", SUMS, f"{_T3}TestItsOwnKeysInTheOthersPlaces"),
        Sight(
            _FEW,
            "active",
            f"{SUMS}; threshold less corrupted helpers are honest in each",
            f"{_LISTS}test_shares_are_given_for_one_list_that_the_helpers_agree_on",
        ),
    ),
}


class Masks(NamedTuple):
    """What a client adds to its vector, and what it encloses.

    Attributes:
      masks: the sum of its own mask and those with its neighbours.
      notes: for each helper, in order, that its vector is in this sum.
    """

    masks: UInt[np.ndarray, "length"]
    notes: bytes


def masking(
    server: ServerModel = "active", corrupted: float = 1 / 3, silent: float = 1 / 10
) -> SecureSum:
    """Bell et al.'s secure aggregation; the holders are the clients in the sum.

    Args:
      server: whom it protects against: a ``"curious"`` aggregator, or an ``"active"`` one.
      corrupted: at most this share of a round's clients colludes with it.
      silent: at most this share of a round's clients falls silent.

    Returns:
      The protocol. ``keygen`` for ``Role.CLIENT`` gives ``RoundKeys``, for one round.

    Raises:
      ConfigError: no threshold is between the corrupted and those who are left.
    """
    check_shares_of_clients(server, corrupted, silent)
    name = f"masking-{server}"

    def hood_of(directory: Directory) -> Neighbourhood:
        return neighbourhood(server, corrupted, silent, len(directory.roster))

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        if role != Role.CLIENT:
            return Secret(), Public()
        keys = new_round_keys(rng)
        return keys, keys.public

    def write(rng: Rng, directory: Directory, secret: Secret, client: int) -> Message:
        return write_letter(rng, directory, f"{name}-letter", hood_of(directory), secret, client)

    def collect(directory: Directory, letters: Sequence[Message]) -> Directory:
        return collect_letters(directory, f"{name}-letter", hood_of(directory), letters)

    def read(
        directory: Directory, secret: Secret, client: int, mail: Mapping[int, bytes]
    ) -> Secret:
        return read_letters(directory, hood_of(directory), secret, client, mail)

    def quorum(directory: Directory) -> int:
        return hood_of(directory).threshold

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        words = words_of(directory.terms)
        notes = (hood_of(directory).degree + 1) * TAG_BYTES
        accepted = check_messages(directory, name, messages, words.size, notes)
        total = words.zeros()
        for message in accepted:
            if not is_canonical(words, message.body):
                raise OutOfRangeError(message.client, "bits after its last value are not 0")
            total += from_bytes(words, message.body)
        contributors = tuple(message.client for message in accepted)
        return Total(header(directory, name), contributors, to_bytes(words, total))

    def check_count(directory: Directory, contributors: tuple[int, ...]) -> None:
        if len(contributors) < quorum(directory):
            raise TooFewError(
                f"Refused to open a total of {len(contributors)} contributions in round "
                f"{directory.round}, expected at least {quorum(directory)}: with so many of the "
                f"{len(directory.roster)} clients silent, {name} protects nobody"
            )

    def asked(directory: Directory, secret: Secret, question: Question) -> Member:
        """The client that is asked, once it may be."""
        check_question(directory, name, question)
        check_count(directory, question.contributors)
        if not isinstance(secret, Member) or not secret.is_of(question.header):
            raise ProtocolError(
                f"The secret is not that of a client in the sum of round {directory.round}: a "
                "client helps with the sum whose letters it has read, and with no other"
            )
        if secret.client not in question.contributors:
            raise ProtocolError(
                f"Client {secret.client} is not in the total of round {directory.round}: only "
                "clients in it help to open it"
            )
        return secret

    def consent(directory: Directory, secret: Secret, question: Question) -> Message:
        me = asked(directory, secret, question)
        me.agree_to(digest_of(question), directory.round)
        word = agreed_word(question)
        tags = [me.tag(other, word) for other, each in me.neighbours.items() if each.is_helped]
        return Message(header(directory, f"{name}-consent"), me.client, b"".join(tags))

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        me = asked(directory, secret, question)
        check_agreement(directory, hood_of(directory).threshold, me, question)
        there = set(question.contributors)
        with_note = writers_of(me, question.included, included_word(question.header))
        rows = []
        for writer, each in me.neighbours.items():
            # Of who is in the sum, but has not said so, nothing: it may be in another one.
            if each.shares is None or (writer in there and writer not in with_note):
                continue
            of_seed, of_pairing = each.shares[:SHARE_BYTES], each.shares[SHARE_BYTES:]
            rows.append(ids_to_bytes([writer]) + (of_seed if writer in there else of_pairing))
        return Share(question.header, question.contributors, b"".join(rows), me.client)

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        words = words_of(directory.terms)
        check_total(directory, name, total, words.size)
        check_count(directory, total.contributors)
        secrets = secrets_of(directory, total, hood_of(directory).threshold, shares)
        linked = _linked(directory)
        added, taken = [], []
        for client, secret in secrets.items():
            if client in total.contributors:
                taken.append(own_mask(secret))
                continue
            # What survivors added of the pair, the silent client would have subtracted.
            pairing = pairing_key(secret)
            for other in linked[client].intersection(total.contributors):
                seed = pair_mask(directory, pairing, client, other)
                (added if client < other else taken).append(seed)
        masked = from_bytes(words, total.body)
        summed = to_signed(words, masked + sum_of_streams(words, added, taken))
        if np.abs(summed).max() > len(total.contributors) * directory.terms.largest_value:
            raise ProtocolError(
                f"The sum of round {directory.round} holds a value that "
                f"{len(total.contributors)} clients within their range cannot reach: a message was "
                "forged or damaged; discard the round"
            )
        return summed

    return SecureSum(
        name,
        keygen,
        partial(_prepare, name),
        partial(_protect, name),
        combine,
        share,
        open_total,
        letters=Letters(write, collect, deliver, read, partial(ask_all, name), consent),
        openers=Role.CLIENT,
        quorum=quorum,
        check_share=check_share,
        sights=_SIGHTS[server],
    )


def _prepare(
    name: str, rng: Rng, directory: Directory, secret: Secret, client: int
) -> Prepared[Masks]:
    del rng
    about = header(directory, name)
    if not isinstance(secret, Member) or secret.client != client or not secret.is_of(about):
        raise ProtocolError(
            f"The secret is not that of client {client} in the sum of round {directory.round}: "
            "read the letters of this directory first"
        )
    if len(directory.roster) < 2:
        raise ProtocolError(
            f"Client {client} is alone in round {directory.round}, expected at least 2: a sum of "
            "one is that one's vector"
        )
    keys = secret.take_keys()
    added, taken = [own_mask(keys.own)], []
    for other in secret.neighbours:
        if other in directory.letters and other != client:
            seed = pair_mask(directory, keys.pairing, client, other)
            (added if client < other else taken).append(seed)
    word = included_word(about)
    notes = [secret.tag(helper, word) for helper in keys.helpers]
    masks = sum_of_streams(words_of(directory.terms), added, taken)
    return Prepared(about, client, Masks(masks, b"".join(notes)))


def _protect(
    name: str,
    directory: Directory,
    prepared: Prepared[Masks],
    vector: Int[np.ndarray, "length"],
) -> Message:
    values = check_vector(directory, prepared.client, vector)
    about, words = header(directory, name), words_of(directory.terms)
    masks, notes = prepared.take(about)
    return Message(about, prepared.client, to_bytes(words, to_words(words, values) + masks), notes)


def _linked(directory: Directory) -> dict[int, set[int]]:
    """With whom each client has masks in common."""
    linked: dict[int, set[int]] = {client: set() for client in directory.letters}
    for writer, letter in directory.letters.items():
        for reader in letter.readers:
            if reader in linked and reader != writer:
                linked[writer].add(reader)
                linked[reader].add(writer)
    return linked
