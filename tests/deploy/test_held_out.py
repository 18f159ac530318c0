"""A server without a test set: parties test on what they hold out, and only sums travel."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from in_process import CONFIG, digest, resident, served

from pride_jax.aggregation.terms import Terms
from pride_jax.deploy.agreement import load_agreement
from pride_jax.deploy.enrolment import load_examples
from pride_jax.deploy.held_out import sums_of
from pride_jax.deploy.journal import journal
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.role import load_role
from pride_jax.deploy.roles import NOT_OPENED, respond
from pride_jax.deploy.scores import RESOLUTION, added_up, from_digits, of_scores, to_digits
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.evaluation import scorer
from pride_jax.errors import PrideError, ProtocolError, TooFewError
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.reporting.live import describe
from pride_jax.reporting.terminal import show_result, show_summary
from pride_jax.runs import experiment
from pride_jax.runs.load import load
from pride_jax.runs.prepared import prepare, simulated_of
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings.experiment import Partition, Privacy

pytestmark = pytest.mark.usefixtures("blank_pictures")

HELD = replace(CONFIG, partition=Partition("sizes", sizes=(12, 25, 19), held_out=0.3))


def with_protocol(protocol, **changes):
    return replace(HELD, aggregation=replace(HELD.aggregation, protocol=protocol), **changes)


@pytest.mark.parametrize("protocol", ["plain", "masking", "paillier"])
def test_their_sums_are_the_simulations_to_the_bit(protocol, tmp_path):
    config = with_protocol(protocol)
    enrol_all(config, tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run", resident()) is None
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")
    # The simulation has everybody's examples: what it makes of those that are held out.
    prepared = prepare(config, tmp_path / "secrets")
    simulated = simulated_of(prepared)
    data, held = simulated.data, simulated.held
    answer = scorer(prepared.task, clients_mesh(jax.devices()[:1]))
    params = load(tmp_path / "simulated").params
    scores = answer(params, data.inputs, data.targets, data.shift, data.scale)
    mine = jax.tree.map(lambda leaf: np.asarray(leaf)[held.index], scores)
    expected = sums_of(mine)
    agreement = of_scores(load_agreement(tmp_path / "roles" / "server"))
    kept = journal(tmp_path / "run" / "sums-of-scores", config.evaluation.every)
    done = kept.sum(config.rounds, "scores")
    found = dict(zip(agreement.scores, from_digits(done.total, agreement.terms), strict=True))
    assert found == expected
    assert found["answers"] == sum(held.sizes) / RESOLUTION
    summary = read_json(tmp_path / "run" / "summary.json")
    assert summary["test_accuracy"] == expected["accuracy"] / expected["answers"]
    assert summary["test_examples"] == sum(held.sizes)
    # What the simulation tells of its clients one by one adds up to the same.
    rows = read_json(tmp_path / "simulated" / "summary.json")["by_client"]
    right = sum(row["held_out"] * row["shared"] for row in rows)
    assert right == pytest.approx(expected["accuracy"] * RESOLUTION)


def test_each_evaluation_is_one_sum_and_a_party_alone_has_its_own_scores(tmp_path):
    config = with_protocol("two_servers")
    enrol_all(config, tmp_path / "roles")
    seen, roles = [], resident()

    def answer(role, request):
        seen.append((role.name, request["kind"], request.get("round")))
        return roles(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert {round_ for name, kind, round_ in seen if kind == "scores open"} == {0, 1, 2}
    assert sum(kind == "scores train" for _, kind, _ in seen) == 9
    own = [
        metrics.read(tmp_path / "roles" / f"party-{party}" / "scores" / "metrics.jsonl")
        for party in range(3)
    ]
    held = [
        len(load_examples(tmp_path / "roles" / f"party-{party}", held_out=True).targets)
        for party in range(3)
    ]
    assert [rows[-1]["answers"] for rows in own] == held
    last = metrics.read(tmp_path / "run" / "metrics.jsonl")[-1]
    assert last["test_loss"] == sum(rows[-1]["loss"] for rows in own) / sum(held)
    # Nothing in the server's folder is a party's figure: loss has the digits to tell.
    texts = [path.read_text() for path in (tmp_path / "run").rglob("*.json*") if path.is_file()]
    for rows in own:
        assert not any(repr(rows[-1]["loss"]) in text for text in texts)


def test_sums_of_scores_and_of_updates_have_nothing_in_common(tmp_path):
    """A message for one is none for the other, and each has books of its own."""
    enrol_all(with_protocol("plain"), tmp_path / "roles")
    party = tmp_path / "roles" / "party-0"
    agreement = load_role(party).agreement
    assert agreement.run != of_scores(agreement).run
    about = {"round": 0, "cohort": [0, 1, 2], "model": bytes(32)}
    for kind in ("scores hello", "scores finish", "scores", "scores scores train", " train"):
        with pytest.raises(ProtocolError, match="answers"):
            respond(party, about | {"kind": kind})


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(
            HELD,
            aggregation=replace(HELD.aggregation, limit=None),
            privacy=Privacy(
                clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2
            ),
        ),
    ],
    ids=["nothing held out", "private"],
)
def test_a_party_tells_no_sum_that_its_settings_do_not_allow(config, tmp_path):
    enrol_all(config, tmp_path / "roles")
    for kind in ("scores train", "scores open", "scores keys"):
        with pytest.raises(PrideError, match=r"held_out|answers"):
            respond(
                tmp_path / "roles" / "party-0",
                {"kind": kind, "round": 0, "cohort": [0, 1, 2], "model": bytes(32)},
            )
    # The server has the set of the config to test on.
    assert not (tmp_path / "roles" / "server" / "examples.npz").exists()


def test_who_dies_between_an_evaluation_and_its_checkpoint_asks_the_same_again(tmp_path):
    config = with_protocol("masking")
    enrol_all(config, tmp_path / "roles")
    roles, last = resident(), []

    def answer(role, request):
        if request["kind"] == "scores share" and request["round"] == 1 and not last:
            return None
        return roles(role, request)

    stopped = served(tmp_path / "roles", tmp_path / "run", answer, timeout=0.1)
    assert "--resume" in stopped
    last.append("they are back")
    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    enrol_all(config, tmp_path / "others")
    assert served(tmp_path / "others", tmp_path / "whole", resident()) is None
    names = ("round", "test_loss", "test_accuracy")
    rows, others = (
        [[row[name] for name in names] for row in metrics.read(run / "metrics.jsonl")]
        for run in (tmp_path / "run", tmp_path / "whole")
    )
    assert rows == others


@pytest.mark.parametrize("bits", [2, 4, 16, 32])
def test_digits_of_any_width_give_the_very_sums(bits):
    terms = Terms(1, bits, 1.0, 2, 3)
    rng = np.random.default_rng(bits)
    parties = [[int(each) for each in rng.integers(-(2**59), 2**59, 3)] for _ in range(3)]
    total = sum(to_digits(sums, terms).astype(np.int64) for sums in parties)
    assert np.abs(to_digits(parties[0], terms)).max() <= terms.largest_value
    assert from_digits(total, terms) == [sum(each) for each in zip(*parties, strict=True)]


def test_scores_are_rounded_one_by_one_and_no_number_is_refused():
    assert added_up(np.array([0.1, 0.2])) == round(0.1 / RESOLUTION) + round(0.2 / RESOLUTION)
    assert added_up(np.array([RESOLUTION / 2, 3 * RESOLUTION / 2])) == 0 + 2
    for broken in (np.nan, np.inf, -np.inf, 2.0**20):
        with pytest.raises(ProtocolError, match="diverged"):
            added_up(np.array([0.5, broken]))


def test_a_key_holder_opens_no_scores_as_updates_nor_twice(tmp_path):
    """A server that has the messages of an evaluation and shows them as a round's, or in parts."""
    enrol_all(with_protocol("two_servers"), tmp_path / "roles")
    asked, roles = [], resident()

    def answer(role, request):
        if request["kind"] == "scores open" and request["round"] == 0:
            asked.append((role, request))
        return roles(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    (role, request), *_ = asked
    fewer = request | {"enclosed": request["enclosed"][:2]}
    for shown in (request | {"kind": "open"}, request | {"round": 2}, fewer):
        with pytest.raises(ProtocolError, match=NOT_OPENED):
            respond(role, shown)
    reasons = [row["reason"] for row in metrics.read(role / REFUSALS)]
    assert "a round is served once" in reasons[-1]


def test_an_evaluation_without_a_party_is_missing_and_the_run_goes_on(tmp_path):
    enrol_all(with_protocol("plain"), tmp_path / "roles")
    roles, replies = resident(), {0: {"message": b"garbage"}, 1: None}

    def answer(role, request):
        about = role.name, request["kind"], request.get("round")
        if about[:2] == ("party-1", "scores train") and about[2] in replies:
            return replies[about[2]]
        return roles(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["test_accuracy"] is None for row in rows] == [True, True, False]
    assert [row["test_loss"] is None for row in rows] == [True, True, False]
    reasons = [row["reason"] for row in metrics.read(tmp_path / "run" / REFUSALS)]
    assert any(
        "2 of 3 parties sent what can be added, expected at least 3" in each for each in reasons
    )
    # The last is the best of one, and what is shown of the others is that there is nothing.
    assert (tmp_path / "run" / "best.safetensors").exists()
    assert describe(rows[0], 2).startswith("accuracy –  loss –")
    with pytest.raises(TooFewError, match="expected 3"):
        respond(
            tmp_path / "roles" / "party-0",
            {"kind": "scores train", "round": 2, "cohort": [0, 2], "model": bytes(32)},
        )


def test_a_run_of_which_nothing_is_tested_ends_with_its_model(tmp_path, capsys):
    config = with_protocol("plain", rounds=1)
    enrol_all(config, tmp_path / "roles")
    roles = resident()

    def answer(role, request):
        silent = (role.name, request["kind"]) == ("party-1", "scores train")
        return {"message": b"garbage"} if silent else roles(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    summary = read_json(tmp_path / "run" / "summary.json")
    assert summary["test_accuracy"] is None
    show_result(summary, tmp_path / "run")
    show_summary(summary)
    assert "test accuracy –" in capsys.readouterr().out
    assert "a test accuracy of –" in (tmp_path / "run" / "report.html").read_text()
    load(tmp_path / "run")
