"""The scale benchmark times what it says, and reports it in the promised form."""

import json

import jax
import pytest

from bench import scale
from bench.scale import Case, Setting, cases
from pride_jax.errors import ConfigError

ONE = Setting(
    models=("2nn",),
    cohorts=(2,),
    clients=(),
    devices=(),
    chunks=(),
    precisions=(),
    examples=10,
    repetitions=2,
)


def test_a_case_is_timed_in_a_process_of_its_own_and_reported_as_promised():
    rows = scale.measure(ONE)
    (row,) = json.loads(scale.as_json(ONE, rows))["rows"]
    promised = {"model", "cohort", "clients", "devices", "backend"}
    measured = {"seconds_per_round", "peak_bytes", "compile_seconds"}
    assert promised | measured <= row.keys()
    assert (row["model"], row["cohort"], row["clients"], row["devices"]) == ("2nn", 2, 10_000, 1)
    assert all(row[name] > 0 for name in measured)
    assert 0 < row["matmul_share"] < 1
    assert row["repetitions"] == 2


def test_every_axis_is_varied_and_no_case_is_timed_twice():
    every = cases(Setting())
    assert len(set(every)) == len(every)
    assert {case.cohort for case in every if case.model == "2nn"} == {10, 100, 1_000, 10_000}
    assert {case.cohort for case in every if case.model == "cnn"} == {10, 100, 1_000}
    assert {case.clients for case in every} == {100, 1_000, 10_000, 100_000, 1_000_000}
    assert {case.devices for case in every} == {1, 2}
    assert all(case.cohort <= case.clients for case in every)
    assert not any(case.how == "epoch loop" for case in every)
    assert Case("cnn", "epoch loop") in cases(Setting(backend="gpu"))


def test_clients_share_a_pool_that_does_not_grow_with_them():
    few, many = (scale.shared_images(clients, 60, seed=0) for clients in (10, 100_000))
    assert few.inputs.shape == many.inputs.shape
    assert few.index.shape == many.index.shape
    assert int((many.offsets + many.sizes).max()) <= many.index.shape[0]


def test_operations_are_those_of_the_multiplications():
    counted = scale.flops_of_round(Case("2nn", cohort=3), ONE)
    products = 784 * 200 + 200 * 200 + 200 * 10
    # Forward, and two products backward but for the inputs' own gradient.
    expected = 2 * 10 * (3 * products - 784 * 200) * 3
    assert counted == pytest.approx(expected, rel=0.1)


def test_examples_that_do_not_fill_the_pool_are_refused():
    with pytest.raises(ConfigError, match="examples=70 to divide 6000"):
        Setting(examples=70)


def test_more_devices_than_cores_are_refused():
    with pytest.raises(ConfigError, match="a core for each of devices=999"):
        scale.measure(Setting(devices=(999,)))


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=f"there are {len(jax.devices())} cpu devices"):
        scale.build_round(Case("2nn", devices=999), ONE)
