"""From settings to data: which examples, whose they are, and what each client holds out."""

from dataclasses import replace

import numpy as np
import pytest

from pride_jax import settings as config
from pride_jax.data.described import described
from pride_jax.errors import ConfigError
from pride_jax.settings.build import build_dataset, build_partition, build_partitions
from pride_jax.settings.experiment import Experiment

PRIVACY = config.Privacy(clipping_norm=1.0, mechanism="gaussian", noise_multiplier=1.0, delta=1e-3)


@pytest.fixture
def play(tmp_path):
    file = tmp_path / "play.txt"
    file.write_text("".join(f"{name}:\n{'to be or not to be ' * 9}\n\n" for name in "ABC"))
    return str(file)


def test_speakers_become_clients_of_windows_of_the_length_that_is_set(play):
    experiment = Experiment(
        data=config.Data(name=play, length=9), partition=config.Partition("groups")
    )
    dataset = build_dataset(experiment)
    assert dataset.train_inputs.shape == (42, 9)
    np.testing.assert_array_equal(build_partition(experiment, dataset).sizes, [14, 14, 14])


@pytest.mark.parametrize("kind", ["shards", "dirichlet"])
def test_partitions_by_class_are_refused_for_quantities_and_tokens(play, kind):
    for name in ("diabetes", play):
        experiment = Experiment(
            data=config.Data(name=name, length=9), partition=config.Partition(kind)
        )
        with pytest.raises(ConfigError, match="expected one class an example"):
            build_partition(experiment, build_dataset(experiment))


def test_groups_that_nobody_knows_are_refused():
    experiment = Experiment(data=config.Data(name="diabetes"), partition=config.Partition("groups"))
    with pytest.raises(ConfigError, match="who made the examples of diabetes; expected a set with"):
        build_partition(experiment, build_dataset(experiment))


@pytest.mark.parametrize("kind", ["groups", "iid"])
def test_groups_whose_rows_were_all_drawn_for_testing_are_told_or_refused(tmp_path, kind):
    rows = [f"{row % 7},{'yn'[row % 2]},site {row % 3 if row < 18 else row}" for row in range(24)]
    (tmp_path / "sites.csv").write_text("\n".join(["age,ill,site", *rows, ""]))
    data = config.Data(str(tmp_path / "sites.csv"), target="ill", group="site", test_examples=12)
    experiment = Experiment(data=data, partition=config.Partition(kind))
    dataset = build_dataset(experiment)
    trained, tested = (
        {dataset.group_names[group] for group in groups}
        for groups in map(np.asarray, (dataset.groups, dataset.test_groups))
    )
    assert set(dataset.drawn_groups) == tested - trained != set()
    gone = len(dataset.drawn_groups)
    (told,) = dataset.gaps()
    assert f": {gone} of the groups are no clients;" in told and dataset.drawn_groups[0] in told
    assert told in described(dataset, 3, hides=False)

    clients = 9 - gone if kind == "groups" else 2
    assert len(build_partition(experiment, dataset).sizes) == clients
    private = replace(experiment, privacy=PRIVACY)
    if kind == "iid":
        assert len(build_partition(private, dataset).sizes) == clients
        return
    with pytest.raises(ConfigError, match="must not depend on how many examples somebody has"):
        build_partition(private, dataset)
    # In another draw, in which everybody kept an example.
    assert len(build_partition(private, dataset._replace(drawn_groups=())).sizes) == clients


def test_a_held_out_share_divides_what_each_client_would_hold_without_one():
    whole = Experiment(partition=config.Partition(clients=3))
    held_out = Experiment(partition=config.Partition(clients=3, held_out=0.25))
    dataset = build_dataset(whole)
    train, held = build_partitions(held_out, dataset)
    np.testing.assert_array_equal(held.sizes, [10, 10, 10])
    np.testing.assert_array_equal(build_partition(held_out, dataset).index, train.index)
    own = build_partition(whole, dataset).index.reshape(3, 40)
    together = np.concatenate([train.index.reshape(3, 30), held.index.reshape(3, 10)], axis=1)
    np.testing.assert_array_equal(np.sort(together), np.sort(own))
