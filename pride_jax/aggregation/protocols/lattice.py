"""Sums whose opening costs the same for every model: keys apart from vectors.

A client hides its vector under a one-time key of ring learning with errors, for the aggregator, and
sends the key through another protocol, the *inner* one, that adds keys. Hidden vectors add up to
the sum of the vectors under the sum of the keys. So whoever learns the sum of the keys reads the
sum of the vectors, and a key is as long for every model.

With polynomials modulo X^N + 1 and q, of which one, a, is public for each block of values::

    a client draws a key s and errors e, small numbers, and sends     c = a·s + e + 2^E·m
    the aggregator adds up what it is sent                           Σc = a·Σs + Σe + 2^E·Σm
    the inner protocol tells the sum of the keys; what is left is         Σe + 2^E·Σm

Formal guarantees:
  In the random oracle model, which a comes from, under ring-LWE with keys and errors of standard
  deviation 4.5, while two honest clients are in the sum: who learns nothing of their keys but the
  sum learns nothing of their vectors but the sum. It also learns the sum of their errors. Given
  both sums, what one of two honest clients drew is a discrete Gaussian about half of each, of a
  deviation smaller by √2; so √2·4.5 is drawn (hint-LWE: Kim et al. 2023). Whoever has no hidden
  vector learns nothing of vectors from keys. So each role, curious or active, alone or with others,
  learns of vectors what it learns of keys in the inner protocol, and only if the aggregator is one
  of them. That is an argument, and no proof of both protocols as one.

  Active adversaries: a client's signature covers hidden vector and key. The inner protocol's proofs
  or boxes tie a key to its sender, so nobody sends what it makes of another's. A key hides one
  vector and is opened in one sum: `prepare` draws a new one, its result is used once, and holders
  and clients open one sum a round (``books``).

  Integrity: under a wrong sum of keys the errors that are left are random, and one in nine at least
  is out of bounds. So the sum is refused where a holder lies, where vectors and keys are not of the
  same clients, and where a client hid its vector under another key than it sent. What passes by
  chance has a probability below (8/9)^coefficients; to make a wrong sum that passes otherwise is to
  find short polynomials whose product with every block's a is small in its lowest bits. Clients can
  still send what is out of range.

Availability:
  That of the inner protocol. A client that does not follow the protocol spoils the sum.

References:
  ``pride_jax.aggregation.lattice`` has those of the scheme, and a published patent application.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.checks import (
    check_question,
    check_senders,
    check_signed,
    check_total,
    check_vector,
)
from pride_jax.aggregation.lattice.ciphertexts import (
    Polynomials,
    Residues,
    add,
    hide,
    is_canonical,
    mask,
    reveal,
)
from pride_jax.aggregation.lattice.drawn import draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import Lattice, key_terms, lattice_of
from pride_jax.aggregation.messages import header_bytes
from pride_jax.aggregation.refusals import OutOfRangeError, WrongBodySizeError
from pride_jax.aggregation.secure_sum import (
    Directory,
    Header,
    Letters,
    Message,
    Prepared,
    Question,
    Rng,
    Secret,
    SecureSum,
    Share,
    Total,
    header,
)
from pride_jax.aggregation.sights import AGGREGATOR, DIFFERENCES, OTHER_CLIENTS, Sight
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError
from pride_jax.validated import expect

_PUBLIC = b"PRIDElat"
_NOT_APART = {
    "plain": "it hides no key, and who reads keys reads vectors",
    "bfv": "its clients need not know the keys that they send, and could send another's",
    "lattice": "a key apart from a key hides nothing more",
}
"""Protocols that no keys are sent through, and why."""

_TESTS = "tests/adversary/test_lattice.py::"
_SHIFT = "; it can shift the sum"


class Hidden(NamedTuple):
    """What a client makes before it has its vector.

    Attributes:
      mask: a·s + e, which hides one vector.
      key: the inner protocol's message, not signed, that has s in it.
    """

    mask: Residues
    key: Message


@dataclass(frozen=True)
class _OfKeys(Directory):
    """A round as the inner protocol sees it, in which keys are summed.

    Its messages are parts of others, whose signatures have been checked: it names no signers. Its
    fingerprint is the round's own, which has the signers in it.
    """

    of_vectors: Directory = field(kw_only=True)

    @cached_property
    def fingerprint(self) -> bytes:
        """That of the round."""
        return self.of_vectors.fingerprint

    @cached_property
    def before_letters(self) -> "_OfKeys":
        """The same round as its letters' writers knew it."""
        return replace(self, letters={}, of_vectors=self.of_vectors.before_letters)


