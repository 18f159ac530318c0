"""Packed Paillier: clients encrypt, the aggregator and a key holder open the sum together.

Clients blind what they encrypt: the key holder decrypts the sum of vectors and blinds, and the
aggregator, which alone gets the blinds' seeds, takes the blinds away. Each client proves that it
knows what it encrypted, to the aggregator and to the key holder.

Formal guarantees:
  Trust is split as in ``two_servers``: between two servers that must not collude. In the random
  oracle model, under the decisional composite residuosity assumption, the one that
  ``exponent_bits`` states, and with AES as a pseudorandom permutation: the aggregator, together
  with any clients, learns the sum that was opened, of those that the key holder added; the key
  holder, together with any clients, learns who took part. That holds whatever they send: what a
  client takes from others' ciphertexts it cannot prove that it knows (``plaintext_proofs``, which
  also says what is proved of many rounds), and what the key holder decrypts is uniform, even under
  a key that it made so as to cheat. The two servers together learn every vector.

  Integrity: clients that send what is out of range, and the key holder, can shift the sum; the
  aggregator sees a wrong count and most impossible values, and no others.

Edge cases:
  Two clients: each learns the other's vector from the sum. Nothing runs in constant time.

References:
  Paillier 1999, Public-key cryptosystems based on composite degree residuosity classes.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting.
  Cramer, Damgård & Nielsen 2001, Multiparty computation from threshold homomorphic encryption.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
from collections.abc import Sequence

import gmpy2
import numpy as np
from gmpy2 import mpz
from jaxtyping import Int64

from pride_jax.aggregation.checks import check_shares, check_total
from pride_jax.aggregation.packed_paillier import (
    CHOSEN_COHORTS,
    WITH_CLIENTS,
    Exponent,
    join,
    packed_paillier,
    split,
)
from pride_jax.aggregation.paillier_keys import PaillierPublic, PaillierSecret, generate
from pride_jax.aggregation.processes import ALONE, Work, in_threads
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
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
    KEY_HOLDER,
    OTHER_CLIENTS,
    SUM,
    Sight,
    both,
)
from pride_jax.errors import ProtocolError
from pride_jax.progress import Tell, silent

_KEYS = "tests/adversary/test_paillier_keys.py::"
_HOLDERS = "tests/adversary/test_key_holder_alone.py::TestBlinds::"
_SIGHTS = (
    Sight(
        AGGREGATOR,
        "curious",
        SUM,
        f"{_KEYS}TestBaseOfSmallOrder::test_the_base_is_the_modulus_own",
    ),
    CHOSEN_COHORTS,
    DIFFERENCES,
    Sight(KEY_HOLDER, "curious", "nothing", f"{_HOLDERS}test_key_holders_find_uniform_numbers"),
    Sight(
        KEY_HOLDER,
        "active",
        "nothing; it can shift the sum",
        f"{_HOLDERS}test_a_single_key_holder_can_shift_the_sum_and_learns_nothing",
    ),
    *OTHER_CLIENTS,
    *WITH_CLIENTS,
    *both(
        f"{KEY_HOLDER} and clients",
        "what these clients are sent",
        f"{_HOLDERS}test_clients_help_them_no_further",
    ),
    *both(
        f"{AGGREGATOR} and {KEY_HOLDER}",
        EVERYTHING,
        f"{_HOLDERS}test_with_the_aggregator_they_read_every_vector",
    ),
)


def paillier(
    key_bits: int = 3072, exponent: Exponent = "default", workers: int = 1, tell: Tell = silent
) -> SecureSum:
    """Packed Paillier encryption with one key holder.

    With more than one worker, obfuscators of large vectors are computed and proofs are checked in
    processes, and decryption runs in threads.
    The processes are spawned at first use, shared by all protocols with as many workers, and end
    with the program; they receive the public key, the exponents and what clients sent, never a
    vector or a secret key. As with any spawned process, a script that uses them needs
    ``if __name__ == "__main__":``.

    Args:
      key_bits: bit length of n: 3072, 4096 or 2048; 1024 is unsafe and says so in its name.
      exponent: length of the obfuscators' exponents, see ``exponent_bits``.
      workers: processes that encrypt and check, and threads that decrypt; 1 stays in this process.
      tell: told how many numbers of a message, or of a sum, are done.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``PaillierSecret``; clients hold no
      key.

    Raises:
      ConfigError: another key size or exponent, or less than one worker.
    """
    work = Work(workers, tell)
    packed = packed_paillier("paillier", PaillierPublic, key_bits, exponent, work)
    plaintext_bytes = key_bits // 8

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        if role != Role.KEY_HOLDER:
            return Secret(), Public()
        secret = generate(rng, key_bits)
        return secret, secret.public

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        accepted = packed.accepted(directory, messages)
        contributors = tuple(message.client for message in accepted)
        body = join(packed.blinds(directory, accepted), plaintext_bytes)
        return Total(header(directory, packed.name), contributors, body)

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        if not isinstance(secret, PaillierSecret) or secret.public != packed.public(directory):
            raise ProtocolError(
                f"The secret is not that of the key holder's public key in the directory of round "
                f"{directory.round}: load the key that the directory was made with"
            )
        plaintexts = decrypt(secret, packed.asked(directory, question), work)
        return Share(question.header, question.contributors, join(plaintexts, plaintext_bytes))

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        size = packed.plaintexts(directory) * plaintext_bytes
        check_total(directory, packed.name, total, size)
        check_shares(total, shares, 1, size)
        hidden_by, blinded = (split(body, plaintext_bytes) for body in (total.body, shares[0].body))
        if max(blinded) >= packed.public(directory).key.n:
            raise ProtocolError(
                f"Refused a share for round {directory.round}: it holds a number that is no "
                "plaintext"
            )
        return packed.read(directory, total.contributors, blinded, hidden_by)

    return SecureSum(
        packed.name,
        keygen,
        packed.prepare,
        packed.protect,
        combine,
        share,
        open_total,
        sights=_SIGHTS,
    )


def decrypt(secret: PaillierSecret, ciphertexts: Sequence[mpz], work: Work = ALONE) -> list[mpz]:
    """The plaintexts, below n, of any Paillier ciphertexts: modulo p and q apart, then joined.

    Args:
      secret: the key.
      ciphertexts: invertible numbers in 1 … n² - 1; the caller has checked it.
      work: in threads.
    """
    return in_threads(functools.partial(_decrypt, secret), ciphertexts, work, "decrypting")


def _decrypt(secret: PaillierSecret, ciphertexts: Sequence[mpz]) -> list[mpz]:
    p, q = mpz(secret.key.p), mpz(secret.key.q)
    hp, hq, p_inverse = mpz(secret.key.hp), mpz(secret.key.hq), mpz(secret.key.p_inverse)
    modulo_p = _logarithms(ciphertexts, p, hp)
    modulo_q = _logarithms(ciphertexts, q, hq)
    return [
        at_p + p * ((at_q - at_p) * p_inverse % q)
        for at_p, at_q in zip(modulo_p, modulo_q, strict=True)
    ]


def _logarithms(ciphertexts: Sequence[mpz], prime: mpz, factor: mpz) -> list[mpz]:
    """L(c^(prime-1) mod prime²) · factor mod prime, Paillier's plaintext modulo one prime."""
    powers = gmpy2.powmod_base_list(list(ciphertexts), prime - 1, prime * prime)
    return [(power - 1) // prime * factor % prime for power in powers]
