"""What roles answer and refuse, and what they remember, from their folders alone."""

import json
import random
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from in_process import asked_to_open, open_request

from pride_jax.aggregation.messages import (
    from_bytes,
)
from pride_jax.aggregation.shares import share_from_bytes
from pride_jax.data.examples import NO_SCALE, NO_SHIFT, Examples, PublishedSet
from pride_jax.deploy.agreement import (
    ROSTER,
    directory_from,
    load_agreement,
    shared_settings,
    write_config,
)
from pride_jax.deploy.enrolment import ENROLMENT, enrol_party, enrolment_in
from pride_jax.deploy.journal import Done, journal
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.memory import SHARES, load_kept
from pride_jax.deploy.roles import NOT_OPENED, respond
from pride_jax.deploy.roster import check_roster, load_roster
from pride_jax.errors import ConfigError, PrideError, ProtocolError, RunError
from pride_jax.files import claimed
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings import own
from pride_jax.settings.experiment import Aggregation, Data, Engine, Experiment, Model, Partition
from pride_jax.settings.files import from_dict, load_config, to_dict, trust

CONFIG = Experiment(
    rounds=12,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=3),
    model=Model("logistic"),
    aggregation=Aggregation("paillier", key_bits=1024, workers=1),
)
MASKED = replace(CONFIG, aggregation=Aggregation("masking"))


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encrypted") / "roles"
    enrol_all(CONFIG, folder)
    return folder


@pytest.fixture
def roles(encrypted, tmp_path):
    return shutil.copytree(encrypted, tmp_path / "roles")


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked") / "roles"
    enrol_all(MASKED, folder)
    return folder


def opened(roles, asked):
    agreement = load_agreement(roles / "server")
    keys = {holder.number: holder.signing_key for holder in agreement.roster.key_holders}
    share = share_from_bytes(respond(roles / "key-holder", open_request(asked))["share"], keys)
    directory = directory_from(agreement, asked)
    total = agreement.protocol.combine(directory, list(map(from_bytes, asked["messages"])))
    return agreement.protocol.open(directory, total, [share])


def why_refused(roles, request):
    """What the key holder keeps to itself of a refusal, which it does not explain."""
    with pytest.raises(ProtocolError) as refused:
        respond(roles / "key-holder", request)
    assert str(refused.value) == NOT_OPENED
    return metrics.read(roles / "key-holder" / REFUSALS)[-1]["reason"]


def test_the_key_holder_opens_one_sum_a_round_and_gives_it_again(roles):
    first = asked_to_open(roles, 0)
    assert (opened(roles, first) == 3).all()
    assert (opened(roles, first) == 3).all()
    for other in (
        asked_to_open(roles, 0),
        asked_to_open(roles, 0, clients=(0, 1)),
        first | {"messages": first["messages"][:2]},
    ):
        assert "a round is served once" in why_refused(roles, open_request(other))
    assert (opened(roles, asked_to_open(roles, 1, clients=(0, 2))) == 2).all()
    assert "Round 0 is over" in why_refused(roles, open_request(first))


def test_the_key_holder_opens_no_single_or_forged_message(roles):
    single = open_request(asked_to_open(roles, 0, clients=(1,)))
    assert "1 clients with examples, expected at least 2" in why_refused(roles, single)
    forged = open_request(asked_to_open(roles, 1, signer=0))
    assert "client 0 signed it in its name" in why_refused(roles, forged)
    late = open_request(asked_to_open(roles, 2)) | {"round": 3}
    assert "made for round 2" in why_refused(roles, late)
    strange = open_request(asked_to_open(roles, 4)) | {"cohort": [0, 1, 7]}
    assert "of the roster only" in why_refused(roles, strange)


def test_a_refused_question_is_the_only_one_of_its_round(roles):
    wrong, right = (open_request(asked_to_open(roles, 0, signer=signer)) for signer in (0, None))
    assert "signed it in its name" in why_refused(roles, wrong)
    assert "Round 0 is over" in why_refused(roles, right)
    # Asked again, it is refused as it was, and nothing else is counted.
    assert "signed it in its name" in why_refused(roles, wrong)
    assert load_kept(roles / "key-holder", SHARES).books == (1, 1, 1)


def test_the_key_holder_serves_the_rounds_of_the_run_and_no_other(roles):
    assert "the rounds 0 … 11" in why_refused(roles, open_request(asked_to_open(roles, 12)))
    for round_ in range(10):
        why_refused(roles, open_request(asked_to_open(roles, round_, clients=(0,))))
    refused = why_refused(roles, open_request(asked_to_open(roles, 10)))
    assert "10 sums were refused" in refused


