"""T10. One wrong party, again and again: the run ends by itself, and tells who it may have been.

Twelve parties, twenty rounds; and what the refusals of a key holder tell whoever asks (T4).
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from active_server import train_at_once, vector
from in_process import CONFIG, served

from pride_jax.aggregation.books import Books
from pride_jax.aggregation.messages import from_bytes, sign_message, to_bytes
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.words import from_bytes as words_from_bytes
from pride_jax.aggregation.words import to_bytes as words_to_bytes
from pride_jax.aggregation.words import words_of
from pride_jax.deploy import memory
from pride_jax.deploy import opening as opening_module
from pride_jax.deploy.enrolment import load_signing_key
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.roles import NOT_OPENED, respond
from pride_jax.errors import ProtocolError
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs import experiment, prepared
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings.experiment import Engine, Evaluation, Partition

PARTIES, ROUNDS, WRONG = 12, 20, 5
TWELVE = replace(
    CONFIG,
    rounds=ROUNDS,
    partition=Partition("iid", clients=PARTIES),
    aggregation=replace(CONFIG.aggregation, protocol="two_servers"),
    evaluation=Evaluation(every=ROUNDS),
)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    folders = {}
    for protocol in ("two_servers", "masking"):
        folders[protocol] = tmp_path_factory.mktemp(protocol) / "roles"
        aggregation = replace(TWELVE.aggregation, protocol=protocol)
        enrol_all(replace(TWELVE, aggregation=aggregation), folders[protocol])
    return folders


@pytest.fixture
def run(enrolled, tmp_path, monkeypatch):
    """Protocol, the wrong party's answer -> how the run ended, its folder, the sums by round."""
    sums = {}
    train_at_once(monkeypatch)
    real = opening_module.opened

    def recorded(agreement, ask, notes, asked):
        done = real(agreement, ask, notes, asked)
        sums[asked["round"]] = done
        return done

    monkeypatch.setattr(opening_module, "opened", recorded)

    def runs(protocol, wrong):
        roles = shutil.copytree(enrolled[protocol], tmp_path / "roles")

        def answer(role, request):
            return (wrong if role.name == f"party-{WRONG}" else respond)(role, request)

        return served(roles, tmp_path / "run", answer, timeout=0.05), tmp_path / "run", sums

    return runs


def check_sums(sums, rounds, contributors):
    """Those rounds' sums, and no others', were opened, and are exact."""
    assert sorted(sums) == list(rounds)
    for done in sums.values():
        assert done.contributors == tuple(contributors)
        expected = sum(vector(party, len(done.total)) for party in contributors)
        np.testing.assert_array_equal(done.total, expected)


def out_of_range(message):
    """A message's body as far from what it was as words can be: beyond any honest sum."""
    words = words_of(message.header.terms)
    salt, masked = message.body[: -words.size], message.body[-words.size :]
    values = words_from_bytes(words, masked)
    return salt + words_to_bytes(words, values + words.dtype.type(2 ** (words.bits - 1)))


def beyond_its_range(role, request):
    """Every third round it adds a number that no client may, and signs that."""
    reply = respond(role, request)
    if request["kind"] != "train" or request["round"] % 3:
        return reply
    message = from_bytes(reply["message"])
    wrong = message._replace(body=out_of_range(message))
    return {"message": to_bytes(sign_message(load_signing_key(role), wrong))}


def test_a_value_out_of_range_every_third_round(run):
    error, workdir, sums = run("two_servers", beyond_its_range)
    assert error is None
    check_sums(sums, [round_ for round_ in range(ROUNDS) if round_ % 3], range(PARTIES))
    summary = read_json(workdir / "summary.json")
    assert (summary["refused_sums"], summary["unopened_sums"]) == (7, 7)
    noted = [row for row in metrics.read(workdir / REFUSALS) if "candidates" in row]
    assert [row["round"] for row in noted] == list(range(0, ROUNDS, 3))
    assert all(WRONG in row["candidates"] for row in noted)


def garbage_in_letters(role, request):
    return {"letter": b"garbage"} if request["kind"] == "letter" else respond(role, request)


def test_garbage_for_letters(run):
    error, workdir, sums = run("masking", garbage_in_letters)
    assert error is None
    check_sums(sums, range(ROUNDS), [party for party in range(PARTIES) if party != WRONG])
    assert read_json(workdir / "summary.json")["refused_sums"] == 0


