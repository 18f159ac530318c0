"""Whether a role's clock is the server's: who signs with a wrong time is not let in."""

import http.client
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

from pride_jax.errors import RunError

AHEAD_SECONDS, BEHIND_SECONDS = 4.0, 240.0
"""Flower 1.42 takes what a node has signed within 5 s of the future and 305 s of the past."""
_PATIENCE_SECONDS = 10.0
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: by a wrong clock a good certificate is not valid yet.
_WHENEVER = 0x200000


def check_clock(host: str, port: int, authority: Path) -> None:
    """Compares this machine's clock with the server's, as its proxy tells it over TLS.

    Args:
      host: of the server.
      port: of its proxy.
      authority: the certificate by which the server is known.

    Raises:
      RunError: it is another server, or one of the clocks is wrong.
      OSError: nobody answers.
    """
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VerifyFlags(_WHENEVER)
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE_SECONDS, context=context)
    try:
        connection.request("HEAD", "/")
        told = connection.getresponse().getheader("Date", "")
        ahead = time.time() - parsedate_to_datetime(told).timestamp()
    except ssl.SSLCertVerificationError as error:
        raise RunError(
            f"{host}:{port} is not the server of the bundle ({error.verify_message}): ask for its "
            "address, or for its new bundle"
        ) from None
    except (ValueError, http.client.HTTPException):
        raise RunError(
            f"{host}:{port} does not answer as the server's proxy: ask for the server's address"
        ) from None
    finally:
        connection.close()
    if not -BEHIND_SECONDS < ahead < AHEAD_SECONDS:
        raise RunError(
            f"The clock here is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the "
            f"server's, expected at most {AHEAD_SECONDS:g} s ahead and {BEHIND_SECONDS:g} s "
            "behind: set it, on the machine where it is wrong, and join again"
        )