def test_books_that_are_damaged_serve_nothing(roles):
    books = roles / "key-holder" / "secrets" / SHARES
    for damaged in (b"{", b"[" * 100_000, b"{}\n", b'{"books": {"next": 1}, "asked": ""}\n'):
        books.write_bytes(damaged)
        books.chmod(0o600)
        assert "damaged" in why_refused(roles, open_request(asked_to_open(roles, 2)))


def test_roles_answer_what_is_theirs(roles):
    for name, kind in {"party-0": "open", "key-holder": "train"}.items():
        with pytest.raises(ProtocolError, match="answers"):
            respond(roles / name, {"kind": kind})
    assert "KeyError" in why_refused(roles, {"kind": "open", "round": 9})
    hello = {"kind": "hello", "roster": "", "challenge": b""}
    for config in ("[" * 100_000, "{", b"\xff", 5):
        with pytest.raises(ProtocolError, match="incomplete or of wrong types"):
            respond(roles / "party-0", hello | {"config": config})
    with pytest.raises(ProtocolError, match="not called"):
        respond(roles / "party-0", {"kind": "train", "round": 9, "cohort": [1, 2], "model": b""})


_NONSENSE = [
    None,
    -1,
    2**70,
    0.5,
    "x",
    b"x",
    b"abc" * 11,
    [],
    [[]],
    [None],
    ["x"],
    [b"x"],
    [-1],
    {},
]
_FIELDS = [
    "round",
    "cohort",
    "model",
    "params",
    "holder_key",
    "keyed",
    "publics",
    "key_signatures",
    "lettered",
    "digests",
    "readers",
    "mail",
    "mail_from",
    "approvals",
    "approved_by",
    "contributors",
    "included",
    "included_by",
    "agreed",
    "agreed_by",
    "enclosed",
    "config",
    "roster",
    "challenge",
]
_KINDS = ["hello", "letter", "train", "consent", "share", "open"]


@pytest.mark.parametrize("seed", range(3))
def test_requests_of_nonsense_are_refused_in_the_projects_own_words(roles, masked, tmp_path, seed):
    rng = random.Random(seed)
    for folder in (roles, shutil.copytree(masked, tmp_path / "masked")):
        for role in ("party-0", "key-holder"):
            if not (folder / role).exists():
                continue
            about = {"round": 0, "cohort": [0, 1, 2], "model": bytes(32)}
            for kind in (*_KINDS, *_NONSENSE):
                for _ in range(5):
                    some = rng.sample(_FIELDS, rng.randrange(len(_FIELDS)))
                    nonsense = {name: rng.choice(_NONSENSE) for name in some}
                    kept = about if rng.random() < 0.5 else {}
                    with pytest.raises(PrideError):
                        respond(folder / role, nonsense | kept | {"kind": kind})


@pytest.mark.parametrize("kind", ["keys", "letter"])
def test_a_party_has_no_keys_or_letters_where_key_holders_open_the_sums(roles, kind):
    with pytest.raises(ProtocolError, match=rf"kind='{kind}' with aggregation.protocol='paillier'"):
        respond(roles / "party-0", {"kind": kind, "round": 9, "cohort": [0, 1, 2], "model": b""})


def test_a_request_waits_until_the_one_before_it_is_answered(roles):
    party = roles / "party-0"
    with ThreadPoolExecutor() as threads:
        with claimed(party):
            answer = threads.submit(respond, party, {"kind": "open"})
            with pytest.raises(TimeoutError):
                answer.result(0.3)
        with pytest.raises(ProtocolError, match="answers"):
            answer.result(60)


def test_everyone_needs_the_same_settings_and_roster(roles):
    agreement = load_agreement(roles / "server")
    settings = shared_settings(agreement.config)
    request = {"kind": "hello", "roster": agreement.roster.digest, "challenge": b"x" * 32}
    reply = respond(roles / "party-1", request | {"config": json.dumps(settings)})
    assert (reply["role"], reply["number"]) == ("party", 1)
    settings["privacy"]["clipping_norm"] = 1e9
    with pytest.raises(RunError, match="clipping_norm"):
        respond(roles / "party-1", request | {"config": json.dumps(settings)})
    settings["privacy"]["clipping_norm"] = None
    with pytest.raises(RunError, match="roster"):
        respond(roles / "party-1", request | {"config": json.dumps(settings), "roster": "another"})


