"""Whose run it is: a server serves what its own machine's owner has begun, and nothing else.

Flower begins a run for whoever reaches the SuperLink's port, with the settings that they give: a
folder of their own, whose code the server would run as itself. So the folder is sealed with a
secret of the SuperLink's.
"""

import hashlib
import hmac
from pathlib import Path

from pride_jax.aggregation.owner_only import read_owner_only
from pride_jax.deploy.enrolment import EXECUTOR_KEY, SECRETS
from pride_jax.errors import RunError


def seal(link: Path, server: Path) -> str:
    """What a run's settings say beside the server's folder.

    Args:
      link: the SuperLink's folder.
      server: that of the server, whose run it is.

    Raises:
      ProtocolError: the secret is missing, or open to others.
    """
    secret = read_owner_only(link / SECRETS / EXECUTOR_KEY)
    return hmac.digest(secret, str(server).encode(), hashlib.sha256).hex()


def check_seal(link: Path, server: Path, given: str) -> None:
    """Refuses a run that somebody else has begun.

    Args:
      link: the SuperLink's folder.
      server: the folder that the run's settings name.
      given: what they say beside it.

    Raises:
      RunError: it is not `seal`'s.
      ProtocolError: the secret is missing, or open to others.
    """
    if not hmac.compare_digest(seal(link, server).encode(), given.encode()):
        raise RunError(
            f"Refused to serve from {server}: this run was not begun by --serve or --local here"
        )
