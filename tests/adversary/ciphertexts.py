"""What somebody who cheats does with messages of packed Paillier."""

from collections.abc import Sequence
from itertools import pairwise

import gmpy2
import numpy as np
from gmpy2 import mpz
from parties import Party, party_of_case, rules, signing

from pride_jax.aggregation.blinding import blinds
from pride_jax.aggregation.decryption_proofs import proof_bytes
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.packed_paillier import join, split
from pride_jax.aggregation.packing import Layout, layout, pack, unpack
from pride_jax.aggregation.paillier_keys import PaillierSecret, ciphertext_bytes
from pride_jax.aggregation.protocols.paillier import decrypt
from pride_jax.aggregation.protocols.threshold import decrypt_together, partial_decryptions
from pride_jax.aggregation.secure_sum import Directory, Enclosed, Message, Share
from pride_jax.aggregation.threshold_keys import HolderSecret, ThresholdPublic

LARGEST_COHORT = 2**22
"""Room for a multiple of a vector in its slots."""
BYTES = 128


def party_of_name(name: str) -> Party:
    """``paillier`` or ``threshold``, which two of three holders open; 1024 bits."""
    return party_of_case(name)


def called(party: Party, clients: Sequence[int], length: int, smallest: int = 2) -> Directory:
    """A round of these clients."""
    return party.directory(clients, length, smallest=smallest, largest=LARGEST_COHORT)


def where(directory: Directory) -> Layout:
    """The slots of a plaintext."""
    return layout(8 * BYTES, directory.terms.bits, directory.terms.largest_cohort)


def packed(directory: Directory, vector: np.ndarray) -> list[int]:
    """A vector's plaintexts, before blinding."""
    return pack(where(directory), vector)


def holders_of(party: Party, directory: Directory, smallest: int = 2) -> list[Holder]:
    """All key holders, who know the clients."""
    enrolled = {client: signing(client).public for client in directory.roster}
    return [
        Holder(secret, enrolled, rules(smallest)) for secret in party.protocol.deal(party.secret)
    ]


def ask(party: Party, directory: Directory, messages: Sequence[Message]) -> list[Share]:
    """The shares that honest holders, as many as it takes, give for these messages."""
    needed = party.protocol.quorum(directory)
    return [
        help_open(party.protocol, holder, directory, question_of(messages))[0]
        for holder in holders_of(party, directory)[:needed]
    ]


def ciphertexts_of(party: Party, directory: Directory, sent: Message | Enclosed) -> list[mpz]:
    """The ciphertexts that a message encloses."""
    size = ciphertext_bytes(party.public)
    return split(sent.enclosed[: where(directory).plaintexts(directory.terms.length) * size], size)


def enclosing(
    party: Party, message: Message, ciphertexts: Sequence[mpz], proof_of: Message
) -> Message:
    """A message with other ciphertexts and another message's proof, signed by its client."""
    body = join(ciphertexts, ciphertext_bytes(party.public))
    return party.sign(message._replace(enclosed=body + proof_of.enclosed[len(body) :]))


def raised(party: Party, ciphertexts: Sequence[mpz], exponent: int) -> list[mpz]:
    """Every ciphertext to a power: a multiple of what is in it."""
    return [gmpy2.powmod(each, exponent, party.public.key.nsquare) for each in ciphertexts]


def multiplied(party: Party, *several: Sequence[mpz]) -> list[mpz]:
    """Products of ciphertexts: the sums of what is in them."""
    products = [mpz(1)] * len(several[0])
    for ciphertexts in several:
        products = [
            product * each % party.public.key.nsquare
            for product, each in zip(products, ciphertexts, strict=True)
        ]
    return products


def decrypted_by(secrets: Sequence[object], ciphertexts: list[mpz]) -> list[mpz]:
    """What key holders with these secrets find in ciphertexts that they like to look into."""
    first = secrets[0]
    if isinstance(first, PaillierSecret):
        return decrypt(first, ciphertexts)
    assert isinstance(first, HolderSecret)
    powers = {}
    for secret in secrets:
        assert isinstance(secret, HolderSecret)
        powers[secret.index] = partial_decryptions(secret, ciphertexts)
    return decrypt_together(first.public, powers)


def opened(party: Party, shares: Sequence[Share]) -> list[mpz]:
    """Sums of blinded plaintexts, as any aggregator gets them from holders' shares."""
    if not isinstance(party.public, ThresholdPublic):
        return split(shares[0].body, BYTES)
    start, size = proof_bytes(party.public), ciphertext_bytes(party.public)
    return decrypt_together(
        party.public, {share.holder: split(share.body[start:], size) for share in shares}
    )


def unblinded(
    party: Party, blinded: Sequence[mpz], times: Sequence[tuple[int, bytes]]
) -> list[int]:
    """Blinded sums less multiples of the blinds of seeds, as an aggregator knows them."""
    n = mpz(party.public.key.n)
    hidden_by = [
        [factor * blind for blind in blinds(n, seed, len(blinded))] for factor, seed in times
    ]
    return [int((each - sum(mine)) % n) for each, *mine in zip(blinded, *hidden_by, strict=True)]


def slots(directory: Directory, plaintexts: Sequence[int]) -> np.ndarray:
    """Count and value slots of plaintexts, read without any check: one row a plaintext."""
    layout_ = where(directory)
    rows = []
    for plaintext in plaintexts:
        data = int(plaintext).to_bytes(BYTES, "little")
        at = [0, layout_.count_bytes]
        at += [at[1] + layout_.slot_bytes * step for step in range(1, layout_.slots + 1)]
        rows.append([int.from_bytes(data[a:b], "little") for a, b in pairwise(at)])
    return np.array(rows)


def vector_in(directory: Directory, plaintexts: Sequence[int], count: int = 1) -> np.ndarray:
    """The vector, or the sum of ``count`` of them, in plaintexts.

    Raises:
      ProtocolError: they are none.
    """
    return unpack(where(directory), list(plaintexts), directory.terms.length, count)
