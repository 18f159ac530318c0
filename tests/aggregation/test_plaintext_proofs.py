"""Proofs of plaintext knowledge: honest ones hold, every other one does not, and none tells."""

import os
from typing import NamedTuple

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pride_jax.aggregation import plaintext_proofs
from pride_jax.aggregation.paillier_keys import PaillierSecret, generate
from pride_jax.aggregation.plaintext_proofs import Mask, Proving, draw_mask, holds, prove

CONTEXT = b"client 1 in round 3"


class Sent(NamedTuple):
    """Ciphertexts, what is in them, and a proof."""

    proving: Proving
    plaintexts: list[mpz]
    exponents: list[bytes]
    ciphertexts: list[mpz]
    proof: bytes

    def holds(self, **changed) -> bool:
        sent = self._replace(**{k: v for k, v in changed.items() if k != "context"})
        context = changed.get("context", CONTEXT)
        return holds(sent.proving, context, sent.ciphertexts, sent.proof)


def encrypted(proving: Proving, plaintexts: list[mpz], exponents: list[bytes]) -> list[mpz]:
    n = mpz(proving.n)
    return [
        (1 + n * x) * gmpy2.powmod(proving.base, int.from_bytes(r, "little"), n * n) % (n * n)
        for x, r in zip(plaintexts, exponents, strict=True)
    ]


def send(proving: Proving, plaintexts: list[mpz]) -> Sent:
    exponents = [os.urandom(proving.exponent_bytes) for _ in plaintexts]
    ciphertexts = encrypted(proving, plaintexts, exponents)
    mask = draw_mask(os.urandom, proving)
    proof = prove(proving, CONTEXT, ciphertexts, plaintexts, exponents, mask)
    return Sent(proving, plaintexts, exponents, ciphertexts, proof)


@pytest.fixture(scope="module")
def secret() -> PaillierSecret:
    return generate(os.urandom, 512)


@pytest.fixture(scope="module")
def proving(secret: PaillierSecret) -> Proving:
    return Proving(secret.public.key.n, secret.public.obfuscation_base, 20)


@pytest.fixture(scope="module")
def sent(proving: Proving) -> Sent:
    return send(proving, [mpz(x) for x in (0, 1, proving.n - 1, 12345)])


class TestHonest:
    @settings(max_examples=20, deadline=None)
    @given(plaintexts=st.lists(st.integers(0), min_size=1, max_size=20))
    def test_any_plaintexts(self, proving: Proving, plaintexts: list[int]) -> None:
        assert send(proving, [mpz(x) % proving.n for x in plaintexts]).holds()

    def test_largest_exponents_and_masks(self, proving: Proving, monkeypatch) -> None:
        """Nothing overflows its bytes."""
        monkeypatch.setattr(os, "urandom", lambda size: b"\xff" * size)
        assert send(proving, [mpz(proving.n - 1)] * 3).holds()

    def test_sizes(self, sent: Sent) -> None:
        # Challenge, plaintext, exponent with 128 bits each for folding, challenge and hiding.
        assert len(sent.proof) == sent.proving.size == 16 + 64 + (20 + 16 + 16 + 4 + 16 + 2)

    def test_the_equation(self, sent: Sent) -> None:
        """The proof by hand: (1 + n·z)·h^t = a·C^e, with the hash of a for e."""
        n, base = sent.proving.n, sent.proving.base
        e = int.from_bytes(sent.proof[:16], "big")
        z = int.from_bytes(sent.proof[16:80], "big")
        t = int.from_bytes(sent.proof[80:], "little")
        statement = plaintext_proofs._statement(sent.proving, CONTEXT, sent.ciphertexts)
        folded = 1
        for c, e_j in zip(
            sent.ciphertexts, plaintext_proofs._coefficients(statement, 4), strict=True
        ):
            folded = folded * pow(int(c), e_j, n * n) % (n * n)
        a = (1 + n * z) * pow(base, t, n * n) * pow(folded, -e, n * n) % (n * n)
        challenge = plaintext_proofs._challenge(sent.proving, statement, mpz(a))
        assert challenge == sent.proof[:16]

    def test_two_answers_for_one_mask_give_the_plaintext(
        self, proving: Proving, monkeypatch
    ) -> None:
        """The extractor of the soundness argument, and why a mask is used once."""
        x, n = mpz(987654321), proving.n
        r = os.urandom(proving.exponent_bytes)
        ciphertexts, mask = encrypted(proving, [x], [r]), draw_mask(os.urandom, proving)
        monkeypatch.setattr(plaintext_proofs, "_coefficients", lambda statement, count: [1])
        proofs = [
            prove(proving, context, ciphertexts, [x], [r], mask)
            for context in (b"first", b"second")
        ]
        (e, z), (e2, z2) = (
            (int.from_bytes(proof[:16], "big"), int.from_bytes(proof[16:80], "big"))
            for proof in proofs
        )
        assert (z - z2) * pow(e - e2, -1, n) % n == x


