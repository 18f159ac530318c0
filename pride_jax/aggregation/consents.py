"""What clients that open a sum by masking tell one another of it: in which they are, and agree to.

Each says so to single neighbours, by a tag under the key that the two have in common. A contributor
tells its helpers that its vector is in the sum of this very directory, with its message. Once the
contributors are known, a client tells those whom it helps that it opens the sum of these and no
other: Bonawitz et al.'s consistency round.
"""

import hashlib
from collections.abc import Mapping, Sequence

from pride_jax.aggregation.checks import check_messages
from pride_jax.aggregation.letters import ids_to_bytes
from pride_jax.aggregation.refusals import DuplicateClientError, NotInRosterError
from pride_jax.aggregation.round_keys import TAG_BYTES, Member
from pride_jax.aggregation.secure_sum import Directory, Header, Message, Note, Question, header
from pride_jax.errors import ProtocolError


def included_word(about: Header) -> bytes:
    """What a contributor says to its helpers, each under the key that the two have in common."""
    return b"included" + about.fingerprint


def agreed_word(question: Question) -> bytes:
    """What a helper says to those whom it helps."""
    return b"agreed" + question.header.fingerprint + digest_of(question)


def digest_of(question: Question) -> bytes:
    """Equal for equal contributors only."""
    return hashlib.sha256(ids_to_bytes(question.contributors)).digest()


def writers_of(me: Member, notes: Sequence[Note], word: bytes) -> set[int]:
    """Which neighbours have said this word to this client."""
    return {
        note.client
        for note in notes
        if note.client in me.neighbours and me.is_from(note.client, word, note.content)
    }


def check_agreement(directory: Directory, needed: int, me: Member, question: Question) -> None:
    """Refuses shares of a sum to which too few of a client's helpers have agreed, or not itself.

    Raises:
      ProtocolError: as above.
    """
    if not me.has_agreed_to(digest_of(question)):
        raise ProtocolError(
            f"Client {me.client} has not agreed to the sum of these contributors in round "
            f"{directory.round}: ask for its consent first"
        )
    agreed = writers_of(me, question.agreed, agreed_word(question)).intersection(
        question.contributors
    )
    count = sum(me.neighbours[other].helps for other in agreed)
    if count < needed:
        raise ProtocolError(
            f"{count} helpers of client {me.client} have agreed to the sum of these contributors "
            f"in round {directory.round}, expected at least {needed}: others may have been told of "
            "other contributors"
        )


def _helped(directory: Directory) -> dict[int, list[int]]:
    """Whom each client helps, ascending."""
    helped: dict[int, list[int]] = {client: [] for client in directory.letters}
    for writer, letter in sorted(directory.letters.items()):
        for reader in letter.readers:
            if reader in helped:
                helped[reader].append(writer)
    return helped


def ask_all(
    name: str, directory: Directory, messages: Sequence[Message], consents: Sequence[Message]
) -> Mapping[int, Question]:
    """What each contributor is asked, with what others tell it.

    Args:
      name: of the protocol.
      directory: the round.
      messages: of the contributors, as ``combine`` accepted them.
      consents: those given so far.

    Raises:
      MessageError: a consent must not be taken.
    """
    contributors = tuple(sorted(message.client for message in messages))
    included: dict[int, list[Note]] = {client: [] for client in contributors}
    agreed: dict[int, list[Note]] = {client: [] for client in contributors}
    for message in messages:
        readers = directory.letters[message.client].readers
        for reader, tag in zip(readers, _tags(message.enclosed), strict=True):
            if reader in included:
                included[reader].append(Note(message.client, tag))
    helped = _helped(directory) if consents else {}
    seen: set[int] = set()
    for each in consents:
        size = len(helped.get(each.client, ())) * TAG_BYTES
        check_messages(directory, f"{name}-consent", [each], size)
        if each.client not in agreed:
            raise NotInRosterError(each.client, "it consents to a sum that it is not in")
        if each.client in seen:
            raise DuplicateClientError(each.client, "it has consented already; consent once")
        seen.add(each.client)
        for reader, tag in zip(helped[each.client], _tags(each.body), strict=True):
            if reader in agreed:
                agreed[reader].append(Note(each.client, tag))
    about = header(directory, name)
    return {
        client: Question(about, contributors, (), tuple(included[client]), tuple(agreed[client]))
        for client in contributors
    }


def _tags(data: bytes) -> list[bytes]:
    return [data[at : at + TAG_BYTES] for at in range(0, len(data), TAG_BYTES)]