def test_keys_of_a_round_are_for_that_round(masked):
    party = masked / "party-0"
    cohort = {"round": 5, "cohort": [0, 1, 2], "model": bytes(32)}
    with pytest.raises(ProtocolError, match="No keys of round 5"):
        respond(party, {"kind": "train", "params": b"", **cohort})
    replies = [respond(masked / f"party-{id_}", {"kind": "keys", **cohort}) for id_ in range(3)]
    publics, signatures = ([reply[name] for reply in replies] for name in ("public", "signature"))
    told = {"keyed": [0, 1, 2], "publics": publics, "key_signatures": signatures}
    letter = respond(party, {"kind": "letter", **cohort, **told})["letter"]
    # The same question, the same answer; there is no second letter.
    assert respond(party, {"kind": "letter", **cohort, **told})["letter"] == letter
    with pytest.raises(ProtocolError, match="a round is served once"):
        respond(party, {"kind": "letter", **cohort, **told, "model": b"another"})
    unsigned = told | {"key_signatures": [signatures[0], signatures[2], signatures[1]]}
    with pytest.raises(ProtocolError, match="client 1 in the directory of round 5 are not signed"):
        respond(masked / "party-2", {"kind": "letter", **cohort, **unsigned})
    with pytest.raises(ProtocolError, match="No keys of round 6"):
        respond(party, {"kind": "letter", **cohort, **told, "round": 6})
    swapped = told | {"publics": publics[::-1]}
    with pytest.raises(ProtocolError, match="client 0 in the directory of round 5 are not signed"):
        respond(masked / "party-1", {"kind": "letter", **cohort, **swapped})
    with pytest.raises(ProtocolError, match="96"):
        respond(party, {"kind": "letter", **cohort, **told, "publics": [b"", b"", b""]})


def test_a_key_holder_has_one_key_a_round_however_often_it_is_asked(tmp_path):
    """A server that died asks again: clients may have trained under the key by then."""
    enrol_all(replace(CONFIG, aggregation=Aggregation("bfv")), tmp_path / "roles")
    holder = tmp_path / "roles" / "key-holder"
    keys = [
        respond(holder, {"kind": "keys", "round": round_})["public"] for round_ in (0, 0, 1, 1, 0)
    ]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    # An earlier round is over: its key is gone, and another is made.
    assert len(set(keys)) == 3


def test_secrets_are_their_owners_alone(roles, tmp_path):
    for role in ("party-0", "key-holder", "server"):
        secrets = roles / role / "secrets"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
        files = list(secrets.iterdir())
        assert files
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    examples = roles / "party-0" / "examples.npz"
    assert stat.S_IMODE(examples.stat().st_mode) == 0o600
    enrolled = enrolment_in(roles / "party-0").read_text()
    seed = (roles / "party-0" / "secrets" / "signing-key").read_bytes()
    assert seed.hex() not in enrolled
    with pytest.raises(RunError, match="not empty"):
        enrol_party(roles / "party-0", CONFIG, 0, _own(1))
    with pytest.raises(ConfigError, match="at least one"):
        enrol_party(tmp_path / "new", CONFIG, 0, _own(0))
    with pytest.raises(ConfigError, match="party 7 of 3"):
        enrol_party(tmp_path / "new", CONFIG, 7, _own(1))
    assert not (tmp_path / "new").exists()


def _own(count):
    """So many flowers of a party's own."""
    examples = Examples(np.zeros((count, 4), np.float32), np.zeros(count, np.int32))
    return PublishedSet("own", examples, None, 3, NO_SHIFT, NO_SCALE)


def test_a_roster_is_whole(roles):
    roster = load_roster(roles / "server" / ROSTER)
    parties = roster.parties
    for wrong in (
        roster._replace(parties=parties[1:]),
        roster._replace(parties=()),
        roster._replace(parties=(parties[0], parties[1]._replace(node_key=parties[0].node_key))),
        roster._replace(parties=(parties[0]._replace(signing_key=b"short"),)),
        roster._replace(parties=(parties[0]._replace(examples=0),)),
        roster._replace(parties=(parties[0]._replace(examples=10**9), *parties[1:])),
        roster._replace(features=(2**15, 2**15)),
        roster._replace(features=(-1,)),
        roster._replace(classes=10**9),
    ):
        with pytest.raises(ConfigError):
            check_roster(wrong)
    damaged = roles / "damaged.json"
    damaged.write_text("{}")
    with pytest.raises(ConfigError, match="not a roster"):
        load_roster(damaged)


@pytest.mark.parametrize("protocol", ["none", "threshold", "plain"])
def test_a_protocol_that_does_not_fit_the_roster(roles, protocol):
    folder = roles.parent / protocol
    folder.mkdir()
    (folder / ROSTER).write_bytes((roles / "server" / ROSTER).read_bytes())
    write_config(folder, replace(CONFIG, aggregation=Aggregation(protocol)))
    with pytest.raises(PrideError, match=f"protocol='{protocol}'"):
        load_agreement(folder)