class TestRefused:
    def test_every_byte_of_the_proof_counts(self, sent: Sent) -> None:
        for at in range(len(sent.proof)):
            damaged = bytearray(sent.proof)
            damaged[at] ^= 1
            assert not sent.holds(proof=bytes(damaged))

    def test_an_answer_above_the_modulus(self, proving: Proving) -> None:
        """There is one encoding of an answer: not z + n, either."""
        n, x, r = mpz(proving.n), mpz(0), os.urandom(proving.exponent_bytes)
        ciphertexts = encrypted(proving, [x], [r])
        mask = Mask(mpz(0), mpz(12345), gmpy2.powmod(proving.base, 12345, n * n))
        proof = prove(proving, CONTEXT, ciphertexts, [x], [r], mask)
        assert proof[16:80] == bytes(64)
        assert holds(proving, CONTEXT, ciphertexts, proof)
        above = proof[:16] + n.to_bytes(64, "big") + proof[80:]
        assert not holds(proving, CONTEXT, ciphertexts, above)

    def test_in_another_context_or_under_another_key(self, sent: Sent) -> None:
        assert sent.holds()
        assert not sent.holds(context=b"client 2 in round 3")
        assert not sent.holds(context=b"")
        other = generate(os.urandom, 512).public
        assert not sent.holds(proving=Proving(other.key.n, other.obfuscation_base, 20))
        squared = pow(sent.proving.base, 2, sent.proving.n**2)
        assert not sent.holds(proving=sent.proving._replace(base=squared))

    def test_of_ciphertexts_in_another_order_fewer_or_more(self, sent: Sent) -> None:
        c = sent.ciphertexts
        for changed in (c[::-1], c[:3], [*c, c[0]], [c[1], c[0], *c[2:]]):
            assert not sent.holds(ciphertexts=changed)

    def test_of_what_is_made_of_the_ciphertexts(self, sent: Sent) -> None:
        """Re-randomised, shifted, multiplied, inverted, negated: all need a new proof."""
        n = mpz(sent.proving.n)
        for change in (
            lambda c: c * sent.proving.base,
            lambda c: c * (1 + n),
            lambda c: c * c,
            lambda c: gmpy2.invert(c, n * n),
            lambda c: -c,
        ):
            changed = [change(sent.ciphertexts[0]) % (n * n), *sent.ciphertexts[1:]]
            assert not sent.holds(ciphertexts=changed)

    def test_by_whoever_knows_all_plaintexts_but_one(self, sent: Sent, proving: Proving) -> None:
        """The last ciphertext is another's; its sender claims any plaintext for it."""
        victim = send(proving, [mpz(777)])
        for claimed, r in ((mpz(777), sent.exponents[0]), (mpz(0), victim.exponents[0])):
            ciphertexts = [*sent.ciphertexts, victim.ciphertexts[0]]
            mask = draw_mask(os.urandom, proving)
            plaintexts, exponents = [*sent.plaintexts, claimed], [*sent.exponents, r]
            forged = prove(proving, CONTEXT, ciphertexts, plaintexts, exponents, mask)
            assert not sent.holds(ciphertexts=ciphertexts, proof=forged)

    def test_errors_that_would_cancel_without_random_coefficients(
        self, sent: Sent, monkeypatch
    ) -> None:
        """Another's ciphertext and its inverse: the product is known, each is not."""
        proving, n = sent.proving, mpz(sent.proving.n)
        other = send(proving, [mpz(31337)]).ciphertexts[0]
        own = sent.ciphertexts
        mixed = [own[0] * other % (n * n), own[1] * gmpy2.invert(other, n * n) % (n * n), *own[2:]]
        mask = draw_mask(os.urandom, proving)
        forged = prove(proving, CONTEXT, mixed, sent.plaintexts, sent.exponents, mask)
        assert not sent.holds(ciphertexts=mixed, proof=forged)
        monkeypatch.setattr(plaintext_proofs, "_coefficients", lambda statement, count: [1] * count)
        mask = draw_mask(os.urandom, proving)
        forged = prove(proving, CONTEXT, mixed, sent.plaintexts, sent.exponents, mask)
        assert sent.holds(ciphertexts=mixed, proof=forged)

    def test_a_challenge_that_is_not_hashed_from_the_commitment(
        self, sent: Sent, monkeypatch
    ) -> None:
        """Whoever knows e before a can answer for anything."""
        proving, n = sent.proving, mpz(sent.proving.n)
        strangers = send(proving, [mpz(31337)]).ciphertexts
        e, z, t = os.urandom(16), os.urandom(63), os.urandom(70)
        forged = e + b"\0" + z + t + bytes(4)
        assert not sent.holds(ciphertexts=strangers, proof=forged)
        monkeypatch.setattr(plaintext_proofs, "_challenge", lambda *args: e)
        assert sent.holds(ciphertexts=strangers, proof=forged)
        assert 0 < strangers[0] < n * n

    def test_what_is_not_invertible(self, sent: Sent, secret: PaillierSecret) -> None:
        for factor in (secret.key.p, secret.key.q, secret.public.key.n):
            assert not sent.holds(ciphertexts=[mpz(factor), *sent.ciphertexts[1:]])

    def test_elements_of_small_order_show_nothing_but_pass(self, proving: Proving) -> None:
        """-c has the plaintext of c. A prover that knows it may send -c; three in four of its
        proofs hold, where coefficient times challenge is even, and what they claim is true."""
        x, n = mpz(5), mpz(proving.n)
        passed = 0
        for _ in range(80):
            r = os.urandom(proving.exponent_bytes)
            negated = [-each % (n * n) for each in encrypted(proving, [x], [r])]
            mask = draw_mask(os.urandom, proving)
            passed += holds(
                proving, CONTEXT, negated, prove(proving, CONTEXT, negated, [x], [r], mask)
            )
        assert 30 < passed < 80