def silent(role, request):
    return respond(role, request) if request["kind"] == "hello" else None


def test_silence(run):
    error, workdir, sums = run("two_servers", silent)
    assert error is None
    check_sums(sums, range(ROUNDS), [party for party in range(PARTIES) if party != WRONG])
    named = {(row["round"], row["from"]) for row in metrics.read(workdir / REFUSALS)}
    # At the end it does not say that it has received the model either.
    assert named == {(round_, WRONG) for round_ in range(ROUNDS + 1)}


def sealed_for_nobody(role, request):
    """What only the key holder sees: a box that does not open, signed all the same."""
    reply = respond(role, request)
    if request["kind"] != "train":
        return reply
    message = from_bytes(reply["message"])
    wrong = message._replace(enclosed=bytes(len(message.enclosed)))
    return {"message": to_bytes(sign_message(load_signing_key(role), wrong))}


def test_a_box_that_never_opens_ends_the_run_and_the_key_holder_knows_whose_it_is(run):
    error, workdir, sums = run("two_servers", sealed_for_nobody)
    check_sums(sums, [], range(PARTIES))
    assert "More than aggregation.most_refused=10 sums were refused" in error
    told = [row["reason"] for row in metrics.read(workdir / REFUSALS)]
    assert {row["reason"] for row in metrics.read(workdir / REFUSALS) if row["from"] == 0} == {
        f"key holder, open: {NOT_OPENED}"
    }
    assert not [reason for reason in told if "does not open" in reason]
    own = metrics.read(workdir.parent / "roles" / "key-holder" / REFUSALS)
    # After ten it considers no question any more.
    assert all(f"client {WRONG}" in row["reason"] for row in own[:10])
    assert all("10 sums were refused" in row["reason"] for row in own[10:])


def test_a_refusal_tells_nothing_and_another_try_is_another_round(server):
    """T4's way to a key: many tries of one round, each refused for a reason."""
    about = server.about(0, range(5))
    sent = [server.train(party, about) for party in range(5)]
    reasons = set()
    for changed in range(3):
        enclosed = bytearray(sent[4].enclosed)
        enclosed[changed] ^= 1
        tried = sign_message(
            load_signing_key(server.roles / "party-4"), sent[4]._replace(enclosed=bytes(enclosed))
        )
        with pytest.raises(ProtocolError) as refused:
            server.open(about, [*sent[:4], tried])
        reasons.add(str(refused.value))
    assert reasons == {NOT_OPENED}
    own = metrics.read(server.roles / "key-holder" / REFUSALS)
    assert ["does not open" in row["reason"] for row in own] == [True, False, False]
    with pytest.raises(ProtocolError, match="not opened"):
        server.open(about, sent)


def test_without_the_remedy_every_try_is_considered(server, monkeypatch):
    monkeypatch.setattr(memory, "enter", lambda rules, books, round_: Books(round_ + 1, 1, 1))
    with pytest.raises(AssertionError, match="True, True, True"):
        test_a_refusal_tells_nothing_and_another_try_is_another_round(server)


def test_the_same_in_the_simulation(tmp_path, monkeypatch):
    real, vectors, sums = two_servers(), {}, {}

    def protect(directory, prepared, values):
        message = real.protect(directory, prepared, values)
        vectors.setdefault(directory.round, []).append(values)
        if message.client != WRONG or directory.round % 3:
            return message
        return message._replace(body=out_of_range(message))

    def opened(directory, total, shares):
        sums[directory.round] = real.open(directory, total, shares)
        return sums[directory.round]

    wrong = real._replace(protect=protect, open=opened)
    monkeypatch.setattr(prepared, "build_secure_sum", lambda *_: wrong)
    summary = experiment.run(replace(TWELVE, engine=Engine()), tmp_path / "run")
    assert sorted(sums) == [round_ for round_ in range(ROUNDS) if round_ % 3]
    for round_, total in sums.items():
        np.testing.assert_array_equal(total, np.sum(vectors[round_], axis=0))
    assert (summary["refused_sums"], summary["unopened_sums"]) == (7, 7)
    noted = metrics.read(tmp_path / "run" / REFUSALS)
    assert [row["round"] for row in noted] == list(range(0, ROUNDS, 3))
    assert all(WRONG in row["candidates"] for row in noted)