def test_a_journal_keeps_what_no_checkpoint_covers(tmp_path):
    kept = journal(tmp_path, every=2)
    done = Done(np.array([-(2**40), 3]), (0, 2), 3, 100, 1.0, 2.0, 3.0)
    for round_ in range(5):
        assert kept.sum(round_, "a") is kept.question(round_, "a") is None
        kept.ask(round_, "a", {"round": round_, "messages": [b"\xff", b""]})
        assert journal(tmp_path, 2).question(round_, "a")["messages"] == [b"\xff", b""]
        kept.open(round_, "a", done)
        assert kept.question(round_, "a") is None
    again = journal(tmp_path, every=2)
    assert [again.sum(round_, "a") is None for round_ in range(5)] == [True] * 4 + [False]
    # Another cohort, and other noise: what was opened is not what they may be released with.
    assert again.sum(4, "b") is None
    found = again.sum(4, "a")
    assert np.array_equal(found.total, done.total)
    assert found[1:] == done[1:]
    (tmp_path / "4.a.sum").write_bytes(b"\xc1")
    with pytest.raises(RunError, match="damaged"):
        again.sum(4, "a")


def test_a_journal_never_forgets_that_a_sum_was_given_up(tmp_path):
    kept = journal(tmp_path, every=2)
    assert kept.unopened(0, "a") is None
    kept.ask(1, "a", {"round": 1})
    kept.give_up(0, "a", refused=False)
    kept.give_up(1, "a", refused=True)
    again = journal(tmp_path, every=2)
    assert again.question(1, "a") is None
    assert again.unopened(0, "a") == {"refused": False}
    assert again.unopened(0, "b") is None
    again.give_up(2, "a", refused=True)
    assert [again.unopened(round_, "a") for round_ in range(3)] == [None, None, {"refused": True}]


@pytest.fixture(scope="module")
def own_code(tmp_path_factory):
    """Roles of a config whose data and model are the user's own."""
    config = load_config(Path(__file__).parents[1] / "own" / "blobs.py")
    folder = tmp_path_factory.mktemp("own") / "roles"
    enrol_all(replace(config, aggregation=CONFIG.aggregation), folder)
    return folder


def test_each_role_has_its_own_copy_of_own_code_and_the_roster_its_digests(own_code):
    folders = [path.parent for path in own_code.rglob(f"*{ENROLMENT}")]
    assert len(folders) == 3
    for folder in (own_code / "server", *folders):
        assert {path.name for path in (folder / own.CODE).iterdir()} == {"nets.py", "sets.py"}
        agreement = load_agreement(folder)
        assert agreement.roster.code == agreement.config.code.digests
        assert agreement.config.code.folder == folder / own.CODE


def test_a_role_refuses_code_that_is_not_what_everyone_has_and_says_which(own_code, tmp_path):
    changed = tmp_path / "roles"
    shutil.copytree(own_code, changed)
    request = {
        "kind": "hello",
        "config": json.dumps(shared_settings(load_agreement(own_code / "server").config)),
        "roster": load_roster(own_code / "server" / ROSTER).digest,
        "challenge": bytes(32),
    }
    respond(changed / "party-1", request)

    file = changed / "party-1" / own.CODE / "nets.py"
    before = own.digest("nets.py", file.parent)
    file.write_text(file.read_text() + "\n")
    after = own.digest("nets.py", file.parent)
    with pytest.raises(ConfigError, match=f"nets.py: its SHA-256 was {before} .* is {after} in"):
        respond(changed / "party-1", request)

    config = trust(
        from_dict(
            to_dict(load_agreement(own_code / "server").config)
            | {"code": {"nets.py": after, "sets.py": own.digest("sets.py", file.parent)}}
        ),
        file.parent,
    )
    write_config(changed / "party-0", config)
    with pytest.raises(ConfigError, match=f"SHA-256 was {before} .* is {after} in .*roster.json"):
        respond(changed / "party-0", request)


def test_a_key_holder_imports_no_code_of_others(own_code, monkeypatch):
    load_agreement(own_code / "key-holder")
    monkeypatch.setattr(own, "resolve", lambda *_: pytest.fail("a key holder trains nothing"))
    load_agreement(own_code / "key-holder")


def test_nothing_passes_between_roles_whose_settings_differ(roles):
    """Another plan, for instance, of which one party would count on more noise than there is."""
    agreement = load_agreement(roles / "server")
    other = agreement._replace(config=replace(agreement.config, seed=agreement.config.seed + 1))
    own_cores = replace(agreement.config, engine=Engine(devices=1))
    record = {"round": 0, "cohort": [0, 1, 2], "model": bytes(32)}
    mine, same = (
        directory_from(each, record).fingerprint
        for each in (agreement, agreement._replace(config=own_cores))
    )
    assert mine == same != directory_from(other, record).fingerprint