class TestZeroKnowledge:
    def test_answers_do_not_depend_on_what_they_hide(self, proving: Proving) -> None:
        """The same plaintext and exponent every time, at their extremes: z is uniform modulo n, and
        the top of t is that of its mask."""
        n, answers, tops = proving.n, [], []
        x, r = mpz(n - 1), b"\xff" * proving.exponent_bytes
        ciphertexts = encrypted(proving, [x], [r])
        for _ in range(400):
            mask = draw_mask(os.urandom, proving)
            proof = prove(proving, CONTEXT, ciphertexts, [x], [r], mask)
            answers.append(int.from_bytes(proof[16:80], "big") / n)
            tops.append(int.from_bytes(proof[80:], "little") / 2 ** (8 * proving._mask_bytes))
        assert stats.kstest(answers, "uniform").pvalue > 1e-6
        assert stats.kstest(tops, "uniform").pvalue > 1e-6

    def test_a_mask_of_the_witness_length_would_show_it(self, proving: Proving) -> None:
        """So the test above can fail: t less the 128 hiding bits is not uniform."""
        hidden = 8 * (proving._mask_bytes - 16 - 4)
        tops = []
        for _ in range(400):
            e_rho = int.from_bytes(os.urandom(32), "big") * (2 ** (8 * proving.exponent_bytes) - 1)
            mask = int.from_bytes(os.urandom(hidden // 8), "big")
            tops.append((mask + e_rho) / 2**hidden)
        assert stats.kstest(tops, "uniform").pvalue < 1e-6
        assert np.max(tops) > 1

    def test_every_proof_of_the_same_is_new(self, proving: Proving) -> None:
        x, r = mpz(3), bytes(proving.exponent_bytes)
        ciphertexts = encrypted(proving, [x], [r])
        proofs = {
            prove(proving, CONTEXT, ciphertexts, [x], [r], draw_mask(os.urandom, proving))
            for _ in range(5)
        }
        assert len(proofs) == 5
