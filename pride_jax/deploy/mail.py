"""What clients tell one another, in the records that the server carries between them."""

from collections.abc import Mapping
from typing import Any

from pride_jax.aggregation.letters import ids_from_bytes, ids_to_bytes
from pride_jax.aggregation.round_keys import MaskingPublic, public_from_bytes
from pride_jax.aggregation.secure_sum import Directory, Letter, Note, Question

_DIGEST_BYTES = 32


def keys_record(publics: Mapping[int, bytes], signatures: Mapping[int, bytes]) -> dict[str, Any]:
    """The keys of a round, with their owners' signatures."""
    return {
        "keyed": list(publics),
        "publics": list(publics.values()),
        "key_signatures": [signatures[client] for client in publics],
    }


def keys_from(record: Mapping[str, Any]) -> tuple[dict[int, MaskingPublic], dict[int, bytes]]:
    """What ``keys_record`` was made of.

    Raises:
      ProtocolError: a key is none.
      KeyError, TypeError, ValueError: it is no such record.
    """
    publics = map(public_from_bytes, record["publics"])
    return (
        dict(zip(record["keyed"], publics, strict=True)),
        dict(zip(record["keyed"], record["key_signatures"], strict=True)),
    )


def letters_record(directory: Directory) -> dict[str, Any]:
    """Who has written letters, their digests, and for the server alone, to whom."""
    return {
        "lettered": list(directory.letters),
        "digests": [letter.digest for letter in directory.letters.values()],
        "readers": [ids_to_bytes(letter.readers) for letter in directory.letters.values()],
    }


def letters_from(record: Mapping[str, Any]) -> dict[int, Letter]:
    """The letters of ``letters_record``, with their readers where these are told."""
    lettered, digests = record.get("lettered", ()), record.get("digests", ())
    if any(len(digest) != _DIGEST_BYTES for digest in digests):
        raise ValueError(f"a letter's digest has not {_DIGEST_BYTES} bytes")
    readers = map(ids_from_bytes, record.get("readers", [b""] * len(lettered)))
    return dict(zip(lettered, map(Letter, digests, readers), strict=True))


def mail_record(mail: Mapping[int, bytes]) -> dict[str, Any]:
    """What is sealed for one client, by who sealed it."""
    return {"mail_from": list(mail), "mail": list(mail.values())}


def mail_from(record: Mapping[str, Any]) -> dict[int, bytes]:
    """What ``mail_record`` was made of."""
    return dict(zip(record["mail_from"], record["mail"], strict=True))


def notes_record(question: Question) -> dict[str, Any]:
    """What a question tells the one who is asked, of others."""
    return {
        "included_by": [note.client for note in question.included],
        "included": [note.content for note in question.included],
        "agreed_by": [note.client for note in question.agreed],
        "agreed": [note.content for note in question.agreed],
    }


def notes_from(record: Mapping[str, Any]) -> tuple[tuple[Note, ...], tuple[Note, ...]]:
    """``Question``'s ``included`` and ``agreed``."""
    included = map(Note, record["included_by"], record["included"])
    agreed = map(Note, record["agreed_by"], record["agreed"])
    return tuple(included), tuple(agreed)
