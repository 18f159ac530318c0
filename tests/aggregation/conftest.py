"""The protocols under test, and 1024-bit keys made once."""

import pytest
from parties import Party, party_of

from pride_jax.aggregation.paillier import paillier
from pride_jax.aggregation.plain import plain


@pytest.fixture(scope="session")
def small_paillier() -> Party:
    return party_of(paillier(key_bits=1024))


@pytest.fixture(scope="session", params=["plain", "paillier"])
def party(request: pytest.FixtureRequest) -> Party:
    if request.param == "plain":
        return party_of(plain())
    return request.getfixturevalue("small_paillier")
