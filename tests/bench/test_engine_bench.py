"""The engine benchmark times equal work, and reports it in the promised form."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import engine
from bench.common.rounds import Outcome, plain_cnn
from bench.engine import Contestant, Report, Setting
from pride_jax.errors import ConfigError, PrideError
from pride_jax.models.networks import cnn

TINY = Setting(
    models=("2nn",), clients=20, examples=20, cohort=3, chunks=(1, 2), devices=(1,), repetitions=2
)
PROMISED = {
    "name",
    "model",
    "chunk",
    "devices",
    "seconds_per_round",
    "ratio_to_batch_loop",
    "ratio_to_epoch_loop",
}


class Measured(NamedTuple):
    report: Report
    outcomes: Mapping[Contestant, Outcome]


@pytest.fixture(scope="module")
def measured():
    outcomes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "check_same", lambda seen, *_: outcomes.update(seen))
        return Measured(engine.measure_here(TINY, devices=1), outcomes)


def test_loops_end_where_the_engine_does(measured):
    (_, first), *others = measured.outcomes.items()
    assert [contestant.name for contestant, _ in others] == ["engine", "batch loop", "epoch loop"]
    for _, other in others:
        assert jax.tree.structure(other) == jax.tree.structure(first)
        for mine, theirs in zip(jax.tree.leaves(other), jax.tree.leaves(first), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_ratios_are_the_loops_seconds_over_ones_own(measured):
    rows = measured.report.rows
    seconds = {row.name: row.seconds_per_round for row in rows}
    for row in rows:
        assert row.repetitions == 2
        assert row.ratio_to_batch_loop == seconds["batch loop"] / row.seconds_per_round
        assert row.ratio_to_epoch_loop == seconds["epoch loop"] / row.seconds_per_round
        assert row.ratio_to_plain_convolution is None


def test_json_is_one_line_with_what_was_promised(measured):
    line = engine.as_json(TINY, measured.report)
    assert "\n" not in line
    report = json.loads(line)
    assert [row["chunk"] for row in report["rows"]] == [1, 2, None, None]
    assert all(row.keys() >= PROMISED for row in report["rows"])
    assert report["setting"]["clients"] == 20
    assert report["environment"]["versions"]["jax"] == jax.__version__


def test_memory_does_not_grow_with_the_cohort(measured):
    least, *_, most = measured.report.memory
    assert (least.cohort, most.cohort) == (2, 20)
    assert most.temporary_bytes < 1.01 * least.temporary_bytes


def test_tables_show_every_row(measured, capsys):
    engine.show(measured.report)
    shown = capsys.readouterr().out
    assert shown.count("engine") == 2
    assert shown.count("loop") == 2


def test_the_network_of_flax_users_is_ours():
    ours = cnn((28, 28, 1), 10)
    plain = plain_cnn()
    params = ours.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 28, 28, 1))
    np.testing.assert_allclose(
        ours.apply(params, images), plain.apply(params, images), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "other",
    [
        Outcome({"w": jnp.full(3, 1.2)}, jnp.array(2.0)),
        Outcome({"w": jnp.ones(3)}, jnp.array(2.1)),
        Outcome({"w": jnp.full(3, jnp.nan)}, jnp.array(2.0)),
    ],
)
def test_unequal_work_is_refused(other):
    outcomes = {
        Contestant("engine", "2nn", 1, 1): Outcome({"w": jnp.ones(3)}, jnp.array(2.0)),
        Contestant("batch loop", "2nn", None, 1): other,
    }
    with pytest.raises(PrideError, match=r"batch loop.*not the same"):
        engine.check_same(outcomes, {"w": jnp.zeros(3)}, 0.1)


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="multiple of batch_size=10"):
        Setting(examples=25)
    with pytest.raises(ConfigError, match="a core for each of devices=4096"):
        engine.measure(Setting(devices=(4096,)))
