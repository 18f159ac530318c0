"""Every reason to refuse a client's message, and the refusal of a sum."""

from collections.abc import Sequence

from pride_jax.errors import ProtocolError


class MessageError(ProtocolError):
    """A client's message that must not be added; the round may go on without it.

    Attributes:
      client: the id that the message carries, ``None`` where it is too damaged to carry one.
      reason: what was found and what was expected.
    """

    def __init__(self, client: int | None, reason: str) -> None:
        super().__init__(client, reason)
        self.client = client
        self.reason = reason

    def __str__(self) -> str:
        sender = "an unreadable sender" if self.client is None else f"client {self.client}"
        return f"Refused the message of {sender}: {self.reason}"


class MalformedError(MessageError):
    """Not the bytes of a message: truncated, trailing bytes, unknown format or impossible terms."""


class WrongProtocolError(MessageError):
    """Made with another protocol or key size."""


class WrongRoundError(MessageError):
    """Made for another round: late, early or replayed."""


class WrongKeyError(MessageError):
    """Made under other public keys."""


class WrongTermsError(MessageError):
    """Another vector length, value width, limit or cohort."""


class NotInRosterError(MessageError):
    """From a client that was not announced for the round."""


class DuplicateClientError(MessageError):
    """A second message from one client."""


class WrongBodySizeError(MessageError):
    """Too few or too many values or ciphertexts."""


class OutOfRangeError(MessageError):
    """A value or ciphertext outside its range."""


class NotInvertibleError(MessageError):
    """A ciphertext that shares a factor with the modulus."""


class UnprovedError(MessageError):
    """Its proof does not show that its sender knows what is encrypted."""


class DoesNotOpenError(MessageError):
    """What it sealed for a holder does not open, or holds something else."""


class FalseShareError(MessageError):
    """A share of a sum that does not fit the shares of others."""


class MissingSignatureError(MessageError):
    """Not signed, in a round whose messages must be."""


class UnknownSignerError(MessageError):
    """From a client of the roster that has enrolled no signing key."""


class ForeignSignatureError(MessageError):
    """Signed by another client of the roster than the one it names."""


class WrongSignatureError(MessageError):
    """Signed by nobody in the roster: changed on the way, or forged."""


class FalseSharesError(ProtocolError):
    """Shares that others' shares show to be false; the sum may open without them.

    It does not show who lied: those who gave the shares, or the one who had sealed them these.

    Attributes:
      holders: the clients that gave them.
      reason: what was found.
    """

    def __init__(self, holders: Sequence[int], reason: str) -> None:
        super().__init__(holders, reason)
        self.holders = tuple(holders)
        self.reason = reason

    def __str__(self) -> str:
        return f"Shares of the clients {list(self.holders)} do not fit: {self.reason}"

    def refusals(self) -> list[FalseShareError]:
        """One a client."""
        return [
            FalseShareError(holder, f"its share does not fit: {self.reason}")
            for holder in self.holders
        ]


class BurntError(ProtocolError):
    """A sum that was refused: it is not opened, nor ever will be, and the run goes on without it.

    Attributes:
      round: whose sum.
      candidates: the clients, one of whom at least is why, as far as the messages show, unless
        it is who opens sums.
      reason: what was found.
    """

    def __init__(self, round_: int, candidates: Sequence[int], reason: str) -> None:
        super().__init__(round_, candidates, reason)
        self.round = round_
        self.candidates = tuple(candidates)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"Round {self.round} goes without its sum, because of one at least of the clients "
            f"{list(self.candidates)} and who opens sums: {self.reason}"
        )
