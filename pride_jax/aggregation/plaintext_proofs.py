"""Proofs that whoever sends Paillier ciphertexts knows what is in them, all of them at once.

Ciphertexts can be multiplied, so without a proof a client could send a copy, a multiple or the
inverse of other clients' ciphertexts and, with whoever learns the sum, take one of them out of it.

The statement:
  Let D be the map that takes c in Z*_{n²} to its Paillier plaintext in Z_n with respect to 1 + n.
  D is a homomorphism on all of Z*_{n²}, since n is coprime to φ(n), and D(h) = 0 for the base h,
  which is an n-th power (see ``paillier_keys``). The prover knows D(c_j) for each of its
  ciphertexts c_j. Nothing is claimed of their obfuscators: an honest prover has
  c_j = (1 + n·x_j)·h^(r_j) with a short r_j, but a c_j outside of what 1 + n and h generate, such
  as one times -1, may pass if its plaintext is known. Nothing is claimed of the plaintexts' range.

The proof:
  1. e_1 … e_k, of 128 bits each, are hashed from n, h, the context and all ciphertexts. They fold
     the statement into C = Π c_j^(e_j), X = Σ e_j·x_j mod n and ρ = Σ e_j·r_j.
  2. The prover sends a = (1 + n·u)·h^s, with u uniform modulo n, and s 128 bits longer than what it
     hides below.
  3. A challenge e of 128 bits is hashed from the same and from a.
  4. It answers z = u + e·X mod n and t = s + e·ρ, an integer. The check is (1 + n·z)·h^t = a·C^e.

Soundness:
  Two answers for one a with challenges e ≠ e' give C^(e-e') = (1 + n·(z - z'))·h^(t-t'), so
  (e - e')·D(C) = z - z' modulo n. Both primes of n exceed 2^128, so e - e' is invertible and D(C)
  is known. Here the usual proof over a group of hidden order asks for safe primes, or squares its
  elements to be rid of those of small order, or has one-bit challenges; the factor of C that it
  cannot extract a logarithm of lies in the kernel of D, and D(C) is all that is claimed.

  D(C) = Σ e_j·D(c_j) modulo n. Modulo either prime, 128-bit e_1 … e_k fall into a given hyperplane
  with probability at most 2^-128, so k foldings, each extracted as above, are linearly independent
  modulo both but with that probability each time, and give every D(c_j): who does not know them
  passes with probability 2^-126 (batching as in Bellare, Garay & Rabin; knowledge soundness of such
  protocols in Attema, Fehr & Resch). Two challenges are hashed. For special soundness that counts
  challenges, whoever tries Q hashes gains a factor of Q + 1, not of Q² (Attema, Fehr & Klooß); the
  same is taken to hold here, where foldings must be independent.

  The extractor rewinds. So this is a proof of knowledge of one message, or of the messages of a
  round. An adversary that fixes proofs of many rounds before it sees the first one opened makes
  rewinding take exponentially long, for this proof as for any Fiat–Shamir proof (Bernhard, Fischlin
  & Warinschi): against it nothing is proved, and no attack is known.

Zero knowledge:
  z is uniform, and t within 2^-128 of its distribution for any other ρ: (a, e, z, t) can be made
  from z, t and e alone. As a is new in each proof, the random oracle can be made to fit. So the
  proof tells nothing of plaintexts and obfuscators, to the key holder either.

References:
  Cramer, Damgård & Nielsen 2001, Multiparty computation from threshold homomorphic encryption,
  for the proof of plaintext knowledge, with obfuscators r^n and challenges below the primes.
  Damgård & Jurik 2001, A generalisation, a simplification and some applications of Paillier's
  probabilistic public-key system, for the n-th powers.
  Bellare, Garay & Rabin 1998, Fast batch verification for modular exponentiation and digital
  signatures.
  Attema, Fehr & Klooß 2023, Fiat–Shamir transformation of multi-round interactive proofs.
  Attema, Fehr & Resch 2023, Generalized special-sound interactive proofs and their knowledge
  soundness.
  Bernhard, Fischlin & Warinschi 2015, Adaptive proofs of knowledge in the random oracle model.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import gmpy2
from gmpy2 import mpz

from pride_jax.aggregation.obfuscators import powers
from pride_jax.aggregation.product_of_powers import product_of_powers
from pride_jax.aggregation.secure_sum import Rng

_CHALLENGE_BYTES = 16
_LARGEST_COUNT_BYTES = 4
_HIDING_BYTES = 16


class Proving(NamedTuple):
    """What provers and verifiers agree on.

    Attributes:
      n: the public modulus.
      base: h, an n-th power modulo n².
      exponent_bytes: length of the obfuscators' exponents; even.
    """

    n: int
    base: int
    exponent_bytes: int

    @property
    def _mask_bytes(self) -> int:
        # As long as e·ρ, and what hides it.
        factors = 2 * _CHALLENGE_BYTES + _LARGEST_COUNT_BYTES
        return self.exponent_bytes + factors + _HIDING_BYTES

    @property
    def longest_exponent(self) -> int:
        """Bytes of the longest exponent of ``base``: t's, with room for a carry; even."""
        return self._mask_bytes + 2

    @property
    def size(self) -> int:
        """Bytes of a proof."""
        return _CHALLENGE_BYTES + self._plaintext_bytes + self.longest_exponent

    @property
    def _plaintext_bytes(self) -> int:
        return -(-self.n.bit_length() // 8)


class Mask(NamedTuple):
    """What hides the witness in one proof, drawn before there is one.

    Attributes:
      plaintext: u.
      exponent: s.
      commitment: a.
    """

    plaintext: mpz
    exponent: mpz
    commitment: mpz


def draw_mask(rng: Rng, proving: Proving) -> Mask:
    """A mask for one proof; used for two, it would reveal what they hide."""
    n = mpz(proving.n)
    plaintext = mpz.from_bytes(rng(proving._plaintext_bytes + _HIDING_BYTES), "big") % n
    exponent = rng(proving._mask_bytes)
    (power,) = powers(proving.n, proving.base, [exponent], proving.longest_exponent)
    commitment = (1 + n * plaintext) * power % (n * n)
    return Mask(plaintext, mpz.from_bytes(exponent, "little"), commitment)


def prove(
    proving: Proving,
    context: bytes,
    ciphertexts: Sequence[mpz],
    plaintexts: Sequence[mpz],
    exponents: Sequence[bytes],
    mask: Mask,
) -> bytes:
    """A proof that the prover knows the plaintexts.

    Args:
      proving: the key.
      context: what the proof is for; it holds for nothing else.
      ciphertexts: (1 + n·plaintext)·base^exponent modulo n².
      plaintexts: of each, below n.
      exponents: of each, little-endian.
      mask: as ``draw_mask`` made it; it must not be used again.
    """
    statement = _statement(proving, context, ciphertexts)
    coefficients = _coefficients(statement, len(ciphertexts))
    plaintext = sum(map(mpz.__mul__, plaintexts, coefficients), mpz(0))
    exponent = sum(
        (
            mpz.from_bytes(each, "little") * e
            for each, e in zip(exponents, coefficients, strict=True)
        ),
        mpz(0),
    )
    challenge = _challenge(proving, statement, mask.commitment)
    e = int.from_bytes(challenge, "big")
    answer = (mask.plaintext + e * plaintext) % proving.n
    answered = mask.exponent + e * exponent
    return b"".join(
        [
            challenge,
            answer.to_bytes(proving._plaintext_bytes, "big"),
            answered.to_bytes(proving.longest_exponent, "little"),
        ]
    )


def holds(proving: Proving, context: bytes, ciphertexts: Sequence[mpz], proof: bytes) -> bool:
    """Whether a proof shows that whoever made it knows the plaintexts.

    Args:
      proving: the key.
      context: as the proof must have it.
      ciphertexts: numbers below n²; the proof of any that is not invertible does not hold.
      proof: of ``proving.size`` bytes.
    """
    challenge, rest = proof[:_CHALLENGE_BYTES], proof[_CHALLENGE_BYTES:]
    answer = mpz.from_bytes(rest[: proving._plaintext_bytes], "big")
    answered = rest[proving._plaintext_bytes :]
    n = mpz(proving.n)
    square = n * n
    if answer >= n:
        return False
    statement = _statement(proving, context, ciphertexts)
    coefficients = _coefficients(statement, len(ciphertexts))
    folded = product_of_powers(ciphertexts, coefficients, 8 * _CHALLENGE_BYTES, square)
    if gmpy2.gcd(folded, n) != 1:
        return False
    e = int.from_bytes(challenge, "big")
    (power,) = powers(proving.n, proving.base, [answered], proving.longest_exponent)
    claimed = gmpy2.invert(gmpy2.powmod(folded, e, square), square)
    commitment = (1 + n * answer) * power % square * claimed % square
    return challenge == _challenge(proving, statement, commitment)


def _statement(proving: Proving, context: bytes, ciphertexts: Sequence[mpz]) -> bytes:
    """A hash of what is proved."""
    size = 2 * proving._plaintext_bytes
    digest = hashlib.sha256(b"pride_jax knowledge of plaintexts, version 1")
    digest.update(proving.n.to_bytes(size, "big") + proving.base.to_bytes(size, "big"))
    digest.update(len(context).to_bytes(8, "big") + context)
    for ciphertext in ciphertexts:
        digest.update(ciphertext.to_bytes(size, "big"))
    return digest.digest()


def _coefficients(statement: bytes, count: int) -> list[int]:
    stream = hashlib.shake_256(b"coefficients" + statement).digest(_CHALLENGE_BYTES * count)
    return [
        int.from_bytes(stream[at : at + _CHALLENGE_BYTES], "big")
        for at in range(0, len(stream), _CHALLENGE_BYTES)
    ]


def _challenge(proving: Proving, statement: bytes, commitment: mpz) -> bytes:
    size = 2 * proving._plaintext_bytes
    hashed = b"challenge" + statement + commitment.to_bytes(size, "big")
    return hashlib.shake_256(hashed).digest(_CHALLENGE_BYTES)
