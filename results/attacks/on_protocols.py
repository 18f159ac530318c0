"""T1 to T4, T11 and T12: attacks on protocols, see `adversary`."""

# pyright: reportMissingImports=false
# The tests' modules are found once `adversary` is imported.

import os
from typing import Any

import numpy as np
from gmpy2 import mpz  # pyright: ignore[reportAttributeAccessIssue]
from pytest import MonkeyPatch

from pride_jax.aggregation import letters, packed_paillier, paillier_keys, plaintext_proofs
from pride_jax.aggregation.holder import Holder
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.secure_sum import Role
from pride_jax.aggregation.simulation import simulate
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.values import Integers
from results.attacks.adversary import part

# isort: split
import ciphertexts
import parties
import test_bfv
import test_ciphertexts_of_others as of_others
import test_key_holder_alone as holder_alone
import test_other_clients as other_clients
import test_paillier_keys as keys
import test_t3_masking as masking


def decrypts_what_it_adds(patch: MonkeyPatch, remedied: bool) -> float:
    """Of packed Paillier with one holder, and with two of three."""
    if not remedied:
        patch.setattr(packed_paillier, "blinds", lambda n, seed, count: [mpz(0)] * count)
    found = []
    for name in ("paillier", "threshold"):
        party = ciphertexts.party_of_name(name)
        directory = ciphertexts.called(party, holder_alone.CLIENTS, holder_alone.LENGTH)
        sent = holder_alone.messages_of(party, directory)
        offset = ciphertexts.where(directory).offset
        for message, plaintexts in zip(
            sent, holder_alone.looked_into(party, directory, sent), strict=True
        ):
            read = ciphertexts.slots(directory, plaintexts)[:, 1:].reshape(-1)
            sought = holder_alone.vector_of(message.client)
            found.append(part(read[: len(sought)] - offset, sought))
    return float(np.mean(found))


def unproved(patch: MonkeyPatch, remedied: bool) -> None:
    """Proofs that nobody looks at."""
    if not remedied:
        patch.setattr(plaintext_proofs, "holds", lambda *claim: True)


def sends_a_multiple(patch: MonkeyPatch, remedied: bool) -> float:
    """Of the victim's ciphertexts, with ``paillier``."""
    unproved(patch, remedied)
    party, kind = ciphertexts.party_of_name("paillier"), "multiple"
    clients = (*of_others.HONEST, of_others.COLLUDER)
    directory = ciphertexts.called(party, clients, of_others.LENGTH)
    sent = {c: party.protect(directory, c, of_others.vector_of(c)) for c in clients}
    own, made = sent[of_others.COLLUDER], of_others.made(kind, party, directory, sent)
    forged = ciphertexts.enclosing(party, own, made, own)
    messages = [*(sent[client] for client in of_others.HONEST), forged]
    blinded = ciphertexts.opened(party, ciphertexts.ask(party, directory, messages))
    found = of_others.read(kind, party, directory, sent, blinded)
    return part(found, of_others.vector_of(of_others.VICTIM))


def cancels_noise(patch: MonkeyPatch, remedied: bool) -> float:
    """Skellam shares of five honest clients of eight: the part of their variance that is gone."""
    unproved(patch, remedied)
    colluders, case = 3, of_others.TestNoiseInsideTheSum()
    party = ciphertexts.party_of_name("paillier")
    values = Integers(case.LENGTH, 6)
    shares = Skellam(1.0, values, colluders=colluders).shares(case.setting, os.urandom)
    everyone = range(case.COHORT)
    directory = party.directory(
        everyone, case.LENGTH, bits=6 + shares.extra_bits, smallest=case.COHORT
    )
    noise = shares.draw(case.COHORT, case.COHORT)
    noise[-colluders:] = 0
    sent = {client: party.protect(directory, client, noise[client]) for client in everyone}
    forged = case.cancelling(party, directory, sent, colluders)
    messages = [*(sent[client] for client in everyone[:-1]), forged]
    blinded = ciphertexts.opened(party, ciphertexts.ask(party, directory, messages))
    known = [0, *everyone[-colluders:]]
    plaintexts = ciphertexts.unblinded(party, blinded, [(1, sent[c].body) for c in known])
    left = ciphertexts.vector_in(directory, plaintexts, count=len(known))
    return 1 - float(left.var() / noise.sum(0).var())


def _bfv() -> tuple[parties.Party, Any, test_bfv.TestTheAggregatorAndAClient]:
    party = parties.party_of_case("bfv")
    enrolled = {client: parties.signing(client).public for client in test_bfv.CLIENTS}
    holder = Holder(party.secret, enrolled, parties.rules(2))
    return party, holder, test_bfv.TestTheAggregatorAndAClient()


def sends_a_multiple_of_bfv(patch: MonkeyPatch, remedied: bool) -> float:
    """BFV has no remedy: its encryptions are not proved."""
    del patch, remedied
    party, holder, case = _bfv()
    return case.by_a_multiple(party, holder)


def sends_a_malformed_ciphertext(patch: MonkeyPatch, remedied: bool) -> float:
    """The part of the victim's next message that the key of this round decrypts."""
    del patch
    party, holder, case = _bfv()
    key, _ = case.key_of_a_round(party, holder)
    return case.decrypted_share(key, case.next_message(case.renewed(party) if remedied else party))


def shows_its_own_keys(patch: MonkeyPatch, remedied: bool) -> float:
    """In the others' places, with ``masking``."""
    if not remedied:
        patch.setattr(letters, "check_round_keys", lambda *_: None)
    found = masking.TestItsOwnKeysInTheOthersPlaces().attack(masking.party_with())
    return part(found, masking.vector_of(masking.VICTIM))


def brings_a_base(patch: MonkeyPatch, remedied: bool) -> float:
    """For obfuscators, of order two: nothing is hidden but a sign."""
    party = ciphertexts.party_of_name("paillier")
    directory = ciphertexts.called(party, keys.CLIENTS, keys.LENGTH)
    if not remedied:
        square = party.public.key.nsquare
        patch.setattr(paillier_keys, "obfuscation_base", lambda n: square - 1)
    message = party.protect(directory, 1, keys.VECTOR)
    return part(keys.read_without_a_key(party, directory, message), keys.VECTOR)


def takes_its_own_away(patch: MonkeyPatch, remedied: bool) -> float:
    """Of a sum of two: nothing but a third client is a remedy."""
    del patch, remedied
    protocol = two_servers()
    dealt = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    aggregator = simulate(protocol, other_clients.TERMS, dealt, os.urandom)
    rows = other_clients.vectors_of(2, 2)
    total = other_clients.added(aggregator, other_clients.HONEST, rows).total
    return part(total - rows[0], rows[1])
