"""The roster as its owner compared it: what a role looks up before it works for a roster.

Whoever writes the roster decides for whom parties encrypt and with whom they are added. So each
role's owner compares its digest with what the others have, by a way that does not lead through the
server: a telephone call to the key holder, say.
"""

from pathlib import Path

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.deploy.enrolment import SECRETS, load_signing_key
from pride_jax.deploy.roster import Roster
from pride_jax.errors import ProtocolError

_COMPARED = "compared-roster"


def compare(folder: Path, roster: Roster, told: str) -> None:
    """Takes a role's roster for the one that everyone has, if it is.

    Args:
      folder: the role's own.
      roster: the one in it.
      told: `Roster.short` of the others' roster, as they told it; letters' case, spaces and dashes
        make no difference.

    Raises:
      ProtocolError: it is another roster.
    """
    if _letters(told) != _letters(roster.short):
        raise ProtocolError(
            f"The roster here is {roster.short}, not {told}: ask the key holder, or every other "
            "party, what --join shows there, by telephone for instance; what came with the roster "
            "may come from whoever changed it"
        )
    write_owner_only(folder / SECRETS / _COMPARED, roster.digest.encode(), replace=True)


def check_compared(folder: Path, roster: Roster) -> None:
    """Refuses to work for a roster that nobody has compared.

    Raises:
      ProtocolError: as above.
    """
    path = folder / SECRETS / _COMPARED
    if not path.exists() or read_owner_only(path) != roster.digest.encode():
        raise ProtocolError(
            f"The roster {roster.short} was not compared with the others': --join asks for it"
        )


def check_enrolled(folder: Path, roster: Roster, role: str, number: int) -> None:
    """Refuses a roster in which somebody else's key stands for this role's own.

    Raises:
      ProtocolError: as above.
    """
    named = {("party", each.id): each.signing_key for each in roster.parties}
    named |= {("key holder", each.number): each.signing_key for each in roster.key_holders}
    if named.get((role, number)) != load_signing_key(folder).public:
        raise ProtocolError(
            f"The roster has another signing key for {role} {number} than the one in {folder}: "
            "whoever wrote it could pass for this role"
        )


def _letters(digest: str) -> str:
    return "".join(letter for letter in digest.upper() if letter.isalnum())
