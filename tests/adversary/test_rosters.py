"""T8. An active server writes the roster: it enrols a key holder's key of its own.

Everyone's owner compares the roster's digest with the key holder's, not through the server; the key
holder signs no roster without its own keys, and parties work for none that it has not signed.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from active_server import FIVE, PARTIES, ActiveServer, vector

from pride_jax.aggregation.protocols.two_servers import save_secret, two_servers
from pride_jax.aggregation.secure_sum import Role
from pride_jax.aggregation.signatures import signing_key
from pride_jax.deploy import apart, comparison
from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.bundle import save_bundle
from pride_jax.deploy.comparison import check_enrolled, compare
from pride_jax.deploy.roster import load_roster, save_roster
from pride_jax.errors import ConfigError, ProtocolError, RunError

EVERYONE = (*(f"party-{party}" for party in PARTIES), "key-holder")


@pytest.fixture
def honest(roles):
    """The roster that the key holder has compared, and tells the digest of."""
    return load_roster(roles / "key-holder" / ROSTER)


def forge(roles, honest):
    """Another roster in everyone's folder but the key holder's, whose place the server took: the
    roster and the secret of its key."""
    secret, public = two_servers().keygen(os.urandom, Role.KEY_HOLDER)
    seed = os.urandom(32)
    (holder,) = honest.key_holders
    holder = holder._replace(signing_key=signing_key(lambda _: seed).public)
    forged = honest._replace(public_key=public.to_bytes(), key_holders=(holder,))
    for role in roles.iterdir():
        save_roster(role / ROSTER, forged)
    secrets = roles / "key-holder" / "secrets"
    for name in ("two-servers-key", "signing-key"):
        (secrets / name).unlink()
    save_secret(secrets, secret)
    comparison.write_owner_only(secrets / "signing-key", seed)
    compare(roles / "key-holder", forged, forged.short)
    return forged, secret


@pytest.fixture
def forged(roles, honest):
    return forge(roles, honest)[0]


def test_every_party_refuses_it_once_the_key_holders_digest_is_told(roles, honest, forged):
    assert forged.short != honest.short
    for party in PARTIES:
        with pytest.raises(ProtocolError, match="not " + honest.short):
            compare(roles / f"party-{party}", forged, honest.short)


def test_nobody_works_for_a_roster_that_was_not_compared(server, forged):
    fake = ActiveServer(server.roles).hello()
    for party in PARTIES:
        with pytest.raises(ProtocolError, match="was not compared"):
            fake.train(party, fake.about(0, PARTIES))


def test_without_comparison_the_server_reads_every_vector(server, forged):
    """Owners who repeat what the server tells them have compared nothing."""
    for party in PARTIES:
        compare(server.roles / f"party-{party}", forged, forged.short)
    fake = ActiveServer(server.roles).hello()
    about = fake.about(0, PARTIES)
    sent = [fake.train(party, about) for party in PARTIES]
    # It has both halves of each message: what any one hides, a sum with known others shows.
    summed = fake.open(about, sent)
    np.testing.assert_array_equal(summed, sum(vector(party, fake.length) for party in PARTIES))


def test_parties_work_for_no_roster_that_the_key_holder_has_not_signed(server):
    signed = server.approved["approvals"][0]
    about = server.about(0, PARTIES)
    for approved in (
        {},
        {"approved_by": [], "approvals": []},
        {"approved_by": [0], "approvals": [signed[:-1] + bytes([signed[-1] ^ 1])]},
        {"approved_by": [1], "approvals": [signed]},
        {"approved_by": [0], "approvals": [b""]},
    ):
        server.approved = approved
        with pytest.raises(ProtocolError, match="0 key holders have signed this roster"):
            server.train(0, about)


def test_a_key_holder_signs_no_roster_with_anothers_key(server, honest):
    _, public = two_servers().keygen(os.urandom, Role.KEY_HOLDER)
    for role in EVERYONE:
        save_roster(server.roles / role / ROSTER, honest._replace(public_key=public.to_bytes()))
    save_roster(server.roles / "server" / ROSTER, honest._replace(public_key=public.to_bytes()))
    changed = load_roster(server.roles / "key-holder" / ROSTER)
    compare(server.roles / "key-holder", changed, changed.short)
    with pytest.raises(ProtocolError, match="is not this key holder's"):
        ActiveServer(server.roles).hello()


def test_a_role_joins_no_roster_with_anothers_signing_key(roles, honest):
    first, *others = honest.parties
    changed = honest._replace(parties=(first._replace(signing_key=bytes(32)), *others))
    with pytest.raises(ProtocolError, match="another signing key for party 0"):
        check_enrolled(roles / "party-0", changed, "party", 0)
    check_enrolled(roles / "party-1", changed, "party", 1)


def test_joining_asks_for_the_digest(roles, honest, tmp_path, monkeypatch):
    bundle = save_bundle(roles / "server", FIVE, honest, "localhost:1")
    monkeypatch.setattr(apart, "pin", lambda folder, app: None)
    monkeypatch.setattr(apart, "wait_for_server", lambda *_: None)
    monkeypatch.setattr(apart, "role_command", lambda *_: ["sh", "-c", "exit 7"])
    told = honest.short.lower().replace("-", " ")
    assert apart.join(roles / "party-0", bundle, told, print) == 7
    for wrong in ("", honest.short[:-1], honest.digest, honest.short[::-1]):
        with pytest.raises(ProtocolError, match="telephone"):
            apart.join(roles / "party-0", bundle, wrong, print)


def test_a_bundle_with_other_settings_or_another_roster_is_refused(roles, honest):
    changed = replace(FIVE, aggregation=replace(FIVE.aggregation, smallest_cohort=2))
    bundle = save_bundle(roles / "server", changed, honest, "localhost:1")
    with pytest.raises(ConfigError, match=r"aggregation\.smallest_cohort"):
        apart.join(roles / "party-0", bundle, honest.short, print)
    other = honest._replace(run=bytes(16))
    bundle = save_bundle(roles / "server", FIVE, other, "localhost:1")
    with pytest.raises(RunError, match="another roster"):
        apart.join(roles / "party-0", bundle, other.short, print)


def test_the_short_digest_is_of_160_bits_and_of_everything(honest):
    groups = honest.short.split("-")
    assert [len(group) for group in groups] == [4] * 8
    first, *others = honest.parties
    others_of = {
        honest._replace(run=bytes(16)).short,
        honest._replace(classes=4).short,
        honest._replace(parties=(first._replace(examples=1), *others)).short,
        honest._replace(code={"nets.py": "0"}).short,
        honest.short,
    }
    assert len(others_of) == 5
