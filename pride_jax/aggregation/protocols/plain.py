"""Integers in the clear, through the same seam: the baseline that hides nothing."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.checks import (
    check_messages,
    check_question,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.refusals import OutOfRangeError
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Prepared,
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
from pride_jax.aggregation.sights import AGGREGATOR, EVERYTHING, OTHER_CLIENTS, both

_NAME = "plain"
_VALUE = np.dtype("<i4")
_SUM = np.dtype("<i8")


def plain() -> SecureSum:
    """The sum without any protection: every message is its vector, readable by the aggregator.

    Returns:
      A protocol in which nobody holds a key and the one share is empty.
    """
    return SecureSum(_NAME, _keygen, _prepare, _protect, _combine, _share, _open, sights=_SIGHTS)


_SHOWN = "tests/adversary/test_plain.py::test_the_aggregator_reads_every_vector"
_SIGHTS = (
    *both(AGGREGATOR, EVERYTHING, _SHOWN),
    *OTHER_CLIENTS,
    *both(f"{AGGREGATOR} and clients", EVERYTHING, _SHOWN),
)


def _keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
    del rng, role
    return Secret(), Public()


def _prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[None]:
    del rng, secret
    return Prepared(header(directory, _NAME), client, None)


def _protect(
    directory: Directory, prepared: Prepared[None], vector: Int[np.ndarray, "length"]
) -> Message:
    values = check_vector(directory, prepared.client, vector)
    about = header(directory, _NAME)
    prepared.take(about)
    return Message(about, prepared.client, values.astype(_VALUE).tobytes())


def _combine(directory: Directory, messages: Sequence[Message]) -> Total:
    terms = directory.terms
    total = np.zeros(terms.length, np.int64)
    accepted = check_messages(directory, _NAME, messages, _VALUE.itemsize * terms.length)
    for message in accepted:
        values = np.frombuffer(message.body, _VALUE).astype(np.int64)
        if np.abs(values).max() > terms.largest_value:
            raise OutOfRangeError(
                message.client, f"a value outside ±{terms.largest_value} ({terms.bits} bits)"
            )
        total += values
    return Total(
        header(directory, _NAME),
        tuple(message.client for message in accepted),
        total.astype(_SUM).tobytes(),
    )


def _share(directory: Directory, secret: Secret, question: Question) -> Share:
    del secret
    check_question(directory, _NAME, question)
    return Share(question.header, question.contributors, b"")


def _open(
    directory: Directory, total: Total, shares: Sequence[Share]
) -> Int64[np.ndarray, "length"]:
    check_total(directory, _NAME, total, _SUM.itemsize * directory.terms.length)
    check_shares(total, shares, 1, body_size=0)
    return np.frombuffer(total.body, _SUM).astype(np.int64)