class _Sums(NamedTuple):
    """The two sums of a round.

    Attributes:
      ring: how vectors are hidden.
      about: what tells the sum of the vectors from all others.
      of_keys: the round in which keys are summed.
      signed: the same, with signers, for letters and consents.
      about_keys: what tells the sum of the keys from all others.
    """

    ring: Lattice
    about: Header
    of_keys: _OfKeys
    signed: _OfKeys
    about_keys: Header

    @property
    def public(self) -> Polynomials:
        """The public polynomials of the round."""
        seed = hashlib.sha256(header_bytes(self.about, 0, _PUBLIC)).digest()
        return public_polynomials(self.ring, seed)

    def key_in(self, message: Message) -> Message:
        """The inner protocol's message in one that has been checked."""
        body = message.body[self.ring.size :]
        return message._replace(header=self.about_keys, body=body, signature=b"")

    def asked_of_keys(self, question: Question) -> Question:
        """What an inner holder is asked, by a question that has been checked."""
        enclosed = tuple(each._replace(header=self.about_keys) for each in question.enclosed)
        return question._replace(header=self.about_keys, enclosed=enclosed)

    def share_of_keys(self, share: Share) -> Share:
        """The inner protocol's share; one of another sum stays so, and is refused."""
        is_of_this = share.header == self.about
        return share._replace(header=self.about_keys) if is_of_this else share


def lattice(inner: SecureSum, ring_of: Callable[[Terms], Lattice] = lattice_of) -> SecureSum:
    """A vector under a one-time key for the aggregator; the key through ``inner``.

    Roles, keys and letters are those of ``inner``.

    Args:
      inner: adds the keys: ``two_servers``, ``paillier``, ``threshold_paillier`` or ``masking``.
      ring_of: terms -> the ring. Any other than the one given is for tests: small rings are
        breakable.

    Returns:
      The protocol.

    Raises:
      ConfigError: keys cannot be sent through ``inner``.
    """
    expect("inner", inner, SecureSum, "a protocol, such as paillier() or masking()")
    kind = re.split(r"[-(]", inner.name)[0]
    if kind in _NOT_APART:
        raise ConfigError(
            f"lattice({inner.name}): expected two_servers, paillier, threshold_paillier or "
            f"masking to send keys through, since of {kind}: {_NOT_APART[kind]}"
        )
    name = f"lattice({inner.name})"

    # Every client of a simulated round asks for the same: its letters are looked through once.
    latest: dict[str, _Sums] = {}

    def sums_of(directory: Directory) -> _Sums:
        found = latest.get(name)
        if found is None or found.of_keys.of_vectors is not directory:
            found = latest[name] = sums_in(directory)
        return found

    def sums_in(directory: Directory) -> _Sums:
        ring = ring_of(directory.terms)
        of_keys = _OfKeys(
            directory.round,
            directory.roster,
            replace(key_terms(directory.terms), length=ring.degree),
            directory.keys,
            key_signatures=directory.key_signatures,
            letters=directory.letters,
            model=directory.model,
            run=directory.run,
            of_vectors=directory,
        )
        signed = replace(of_keys, signers=directory.signers)
        about_keys = header(of_keys, inner.name)
        return _Sums(ring, header(directory, name), of_keys, signed, about_keys)

    def prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[Hidden]:
        sums = sums_of(directory)
        key = draw_key(sums.ring, rng)
        prepared = inner.prepare(rng, sums.of_keys, secret, client)
        message = inner.protect(sums.of_keys, prepared, key)
        masked = mask(sums.ring, sums.public, key, rng)
        # Of what needs no vector, nothing is left for when there is one.
        return Prepared(sums.about, client, Hidden(masked.block_until_ready(), message))

    def protect(
        directory: Directory, prepared: Prepared[Hidden], vector: Int[np.ndarray, "length"]
    ) -> Message:
        sums = sums_of(directory)
        values = check_vector(directory, prepared.client, vector)
        masked, key = prepared.take(sums.about)
        return key._replace(header=sums.about, body=hide(sums.ring, masked, values) + key.body)

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        sums = sums_of(directory)
        accepted = check_senders(directory, name, messages)
        size = sums.ring.size
        for message in accepted:
            _check_hidden(sums.ring, message)
        of_keys = inner.combine(sums.of_keys, [sums.key_in(message) for message in accepted])
        hidden = add(sums.ring, (message.body[:size] for message in accepted))
        return Total(sums.about, of_keys.contributors, hidden + of_keys.body)

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        sums = sums_of(directory)
        check_question(directory, name, question)
        check_signed(directory, name, question.enclosed)
        given = inner.share(sums.of_keys, secret, sums.asked_of_keys(question))
        return given._replace(header=sums.about)

    def total_of_keys(directory: Directory, total: Total) -> Total:
        """The inner protocol's total, in one that is this round's."""
        sums = sums_of(directory)
        hidden, body = total.body[: sums.ring.size], total.body[sums.ring.size :]
        check_total(directory, name, total._replace(body=hidden), sums.ring.size)
        return Total(sums.about_keys, total.contributors, body)

    def check_share(directory: Directory, total: Total, share: Share) -> None:
        sums, of_keys = sums_of(directory), total_of_keys(directory, total)
        inner.check_share(sums.of_keys, of_keys, sums.share_of_keys(share))

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        sums, of_keys = sums_of(directory), total_of_keys(directory, total)
        given = [sums.share_of_keys(share) for share in shares]
        key = inner.open(sums.of_keys, of_keys, given)
        hidden = total.body[: sums.ring.size]
        return reveal(sums.ring, sums.public, key, hidden, len(total.contributors))

    return SecureSum(
        name,
        inner.keygen,
        prepare,
        protect,
        combine,
        share,
        open_total,
        letters=inner.letters and _letters_of_keys(inner.letters, sums_of),
        openers=inner.openers,
        quorum=inner.quorum,
        check_share=check_share,
        deal=inner.deal,
        renews=inner.renews,
        sights=tuple(map(_sight, inner.sights)),
    )


