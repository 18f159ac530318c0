"""A party's own model is nowhere but at the party: not in a message, nor in another's folder."""

from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
from federation import wait_until
from in_process import CONFIG, resident, served

from pride_jax.deploy.kept_states import OWN_MODEL, STATES
from pride_jax.deploy.local import enrol_all
from pride_jax.runs.client_states import client_states
from pride_jax.settings import Client, Method, Partition

PERSONAL = replace(
    CONFIG,
    client=Client(learning_rate=0.2, batch_size=8),
    method=Method(personal=("layers/0/kernel",)),
    partition=Partition("iid", clients=2),
)


def traces(states):
    """What gives such numbers away: two neighbours as bytes of any width, or one as text."""
    found = set()
    for values in states:
        flat = np.asarray(values).ravel()
        for width in ("<f4", "<f8"):
            content, size = flat.astype(width).tobytes(), np.dtype(width).itemsize
            found |= {content[at : at + 2 * size] for at in range(0, len(content) - size, size)}
        for value in flat:
            found |= {repr(float(value)).encode(), str(value).encode()}
    return found


def kept(party):
    """The numbers that a party keeps now, its latest state."""
    states = client_states(party / "secrets" / STATES)
    return list(states.read(states.latest()).values())


def written(folder):
    """All that lies in a folder."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def shown(numbers, contents):
    """Whether anything of these numbers is in any of the contents."""
    needles = traces(numbers)
    return any(needle in content for content in contents for needle in needles)


def test_a_partys_own_model_is_in_no_message_and_in_no_folder_of_others(tmp_path):
    enrol_all(PERSONAL, tmp_path / "roles")
    roles, run = resident(), tmp_path / "run"
    messages, states = [], {"party-0": [], "party-1": []}

    def answer(role, request):
        reply = roles(role, request)
        messages.extend((msgpack.packb(request), msgpack.packb(reply)))
        if request["kind"] == "train":
            states[role.name] += kept(role)
        return reply

    assert served(tmp_path / "roles", run, answer) is None
    server = tmp_path / "roles" / "server"
    for name, numbers in states.items():
        party = tmp_path / "roles" / name
        others = [each for each in (tmp_path / "roles").iterdir() if each != party]
        assert len(numbers) == PERSONAL.rounds
        assert not shown(numbers, messages)
        assert not any(shown(numbers, written(folder)) for folder in (run, *others))
        # The search finds them where they are, and where they are put.
        assert shown(numbers, written(party / "secrets" / STATES))
        assert shown(numbers, written(party / OWN_MODEL))
        assert shown(numbers[-1:], [msgpack.packb({"extra": numbers[-1].tobytes()})])
        for put in (server / "put.json", run / "put.bin"):
            is_text = put.suffix == ".json"
            content = repr(numbers[-1].tolist()).encode() if is_text else numbers[-1].tobytes()
            put.write_bytes(content)
            assert shown(numbers, written(put.parent))
            put.unlink()


TELLS_WHAT_IT_KEEPS = """
def respond(honest, folder, request):
    reply = honest(folder, request)
    if request["kind"] == "train":
        states = sorted((folder / "secrets" / "states").glob("*.npz"))
        reply = reply | {"extra": states[-1].read_bytes()}
    return reply
"""


@pytest.mark.deploy
def test_nor_is_it_in_what_the_link_writes(federation, link):
    """Read while the run goes on; what a party that tells it sends is found."""
    parties = federation(PERSONAL)
    parties.tamper("party-1", TELLS_WHAT_IT_KEEPS)
    parties.begin()
    seen = set()

    def over():
        seen.update(path.read_bytes() for path in Path(link[0]).glob("superlink*"))
        return parties.ended()

    wait_until(over)
    parties.finish()
    for folder in (link[0], parties.server, parties.workdir):
        seen.update(written(folder))
    assert not shown(kept(parties.role("party-0")), seen)
    assert shown(kept(parties.role("party-1")), seen)
