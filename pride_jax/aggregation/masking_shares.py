"""Shares of masking: what clients give of those whom they help, and the secrets that come of it.

A share has a row for each client that its holder helps, ascending: the client's id, and the share
of one of its two secrets.
"""

from collections.abc import Mapping, Sequence

from pride_jax.aggregation.letters import places
from pride_jax.aggregation.refusals import BurntError, FalseSharesError
from pride_jax.aggregation.round_keys import own_digest, pairing_public, public_of
from pride_jax.aggregation.secret_sharing import (
    SHARE_BYTES,
    false_shares,
    join_shares,
    lagrange_weights,
)
from pride_jax.aggregation.secure_sum import Directory, Share, Total
from pride_jax.errors import ProtocolError

ROW_BYTES = 8 + SHARE_BYTES


def check_share(directory: Directory, total: Total, share: Share) -> None:
    """Refuses a share of another sum, or of secrets that its holder does not help with.

    Raises:
      ProtocolError: as above.
    """
    if (share.header, share.contributors) != (total.header, total.contributors):
        raise ProtocolError(
            f"Refused a share of another total than the one of round {total.header.round} "
            f"with {len(total.contributors)} contributions"
        )
    if share.holder not in total.contributors:
        raise ProtocolError(
            f"Refused a share of client {share.holder} for round {total.header.round}: expected "
            "those of different clients in the total"
        )
    writers = list(_shares_of(share))
    # A client that is there twice, or half a row, makes the body longer.
    if len(share.body) != ROW_BYTES * len(writers) or writers != sorted(
        writer
        for writer in set(writers)
        if writer in directory.letters and share.holder in directory.letters[writer].readers
    ):
        raise ProtocolError(
            f"Refused a share of client {share.holder} for round {total.header.round}: expected "
            "one row for each client that it helps, ascending"
        )


def _shares_of(share: Share) -> dict[int, bytes]:
    """What a share holds of each client's secret."""
    rows = (share.body[at : at + ROW_BYTES] for at in range(0, len(share.body), ROW_BYTES))
    return {int.from_bytes(row[:8], "big"): row[8:] for row in rows}


def secrets_of(
    directory: Directory, total: Total, needed: int, shares: Sequence[Share]
) -> dict[int, bytes]:
    """Of each client in the total the seed of its own mask, of each silent one its pairing key.

    Args:
      directory: the round.
      total: whose masks are taken off.
      needed: how many shares give a secret.
      shares: of different clients.

    Raises:
      BurntError: a client's letter was false, or too many of its helpers' shares are.
      FalseSharesError: a few helpers' shares are; they are named.
      ProtocolError: as `check_share`; or of a secret there are too few shares.
    """
    place = places(directory)
    rows: dict[int, dict[int, bytes]] = {client: {} for client in directory.letters}
    for share in shares:
        check_share(directory, total, share)
        for writer, row in _shares_of(share).items():
            rows[writer][place[share.holder]] = row
    answered = {share.holder for share in shares}
    secrets = {}
    for client in sorted(directory.letters):
        given, helpers = rows[client], answered.intersection(directory.letters[client].readers)
        if len(given) >= needed:
            secrets[client] = _recovered(directory, total, client, needed, given)
        elif len(helpers) < needed:
            raise ProtocolError(
                f"{len(given)} shares of client {client}'s key in round {directory.round}, "
                f"expected those of at least {needed} of its helpers: wait for more"
            )
        else:
            raise _false(
                directory,
                client,
                sorted(helper for helper in helpers if place[helper] not in given),
                f"{len(given)} of its {len(helpers)} helpers that answered have a share of client "
                f"{client}'s key, expected at least {needed}: its letter was false, or they are",
            )
    return secrets


def _recovered(
    directory: Directory, total: Total, client: int, needed: int, rows: Mapping[int, bytes]
) -> bytes:
    """A client's secret, from its helpers' shares by their places."""
    secret = _joined(directory, total, client, needed, rows)
    if secret is not None:
        return secret
    ids = sorted(directory.roster)
    wrong = false_shares(needed, rows)
    if wrong is not None and len(rows) - len(wrong) >= needed:
        true = {at: row for at, row in rows.items() if at not in wrong}
        if _joined(directory, total, client, needed, true) is not None:
            raise FalseSharesError(
                [ids[at - 1] for at in sorted(wrong)],
                f"those of others give client {client}'s key of round {directory.round}; it gave a "
                f"false one, or client {client} sealed it one",
            )
    raise _false(
        directory,
        client,
        [ids[at - 1] for at in sorted(rows)],
        f"the shares of {len(rows)} helpers do not give client {client}'s key: its letter was "
        f"false, or more than {(len(rows) - needed) // 2} of the shares are",
    )


def _joined(
    directory: Directory, total: Total, client: int, needed: int, rows: Mapping[int, bytes]
) -> bytes | None:
    """What the first rows give, if it is what the client announced."""
    chosen = dict(list(rows.items())[:needed])
    secret = join_shares(lagrange_weights(list(chosen)), chosen)
    if secret is None:
        return None
    public = public_of(directory, client)
    if client in total.contributors:
        return secret if own_digest(secret) == public.own else None
    return secret if pairing_public(secret) == public.pairing else None


def _false(directory: Directory, writer: int, helpers: Sequence[int], reason: str) -> BurntError:
    """The writer comes first of those of whom one was wrong."""
    others = [helper for helper in helpers if helper != writer]
    return BurntError(directory.round, [writer, *others], reason)
