"""A private run tells what it cost, stops in time, and forgets no release when it dies."""

import functools
import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import claimed
from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.privacy.sampling import truncated_poisson
from pride_jax.runs import budget, experiment, ledger, prepared
from pride_jax.runs.environment import environment
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
)

pytestmark = pytest.mark.usefixtures("blank_pictures")

PRIVATE = Experiment(
    rounds=6,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=12),
    model=Model("logistic"),
    client=Client(learning_rate=0.3),
    cohort=Cohort("truncated_poisson", size=6, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=2.0, delta=1e-2),
    evaluation=Evaluation(every=2),
)
PLAN = Plan(
    sampler=truncated_poisson(12, 0.5),
    clipping=Flat(1.0),
    mechanism=Gaussian(2.0),
    rounds=6,
    delta=1e-2,
)
SKELLAM = replace(
    PRIVATE,
    privacy=replace(PRIVATE.privacy, mechanism="skellam"),
    aggregation=Aggregation("plain", bits=12),
)


@functools.cache
def clean_environment():
    """One in which the same keys give the same bits."""
    return environment() | {"git_commit": "abc", "git_changes": False}


@pytest.fixture
def clean(monkeypatch):
    """That environment, wherever a run asks for it."""
    monkeypatch.setattr(budget, "environment", clean_environment)
    return clean_environment()


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a finished run of ``PRIVATE`` in that environment; not to be changed."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "environment", clean_environment)
        run(PRIVATE, folder)
    return folder