def _letters_of_keys(letters: Letters, sums_of: Callable[[Directory], _Sums]) -> Letters:
    """Letters and consents, which the sum of the keys has and the sum of the vectors needs not."""

    def write(rng: Rng, directory: Directory, secret: Secret, client: int) -> Message:
        return letters.write(rng, sums_of(directory).signed, secret, client)

    def collect(directory: Directory, written: Sequence[Message]) -> Directory:
        return replace(
            directory, letters=letters.collect(sums_of(directory).signed, written).letters
        )

    def read(
        directory: Directory, secret: Secret, client: int, mail: Mapping[int, bytes]
    ) -> Secret:
        return letters.read(sums_of(directory).signed, secret, client, mail)

    def ask(
        directory: Directory, messages: Sequence[Message], consents: Sequence[Message]
    ) -> Mapping[int, Question]:
        sums = sums_of(directory)
        keys = [sums.key_in(message) for message in messages]
        asked = letters.ask(sums.signed, keys, consents)
        return {client: question._replace(header=sums.about) for client, question in asked.items()}

    def consent(directory: Directory, secret: Secret, question: Question) -> Message:
        sums = sums_of(directory)
        check_question(directory, sums.about.protocol, question)
        return letters.consent(sums.signed, secret, sums.asked_of_keys(question))

    return Letters(write, collect, letters.deliver, read, ask, consent)


def _check_hidden(ring: Lattice, message: Message) -> None:
    """Refuses a body that begins with no hidden vector.

    Raises:
      WrongBodySizeError: it is too short.
      OutOfRangeError: a coefficient is not below its prime, or bits that stand for none are not 0.
    """
    if len(message.body) < ring.size:
        raise WrongBodySizeError(
            message.client, f"{len(message.body)} bytes of body, expected more than {ring.size}"
        )
    if not is_canonical(ring, message.body[: ring.size]):
        raise OutOfRangeError(
            message.client, "a coefficient is not below its prime, or bits after the last are not 0"
        )


def _sight(of_keys: Sight) -> Sight:
    """What is learnt of vectors, where this is learnt of keys by who is told the same of keys.

    Who has no hidden vector learns nothing from any key; who has them learns as much of vectors as
    of keys. A sum that was shifted is seen.
    """
    if of_keys in (DIFFERENCES, *OTHER_CLIENTS):
        return of_keys
    if AGGREGATOR not in of_keys.who:
        test = "TestWithoutTheAggregator"
    elif "every client" in of_keys.learns or "any one client" in of_keys.learns:
        test = "test_who_learns_a_key_reads_what_it_hides"
    elif of_keys.adversary == "active":
        test = "TestTheAggregatorCheats"
    else:
        test = "TestTheAggregatorReads"
    return of_keys._replace(learns=of_keys.learns.removesuffix(_SHIFT), shown_by=f"{_TESTS}{test}")
