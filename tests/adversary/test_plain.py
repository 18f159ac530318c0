"""Integers in the clear: the attack that every other protocol is there to stop."""

import numpy as np
from parties import party_of_case

from pride_jax.aggregation.messages import from_bytes, to_bytes


def test_the_aggregator_reads_every_vector() -> None:
    party = party_of_case("plain")
    directory = party.directory([1, 2], length=50)
    for client in (1, 2):
        vector = np.random.default_rng(client).integers(-32767, 32768, 50)
        received = to_bytes(party.protect(directory, client, vector))
        assert (np.frombuffer(from_bytes(received).body, "<i4") == vector).all()
