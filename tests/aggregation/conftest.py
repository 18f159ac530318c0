"""The protocols under test, and 1024-bit keys made once."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from parties import CASES, Party, party_of, party_of_case

from pride_jax.aggregation.protocols.paillier import paillier


@pytest.fixture(scope="session")
def small_paillier() -> Party:
    return party_of(paillier(key_bits=1024))


@pytest.fixture(scope="session", params=CASES)
def party(request: pytest.FixtureRequest) -> Party:
    return party_of_case(request.param)


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process that shares nothing with this one but what it is sent."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield process
