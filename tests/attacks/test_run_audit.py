"""An audit of a whole config passes as it is, and fails where its pipeline is broken."""

import json
from dataclasses import replace

import jax.numpy as jnp
import pytest

from pride_jax.attacks import run_audit as audit
from pride_jax.attacks.run_audit import Setting
from pride_jax.engine import contribution
from pride_jax.errors import ConfigError
from pride_jax.privacy.norms import ClipInfo
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Experiment,
    Model,
    Partition,
    Privacy,
)

CONFIG = Experiment(
    rounds=2,
    data=Data("iris"),
    partition=Partition("iid", clients=10),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, batch_size=None),
    cohort=Cohort("truncated_poisson", size=5, weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.5, delta=1e-5),
)
SETTING = Setting(canaries=200, repetitions=100)
SETTING_OF_ONE = Setting(canaries=200)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return audit.measure(CONFIG, SETTING, tmp_path_factory.mktemp("secrets"))


def test_the_right_pipeline_passes_a_hundred_audits_in_one_program(report):
    assert report.violations <= report.allowed == 9
    assert len(report.rows) == 100
    assert len({row.correct for row in report.rows}) > 5
    assert 1.5 < report.claimed < 4
    # Canaries are seen, if not as well as the claim allows.
    assert sum(row.correct for row in report.rows) > 0.6 * 100 * report.rows[0].guesses
    assert report.verdict == "pass" and report.largest > report.claimed


def test_a_pipeline_that_does_not_clip_fails(tmp_path, monkeypatch):
    never = jnp.zeros((), bool)
    monkeypatch.setattr(
        contribution, "clip_by_norm", lambda update, max_norm: (update, ClipInfo(never, never))
    )
    setting = Setting(canaries=400)
    config = replace(
        CONFIG,
        cohort=Cohort(weighting="examples"),
        # Integers that are too long are left out of the sum, clipped or not.
        privacy=replace(CONFIG.privacy, public_sizes=True, noise="floats"),
    )
    report = audit.measure(config, setting, tmp_path)
    assert report.largest >= report.rows[0].bound > report.claimed
    assert (report.verdict, report.violations, report.allowed) == ("FAIL", 1, 0)


def test_an_audit_that_cannot_fail_says_so(tmp_path, monkeypatch, capsys):
    never = jnp.zeros((), bool)
    monkeypatch.setattr(
        contribution, "clip_by_norm", lambda update, max_norm: (update, ClipInfo(never, never))
    )
    privacy = replace(CONFIG.privacy, noise_multiplier=1.0, delta=1e-2, noise="floats")
    config = replace(CONFIG, privacy=privacy)
    report = audit.measure(config, SETTING_OF_ONE, tmp_path)
    assert report.largest < report.claimed
    assert (report.verdict, report.violations) == ("no power", 0)
    audit.show(report, SETTING_OF_ONE)
    assert "nothing is said of it" in " ".join(capsys.readouterr().out.split())


def test_noise_in_a_secure_sum_is_audited_too(tmp_path):
    config = replace(
        CONFIG,
        cohort=Cohort(weighting="uniform"),
        privacy=replace(CONFIG.privacy, mechanism="skellam"),
        aggregation=Aggregation("plain"),
    )
    report = audit.measure(config, Setting(canaries=100), tmp_path)
    assert report.verdict != "FAIL" and report.clients == 10 + report.canaries
    assert all(row.correct > row.guesses / 2 for row in report.rows)


def test_the_claim_is_that_of_the_plan_with_its_canaries(report):
    assert report.clients == 10 + report.canaries <= 210
    assert report.rounds == 2 and report.delta == 1e-5


def test_json_is_one_line_of_everything(report):
    line = audit.as_json("tiny", CONFIG, SETTING, report)
    assert "\n" not in line
    saved = json.loads(line)
    assert saved["config"] == "tiny" and saved["setting"]["canaries"] == 200
    assert saved["claimed"] == report.claimed and len(saved["rows"]) == 100


def test_the_table_says_pass_and_what_an_estimate_is(report, capsys):
    audit.show(report, SETTING)
    shown = capsys.readouterr().out
    assert f"perfect guesses prove {report.largest:.3f}: pass" in " ".join(shown.split())
    assert "Estimates are no bounds" in " ".join(shown.split())


def test_a_config_without_privacy_has_nothing_to_audit(tmp_path):
    with pytest.raises(ConfigError, match="no ε is claimed"):
        audit.measure(replace(CONFIG, privacy=Privacy()), SETTING, tmp_path)


def test_weight_decay_is_refused(tmp_path):
    decaying = replace(CONFIG, client=Client(weight_decay=0.1))
    with pytest.raises(ConfigError, match="weight_decay"):
        audit.measure(decaying, SETTING, tmp_path)


@pytest.mark.parametrize("wrong", [{"canaries": 1}, {"confidence": 1.5}, {"repetitions": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        Setting(**wrong)
