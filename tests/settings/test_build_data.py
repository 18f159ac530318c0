"""From settings to data: which examples, whose they are, and what each client holds out."""

import numpy as np
import pytest

from pride_jax import settings as config
from pride_jax.errors import ConfigError
from pride_jax.settings.build import build_dataset, build_partition, build_partitions
from pride_jax.settings.experiment import Experiment


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
