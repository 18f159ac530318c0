"""Shares and public keys as bytes: one encoding each, and every other is refused."""

import os
from dataclasses import replace

import gmpy2
import pytest
from parties import signing

from pride_jax.aggregation import paillier_keys, round_keys, threshold_keys
from pride_jax.aggregation.messages import MESSAGE, sign_message, to_bytes
from pride_jax.aggregation.paillier_keys import PaillierPublic
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.secure_sum import Header, Message, Role, Share
from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError

HEADER = Header("plain", 3, bytes(range(32)), Terms(2, 16, 0.5, 2, 8))
SHARE = Share(HEADER, (0, 4, 7), b"a share", 5)
SIGNERS = {4: signing(4).public, 5: signing(5).public}


def test_there_and_back():
    assert share_from_bytes(signed_share(signing(5), SHARE), SIGNERS) == SHARE


@pytest.mark.parametrize("cut", range(0, 160, 3))
def test_cut_short_or_longer(cut):
    share = signed_share(signing(5), SHARE)
    for damaged in (share[: len(share) - 1 - cut], share + bytes(cut + 1)):
        with pytest.raises(ProtocolError):
            share_from_bytes(damaged, SIGNERS)


def test_any_changed_bit_of_a_share():
    share = signed_share(signing(5), SHARE)
    for at in range(len(share)):
        damaged = bytearray(share)
        damaged[at] ^= 1
        with pytest.raises(ProtocolError):
            share_from_bytes(bytes(damaged), SIGNERS)


def test_a_share_signed_by_another_or_by_nobody():
    with pytest.raises(ProtocolError, match="not signed with that holder's enrolled key"):
        share_from_bytes(signed_share(signing(4), SHARE), SIGNERS)
    with pytest.raises(ProtocolError, match="not signed"):
        share_from_bytes(signed_share(signing(5), SHARE)[:-64], SIGNERS)
    with pytest.raises(ProtocolError, match="expected one of"):
        share_from_bytes(signed_share(signing(6), SHARE._replace(holder=6)), SIGNERS)


def test_one_kind_never_passes_for_another():
    message = to_bytes(sign_message(signing(5), Message(HEADER, 5, b"\0\0\0\0")))
    assert message.startswith(MESSAGE)
    with pytest.raises(ProtocolError, match="starts with"):
        share_from_bytes(message, SIGNERS)
    # A message's signature under a share's magic is none.
    forged = b"PRIDEshr" + message[8:]
    with pytest.raises(ProtocolError, match="not signed"):
        share_from_bytes(forged, SIGNERS)


def test_a_share_encloses_nothing():
    share = Message(HEADER, 5, b"\0\0\0\0", b"more")
    signed = to_bytes(sign_message(signing(5), share, b"PRIDEshr"), b"PRIDEshr")
    with pytest.raises(ProtocolError, match="encloses"):
        share_from_bytes(signed, SIGNERS)


def test_paillier_public(small_paillier):
    public = small_paillier.public
    assert isinstance(public, PaillierPublic)
    data, n = public.to_bytes(), public.key.n
    assert len(data) == 128
    assert paillier_keys.public_from_bytes(data, 1024) == public
    prime = gmpy2.next_prime(2**1023 + 2**1022)
    bad = [
        data[:-1],
        data + b"\0",
        b"",
        bytes(128),
        (n >> 1).to_bytes(128, "big"),
        (n + 1).to_bytes(128, "big"),
        (n - n % 65521).to_bytes(128, "big"),
        prime.to_bytes(128, "big"),
        (gmpy2.next_prime(2**511 + 2**510) ** 2).to_bytes(128, "big"),
        # With a base of one's own behind it.
        data + (n * n - 1).to_bytes(256, "big"),
    ]
    for each in bad:
        with pytest.raises(ProtocolError, match="enrol"):
            paillier_keys.public_from_bytes(each, 1024)
    with pytest.raises(ProtocolError):
        paillier_keys.public_from_bytes(data, 2048)


def test_threshold_public():
    public = threshold_keys.ThresholdPublic(
        paillier_keys.generate(os.urandom, 1024).public.key, 2, (4, 5, 7)
    )
    data = public.to_bytes()
    assert threshold_keys.public_from_bytes(data, 1024, 3, 2) == public
    for bad in (
        data[:-1],
        data + bytes(256),
        b"",
        bytes(128) + data[128:],
        replace(public, threshold=1).to_bytes(),
        replace(public, threshold=4).to_bytes(),
        replace(public, verification_keys=(4, 0, 7)).to_bytes(),
        replace(public, verification_keys=(4, 5, public.key.n)).to_bytes(),
    ):
        with pytest.raises(ProtocolError, match="enrol"):
            threshold_keys.public_from_bytes(bad, 1024, 3, 2)
    for others in ((1024, 3, 3), (1024, 4, 2), (2048, 3, 2)):
        with pytest.raises(ProtocolError, match=r"expected \d+ bytes for"):
            threshold_keys.public_from_bytes(data, *others)


def test_masking_keys():
    secret, public = masking().keygen(os.urandom, Role.CLIENT)
    assert isinstance(secret, round_keys.RoundKeys)
    assert round_keys.public_from_bytes(public.to_bytes()) == public
    for place in (0, 1):
        keys = [public.sealing, public.pairing, public.own]
        keys[place] = bytes(32)
        with pytest.raises(ProtocolError, match="nobody can agree"):
            round_keys.public_from_bytes(b"".join(keys))
    secret.write_to([3, 5], 0)
    again = round_keys.round_keys_from_bytes(secret.to_bytes())
    assert (again.public, again.helpers) == (public, (3, 5))
    for size in (0, 95, 97):
        with pytest.raises(ProtocolError, match=f"{size} bytes"):
            round_keys.public_from_bytes(bytes(size))
        with pytest.raises(ProtocolError, match=f"{size} bytes"):
            round_keys.round_keys_from_bytes(bytes(size))
