"""A protocol with its key holder's keys, and one round of it."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Public,
    Role,
    Secret,
    SecureSum,
    Terms,
)


class Party(NamedTuple):
    protocol: SecureSum
    secret: Secret
    public: Public

    def directory(
        self,
        roster: Sequence[int],
        length: int,
        bits: int = 16,
        round: int = 3,
        smallest: int = 1,
        largest: int = 128,
    ) -> Directory:
        terms = Terms(length, bits, 1.0, smallest, largest)
        return Directory(round, tuple(roster), terms, {Role.KEY_HOLDER: self.public})

    def protect(self, directory: Directory, client: int, vector: np.ndarray) -> Message:
        secret, _ = self.protocol.keygen(os.urandom, Role.CLIENT)
        prepared = self.protocol.prepare(os.urandom, directory, secret, client)
        return self.protocol.protect(directory, prepared, vector)

    def reveal(self, directory: Directory, messages: Sequence[Message]) -> np.ndarray:
        total = self.protocol.combine(directory, messages)
        share = self.protocol.share(directory, self.secret, total)
        return self.protocol.open(directory, total, [share])

    def sum(self, directory: Directory, vectors: Mapping[int, np.ndarray]) -> np.ndarray:
        messages = [self.protect(directory, client, vector) for client, vector in vectors.items()]
        return self.reveal(directory, messages)


def party_of(protocol: SecureSum) -> Party:
    return Party(protocol, *protocol.keygen(os.urandom, Role.KEY_HOLDER))