@pytest.fixture
def folder(ended, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(ended, tmp_path / "run")


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def parameters(folder):
    with np.load(folder / "checkpoints" / "6.npz") as saved:
        return {name: saved[name] for name in saved.files if name.startswith("own/params")}


def same(one, other):
    assert one and one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def told(folder):
    return json.loads((folder / "disclosure.json").read_text())["guarantee"]


def die_after(folder, round_):
    """What a crash leaves after a round was saved, the next ones released but not saved."""
    (folder / "summary.json").unlink()
    for file in (folder / "checkpoints").glob("*.npz"):
        if int(file.stem) > round_:
            file.unlink()


def test_every_row_tells_what_was_spent_so_far(ended):
    summary = json.loads((ended / "summary.json").read_text())
    rows = rows_of(ended)
    assert [row["releases"] for row in rows] == [0, 2, 4, 6]
    for row in rows:
        assert row["epsilon"] == epsilon(PLAN, row["releases"])
        assert row["epsilon_known_cohort"] == epsilon_known_cohort(PLAN, row["releases"])
    assert (summary["epsilon"], summary["delta"]) == (epsilon(PLAN), 1e-2)
    guarantee = told(ended)
    for said in ("Client-level", f"ε = {epsilon(PLAN):.4g} at δ = 0.01", "PLD", "probability 0.5"):
        assert said in guarantee


def test_a_target_is_met_and_not_exceeded(tmp_path):
    privacy = replace(PRIVATE.privacy, noise_multiplier=None, epsilon=2.0)
    summary = run(replace(PRIVATE, privacy=privacy), tmp_path / "run")
    assert 1.98 <= summary["epsilon"] <= 2.0
    assert summary["rounds"] == 6


def test_noise_and_cohorts_are_new_in_every_run_unless_seeded(tmp_path):
    config = replace(PRIVATE, seed=3)
    for name in ("one", "two"):
        run(config, tmp_path / name)
    assert not same(parameters(tmp_path / "one"), parameters(tmp_path / "two"))
    seeded = replace(config, privacy=replace(config.privacy, seed=7))
    for name in ("three", "four"):
        run(seeded, tmp_path / name)
    assert same(parameters(tmp_path / "three"), parameters(tmp_path / "four"))
    assert not (tmp_path / "three" / "secrets").exists()
    assert "no such guarantee against anyone who knows it" in told(tmp_path / "three")


def test_a_run_stops_before_it_costs_more(tmp_path):
    limit = epsilon(PLAN, 3)
    stopping = replace(PRIVATE, privacy=replace(PRIVATE.privacy, stop_at_epsilon=limit))
    summary = run(stopping, tmp_path / "run")
    assert (summary["rounds"], summary["epsilon"]) == (3, limit)


def test_a_run_that_could_not_release_anything_is_refused(tmp_path):
    stopping = replace(PRIVATE, privacy=replace(PRIVATE.privacy, stop_at_epsilon=1e-3))
    with pytest.raises(ConfigError, match="costs more than"):
        run(stopping, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_died_is_done_again_to_the_same_bits_and_costs_nothing_more(folder, clean):
    before = parameters(folder)
    die_after(folder, 4)
    summary = run(PRIVATE, folder, resume=True)
    assert same(before, parameters(folder))
    assert summary["releases"] == 6


def test_rounds_that_can_be_done_again_are_affordable(tmp_path, clean):
    privacy = replace(PRIVATE.privacy, noise_multiplier=None, epsilon=2.0)
    config, folder = replace(PRIVATE, privacy=privacy), tmp_path / "run"
    run(config, folder)
    before = parameters(folder)
    die_after(folder, 4)
    assert run(config, folder, resume=True)["rounds"] == 6
    assert same(before, parameters(folder))


def test_a_run_that_dies_before_its_first_checkpoint_of_rounds_costs_nothing_more(folder, clean):
    before = parameters(folder)
    die_after(folder, 0)
    for file in (folder / "checkpoints").glob("*.npz"):
        file.unlink()
    summary = run(PRIVATE, folder, resume=True)
    assert same(before, parameters(folder))
    assert summary["releases"] == 6


def test_elsewhere_lost_rounds_get_other_noise_and_are_charged(folder, clean, monkeypatch):
    before = parameters(folder)
    die_after(folder, 4)
    monkeypatch.setattr(budget, "environment", lambda: clean | {"processor": "another"})
    summary = run(PRIVATE, folder, resume=True)
    assert not same(before, parameters(folder))
    assert summary["releases"] == 8
    assert summary["epsilon"] == epsilon(PLAN, 8)
    assert [entry.attempt for entry in ledger.read(folder / "ledger.jsonl")] == [0, 0, 0, 1]


def test_under_another_jax_setting_lost_rounds_get_other_noise_and_are_charged(folder, clean):
    die_after(folder, 4)
    with jax.default_matmul_precision("bfloat16"):
        assert run(PRIVATE, folder, resume=True)["releases"] == 8


def test_another_seed_is_not_taken_for_the_runs_own(folder, clean):
    """Its cohorts and noise on the same rounds would be further releases that nobody counts."""
    seed = folder / "secrets" / "noise_and_cohorts"
    own = seed.read_bytes()
    die_after(folder, 4)
    seed.write_bytes(own[::-1])
    with pytest.raises(RunError, match="another seed of cohorts and noise"):
        run(PRIVATE, folder, resume=True)
    seed.write_bytes(own)
    assert run(PRIVATE, folder, resume=True)["releases"] == 6


def test_shares_of_integer_noise_are_always_new_and_always_charged(tmp_path, clean):
    folder = tmp_path / "run"
    run(SKELLAM, folder)
    die_after(folder, 4)
    assert run(SKELLAM, folder, resume=True)["releases"] == 8


def test_a_target_holds_for_a_run_that_died_too(tmp_path):
    privacy = replace(PRIVATE.privacy, noise_multiplier=None, epsilon=2.0)
    config = replace(PRIVATE, privacy=privacy)
    folder = tmp_path / "run"
    run(config, folder)
    die_after(folder, 4)
    # Nothing is known of a tree with changes, so the last two rounds would be charged again.
    with_changes = budget.environment() | {"git_changes": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "environment", lambda: with_changes)
        summary = run(config, folder, resume=True)
    # The model is that of round 4, and what was released and lost is told all the same.
    assert (summary["rounds"], summary["releases"]) == (4, 6)
    assert 1.98 <= summary["epsilon"] <= 2.0
    assert f"ε = {summary['epsilon']:.4g}" in told(folder)


def test_a_release_that_cannot_be_written_down_is_not_made(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "ledger.jsonl").mkdir()
    (folder / "config.json").write_text(json.dumps(experiment.to_dict(PRIVATE)))
    with pytest.raises(RunError, match=r"ledger.jsonl"):
        run(PRIVATE, folder, resume=True)
    assert not list((folder / "checkpoints").glob("[1-9].npz"))


def test_lost_secrets_are_not_replaced(folder):
    die_after(folder, 4)
    (folder / "secrets" / "noise_and_cohorts").unlink()
    (folder / "secrets").rmdir()
    with pytest.raises(RunError, match=r"secrets is missing.*restore it"):
        run(PRIVATE, folder, resume=True)


def test_secrets_are_in_their_folder_only(folder):
    seed = (folder / "secrets" / "noise_and_cohorts").read_bytes()
    words = {str(number) for number in np.frombuffer(seed, np.uint32)}
    attempt = jax.random.fold_in(secret_key(seed), 0)
    derived = jax.random.key_data(jax.random.split(attempt))
    forms = [seed, *(np.asarray(key).tobytes() for key in derived)]
    for file in folder.rglob("*"):
        if file.is_file() and file.parent.name != "secrets":
            content = file.read_bytes()
            assert not any(form in content for form in forms)
            assert not any(word.encode() in content for word in words)


def test_a_plan_calibrated_otherwise_is_refused_on_resume(folder):
    die_after(folder, 4)
    plan = json.loads((folder / "plan.json").read_text())
    plan["mechanism"]["noise_multiplier"] = 2.01
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(RunError, match=r"another plan.*mechanism.noise_multiplier: 2.01 -> 2.0"):
        run(PRIVATE, folder, resume=True)


def test_a_lost_ledger_is_not_begun_anew(folder):
    die_after(folder, 4)
    (folder / "ledger.jsonl").unlink()
    with pytest.raises(RunError, match=r"ledger.jsonl lacks round 0"):
        run(PRIVATE, folder, resume=True)


def test_other_data_gives_other_noise_on_resume(folder, clean):
    die_after(folder, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "_digest", lambda data: "of one client less")
        assert run(PRIVATE, folder, resume=True)["releases"] == 8


def test_a_folder_in_use_is_refused(folder):
    die_after(folder, 4)
    with claimed(folder), pytest.raises(RunError, match="in use by another process"):
        run(PRIVATE, folder, resume=True)


def test_empty_cohorts_are_rounds_like_others(tmp_path):
    few = replace(PRIVATE, cohort=Cohort("truncated_poisson", size=1, weighting="uniform"))
    seeded = replace(few, privacy=replace(few.privacy, seed=2), evaluation=Evaluation(every=1))
    run(seeded, tmp_path / "run")
    clients = [row["clients"] for row in rows_of(tmp_path / "run")[1:]]
    assert 0 in clients and len(clients) == 6


def test_a_changed_plan_is_refused_on_resume(folder):
    changed = replace(PRIVATE, privacy=replace(PRIVATE.privacy, noise_multiplier=1.0))
    with pytest.raises(RunError, match=r"privacy.noise_multiplier: 2.0 -> 1.0"):
        run(changed, folder, resume=True)


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ({"mechanism": "none"}, "privacy.noise_multiplier=2.0: .*without a privacy.mechanism"),
        ({"delta": None}, "privacy.delta=None"),
        ({"epsilon": 1.0}, "privacy.epsilon=1.0: expected either it or noise_multiplier"),
        ({"clipping_norm": None}, "privacy.clipping_norm=None: expected a norm"),
    ],
)
def test_half_a_plan_is_refused(privacy, message):
    with pytest.raises(ConfigError, match=message):
        replace(PRIVATE.privacy, **privacy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aggregation": Aggregation("none")}, "skellam' with aggregation.protocol='none'"),
        ({"aggregation": Aggregation("plain", limit=9.0)}, "aggregation.limit=9.0 with"),
        ({"cohort": Cohort("truncated_poisson", size=13)}, "cohort.size=13: .* the 12 clients"),
        ({"cohort": Cohort("fixed_size", size=6)}, "sampler=FixedSize.*mechanism=Skellam"),
    ],
)
def test_what_the_plan_cannot_hold_is_refused_before_anything_is_written(
    tmp_path, changes, message
):
    with pytest.raises(ConfigError, match=message):
        run(replace(SKELLAM, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
