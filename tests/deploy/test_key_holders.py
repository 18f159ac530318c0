"""Several key holders: enough of them open every sum, whatever the others do."""

import shutil
from dataclasses import replace

import pytest
from in_process import CONFIG, asked_to_open, digest, network, open_request, served

from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.deploy import introduction, opening
from pride_jax.deploy.agreement import check_key_holders, load_agreement
from pride_jax.deploy.enrolment import (
    collect_roster,
    enrol_key_holders,
    enrolment_in,
    load_signing_key,
)
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.roles import respond
from pride_jax.errors import ConfigError, ProtocolError, RunError
from pride_jax.reporting import metrics
from pride_jax.runs import experiment
from pride_jax.settings import build

pytestmark = pytest.mark.usefixtures("blank_pictures")

TWO_OF_THREE = replace(
    CONFIG,
    aggregation=replace(CONFIG.aggregation, protocol="threshold", holders=3, threshold=2),
)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("threshold")
    enrol_all(TWO_OF_THREE, folder / "roles")
    return folder / "roles"


@pytest.fixture
def roles(enrolled, tmp_path):
    return shutil.copytree(enrolled, tmp_path / "roles")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "run"
    experiment.run(TWO_OF_THREE, folder)
    return digest(folder)


def answering(tampered):
    """Roles that are honest, but for requests to open: name -> what it answers to them instead."""

    def answer(role, request):
        if request["kind"] != "open" or role.name not in tampered:
            return respond(role, request)
        return tampered[role.name](role, request)

    return answer


def silent(role, request):
    return None


def opened(roles, asked, answer=respond):
    """The sum that the server has opened, and who was left out, and why."""
    workdir = roles.parent
    known = {("key holder", number): number - 1 for number in (1, 2, 3)}
    ask = introduction.asking(network(roles, answer), known, {}, 1.0, workdir)
    about = {"called": 3, "bytes_sent": 0, "training": 0.0, "combining": 0.0}
    done = opening.opened(load_agreement(roles / "server"), ask, workdir, asked | about)
    return done.total, noted(workdir)


def noted(workdir):
    refusals = metrics.read(workdir / "refusals.jsonl")
    return {(row["round"], row["from"]): row["reason"] for row in refusals}


def resigned(change):
    """A reply whose share is changed, and signed by its holder all the same."""

    def tampered(role, request):
        keys = {each.number: each.signing_key for each in load_agreement(role).roster.key_holders}
        share = share_from_bytes(respond(role, request)["share"], keys)
        return {"share": signed_share(load_signing_key(role), change(share))}

    return tampered


def wrong_decryption(share):
    return share._replace(body=share.body[:-1] + bytes([share.body[-1] ^ 1]))


def of_another_sum(share):
    return share._replace(contributors=share.contributors[1:])


def unsigned(role, request):
    return {"share": respond(role, request)["share"][:-64] + bytes(64)}


def from_another(role, request):
    return respond(role.parent / "holder-2", request)


def in_anothers_name(share):
    return share._replace(holder=2)


@pytest.mark.parametrize(
    ("tampered", "reason"),
    [
        (silent, "key holder, open: no answer"),
        (lambda role, request: {}, "Refused a share"),
        (lambda role, request: {"share": 10**12}, "Refused a share"),
        (lambda role, request: {"share": bytes(5000)}, "Refused a share"),
        (lambda role, request: {"refused": "out of order"}, "out of order"),
        (unsigned, "not signed with that holder's enrolled key"),
        (from_another, "share of holder 2: expected one of [1]"),
        (resigned(in_anothers_name), "share of holder 2: expected one of [1]"),
        (resigned(of_another_sum), "opens another total"),
        (resigned(wrong_decryption), "the decryption is wrong"),
    ],
)
def test_a_holder_that_gives_no_good_share_is_left_out(roles, tampered, reason):
    total, left_out = opened(roles, asked_to_open(roles, 0), answering({"holder-1": tampered}))
    assert (total == 3).all()
    assert reason in left_out[0, 1]


def test_a_share_of_an_earlier_round_is_no_share(roles):
    first = open_request(asked_to_open(roles, 0))
    before = respond(roles / "key-holder" / "holder-1", first)
    replayed = answering({"holder-1": lambda role, request: before})
    total, left_out = opened(roles, asked_to_open(roles, 1), replayed)
    assert (total == 3).all()
    assert "opens another total" in left_out[1, 1]


def test_wrong_shares_open_nothing_and_the_same_question_is_answered_later(roles):
    asked = asked_to_open(roles, 0)
    wrong = dict.fromkeys(("holder-1", "holder-3"), resigned(wrong_decryption))
    with pytest.raises(RunError, match=r"1 of 3 key holders helped .* at least 2.* --resume"):
        opened(roles, asked, answering(wrong))
    assert (opened(roles, asked)[0] == 3).all()


