import os

import pytest

from pride_jax.aggregation.signatures import is_signed_by, sign, signing_key


@pytest.mark.parametrize(
    ("secret", "public", "data", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_vectors_of_rfc_8032(secret: str, public: str, data: str, signature: str) -> None:
    key = signing_key(lambda size: bytes.fromhex(secret))
    assert key.public.hex() == public
    assert sign(key, bytes.fromhex(data)).hex() == signature
    assert is_signed_by(key.public, bytes.fromhex(data), bytes.fromhex(signature))


def test_only_the_signer_the_data_and_the_signature_fit() -> None:
    key, other = signing_key(os.urandom), signing_key(os.urandom)
    signature = sign(key, b"data")
    assert is_signed_by(key.public, b"data", signature)
    assert not is_signed_by(other.public, b"data", signature)
    assert not is_signed_by(key.public, b"Data", signature)
    assert not is_signed_by(key.public, b"data", signature[::-1])


@pytest.mark.parametrize("public", [b"", b"short", bytes(32), b"\xff" * 32, bytes(33)])
@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), b"\xff" * 64, bytes(65)])
def test_nonsense_is_no_signature(public: bytes, signature: bytes) -> None:
    assert not is_signed_by(public, b"data", signature)
