"""A whole run of roles that answer in this process: the server's way through it."""

from dataclasses import replace

import pytest
from in_process import CONFIG, digest, network, served

from pride_jax.aggregation.masking_shares import ROW_BYTES
from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.deploy.enrolment import load_signing_key
from pride_jax.deploy.introduction import EXCHANGES
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.network import UNREACHED, Network
from pride_jax.deploy.outcome import error_of
from pride_jax.deploy.roles import respond
from pride_jax.deploy.server import SERVER, serve
from pride_jax.errors import ConfigError
from pride_jax.files import read_json, write_json
from pride_jax.reporting import metrics
from pride_jax.runs import experiment
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings.experiment import (
    Aggregation,
    Cohort,
    Engine,
    Model,
    Partition,
    Privacy,
)

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.mark.parametrize("protocol", ["two_servers", "masking", "bfv", "threshold"])
def test_roles_train_as_the_simulation_does(protocol, tmp_path):
    aggregation = replace(CONFIG.aggregation, protocol=protocol)
    config = replace(CONFIG, rounds=1, aggregation=aggregation)
    enrol_all(config, tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run") is None
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")


@pytest.mark.parametrize("protocol", ["paillier", "masking"])
def test_with_keys_apart_they_train_to_the_bits_of_plain_integers(protocol, tmp_path):
    config = replace(CONFIG, rounds=1, model=Model("mlp", {"hidden": (1100,)}))
    apart = replace(config.aggregation, protocol=protocol, key_apart="always")
    enrol_all(replace(config, aggregation=apart), tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run") is None
    disclosed = read_json(tmp_path / "run" / "disclosure.json")
    assert disclosed["protocol"].startswith(f"lattice({protocol}")
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")


@pytest.mark.parametrize("protocol", ["two_servers", "masking"])
def test_what_was_said_in_an_earlier_round_is_no_answer_in_the_next(protocol, tmp_path):
    aggregation = replace(CONFIG.aggregation, protocol=protocol)
    config = replace(CONFIG, partition=Partition("iid", clients=5), aggregation=aggregation)
    enrol_all(config, tmp_path / "roles")
    said = {}

    def answer(role, request):
        reply = respond(role, request)
        if role.name != "party-1" or request["kind"] in ("hello", "finish"):
            return reply
        return said.setdefault(request["kind"], reply)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert read_json(tmp_path / "run" / "summary.json")["lost_messages"] == 1
    refused = [row for row in metrics.read(tmp_path / "run" / REFUSALS) if row["from"] == 1]
    assert {row["round"] for row in refused} == {1}


def test_with_too_few_it_stops_and_goes_on_once_they_are_back(tmp_path):
    enrol_all(CONFIG, tmp_path / "roles")

    def two_are_silent(role, request):
        silent = role.name != "party-0" and request.get("round") == 1
        return None if silent and request["kind"] == "train" else respond(role, request)

    stopped = served(tmp_path / "roles", tmp_path / "run", two_are_silent)
    assert "1 of 3 parties sent what can be added, expected at least 2" in stopped
    assert not (tmp_path / "run" / "summary.json").exists()
    assert served(tmp_path / "roles", tmp_path / "run") is None
    experiment.run(CONFIG, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")


def test_a_party_that_gives_false_shares_is_named_and_the_sum_is_opened(tmp_path):
    """Of five helpers any two open: two more show which of the others lies."""
    aggregation = replace(CONFIG.aggregation, protocol="masking", server="curious", corrupted=0.2)
    config = replace(
        CONFIG, rounds=1, aggregation=aggregation, partition=Partition("iid", clients=5)
    )
    enrol_all(config, tmp_path / "roles")

    def answer(role, request):
        reply = respond(role, request)
        if role.name != "party-1" or request["kind"] != "share":
            return reply
        key = load_signing_key(role)
        share = share_from_bytes(reply["share"], {1: key.public})
        body = bytearray(share.body)
        for row in range(0, len(body), ROW_BYTES):
            body[row + ROW_BYTES - 1] ^= 1
        return {"share": signed_share(key, share._replace(body=bytes(body)))}

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")
    (row,) = metrics.read(tmp_path / "run" / REFUSALS)
    assert (row["round"], row["from"]) == (0, 1)
    assert "its share does not fit" in row["reason"]


def test_how_long_each_answer_was_waited_for_is_told(tmp_path):
    config = replace(CONFIG, rounds=1)
    enrol_all(config, tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run") is None
    rows = metrics.read(tmp_path / "run" / EXCHANGES)
    assert {(row["round"], row["to"], row["kind"]) for row in rows} == {
        (round_, f"party {number}", kind)
        for number in range(3)
        for round_, kind in ((0, "train"), (1, "finish"))
    }
    assert all(row["seconds"] > 0 for row in rows)


def test_a_round_in_which_nobody_answers_stops_and_says_how_to_go_on(tmp_path):
    config = replace(CONFIG, rounds=1)
    enrol_all(config, tmp_path / "roles")

    def answer(role, request):
        return None if request["kind"] == "train" else respond(role, request)

    stopped = served(tmp_path / "roles", tmp_path / "run", answer)
    assert "Round 0: 0 of 3 parties sent what can be added, expected at least 2" in stopped
    assert "--resume" in stopped
    assert served(tmp_path / "roles", tmp_path / "run") is None
    assert read_json(tmp_path / "run" / "summary.json")["unopened_sums"] == 0


@pytest.mark.parametrize(
    "answered", [{"message": b"garbage"}, {"message": 5}, {}, {"refused": "x" * 10**6}]
)
def test_a_round_in_which_nobody_answers_well_is_over_and_the_run_goes_on(tmp_path, answered):
    enrol_all(CONFIG, tmp_path / "roles")

    def answer(role, request):
        wrong = request["kind"] == "train" and request["round"] == 0
        return answered if wrong else respond(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    summary = read_json(tmp_path / "run" / "summary.json")
    assert (summary["refused_sums"], summary["unopened_sums"]) == (1, 1)
    noted = metrics.read(tmp_path / "run" / REFUSALS)
    assert noted[-1]["candidates"] == [0, 1, 2]
    assert max(len(row["reason"]) for row in noted) < 600


def test_after_so_many_refused_sums_the_run_stops(tmp_path):
    config = replace(CONFIG, rounds=5, aggregation=replace(CONFIG.aggregation, most_refused=2))
    enrol_all(config, tmp_path / "roles")

    def answer(role, request):
        return {} if request["kind"] == "train" else respond(role, request)

    stopped = served(tmp_path / "roles", tmp_path / "run", answer)
    assert "More than aggregation.most_refused=2 sums were refused" in stopped
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["round"] for row in rows] == [0, 1, 2, 3]


def test_masking_goes_on_without_who_sends_garbage_for_a_key(tmp_path):
    config = replace(CONFIG, rounds=1, aggregation=replace(CONFIG.aggregation, protocol="masking"))
    enrol_all(config, tmp_path / "roles")

    def answer(role, request):
        if role.name == "party-1" and request["kind"] == "keys":
            return {"public": b"garbage"}
        return respond(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert read_json(tmp_path / "run" / "summary.json")["lost_messages"] == 1
    (noted,) = metrics.read(tmp_path / "run" / REFUSALS)
    assert (noted["from"], "Masking keys of 7 bytes" in noted["reason"]) == (1, True)


def others_can_read(folder):
    """Paths that others than the owner can read, below a folder that they can enter."""
    for path in folder.iterdir():
        if path.is_dir():
            if path.stat().st_mode & 0o005:
                yield from others_can_read(path)
        elif path.stat().st_mode & 0o044:
            yield path


@pytest.mark.parametrize("seed", [None, 3])
def test_who_was_called_to_a_private_run_stands_in_no_file_that_others_can_read(tmp_path, seed):
    """Nor do sums, whose noise the server has still to add. A public seed hides nothing."""
    private = replace(
        CONFIG,
        rounds=1,
        cohort=Cohort("truncated_poisson", size=3),
        privacy=Privacy(
            clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2, seed=seed
        ),
        aggregation=replace(CONFIG.aggregation, limit=None),
    )
    enrol_all(private, tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run") is None
    (tmp_path / "run").chmod(0o755)
    public = sorted(others_can_read(tmp_path / "run"))
    names = {path.name for path in public}
    assert {"metrics.jsonl", "summary.json", "ledger.jsonl", "disclosure.json"} <= names
    assert not [path for path in public if path.suffix in (".sum", ".asked")]
    assert not (tmp_path / "roles" / "server").stat().st_mode & 0o077
    assert (EXCHANGES in names) == (seed is not None)
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert all(("clients" in row) == (seed is not None) for row in rows[1:])
    own = tmp_path / "run" / ("private" if seed is None else ".")
    assert {row["to"] for row in metrics.read(own / EXCHANGES)} <= {f"party {n}" for n in range(3)}


def test_a_protocol_that_real_parties_cannot_do_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="protocol='none': expected plain"):
        enrol_all(replace(CONFIG, engine=Engine(), aggregation=Aggregation()), tmp_path / "roles")
    assert not list(tmp_path.iterdir())


def cut_off(roles, workdir, asks):
    """How a run ended in which party 2 is not connected when it is first asked to train.

    Args:
      roles: everyone's folders.
      workdir: the run's.
      asks: so often it is not reached; after that it is back.
    """
    missed = []

    def answer(role, request):
        if role.name == "party-2" and request["kind"] == "train" and len(missed) < asks:
            missed.append(request["round"])
            return {UNREACHED: "the node is unavailable"}
        return respond(role, request)

    every = network(roles, answer)

    def nodes():
        return [node for node in every.nodes() if node != 2 or not 0 < len(missed) < asks]

    workdir.mkdir()
    # Whoever waits for as long as this does not end.
    write_json(roles / "server" / SERVER, {"workdir": str(workdir), "timeout": 36000.0})
    serve(roles / "server", Network(nodes, every.exchange))
    return error_of(roles / "server")


def test_nobody_waits_for_a_party_that_is_not_connected_once_enough_have_answered(tmp_path):
    enrol_all(CONFIG, tmp_path / "roles")
    assert cut_off(tmp_path / "roles", tmp_path / "run", asks=99) is None
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")[1:]
    # Who was in the sum is counted.
    assert [(row["clients"], row["lost_messages"]) for row in rows] == [(2, 1), (2, 1)]
    reasons = metrics.read(tmp_path / "run" / REFUSALS)
    assert {(row["from"], row["reason"]) for row in reasons} == {
        (2, "party, train: the node is unavailable")
    }


def test_a_party_without_which_the_sum_is_not_opened_is_waited_for(tmp_path):
    config = replace(CONFIG, aggregation=replace(CONFIG.aggregation, smallest_cohort=3))
    enrol_all(config, tmp_path / "roles")
    assert cut_off(tmp_path / "roles", tmp_path / "run", asks=3) is None
    assert read_json(tmp_path / "run" / "summary.json")["lost_messages"] == 0