def test_each_holder_opens_one_sum_a_round_and_gives_it_again(roles):
    asked, other = (open_request(asked_to_open(roles, 0)) for _ in range(2))
    for holder in (roles / "key-holder").iterdir():
        answer = respond(holder, asked)
        assert respond(holder, asked) == answer
        for refused in (other, asked | {"enclosed": asked["enclosed"][:2]}):
            with pytest.raises(ProtocolError, match="not opened"):
                respond(holder, refused)


def test_a_run_with_a_holder_that_is_wrong_and_then_silent(roles, simulated, tmp_path):
    def wrong_then_silent(role, request):
        return (resigned(wrong_decryption), silent)[request["round"]](role, request)

    assert served(roles, tmp_path / "run", answering({"holder-1": wrong_then_silent})) is None
    assert digest(tmp_path / "run") == simulated
    left_out = noted(tmp_path / "run")
    assert "the decryption is wrong" in left_out[0, 1]
    assert "no answer" in left_out[1, 1]


def test_a_run_with_too_few_holders_stops_and_goes_on_once_they_are_back(
    roles, simulated, tmp_path
):
    heard = []

    def two_fail(role, request):
        heard.append((role.name, request))
        fails = request["kind"] == "open" and request["round"] == 1
        return None if fails and role.name != "holder-3" else respond(role, request)

    def all_well(role, request):
        heard.append((role.name, request))
        return respond(role, request)

    stopped = served(roles, tmp_path / "run", two_fail)
    assert "Round 1: 1 of 3 key holders helped to open the sum, expected at least 2" in stopped
    before = [request for name, request in heard if name == "holder-3"][-1]
    heard.clear()
    assert served(roles, tmp_path / "run", all_well) is None
    assert digest(tmp_path / "run") == simulated
    assert not [request for _, request in heard if request["kind"] == "train"]
    assert [request for _, request in heard if request["kind"] == "open"] == [before, before]


def test_a_run_starts_without_a_holder_that_does_not_join_but_not_without_two(
    roles, tmp_path, monkeypatch
):
    monkeypatch.setattr(introduction, "REJOIN_SECONDS", 0.0)

    def stopped_without(*names):
        def answer(role, request):
            absent = role.name in names or request["kind"] == "train"
            return None if absent else respond(role, request)

        return served(roles, tmp_path / "run", answer)

    assert "key holder 1, key holder 2 did not join" in stopped_without("holder-1", "holder-2")
    assert "party 0 did not join" in stopped_without("party-0")
    assert "Round 0: 0 of 3 parties sent what can be added" in stopped_without("holder-1")
    assert "did not join in time" in noted(tmp_path / "run")[None, 1]


def test_a_holder_has_its_own_secrets_only(roles):
    dealt = roles / "key-holder"
    assert sorted(path.name for path in dealt.iterdir()) == ["holder-1", "holder-2", "holder-3"]
    shares = []
    for number in (1, 2, 3):
        secrets = dealt / f"holder-{number}" / "secrets"
        own = f"threshold-key-{number}.json"
        assert {path.name for path in secrets.iterdir()} == {
            "node-key",
            "signing-key",
            "compared-roster",
            own,
        }
        shares.append((secrets / own).read_text())
    everywhere = b"".join(path.read_bytes() for path in roles.rglob("*.json"))
    for share in shares:
        assert everywhere.count(share.encode()) == 1


def test_holders_are_enrolled_from_one_dealing_all_of_them(roles, tmp_path):
    others = enrol_key_holders(tmp_path / "others", TWO_OF_THREE)
    with pytest.raises(RunError, match="not empty"):
        enrol_key_holders(tmp_path / "others", TWO_OF_THREE)
    holders = sorted((roles / "key-holder").iterdir())
    dataset = build.build_dataset(TWO_OF_THREE)

    def roster_of(*folders):
        return collect_roster(
            [enrolment_in(folder) for folder in (*folders, roles / "party-0")], dataset, {}
        )

    check_key_holders(TWO_OF_THREE, roster_of(*holders))
    with pytest.raises(ConfigError, match="different keys"):
        roster_of(*holders[:2], others[2])
    for wrong in (holders[:2], [], [*holders, *holders[1:2]]):
        with pytest.raises(ConfigError):
            check_key_holders(TWO_OF_THREE, roster_of(*wrong))
    more = replace(TWO_OF_THREE.aggregation, holders=4, threshold=3)
    with pytest.raises(ConfigError, match=r"\[1, 2, 3\], expected \[1, 2, 3, 4\]"):
        check_key_holders(replace(TWO_OF_THREE, aggregation=more), roster_of(*holders))
